"""Optional dependencies: which commands need an extra, and the error that names its install command."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from blocked_libraries import run_without
from command_line import ecgssl
from typer.main import get_command

from ecgssl.cli import app
from ecgssl.config import parse_params
from ecgssl.errors import InputError, require
from ecgssl.extras import BASE, EXTRAS, TRAINING, install_line
from ecgssl.tracking.runs import track

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted((REPOSITORY / "ecgssl").rglob("*.py"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
IMPORT_NAMES = {"pyyaml": "yaml", "scikit_learn": "sklearn"}
"""Import names of packages whose import name differs from their name."""
BROUGHT_ALONG = {
    "markupsafe": "jinja2", "urllib3": "requests", "starlette": "fastapi", "anyio": "fastapi", "pydantic_core": "pydantic",
}  # fmt: skip
"""Imported libraries that a declared dependency always installs."""
BASE_COMMANDS = {
    *("check", "doctor", "draw", "encoders", "inspect", "predict", "embed", "monitor", "overlap"),
    *("download", "simulate", "preprocess", "fingerprint", "profile", "results", "leaderboard"),
}
"""Commands of the base installation."""
NEEDS = {
    "pretrain": (["--store", "store", "--out", "run"], {"train"}),
    "finetune": (["--store", "store", "--encoder", "e", "--targets", "AF", "--out", "run"], {"train"}),
    "export": (["--model", "model", "--out", "new"], {"train"}),
    "evaluate": (["--run", "run", "--store", "store", "--out", "out"], {"train"}),
    "recalibrate": (["--run", "run", "--store", "store", "--out", "out"], {"train"}),
    "report": (["run"], {"train"}),
    "serve": (["--bundle", "bundle"], {"serve"}),
    "sign": (["bundle", "--key", "key"], {"sign"}),
}
"""Arguments and missing extras of each command that needs an extra."""


def import_name(requirement: str) -> str:
    """Return the import name of the package in a requirement."""
    name = re.split(r"[^\w.-]", requirement)[0].lower().replace("-", "_")
    return IMPORT_NAMES.get(name, name)


def test_every_import_is_declared_and_every_extra_has_its_line():
    """A library in neither the dependencies nor ``EXTRAS`` would be missing from an installation."""
    base = {import_name(line) for line in PROJECT["dependencies"]}
    extras = {
        import_name(line): extra for extra in set(EXTRAS.values()) for line in PROJECT["optional-dependencies"][extra]
    }
    known = base | EXTRAS.keys()
    used = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used |= {name.partition(".")[0] for name in names}
    used -= set(sys.stdlib_module_names) | {"ecgssl"}
    assert used - known - BROUGHT_ALONG.keys() == set()
    assert base & EXTRAS.keys() == set()
    assert base == set(BASE)
    assert {
        name: extra for name, extra in EXTRAS.items() if name not in ("starlette", "anyio", "distributed")
    } == extras
    assert "torch" not in base
    assert base - used == set(), "a dependency that no module imports"


def test_only_one_module_writes_install_commands():
    assert [path.name for path in SOURCES if "pip install 'ecgssl[" in path.read_text()] == ["extras.py"]


FILES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES
}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return the modules that a module of the package imports when it is imported; none for other modules."""
    return frozenset(executed_imports(ast.parse(FILES[module].read_text()).body)) if module in FILES else frozenset()


def all_imports(module: str) -> set[str]:
    """Return the names of all modules that the import of a module imports in turn."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += imports_of(name)
    return reached


def executed_imports(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the modules that the statements of a module import, without functions and type checking."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in FILES)
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            yield from executed_imports(node.body)


def test_base_commands_import_no_library_of_an_extra():
    for command in BASE_COMMANDS:
        tree = ast.parse((REPOSITORY / f"ecgssl/cli/{command}.py").read_text())
        used = {name for node in ast.walk(tree) for name in executed_imports([node])}
        reached = {name.partition(".")[0] for module in used for name in all_imports(module)}
        assert reached & EXTRAS.keys() == set(), command


def test_every_command_that_needs_an_extra_prints_the_install_line(tmp_path):
    assert BASE_COMMANDS | NEEDS.keys() == set(cast(Any, get_command(app)).commands)
    (tmp_path / "params.yaml").write_text("tasks: {af: {targets: [AF]}}\n")
    found = run_without(EXTRAS, tmp_path, {command: arguments for command, (arguments, _) in NEEDS.items()})
    for command, (_, extras) in NEEDS.items():
        code, _, err = found[command]
        assert code == 2, (command, code, err)
        assert set(re.findall(r"pip install 'ecgssl\[(\w+)\]'", err)) == extras, (command, err)
        assert all(line.startswith("error: ") for line in err.splitlines()), err


def test_a_command_with_a_profile_runs_without_mlflow(tmp_path):
    shutil.copy(REPOSITORY / "ecgssl/profiles/quickstart.yaml", tmp_path / "params.yaml")
    assert ecgssl("simulate", "--out", tmp_path / "demo", "--patients", 3).code == 0
    table = ["--manifest", "demo/manifest.csv", "--workers", "1"]
    found = run_without(["mlflow", "dvc"], tmp_path, {"preprocess": [*table, "--out", "store"]})["preprocess"]
    assert found[0] in (0, 3), found
    assert "note: this run is not tracked, because MLflow" in found[2]
    assert install_line("mlflow") in found[2]
    asked = [*table, "--out", "other", "--set", "tracking.backend=mlflow"]
    code, _, err = run_without(["mlflow", "dvc"], tmp_path, {"preprocess": asked})["preprocess"]
    assert (code, err.split(": ")[:3]) == (2, ["error", "--set", "tracking.backend"]), err
    assert not (tmp_path / "other").exists()


def test_a_stage_of_the_pipeline_needs_mlflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    params = parse_params({"tasks": {}, "tracking": {"backend": "mlflow"}})
    with pytest.raises(InputError, match=r"params.yaml: tracking.backend: mlflow is not installed"), track("x", params):
        pass


def test_a_stage_script_names_the_extra(tmp_path):
    """Each script is run by ``dvc repro``; arguments are parsed after the imports that need torch."""
    scripts = ("pretrain", "finetune")
    code = "import runpy, sys\nsys.modules['torch'] = None\n"
    code += f"for name in {scripts}:\n    sys.argv = [name + '.py']\n    try:\n"
    code += f"        runpy.run_path('{REPOSITORY}/pipelines/' + name + '.py', run_name='__main__')\n"
    code += "    except SystemExit as stop:\n        print(stop.code)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"] * len(scripts)
    assert done.stderr.splitlines() == [
        f"error: {name}.py: torch: is not installed. Run: {install_line('torch')}" for name in scripts
    ]


def test_all_missing_extras_are_listed_at_once(monkeypatch):
    for name in (*TRAINING, "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as caught:
        require("here", *TRAINING, "mlflow")
    assert [problem.field for problem in caught.value.problems] == ["torch", "mlflow"]
