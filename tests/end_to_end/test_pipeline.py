"""DVC stages tracked in MLflow: finished runs under one parent, without patient data."""

from __future__ import annotations

import json
import runpy
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]
SETTINGS = ["waves-linear-1.0-12lead", "waves-linear-1.0-1lead"]
STAGES = {
    "cohort@synthetic": ["--dataset", "synthetic"],
    "cohort@other": ["--dataset", "other"],
    "preprocess@synthetic": ["--dataset", "synthetic"],
    "preprocess@other": ["--dataset", "other"],
    "select": [],
    "pretrain": [],
    **{f"finetune@{setting}": ["--setting", setting] for setting in SETTINGS},
    "evaluate": [],
    "export": [],
}
"""Arguments by stage, in the order of dvc.yaml."""
TRACKED = [*STAGES, *(f"evaluate@{setting}" for setting in SETTINGS)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project folder after one run of every stage, in the order of dvc.yaml."""
    folder = tmp_path_factory.mktemp("project")
    params = yaml.safe_load((REPOSITORY / "ecgssl/profiles/quickstart.yaml").read_text())
    made = {"recordings_per_patient": [2, 3], "sampling_rate": 250, "duration": 6}
    params["sets"] = {
        "synthetic": {"synthetic": {**made, "patients": 60}},
        "other": {"synthetic": {**made, "patients": 30, "first_patient": 500}},
    }
    params["seed"] = 1
    params["signal"]["duration"] = 5
    params["store"]["workers"] = 1
    params["model"] |= {"width": 32, "depth": 2, "heads": 2, "decoder": {"width": 32, "depth": 1, "heads": 2}}
    params["pretrain"] |= {
        "samples": 128,
        "batch_size": 32,
        "probe": {"targets": ["t_inversion"]},
        "sets": ["synthetic"],
    }
    params["tasks"] = {"waves": {"set": "synthetic", "targets": ["t_inversion", "st_elevation"]}}
    params["finetune"] |= {"modes": ["linear"], "fractions": [1.0], "lead_sets": ["12lead", "1lead"]}
    params["evaluate"]["bootstrap"] = 100
    params["export"] = {"tolerance": 1e-4, "opset": 20, "raw_rates": [], "pt2": False}
    params["tracking"] = {"backend": "mlflow", "experiment": "tiny"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for stage, arguments in STAGES.items():
            # a script select.py would hide the module of the standard library
            name = stage.partition("@")[0].replace("select", "select_recordings")
            patch.setattr(sys, "argv", [f"{name}.py", *arguments])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(REPOSITORY / "pipelines" / f"{name}.py"), run_name="__main__")
            assert ended.value.code == 0, stage
    return folder


@pytest.fixture(scope="module")
def runs(project):
    """Return status, tags, metrics and parameters by run name, read from the database."""
    with sqlite3.connect(project / "mlflow.db") as database:
        found = {run: {"status": status} for run, status in database.execute("SELECT run_uuid, status FROM runs")}
        for kind in ("tags", "metrics", "params"):
            for values in found.values():
                values[kind] = {}
            for run, key, value in database.execute(f"SELECT run_uuid, key, value FROM {kind}"):
                found[run][kind][key] = value
    for identity, values in found.items():
        values["id"] = identity
    return {values["tags"]["mlflow.runName"].split(" ")[0]: values for values in found.values()}


def test_outputs_are_those_that_dvc_waits_for(project):
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
            path = next(iter(entry)) if isinstance(entry, dict) else entry
            key = SETTINGS[0] if name == "finetune" else "waves-linear"
            assert (project / path.replace("${key}", key).replace("${item.set}", "synthetic")).exists(), (name, path)


def test_counts_agree_between_stages(project):
    cohort = json.loads((project / "metrics/cohort/synthetic.json").read_text())
    made = json.loads((project / "metrics/preprocess/synthetic.json").read_text())
    assert made["recordings"] == cohort["recordings"] == made["stored"] + made["rejected"]
    headline = json.loads((project / "metrics/evaluate.json").read_text())[SETTINGS[0]]
    predictions = pd.read_csv(project / f"models/finetuned/{SETTINGS[0]}/predictions.csv")
    part = predictions[(predictions["split"] == "test") & (predictions["model"] == "linear")]
    table = pd.read_csv(project / "data/raw/synthetic/manifest.csv").query("split == 'test'")
    assert len(table) == cohort["splits"]["test"]["recordings"]
    known = table[["t_inversion", "st_elevation"]].notna().any(axis=1)
    assert headline["records"] == len(part) == known.sum()


def test_one_finished_run_per_stage_under_one_parent(runs):
    assert set(runs) == {"pipeline", *TRACKED}
    assert {run["status"] for run in runs.values()} == {"FINISHED"}
    assert {runs[stage]["tags"]["mlflow.parentRunId"] for stage in TRACKED} == {runs["pipeline"]["id"]}


def test_runs_hold_the_numbers_of_the_metric_files(project, runs):
    made = json.loads((project / "metrics/preprocess/synthetic.json").read_text())
    assert runs["preprocess@synthetic"]["metrics"]["stored"] == made["stored"]
    for setting in SETTINGS:
        figures = json.loads((project / "metrics/evaluate.json").read_text())[setting]
        run = runs[f"evaluate@{setting}"]
        # metrics have the same name in every run, so that they can be compared
        assert run["metrics"]["test_auroc"] == pytest.approx(figures["auroc"], abs=1e-5)
        expected = {"task": "waves", "mode": "linear", "share": "1.0", "leads": setting.rpartition("-")[2]}
        assert expected.items() <= run["params"].items()
        assert expected.items() <= run["tags"].items()
    assert runs["pretrain"]["metrics"]["val_loss"] == pytest.approx(
        json.loads((project / "metrics/pretrain.json").read_text())["loss"], rel=1e-5
    )
    assert runs["pretrain"]["params"]["model.width"] == "32"
    assert runs[f"finetune@{SETTINGS[0]}"]["tags"]["task"] == "waves"


def test_every_scoring_of_a_test_split_is_logged(project):
    lines = [json.loads(line) for line in (project / "metrics/test_scorings.jsonl").read_text().splitlines()]
    assert {Path(line["results"]).stem for line in lines} == {
        path.stem for path in (project / "metrics/evaluate").iterdir()
    }
    assert {line["split"] for line in lines} == {"test", "external"}


def test_leaderboard_has_every_setting_fewer_leads_and_the_other_set(project):
    board = json.loads((project / "metrics/leaderboard.json").read_text())
    found = {(row["tested_set"], row["trained_on"], row["tested_on"]) for row in board["settings"]}
    assert found == {
        ("synthetic", "12lead", "12lead"), ("synthetic", "1lead", "1lead"), ("synthetic", "12lead", "1lead"),
        ("other", "12lead", "12lead"),
    }  # fmt: skip
    assert [column["title"] for column in board["methods"]["columns"]] == [
        "synthetic: waves",
        "other: waves, trained on synthetic",
    ]
    methods = {row["method"]: row["results"] for row in board["methods"]["rows"]}
    assert list(methods) == [
        "random encoder, linear", "clinical features with age and sex, linear", "core, linear",
    ]  # fmt: skip
    on_other = json.loads((project / f"metrics/evaluate/{SETTINGS[0]}-tested-on-other.json").read_text())
    macro = on_other["models"]["linear"]["external"]["macro"]["auroc"]["value"]
    assert methods["core, linear"]["other: waves, trained on synthetic"]["value"] == macro
    clinical = on_other["models"][on_other["clinical"]]["external"]["macro"]["auroc"]["value"]
    row = methods["clinical features with age and sex, linear"]
    assert row["other: waves, trained on synthetic"]["value"] == clinical
    (setting,) = (row for row in board["settings"] if row["tested_set"] == "other")
    paired = on_other["paired"]["external"][on_other["clinical"]]["auroc"]["difference"]
    assert (setting["clinical"], setting["clinical_gain"]) == (clinical, paired)
    table = pd.read_csv(project / "data/raw/other/manifest.csv").query("split == 'test'")
    known = table[["t_inversion", "st_elevation"]].notna().any(axis=1).sum()
    assert on_other["splits"]["external"]["records"] == known
    text = (project / "metrics/leaderboard.md").read_text()
    assert text.count("\n| ") == 1 + len(methods) + 1 + len(board["settings"])
    assert (project / "plots/evaluate/leads.png").exists()
    assert (project / "plots/evaluate/leaderboard.png").exists()
    assert not (project / "plots/evaluate/fractions.png").exists()


def test_what_was_logged_names_no_patient(project):
    """Patient ids of the synthetic set are P and five digits; the manifest in the stage's output contains them."""
    patients = pd.read_csv(project / "data/raw/synthetic/manifest.csv")["patient_id"].unique()
    key = (project / "data/raw/synthetic/patient.key").read_bytes().strip()
    secrets = [key, *(patient.encode() for patient in patients)]
    assert len(secrets) == 61
    logged = [path for path in (project / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.suffix == ".onnx" for path in logged)
    outputs = [path for place in ("metrics", "models", "exports", "plots") for path in (project / place).rglob("*.*")]
    for path in [project / "mlflow.db", *logged, *(path for path in outputs if path.is_file())]:
        data = path.read_bytes()
        assert [secret for secret in secrets if secret in data] == [], path
