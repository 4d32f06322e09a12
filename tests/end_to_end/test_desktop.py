"""Commands check, predict and draw on Windows and macOS, and in an installation without extras.

On Linux, they run without the modules that Windows lacks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blocked_libraries import run_without
from deploy_models import LEAN, SPEC, beats, classifier, decision
from wfdb_files import write_record

from ecgssl.config import QualityParams
from ecgssl.errors import InputError
from ecgssl.export.bundle import export_bundle, load_bundle
from ecgssl.export.onnx_graph import OnnxGraph
from ecgssl.extras import EXTRAS
from ecgssl.io import read
from ecgssl.scoring.files import predict
from ecgssl.scoring.preprocess import prepare_recording
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.checkpoint import save_model

WITHOUT_UNIX = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
del os.getuid
real_open = os.open
def windows_open(path, flags, *rest, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return real_open(path, flags, *rest, **options)
os.open = windows_open
"""
"""Python code that removes features missing on Windows: Unix modules, user ids, and opening a folder as a file."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Write a table with four recordings, and a bundle."""
    folder = tmp_path_factory.mktemp("desktop")
    for number in range(4):
        write_record(folder, f"r{number}", beats(number), rate=250)
    rows = [f"rec{number},r{number},p{number},train,{number % 2}" for number in range(4)]
    (folder / "cohort.csv").write_text("record_id,path,patient_id,split,AF\n" + "\n".join(rows) + "\n")
    (folder / "params.yaml").write_text("tasks: {af: {targets: [AF]}}\nstore: {workers: 1}\n")
    save_model(folder / "model", classifier(), SPEC)
    decision().save(folder / "model")
    export_bundle(folder / "model", folder / "bundle", LEAN, quality=QualityParams())
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process."""
    start = "" if os.name == "nt" else WITHOUT_UNIX
    code = f"{start}\nimport sys\nsys.argv = ['ecgssl', *{list(arguments)!r}]\nfrom ecgssl.cli import main\nmain()"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_check_writes_its_page(cohort):
    done = run(cohort, "check", "cohort.csv", "--out", "check.html")
    assert done.returncode == 0, done.stderr
    assert "4 rows of 4 patients = 4 usable" in done.stdout
    assert "<html" in (cohort / "check.html").read_text(encoding="utf-8")


def test_predict_scores_every_recording(cohort):
    done = run(cohort, "predict", "cohort.csv", "--bundle", "bundle", "--out", "scores.csv")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(cohort / "scores.csv")["status"].tolist() == ["ok"] * 4


def test_draw_writes_a_page(cohort):
    done = run(cohort, "draw", "r0.hea", "--out", "r0.png")
    assert done.returncode == 0, done.stderr
    assert (cohort / "r0.png").read_bytes().startswith(b"\x89PNG")


def test_commands_without_extras(cohort):
    """Scores of an installation without torch, computed by onnxruntime, agree with those of torch (1e-4)."""
    commands = {
        "check": ["cohort.csv", "--out", "base.html"],
        "draw": ["r0.hea", "--out", "base.png"],
        "inspect": ["r0.hea"],
        "predict": ["cohort.csv", "--bundle", "bundle", "--out", "base.csv"],
        "embed": ["r0.hea", "r1.hea", "--bundle", "bundle", "--out", "base.jsonl"],
    }
    found = run_without(EXTRAS, cohort, commands)
    assert {command: code for command, (code, _, _) in found.items()} == dict.fromkeys(commands, 0), found
    predict(cohort / "bundle", [cohort / "cohort.csv"], cohort / "torch.csv", show_progress=False)
    scores, expected = (pd.read_csv(cohort / f"{name}.csv") for name in ("base", "torch"))
    assert scores["status"].tolist() == ["ok"] * 4
    numbers = [name for name in map(str, scores) if name.startswith(("logit__", "prob__"))]
    assert len(numbers) == 4
    np.testing.assert_allclose(scores[numbers], expected[numbers], atol=1e-4)


def test_both_engines_agree(cohort):
    """Logits and embeddings with all leads, two leads and one lead; NaN without leads."""
    torch_bundle, onnx_bundle = (load_bundle(cohort / "bundle", engine) for engine in ("torch", "onnxruntime"))
    prepared = prepare_recording(read(cohort / "r0.hea"), torch_bundle.spec, torch_bundle.quality, torch_bundle.lsb)
    ecg = np.repeat(prepared.digital * np.float32(torch_bundle.lsb), 4, axis=0)
    mask = np.ones((4, 12), dtype=bool)
    mask[1, 2:], mask[2, 1:], mask[3] = False, False, False
    expected, found = torch_bundle.graph.run(ecg, mask), onnx_bundle.graph.run(ecg, mask)
    assert found.keys() == {"logits", "embedding"}
    for output, values in found.items():
        np.testing.assert_allclose(values, expected[output], atol=1e-4)
        assert np.isnan(values[3]).all()
    assert (onnx_bundle.embed_dim, onnx_bundle.version) == (torch_bundle.embed_dim, torch_bundle.version)


def test_onnxruntime_refuses_a_gpu_and_a_graph_of_another_model(cohort):
    bundle = load_bundle(cohort / "bundle", "onnxruntime")
    with pytest.raises(InputError, match=r"device: cuda: is not available with onnxruntime.*or engine='torch'"):
        bundle.graph.use_device("cuda")
    path = cohort / "bundle" / "classifier.onnx"
    with pytest.raises(InputError) as caught:
        OnnxGraph(path, SignalSpec(duration=5.0), None)
    assert [problem.field for problem in caught.value.problems] == ["fingerprint", "targets"]
    with pytest.raises(InputError, match=r"encoder\.onnx: file: is missing"):
        OnnxGraph(path.with_name("encoder.onnx"), bundle.spec, None)
