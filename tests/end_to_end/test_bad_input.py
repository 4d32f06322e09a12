"""Invalid input on the command line: exit code, a message with file, field and fix, and no partial output."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_line import Done, contents, ecgssl, refused
from sound_cohort import PROFILE, RECORDS, preprocess, write_manifest

pytestmark = pytest.mark.long


def finetune(made: SimpleNamespace, out: Path, store: Path, encoder: Path, targets: str = "AF") -> Done:
    given = ("--store", store, "--encoder", encoder, "--targets", targets, "--params", made.params)
    return ecgssl("finetune", *given, "--out", out)


def test_unknown_keys_and_bad_values_are_told_together(made, tmp_path):
    params = yaml.safe_load(made.params.read_text())
    params["pretrain"]["sampels"] = 3
    params["signal"]["clean"]["band"] = [40, 0.5]
    params["store"]["workers"] = 0
    params["quallity"] = {}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(params))
    before = contents(tmp_path)
    done = ecgssl(
        "preprocess", "--manifest", made.manifest, "--out", tmp_path / "s", "--params", tmp_path / "mine.yaml"
    )
    refused(done, "mine.yaml: pretrain.sampels: unknown key. Did you mean 'samples'?")
    refused(done, "mine.yaml: quallity: unknown key. Did you mean 'quality'?", "signal.clean: band edges must")
    refused(done, "store.workers: must be 1 or more")
    assert len(done.err.splitlines()) == 4
    assert contents(tmp_path) == before


def test_missing_files_are_told_with_their_rows(made, tmp_path):
    refused(
        preprocess(made, tmp_path / "none.csv", tmp_path / "s"), "none.csv: file: does not exist. Set the path of a CSV"
    )
    manifest = write_manifest(tmp_path / "m.csv", made.base / "records", path={3: "gone/r3", 9: "gone/r9"})
    refused(preprocess(made, manifest, tmp_path / "s"), f"{manifest}: path: rows 5, 11")
    refused(
        ecgssl("preprocess", "--out", tmp_path / "s", "--params", tmp_path / "no.yaml"),
        "no.yaml: file: does not exist. Write it with 'ecgssl profile use quickstart'",
    )
    assert contents(tmp_path).keys() == {"m.csv"}


def test_patient_in_two_splits(made, tmp_path):
    manifest = write_manifest(tmp_path / "m.csv", made.base / "records", split={0: "test"})
    refused(preprocess(made, manifest, tmp_path / "s"), f"{manifest}: ", "rows 2, 3", "split")
    assert contents(tmp_path).keys() == {"m.csv"}


def test_target_with_one_class_or_none(made, tmp_path):
    for targets, messages in (
        (
            "RARE",
            [
                f"{made.store}: RARE: has 0 positive and 4 negative recordings, both are needed, in split '{split}'"
                for split in ("val", "test")
            ],
        ),
        ("AF,MI", [f"{made.store}: MI: is not a target of this store. Available targets: AF, RARE"]),
        ("AF,AF", ["targets: AF listed more than once. List each target once"]),
        (",", ["targets: the list is empty. List each target once; available targets: AF, RARE"]),
    ):
        refused(finetune(made, tmp_path / "f", made.store, made.base / "encoder", targets), *messages)
    assert contents(tmp_path) == {}


def test_target_column_that_is_not_binary(made, tmp_path):
    """The cohort stage reports the error before preprocessing starts."""
    manifest = write_manifest(tmp_path / "m.csv", made.base / "records", AF={4: "yes"})
    params = yaml.safe_load(made.params.read_text())
    params["sets"] = {"mine": {"reader": "cohort", "manifest": str(manifest)}}
    params["tasks"] = {"rhythm": {"targets": ["AF", "RARE", "RAER"]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    script = Path(__file__).parents[2] / "pipelines/cohort.py"
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    refused(
        Done(done.returncode, done.stdout, done.stderr),
        f"{manifest}: AF: row 6: cells such as 'yes'",
        "RARE: has 0 pos",
    )
    wanted = (
        f"params.yaml: tasks.rhythm.targets: 'RAER' is not a target of set 'mine' ({manifest}). Did you mean 'RARE'?"
    )
    assert wanted in done.stderr
    assert not (tmp_path / "metrics").exists()


def test_checkpoint_of_another_contract(made, tmp_path):
    done = finetune(made, tmp_path / "f", made.store, made.base / "encoder250")
    refused(
        done, made.base / "encoder250", f"against {made.store}", "signal contract: sampling_rate: 250.0 here, 100.0"
    )
    refused(done, "Preprocess the recordings with the settings of the model")
    settings = ("--params", made.params, "--set", "signal.sampling_rate=250")
    done = ecgssl("pretrain", "--store", made.store, "--out", tmp_path / "r", *settings)
    refused(done, f"--set: signal.sampling_rate: is 250.0, but {made.store} was made with 100.0")
    other = tmp_path.with_name(f"{tmp_path.name}-params.yaml")
    parameters = yaml.safe_load(made.params.read_text())
    parameters.setdefault("signal", {})["sampling_rate"] = 250
    other.write_text(yaml.safe_dump(parameters))
    done = ecgssl("pretrain", "--store", made.store, "--out", tmp_path / "r", "--params", other)
    refused(done, f"{made.store} against params.yaml: signal contract: sampling_rate: 100.0 here, 250.0 there")
    assert contents(tmp_path) == {}


def test_model_of_another_kind(made, tmp_path):
    done = finetune(made, tmp_path / "f", made.store, made.base / "bundle")
    refused(
        done,
        f"{made.base / 'bundle/config.json'}: kind: is 'classifier', not an encoder. Use an encoder, such as ptbxl-tiny",
    )
    assert len(done.err.splitlines()) == 1
    assert contents(tmp_path) == {}


def test_edited_contract_of_a_model_or_store(made, tmp_path):
    for folder, file in (("encoder", "signal.json"), ("store", "spec.json")):
        copy = shutil.copytree(made.base / folder, tmp_path / folder)
        for old, new in (('"start"', '"center"'), ('"start"', '"end"'), ('"start"', "7"), ('"floor"', '"flor"')):
            text = (made.base / folder / file).read_text()
            assert old in text
            (copy / file).write_text(text.replace(old, new))
            store = copy if folder == "store" else made.store
            encoder = copy if folder == "encoder" else made.base / "encoder"
            refused(finetune(made, tmp_path / "f", store, encoder), copy / file)
    assert not (tmp_path / "f").exists()


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("file", "tamper", "message"),
    [
        ("model.safetensors", _append, "has changed"),
        ("config.json", _append, "has changed"),
        ("labels.json", _append, "has changed"),
        ("README.md", _append, "has changed"),
        ("classifier.onnx", Path.unlink, "missing"),
        ("SHA256SUMS", Path.unlink, "does not exist"),
        ("extra.txt", Path.touch, "extra.txt"),
    ],
)
def test_tampered_bundle(made, tmp_path, file, tamper, message):
    copy = shutil.copytree(made.base / "bundle", tmp_path / "bundle")
    tamper(copy / file)
    for verb in ("predict", "embed"):
        refused(ecgssl(verb, made.base / "records", "--bundle", copy, "--out", tmp_path / "out/s.csv"), copy / file)
    assert not (tmp_path / "out").exists()


def test_pretraining_without_validation_is_refused_before_it_starts(made, tmp_path):
    manifest = write_manifest(tmp_path / "m.csv", made.base / "records", split=dict.fromkeys(range(RECORDS), "train"))
    assert preprocess(made, manifest, tmp_path / "store").code == 0
    done = ecgssl("pretrain", "--store", tmp_path / "store", "--out", tmp_path / "r", "--params", made.params)
    refused(done, f"{tmp_path / 'store'}: split: has 0 val recordings. Pretraining needs at least 1")
    assert not (tmp_path / "r").exists()


def test_output_places_that_cannot_be(made, tmp_path):
    """A file in place of a folder, a folder in place of a file, and a foreign folder are reported and not changed."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("precious")
    before = contents(tmp_path)
    under = tmp_path / "file/x"
    fine = ("--store", made.store, "--encoder", made.base / "encoder", "--targets", "AF", "--params", made.params)
    predict = ("predict", made.base / "records/r0", "--bundle", made.base / "bundle")
    commands = [
        (*commands_for, "--out", out)
        for commands_for, outs in (
            (("preprocess", "--manifest", made.manifest, "--params", made.params), (under, tmp_path / "folder")),
            (("pretrain", "--store", made.store, "--params", made.params), (under,)),
            (("finetune", *fine), (under,)),
            (("export", "--model", made.base / "encoder", "--params", made.params), (under, tmp_path / "folder")),
            (predict, (tmp_path / "file/s.csv", tmp_path / "scores.txt")),
            (("simulate", "--patients", "1"), (under, tmp_path / "folder")),
            (("draw", made.base / "records/r0"), (tmp_path / "file/d.png", tmp_path / "folder")),
        )
        for out in outs
    ]
    for command in commands:
        refused(ecgssl(*command), str(tmp_path), ". Use ")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("arguments", [("predict", "x", "--bundle", "b", "--out", "s.csv"), ("simulate", "--out", "s")])
def test_usage_errors_exit_with_2(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ecgssl(*arguments, "--workers", "0")
    assert done.code == 2
    assert "one process per core" in done.err
    assert ecgssl(*arguments, "--nonsense").code == 2
    assert contents(tmp_path) == {}


def test_console_script_prints_no_traceback(tmp_path):
    command = [Path(sys.executable).with_name("ecgssl"), "evaluate", "none.csv", "--out", "e.json", "--params", PROFILE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    refused(
        Done(done.returncode, done.stdout, done.stderr),
        "none.csv: file: does not exist. Correct the table, or",
    )
    assert contents(tmp_path) == {}


def test_root_and_labels_belong_to_one_set(tmp_path):
    """Options without effect are errors, and nothing is written."""
    out = tmp_path / "store"
    for options in (["--root", tmp_path], ["--labels", "x"], ["--manifest", "c.csv", "--public", "ptbxl"]):
        refused(ecgssl("preprocess", "--out", out, *options), "need either a table or a public set")
    public = ("--public", "ptbxl", "--root", tmp_path)
    refused(ecgssl("preprocess", "--out", out, *public, "--dates", "day_first"), "describe a table")
    refused(ecgssl("preprocess", "--out", out, "--column", "patient_id=MRN"), "describe a table", "Set --manifest")
    refused(ecgssl("preprocess", "--out", out, "--manifest", "c.csv", "--labels", "x"), "a table has none")
    refused(ecgssl("preprocess", "--out", out, "--public", "ptbx", "--root", tmp_path), "sets.ptbx.reader", "'ptbxl'")
    refused(ecgssl("preprocess", "--out", out, "--public", "ptbxl"), "needs root")
    refused(
        ecgssl("preprocess", "--out", out, "--public", "ptbxl", "--root", tmp_path, "--labels", "super"),
        "is not a label set of ptbxl",
        "does not contain ptbxl_database.csv",
    )
    assert not out.exists()
