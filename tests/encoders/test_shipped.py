"""Tests of the names of shipped models: listing, model card, and the commands that take a name."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ecgssl as run
from command_line import refused
from deploy_models import beats
from shipped_fixtures import NAME, card

import ecgssl
from ecgssl.encoders import shipped as module
from ecgssl.encoders.card import read_card
from ecgssl.encoders.shipped import CARD, model_folder, shipped_models, shipped_names
from ecgssl.errors import InputError
from ecgssl.export.checksums import SUMS, verify_sums
from ecgssl.registry.hub import from_pretrained
from ecgssl.signal.leads import LEADS

REPOSITORY = Path(__file__).parents[2]


def test_a_name_is_the_shipped_model_unless_it_is_a_path(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    (tmp_path / "mine").mkdir()
    assert model_folder(NAME) == shipped
    assert model_folder(f"./{NAME}").resolve() == tmp_path / NAME
    assert model_folder(Path(NAME)).resolve() == tmp_path / NAME
    assert model_folder("mine") == Path("mine")
    # a path with a separator need not exist: the caller reports what is missing
    assert model_folder("runs/none") == Path("runs/none")
    for unknown in ("ptbxl-tyni", ""):
        with pytest.raises(InputError, match=r"Use one of: stand-in$") as caught:
            model_folder(unknown, "--encoder")
        assert caught.value.problems[0].where == "--encoder"


def test_the_list_without_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    done = run("encoders")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("This release ships no encoder.")
    assert json.loads(run("encoders", "--json").out) == []
    refused(run("encoders", "any"), "This release ships no model")


def test_the_list_and_the_card(shipped):
    checksum = hashlib.sha256((shipped / SUMS).read_bytes()).hexdigest()
    size = sum(path.stat().st_size for path in shipped.iterdir())
    lines = run("encoders").out.splitlines()
    assert lines[1].split() == [NAME, "encoder", "26,000", f"{size / 1e6:.1f}", "Apache-2.0", checksum[:16]]
    assert lines[2].strip() == "pretraining: invented (folds 1-8), 300 recordings, CC BY 4.0"
    row = json.loads(run("encoders", "--json").out)[0]
    assert (row["name"], row["bytes"], row["sha256"]) == (NAME, size, checksum)
    assert row["data"][0]["attribution"] == "A. Author 2020"
    assert run("encoders", NAME).out == (shipped / "README.md").read_text()
    assert json.loads(run("encoders", NAME, "--json").out)["limits"] == ["It was not trained."]
    refused(run("encoders", "other"), "Use one of: stand-in")


def test_an_altered_model_is_not_listed(shipped):
    with (shipped / "README.md").open("a") as file:
        file.write("Better than all others.\n")
    for arguments in ((), (NAME,), ("--json",)):
        refused(run("encoders", *arguments), "README.md", "does not match SHA256SUMS")


def test_an_invalid_card_lists_all_problems(tmp_path):
    (tmp_path / CARD).write_text(json.dumps(card(kind="oracle", parameters=-1, licence=None, extra=1)))
    with pytest.raises(InputError) as caught:
        read_card(tmp_path)
    assert {problem.field for problem in caught.value.problems} == {"kind", "parameters", "licence", "extra"}


def test_the_list_needs_no_torch():
    code = "from ecgssl.encoders.shipped import shipped_models; shipped_models()\n"
    code += "import sys; sys.argv = ['ecgssl', 'encoders']\nfrom ecgssl.cli import main\n"
    code += "try: main()\nexcept SystemExit: print([m for m in ('torch', 'onnxruntime', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_load_and_from_pretrained_take_a_name(shipped, tmp_path, monkeypatch):
    ecg = beats(1) / 1000
    found = [load(NAME).embed(ecg, 250, LEADS) for load in (ecgssl.load, from_pretrained)]
    expected = ecgssl.load(shipped).embed(ecg, 250, LEADS)
    assert all(np.array_equal(one, expected) for one in found)
    for load in (ecgssl.load, from_pretrained):
        with pytest.raises(InputError, match="Use one of: stand-in"):
            load("ptbxl-huge")


def test_commands_take_a_name(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("tasks: {t: {targets: [AF]}}\ntracking: {backend: none}\n")
    np.save(tmp_path / "r.npy", beats(2).astype(np.float32) / 1000)
    exported = []
    figures = {"parameters": 1, "version": "1", "bytes": {}, "tolerance": 1e-4}
    monkeypatch.setattr(
        "ecgssl.stages.export.export_model", lambda _, model, *a, **k: exported.append(model) or figures
    )
    assert run("export", "--model", NAME, "--out", "again").code == 0
    assert exported == [shipped]
    assert run("embed", "--bundle", NAME, "r.npy", "--out", "e.csv").code in (0, 3)
    assert (tmp_path / "e.csv").read_text().splitlines()[1].count(verify_sums(shipped)[:16]) == 1
    # a shipped encoder is a bundle, so a table can be preprocessed with its settings
    done = run("finetune", "--encoder", NAME, "--manifest", "none.csv", "--targets", "AF", "--out", "x")
    refused(done, "none.csv: file: does not exist")
    for arguments in (
        ("embed", "--bundle", "none", "r.npy", "--out", "e.csv"),
        ("monitor", "scores.csv", "--bundle", "none", "--out", "p.html"),
        ("export", "--model", "none", "--out", "x"),
        ("overlap", "none", "none"),
        ("finetune", "--encoder", "none", "--store", "s", "--targets", "t", "--out", "x"),
    ):
        assert "Use one of: stand-in" in run(*arguments).err, arguments


def test_every_shipped_model_is_complete_and_small():
    """The repository limits the weights to 15 MB in total."""
    models = shipped_models()
    assert [model.card.name for model in models] == list(shipped_names())
    for model in models:
        assert model.checksum == verify_sums(model.path)
    weights = [
        path for model in models for pattern in ("model.safetensors", "*.onnx") for path in model.path.glob(pattern)
    ]
    assert len(weights) == 2 * len(models)
    assert sum(path.stat().st_size for path in weights) <= 15e6
