"""MLflow tracking with a real store in a temporary folder, and with stores that fail."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgssl.config import Params
from ecgssl.registry.mlflow_registry import log_onnx
from ecgssl.tracking.runs import track


def _params(seed: int = 0, backend: str = "mlflow") -> Params:
    return Params(seed=seed, tasks={"rhythm": {"targets": ["AF"]}}, tracking={"backend": backend})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a working directory with the default store, shared because its schema takes seconds to create."""
    folder = tmp_path_factory.mktemp("tracking")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def _runs(store: Path, seed: int) -> dict[str, dict[str, str]]:
    """Return the runs of the pipeline with this seed from the database: tags with status and id by run name."""
    with sqlite3.connect(store / "mlflow.db") as database:
        tags: dict[str, dict[str, str]] = {}
        for run, key, value in database.execute("SELECT run_uuid, key, value FROM tags"):
            tags.setdefault(run, {})[key] = value
        states = dict(database.execute("SELECT run_uuid, status FROM runs"))
    expected = _tag_of(seed)
    return {
        t["mlflow.runName"].split()[0]: {**t, "status": states[r], "id": r}
        for r, t in tags.items()
        if t["params_sha"] == expected
    }


def _tag_of(seed: int) -> str:
    from ecgssl.tracking.provenance import provenance

    return provenance(_params(seed))["params_sha"]


def _rows(store: Path, query: str, run: str) -> list[tuple]:
    with sqlite3.connect(store / "mlflow.db") as database:
        return database.execute(query, (run,)).fetchall()


def test_stages_meet_under_one_pipeline_run(store: Path) -> None:
    with track("pretrain", _params(1), tags={"rank": 0}):
        pass
    with track("evaluate", _params(1)):
        pass
    with track("pretrain", _params(2)):
        pass
    runs = _runs(store, 1)
    assert set(runs) == {"pipeline", "pretrain", "evaluate"}
    for stage in ("pretrain", "evaluate"):
        assert runs[stage]["mlflow.parentRunId"] == runs["pipeline"]["id"]
        assert runs[stage]["stage"] == stage
        assert runs[stage]["signal_fingerprint"] == _params().signal.fingerprint
    assert runs["pretrain"]["rank"] == "0"
    assert {r["status"] for r in runs.values()} == {"FINISHED"}
    assert _runs(store, 2)["pipeline"]["id"] != runs["pipeline"]["id"]
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_every_metric_arrives_once_in_order(store: Path) -> None:
    losses = [1.0 / (step + 1) for step in range(1203)]
    with track("curve", _params(3)) as run:
        for step, loss in enumerate(losses):
            run.log_metrics({"loss/total": loss, "undefined": None}, step)
        run.log_metrics({"auroc@AF": np.float32(0.5)})
    identity = _runs(store, 3)["curve"]["id"]
    query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = 'loss/total' ORDER BY step"
    assert _rows(store, query, identity) == list(enumerate(losses))
    names = _rows(store, "SELECT DISTINCT key FROM metrics WHERE run_uuid = ? ORDER BY key", identity)
    assert names == [("auroc_AF",), ("loss/total",)]


def test_parameters_are_flat_and_may_be_many(store: Path) -> None:
    with track("settings", _params(4)) as run:
        run.log_params({"model": {"width": 128}, "C": [0.1, 1.0], **{f"p{i}": i for i in range(150)}})
    identity = _runs(store, 4)["settings"]["id"]
    logged = dict(_rows(store, "SELECT key, value FROM params WHERE run_uuid = ?", identity))
    assert len(logged) == 152
    assert logged["model.width"] == "128"
    assert logged["C"] == "[0.1, 1.0]"


def test_an_exception_marks_the_run_failed_without_its_message(store: Path) -> None:
    def broken() -> None:
        with track("broken", _params(5)) as run:
            run.log_metrics({"before": 1.0})
            raise RuntimeError("patient 7")

    with pytest.raises(RuntimeError, match="patient 7"):
        broken()
    runs = _runs(store, 5)
    assert runs["broken"]["status"] == "FAILED"
    assert runs["broken"]["error_type"] == "RuntimeError"
    assert runs["pipeline"]["status"] == "FAILED"
    assert _rows(store, "SELECT value FROM metrics WHERE run_uuid = ?", runs["broken"]["id"]) == [(1.0,)]
    assert b"patient 7" not in (store / "mlflow.db").read_bytes()


def test_artifacts_figures_and_the_model_lie_in_the_artifact_folder(store: Path) -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    signal = helper.make_tensor_value_info("signal", TensorProto.FLOAT, ["batch", 12, 10])
    positive = helper.make_tensor_value_info("positive", TensorProto.FLOAT, ["batch", 12, 10])
    graph = helper.make_graph([helper.make_node("Relu", ["signal"], ["positive"])], "relu", [signal], [positive])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), store / "encoder.onnx")
    (store / "report").mkdir()
    (store / "report" / "table.txt").write_text("x")
    with track("export", _params(6)) as run:
        run.log_artifact(store / "report")
        run.log_artifact(store / "encoder.onnx", "bundle")
        log_onnx(run, store / "encoder.onnx", "encoder", ["onnxruntime"])
        run.log_metrics({"after": 1.0})
    runs = _runs(store, 6)
    assert runs["export"]["status"] == "FINISHED"
    (folder,) = (store / "mlartifacts").glob(f"**/{runs['export']['id']}/artifacts")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == {
        "report/table.txt",
        "bundle/encoder.onnx",
    }
    (made,) = (store / "mlartifacts").glob("**/MLmodel")
    assert "[-1, 12, 10]" in made.read_text()
    assert "onnxruntime" in (made.parent / "requirements.txt").read_text()
    session = onnxruntime.InferenceSession(made.parent / "model.onnx")
    x = np.random.default_rng(0).normal(size=(2, 12, 10)).astype(np.float32)
    np.testing.assert_array_equal(session.run(None, {"signal": x})[0], np.maximum(x, 0))
    experiments = _rows(store, "SELECT experiment_id FROM runs WHERE run_uuid = ?", runs["export"]["id"])
    assert made.parent.is_relative_to(folder.parents[1])
    with sqlite3.connect(store / "mlflow.db") as database:
        assert database.execute("SELECT experiment_id FROM logged_models").fetchall() == experiments


@pytest.mark.parametrize("backend", ["mlflow", "none"])
def test_tables_are_refused(store: Path, backend: str) -> None:
    table = pd.DataFrame({"patient_id": ["p1"]})
    with track("tables", _params(7), backend=backend) as run:
        for value in (table, table["patient_id"], np.zeros(2)):
            with pytest.raises(TypeError, match="not logged"):
                run.log_params({"cohort": value})
            with pytest.raises(TypeError, match="not logged"):
                run.set_tags({"cohort": value})
            with pytest.raises(TypeError, match="not a number"):
                run.log_metrics({"cohort": value})


@pytest.mark.parametrize(("backend", "enabled"), [("none", True), ("mlflow", False)])
def test_switched_off_it_leaves_no_trace(
    backend: str, enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with track("pretrain", _params(backend=backend), enabled=enabled) as run:
        run.log_metrics({"loss": 1.0})
        run.log_params({"a": 1})
        run.log_artifact("absent.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_backend_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="wandb"), track("pretrain", _params(), backend="wandb"):
        pass


@pytest.mark.parametrize("uri", ["http://alice:s3cr%40t@127.0.0.1:9", "sqlite:///{broken}", "sqlite:////proc/no/x.db"])
def test_a_store_that_does_not_work_costs_one_warning(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database, whatever its name says" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(broken=broken))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    start = time.perf_counter()
    with track("pretrain", _params()) as run:
        for step in range(2000):
            run.log_metrics({"loss": 1.0}, step)
        run.log_params({"a": 1})
        run.set_tags({"a": 1})
        run.log_artifact("absent.txt")
        log_onnx(run, "absent.onnx", "encoder")
    assert time.perf_counter() - start < 8
    (warning,) = caplog.records
    assert "the stage continues" in warning.getMessage()
    assert warning.exc_info is None
    assert "\n" not in warning.getMessage()
    for secret in ("alice", "s3cr%40t", "s3cr@t"):
        assert secret not in warning.getMessage()


def test_a_store_that_breaks_on_the_way_switches_itself_off(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def refuse(*arguments: object, **named: object) -> None:
        calls.append(arguments)
        raise OSError("disk full")

    with track("pretrain", _params(8)) as run:
        run._client.log_batch = refuse
        for step in range(3000):
            run.log_metrics({"loss": 1.0}, step)
        run.log_params({"a": 1})
    assert len(calls) == 3
    assert [r.getMessage().count("disk full") for r in caplog.records] == [1]


def test_metrics_survive_a_short_outage(store: Path) -> None:
    with track("outage", _params(9)) as run:
        send, failures = run._client.log_batch, iter([OSError("gone"), None])

        def once(*arguments: object, **named: object) -> None:
            error = next(failures, None)
            if error:
                raise error
            send(*arguments, **named)

        run._client.log_batch = once
        for step in range(700):
            run.log_metrics({"loss": float(step)}, step)
    identity = _runs(store, 9)["outage"]["id"]
    assert _rows(store, "SELECT COUNT(*) FROM metrics WHERE run_uuid = ?", identity) == [(700,)]


def test_a_stage_prints_nothing_and_looks_nothing_up(tmp_path: Path) -> None:
    script = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit(f'network: {a}')\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "from ecgssl.config import Params\n"
        "from ecgssl.tracking.runs import track\n"
        "import sys\n"
        "assert 'mlflow' not in sys.modules\n"
        "with track('pretrain', Params(tasks={'rhythm': {'targets': ['AF']}})) as run: run.log_metrics({'loss': 1.0})\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DO_NOT_TRACK", "CI"))}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p.name for p in tmp_path.iterdir()} == {"mlflow.db"}
