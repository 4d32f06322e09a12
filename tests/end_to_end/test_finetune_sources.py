"""Fine-tuning from a table and a bundle: the bundle's preprocessing settings are used, and all errors are reported."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import contents, ecgssl, refused
from sound_cohort import write_manifest
from wfdb_files import write_record

from ecgssl.config import ExportParams, QualityParams
from ecgssl.export.bundle import export_bundle

pytestmark = pytest.mark.long

SMALL = ("--set", "evaluate.bootstrap=100", "--set", "finetune.linear.C=[0.01]", "--set", "store.workers=1")


@pytest.fixture(scope="module")
def bundle(made, tmp_path_factory):
    """Settings of the encoder; rounding and limits differ from the defaults, so that their source is visible."""
    out = tmp_path_factory.mktemp("bundle") / "encoder"
    quick = ExportParams(raw_rates=[], pt2=False)
    export_bundle(made.base / "encoder", out, quick, quality=QualityParams(amplitude=9), lsb=0.002)
    return out


def finetune(bundle, manifest, out, *more):
    return ecgssl(
        "finetune", "--bundle", bundle, "--manifest", manifest, "--targets", "AF", "--out", out, *SMALL, *more
    )


def attributions(run):
    """Return the methods of attribution of the drawings in a report."""
    recordings = json.loads((run / "report.json").read_text())["recordings"]
    return {one["attribution"]["method"] for one in recordings}


def test_a_table_and_a_bundle_are_enough(made, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = finetune(bundle, made.manifest, tmp_path / "run", "--leads", "2lead", "--attribution", "rollout")
    assert done.code == 0, done.err
    assert attributions(tmp_path / "run") == {"rollout"}
    assert "16 recordings = 16 stored + 0 rejected" in done.out
    assert "| AF | linear | 100 % | 2lead | 4 |" in done.out
    stores = [p for p in (tmp_path / "run").iterdir() if p.name.startswith("store-")]
    about = json.loads((stores[0] / "spec.json").read_text())
    assert (about["lsb"], about["quality"]["amplitude"]) == (0.002, 9)
    config = json.loads((tmp_path / "run/classifier/config.json").read_text())
    assert config["recorded_leads"] == ["I", "II"]
    before = contents(stores[0])
    again = finetune(bundle, made.manifest, tmp_path / "run", "--share", "1")
    assert again.code == 0, again.err
    assert attributions(tmp_path / "run") == {"integrated_gradients"}
    assert "16 recordings were already preprocessed" in again.out
    assert contents(stores[0]) == before
    assert "params.yaml" not in {p.name for p in tmp_path.iterdir()}


def test_another_table_is_another_store(made, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = write_manifest(tmp_path / "m.csv", made.base / "records", RARE={1: "1"})
    # a flat recording is rejected, so the exit code of the second table is 3, also if its store exists
    write_record(tmp_path, "flat", np.zeros((12, 1000), dtype=np.int16), rate=100)
    more = f"rec99,{tmp_path / 'flat'},p99,train,1,0\n"
    changed.write_text(changed.read_text() + more)
    for manifest, code in ((made.manifest, 0), (changed, 3), (changed, 3)):
        done = finetune(bundle, manifest, tmp_path / "run", "--set", "store.max_rejected_fraction=0.5")
        assert done.code == code, done.err
        assert (tmp_path / "run/report.html").is_file()
    assert len([p for p in (tmp_path / "run").iterdir() if p.name.startswith("store-")]) == 2


def test_what_cannot_be_is_told_before_anything_is_written(made, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    crossing = write_manifest(tmp_path / "crossing.csv", made.base / "records", patient_id={0: "p2", 1: "p2"})
    given = ("--targets", "AF", "--out", out)
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / "signal.json").write_text((broken / "signal.json").read_text().replace("100.0", "250.0", 1))
    cases = [
        (finetune(bundle, crossing, out), "in more than one split"),
        (finetune(bundle, made.manifest, out, "--targets", "VF"), "VF: is not a target column"),
        (finetune(broken, made.manifest, out), "signal.json"),
        (ecgssl("finetune", "--store", made.store, "--bundle", broken, *given), "signal.json"),
        (finetune(made.base / "bundle", made.manifest, out), "contains a classifier of MI, NORM"),
        (ecgssl("finetune", "--bundle", bundle, *given), "--store, --manifest: neither is given"),
        (ecgssl("finetune", "--manifest", made.manifest, *given), "--encoder, --bundle: neither is given"),
        (finetune(bundle, made.manifest, out, "--store", made.store), "--store, --manifest: both are given"),
        (
            finetune(bundle, made.manifest, out, "--encoder", made.base / "encoder"),
            "--encoder, --bundle: both are given",
        ),
        (
            ecgssl("finetune", "--manifest", made.manifest, "--encoder", made.base / "encoder", *given),
            "does not record the quality limits",
        ),
        (
            ecgssl("finetune", "--manifest", made.manifest, "--encoder", "ptbxl-tinyy", *given),
            "ptbxl-tinyy is neither the name of a shipped model nor a folder. Use one of ptbxl-fast, ptbxl-superclass",
        ),
        (
            ecgssl(
                "evaluate",
                "--run",
                tmp_path,
                "--manifest",
                made.manifest,
                "--out",
                out,
                "--no-report",
                "--attribution",
                "none",
            ),
            "--attribution: applies only to the report of --run. Use --run without --no-report",
        ),
        (
            finetune(bundle, made.manifest, out, "--no-report", "--attribution", "none"),
            "--attribution: applies only to the report, which --no-report omits. Remove --no-report",
        ),
        (
            ecgssl("finetune", "--store", made.store, "--bundle", bundle, "--root", tmp_path, *given),
            "require --manifest",
        ),
    ]
    for done, message in cases:
        refused(done, message)
    assert not out.exists() or not any(out.iterdir())


def test_a_bundle_of_another_contract_is_refused(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("--targets", "AF", "--out", tmp_path / "run", "--encoder", made.base / "encoder250")
    refused(ecgssl("finetune", "--store", made.store, *given), "signal contract: sampling_rate", "250.0", "100.0")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--leads", "I,V7"), "V7: is not one of the twelve leads"),
        (("--leads", ""), "contains no lead name"),
        (("--share", "0"), "0 is not in (0, 1]"),
        (("--folds", "3"), "16 usable recordings with a known target; at least 40 are needed"),
    ],
)
def test_settings_that_cannot_be(made, tmp_path, monkeypatch, option, message):
    monkeypatch.chdir(tmp_path)
    given = ("--store", made.store, "--encoder", made.base / "encoder", "--targets", "AF", "--out", tmp_path / "run")
    refused(ecgssl("finetune", *given, *option), message)
    assert not (tmp_path / "run/classifier").exists()
