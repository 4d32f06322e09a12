"""Commands and DVC stages agree: same files, and same parameters, metrics and artifacts in MLflow."""

from __future__ import annotations

import json
import runpy
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_line import ecgssl

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]
SETTING = "waves-linear-1.0-12lead"


def tiny_params() -> dict:
    """Write the parameters of a project whose stages take seconds."""
    params = yaml.safe_load((REPOSITORY / "ecgssl/profiles/quickstart.yaml").read_text())
    params["sets"] = {"synthetic": {"synthetic": {
        "patients": 60, "recordings_per_patient": [2, 3], "sampling_rate": 250, "duration": 6,
    }}}  # fmt: skip
    params["seed"] = 1
    params["signal"]["duration"] = 5
    params["store"]["workers"] = 1
    params["model"] |= {"width": 32, "depth": 2, "heads": 2, "decoder": {"width": 32, "depth": 1, "heads": 2}}
    params["pretrain"].pop("sets", None)
    params["pretrain"] |= {"samples": 64, "batch_size": 32, "probe": {"targets": []}}
    params["tasks"] = {"waves": {"targets": ["t_inversion"]}}
    params["finetune"] |= {"modes": ["linear"]}
    params["evaluate"]["bootstrap"] = 100
    params["export"] = {"raw_rates": [], "pt2": False}
    params["tracking"] = {"backend": "mlflow", "experiment": "tiny"}
    return params


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> SimpleNamespace:
    """Run a project with DVC's scripts, and again with the commands into ``by-command``."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "params.yaml").write_text(yaml.safe_dump(tiny_params()))
    commands = {
        "preprocess": ["--out", "by-command/store", "--figure", "by-command/worst.png"],
        "pretrain": ["--store", "data/processed/synthetic", "--out", "by-command/run"],
        "finetune": ["--store", "data/processed/synthetic", "--encoder", "models/pretrained", "--targets", "t_inversion",
                     "--out", "by-command/tuned"],
        "export": ["--model", "models/pretrained", "--out", "by-command/encoder", "--store", "data/processed/synthetic"],
    }  # fmt: skip
    scripts = {"cohort": [], "preprocess": [], "select_recordings": [], "pretrain": [], "finetune": ["--setting", SETTING],
               "evaluate": [], "export": []}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, arguments in scripts.items():
            patch.setattr(sys, "argv", [f"{name}.py", *arguments])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(REPOSITORY / "pipelines" / f"{name}.py"), run_name="__main__")
            assert ended.value.code == 0, name
        for name, arguments in commands.items():
            done = ecgssl(name, *arguments)
            assert done.code in (0, 3), done.err
    return SimpleNamespace(folder=folder, runs=read_runs(folder))


def read_runs(folder: Path) -> dict[str, list[dict[str, set[str]]]]:
    """Return the names of parameters and metrics and the artifacts of all runs by stage, in order of their start."""
    found: dict[str, list[dict[str, set[str]]]] = {}
    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute("SELECT run_uuid, name, artifact_uri FROM runs ORDER BY start_time").fetchall()
        for run, name, uri in rows:
            kinds = {
                kind: {key for (key,) in database.execute(f"SELECT DISTINCT key FROM {kind} WHERE run_uuid = ?", [run])}
                for kind in ("params", "metrics")
            }
            place = Path(uri.removeprefix("file://"))
            kinds["artifacts"] = {path.name for path in place.rglob("*") if path.is_file()}
            found.setdefault(name.partition("@")[0], []).append(kinds)
    return found


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("data/processed/synthetic/shard-00000.npy", "by-command/store/shard-00000.npy"),
        ("data/processed/synthetic/index.parquet", "by-command/store/index.parquet"),
        ("models/pretrained/model.safetensors", "by-command/run/pretrained/model.safetensors"),
        ("metrics/pretrain.json", "by-command/run/pretrain.json"),
        (f"models/finetuned/{SETTING}/predictions.csv", "by-command/tuned/classifier/predictions.csv"),
        (f"models/finetuned/{SETTING}/model.safetensors", "by-command/tuned/classifier/model.safetensors"),
        (f"models/finetuned/{SETTING}/decision.json", "by-command/tuned/classifier/decision.json"),
        (f"metrics/evaluate/{SETTING}.json", "by-command/tuned/evaluation.json"),
        ("exports/encoder/encoder.onnx", "by-command/encoder/encoder.onnx"),
    ],
)
def test_the_files_are_the_same(both, stage, command):
    assert (both.folder / stage).read_bytes() == (both.folder / command).read_bytes()


@pytest.mark.parametrize("stage", ["preprocess", "pretrain", "finetune"])
def test_parameters_and_metrics_reach_mlflow_from_both(both, stage):
    script, command = both.runs[stage]
    assert script["params"] == command["params"]
    assert script["params"]
    assert script["metrics"] <= command["metrics"]
    assert {name for name in script["artifacts"] if name.endswith(("json", "png", "safetensors"))} - {
        "synthetic.json"
    } <= command["artifacts"]


def test_metrics_of_the_evaluation_reach_mlflow_from_both(both):
    (command,) = both.runs["finetune"][1:]
    scripts = both.runs["evaluate"]
    assert {"test_auroc", "test_random_auroc"} <= command["metrics"]
    assert command["metrics"] & {"test_auroc"} <= set().union(*(run["metrics"] for run in scripts))
    assert {"evaluation.json", "roc.png", "reliability.png"} <= command["artifacts"]


def test_exports_register_a_model_from_both(both):
    with sqlite3.connect(both.folder / "mlflow.db") as database:
        versions = dict(database.execute("SELECT name, COUNT(*) FROM model_versions GROUP BY name"))
    assert versions == {"ecgssl-encoder": 2, "ecgssl-classifier": 1}
    script, command = both.runs["export"]
    assert {name for name in command["params"] if name.startswith("encoder.")} <= script["params"]
    assert json.loads((both.folder / "metrics/export.json").read_text())["encoder"]["parameters"] > 0
