"""Bundles in MLflow: registered under an alias, without pickles, with the scores of a score file over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command_line import ecgssl
from deploy_models import LEAN, SPEC, beats, classifier
from wfdb_files import write_record

from ecgssl.config import Params, QualityParams
from ecgssl.export.bundle import export_bundle, load_bundle
from ecgssl.registry.mlflow_registry import register_bundle
from ecgssl.scoring.dataframe import example_frame, score_frame
from ecgssl.signal.leads import LEADS
from ecgssl.tracking.runs import track
from ecgssl.training.checkpoint import save_model

pytestmark = pytest.mark.long

SECONDS = 150
"""Time limit for the server in seconds. A busy machine needs a minute for its imports."""


def frame(*numbers: int) -> pd.DataFrame:
    signals = [(beats(i) / 1000).round(3).tolist() for i in numbers]
    return pd.DataFrame({"signal": signals, "sampling_rate": 250.0, "leads": [list(LEADS)] * len(signals)})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return the bundle of a classifier with the one required graph."""
    folder = tmp_path_factory.mktemp("bundle")
    save_model(folder / "model", classifier(), SPEC)
    export_bundle(folder / "model", folder / "bundle", LEAN, quality=QualityParams(beats="none"))
    return folder / "bundle"


@pytest.fixture(scope="module")
def registered(bundle, tmp_path_factory):
    """A classifier's bundle registered twice in a separate store, so that the alias has moved."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        # as on an ordinary machine, whatever the environment says
        patch.setattr(sys, "dont_write_bytecode", False)
        for seed in (1, 2):
            with track("export", Params(seed=seed, tasks={"rhythm": {"targets": ["AF"]}})) as run:
                register_bundle(run, bundle, "ecgssl-classifier")
                assert not run._warned
        import mlflow

        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        yield SimpleNamespace(folder=folder, client=client, bundle=bundle)


def test_the_alias_is_on_the_newest_version(registered):
    version = registered.client.get_model_version_by_alias("ecgssl-classifier", "candidate")
    assert str(version.version) == "2"
    assert {str(v.version) for v in registered.client.search_model_versions()} == {"1", "2"}


def test_it_holds_the_bundle_and_nothing_pickled(registered):
    (model, _) = sorted(registered.folder.glob("mlartifacts/**/MLmodel"))
    files = [path for path in model.parent.rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".joblib", ".pyc")]
    for path in registered.bundle.iterdir():
        (copy,) = (file for file in files if file.name == path.name and file.parent.name != model.parent.name)
        assert copy.read_bytes() == path.read_bytes()
    text = model.read_text()
    assert "mlflow_model.py" in text
    assert load_bundle(registered.bundle).version in text
    needs = (model.parent / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in needs)
    assert {line.split("==")[0] for line in needs} > {"ecgssl", "mlflow", "numpy", "onnxruntime"}


def test_a_frame_is_scored_as_files_are(bundle, tmp_path):
    for i in range(3):
        write_record(tmp_path / "r", f"r{i}", beats(i), rate=250)
    done = ecgssl("predict", tmp_path / "r", "--bundle", bundle, "--out", tmp_path / "s.csv")
    assert done.code == 0, done.err
    wanted = pd.read_csv(tmp_path / "s.csv")
    table = frame(0, 1, 2)
    short = table.iloc[:1].assign(signal=[(beats(0)[:, :700] / 1000).tolist()])
    odd = short.assign(leads=[["I"]])
    loaded = load_bundle(bundle)
    found = score_frame(loaded, pd.concat([table, short, odd]))
    scores = [name for name in found if name.startswith(("logit__", "prob__"))]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found[scores].iloc[:3].astype(float), wanted[scores], atol=1e-6)
    assert found["status"].tolist() == ["ok"] * 3 + ["rejected"] * 2
    assert found["reasons"].tolist()[3:] == ["too_short", "malformed"]
    assert found[scores].iloc[3:].isna().all(axis=None)
    assert score_frame(loaded, example_frame(loaded.spec))["status"].tolist() == ["ok"]


def test_an_encoder_gives_embeddings(encoder_bundle):
    bundle = load_bundle(encoder_bundle)
    found = score_frame(bundle, frame(4))
    assert len(found["embedding"].iloc[0]) == bundle.embed_dim


def test_a_served_model_answers_http(registered, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"sqlite:///{registered.folder / 'mlflow.db'}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    environment |= {"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": str(SECONDS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/ecgssl-classifier@candidate"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        answer = post(server, f"http://127.0.0.1:{port}", frame(7), log)
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
    wanted = score_frame(load_bundle(registered.bundle), frame(7))
    (row,) = answer["predictions"]
    assert row["status"] == "ok"
    names = [name for name in wanted if name.startswith(("logit__", "prob__"))]  # type: ignore[attr-defined]
    assert [row[name] for name in names] == pytest.approx(wanted[names].iloc[0].tolist(), abs=1e-6)


def post(server: subprocess.Popen, address: str, table: pd.DataFrame, log: Path) -> dict:
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5) as pinged:
                assert pinged.status == 200
            break
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            server_wait(server)
    body = json.dumps({"dataframe_records": table.to_dict(orient="records")}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answered:
            return json.load(answered)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


def server_wait(server: subprocess.Popen) -> None:
    """Wait half a second, or less if the server has ended."""
    try:
        server.wait(0.5)
    except subprocess.TimeoutExpired:
        return
