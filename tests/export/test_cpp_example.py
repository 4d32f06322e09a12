"""The C++ example compiles and gives the scores of onnxruntime in Python for a raw recording.

It needs g++, and ONNXRUNTIME_ROOT must be a folder with ``include`` and ``lib`` of an onnxruntime release.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from deploy_models import beats

SOURCE = Path(__file__).parents[2] / "examples/cpp/score.cpp"
ROOT = Path(os.environ.get("ONNXRUNTIME_ROOT", "absent"))
pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed"),
    pytest.mark.skipif(
        not (ROOT / "include").is_dir(), reason="ONNXRUNTIME_ROOT is not set to a release of onnxruntime"
    ),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    made = tmp_path_factory.mktemp("cpp") / "score"
    places = [f"-I{ROOT}/include", f"-L{ROOT}/lib", f"-Wl,-rpath,{ROOT.resolve()}/lib"]
    warnings = ["-std=c++17", "-Wall", "-Wextra"]
    done = subprocess.run(
        ["g++", *warnings, *places, str(SOURCE), "-lonnxruntime", "-o", str(made)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return made


def test_agrees_with_python(exported, program):
    graph = exported.path / "classifier.raw-500.onnx"
    ecg = (beats(4, 500, 12.3) / 1000).astype(np.float32)
    done = subprocess.run([program, graph], input=ecg.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(graph)
    (expected,) = session.run(["probability"], {"ecg": ecg[None], "lead_mask": np.ones((1, 12), dtype=bool)})
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected[0], atol=1e-4)


def test_a_recording_that_is_too_short_has_no_score(exported, program):
    short = np.zeros((12, 1000), dtype=np.float32)
    done = subprocess.run([program, exported.path / "classifier.raw-500.onnx"], input=short.tobytes(), check=False)
    assert done.returncode == 1
