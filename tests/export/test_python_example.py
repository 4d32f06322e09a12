"""The Python example gives the scores of ecgssl; the Triton configuration in the docs matches the graphs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from deploy_models import beats

import ecgssl
from ecgssl.signal.leads import LEADS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("leads", [LEADS, ("aVF", "I", "V1", "V2", "V3", "V4", "V5", "V6")])
def test_agrees_with_ecgssl(exported, tmp_path, leads):
    signal = (beats(4, 500, 11) / 1000 - 0.4)[[LEADS.index(lead) for lead in leads]]
    np.savez(tmp_path / "recording.npz", signal=signal, leads=np.array(leads), sampling_rate=500.0)
    command = [
        sys.executable,
        str(ROOT / "examples/python/score.py"),
        str(exported.path),
        str(tmp_path / "recording.npz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(
        ecgssl.load(exported.path).predict(signal, 500, leads).scores, abs=1e-4
    )


def test_triton_configuration_of_the_page_is_that_of_the_graph(exported):
    page = (ROOT / "docs/deployment.md").read_text()
    text = page.split("```protobuf")[1].split("```")[0]
    found = {
        name: (kind, dims.split(", "))
        for name, kind, dims in re.findall(r'"(\w+)" data_type: (\w+) dims: \[(.*?)\]', text)
    }
    session = onnxruntime.InferenceSession(exported.path / "classifier.raw-500.onnx")
    kinds = {"tensor(float)": "TYPE_FP32", "tensor(bool)": "TYPE_BOOL"}
    for item in [*session.get_inputs(), *session.get_outputs()]:
        kind, dims = found.pop(item.name)
        assert kind == kinds[item.type]
        # Triton omits the batch dimension and uses -1 for variable sizes
        for declared, size in zip(dims, item.shape[1:], strict=True):
            assert declared == (
                "-1" if isinstance(size, str) else "2" if item.name in ("logits", "probability") else str(size)
            )
    assert found == {}
