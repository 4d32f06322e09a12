"""Installed package: ``ecgssl doctor``, version, shell completion, data files of the wheel, and use without params.yaml."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import ecgssl, refused

from ecgssl import installation
from ecgssl.config import BUILT_IN, load_params
from ecgssl.extras import EXTRAS
from ecgssl.version import __version__

REPOSITORY = Path(__file__).parents[2]


def test_version():
    """The package and its metadata state one version."""
    assert ecgssl("--version").out == f"ecgssl {__version__}\n"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    if ".dev" not in __version__:
        assert f"\nversion: {__version__}\n" in (REPOSITORY / "CITATION.cff").read_text()
        assert f"\n## {__version__} - " in (REPOSITORY / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_calls_ecgssl(shell):
    code = "import sys; sys.argv = ['ecgssl']; from ecgssl.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"_ECGSSL_COMPLETE": f"source_{shell}", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"_ECGSSL_COMPLETE=complete_{shell}" in done.stdout


def test_doctor_lists_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = ecgssl("doctor", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["ecgssl"] == __version__
    assert found["libraries"]["sklearn"] == version("scikit-learn")
    assert found["extras"]["train"]["libraries"]["torch"] == version("torch")
    assert found["extras"]["train"]["install"] is None
    assert found["models"] == sorted(path.parent.name for path in REPOSITORY.glob("ecgssl/encoders/*/card.json"))
    assert found["user_folder"] == {"path": str(tmp_path / "config/ecgssl"), "writable": True}
    assert found["problems"] == []
    assert not (tmp_path / "config/ecgssl").exists(), "doctor creates no folder"


def test_doctor_without_extras_prints_their_install_lines(monkeypatch):
    for name in EXTRAS:
        monkeypatch.setitem(sys.modules, name, None)
    done = ecgssl("doctor")
    assert (done.code, done.err) == (0, "")
    assert "GPU in torch   torch is not installed" in done.out
    for extra in set(EXTRAS.values()):
        assert f"pip install 'ecgssl[{extra}]'" in done.out
    assert done.out.endswith("The base installation works.\n")


def test_doctor_reports_a_broken_base(monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    monkeypatch.setitem(sys.modules, "yaml", None)
    done = ecgssl("doctor")
    assert done.code == 2
    assert "wfdb broken" in done.out
    assert [line.partition(": cannot be imported")[0] for line in done.err.splitlines()] == [
        "error: installation: yaml", "error: installation: wfdb",
    ]  # fmt: skip
    assert "pip install --force-reinstall pyyaml" in done.err


def test_doctor_reports_damaged_models_and_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "BASE", ())
    monkeypatch.setattr("tempfile.TemporaryFile", _cannot_write)
    monkeypatch.setattr("ecgssl.encoders.shipped.FOLDER", tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/card.json").write_text("{")
    (tmp_path / "damaged/SHA256SUMS").write_text("")
    found = installation.describe_installation()
    assert found.facts["user_folder"]["writable"] is False
    messages = [str(problem) for problem in found.problems]
    assert any("damaged/card.json" in message for message in messages)
    assert any("set XDG_CONFIG_HOME" in message for message in messages)


def _cannot_write(**_: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t: fpu avx2 avx512f avx512_bf16", {"avx2": True, "avx512": True, "bf16": True, "amx": False}),
        ("flags\t: avx2 avx512f amx_bf16 amx_tile", {"avx2": True, "avx512": True, "bf16": True, "amx": True}),
        ("Features\t: fp asimd bf16", {"avx2": False, "avx512": False, "bf16": True, "amx": False}),
        ("", {"avx2": None, "avx512": None, "bf16": None, "amx": None}),
    ],
)
def test_features_of_a_processor(flags, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"model name\t: Some CPU @ 2: GHz\n{flags}\n\nmodel name\t: other\n{flags}\n")
    monkeypatch.setattr(installation, "_CPU_INFO", tmp_path / "cpuinfo")
    found = installation._cpu()
    assert {name: found[name] for name in expected} == expected
    assert found["name"] == "Some CPU @ 2: GHz"


def test_every_data_file_is_package_data():
    """``setuptools`` puts only files into the wheel that a pattern of ``package-data`` names; ``.ci/wheel`` builds it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "data-files" not in project, "files below the prefix are not package data"
    package = REPOSITORY / "ecgssl"
    included = {path for pattern in project["package-data"]["ecgssl"] for path in package.glob(pattern)}
    tracked = subprocess.run(
        ["git", "ls-files", "ecgssl"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    data = {REPOSITORY / name for name in tracked if not name.endswith((".py", "/README.md"))}
    assert len(data) > 50
    assert {path for path in data if path not in included} == set()


def test_commands_need_no_params_file(tmp_path, monkeypatch):
    """``check`` and ``preprocess`` run with built-in defaults, which are the class defaults without MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert ecgssl("simulate", "--out", "demo", "--patients", "3", "--workers", "1").code == 0
    rows = len(Path("demo/manifest.csv").read_text().splitlines()) - 1
    checked = ecgssl("check", "demo/manifest.csv", "--workers", "1")
    assert checked.out.startswith(f"{rows} rows of 3 patients = {rows} usable + 0 rejected"), checked
    done = ecgssl("preprocess", "--manifest", "demo/manifest.csv", "--out", "store", "--workers", "1")
    assert done.out.startswith(f"{rows} recordings = {rows} stored"), done
    assert not (tmp_path / "params.yaml").exists()
    assert not list(tmp_path.glob("ml*")), "MLflow is not used without a parameter file"

    refused(ecgssl("preprocess", "--out", "other"), "neither is given, and there is no params.yaml", "--manifest")
    wrong = ecgssl("check", "demo/manifest.csv", "--set", "store.shard_recordings=0")
    refused(wrong, "command line (no params.yaml): store.shard_recordings")
    assert BUILT_IN == {"tasks": {}, "tracking": {"backend": "none"}}
    load_params("params.yaml", ["tracking.experiment=x"], BUILT_IN)
    assert BUILT_IN["tracking"] == {"backend": "none"}, "an override must not change the defaults of later calls"
