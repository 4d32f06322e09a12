"""The Node.js example gives the scores of Python for raw recordings. It needs node (see examples/node/README.md)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from deploy_models import beats

import ecgssl
from ecgssl.signal.leads import LEADS, arrange

EXAMPLE = Path(__file__).parents[2] / "examples/node"
MODULES = Path(os.environ.get("ECGSSL_NODE_MODULES", EXAMPLE / "node_modules"))
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (MODULES / "onnxruntime-node").is_dir(), reason="run 'npm ci --ignore-scripts' in examples/node first"
    ),
]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Return the example in a folder where node finds its modules."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(EXAMPLE / "score.mjs", folder)
    (folder / "node_modules").symlink_to(MODULES.resolve())
    return folder / "score.mjs"


def run(script, *arguments):
    return subprocess.run(["node", str(script), *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "leads", [LEADS, ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), ("II", "aVL", "V2", "V5", "III")]
)
@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_agrees_with_python(exported, script, tmp_path, leads, suffix):
    signal = (beats(4, 500, 12.3) / 1000 + 0.7)[[LEADS.index(lead) for lead in leads]]
    file = tmp_path / f"recording{suffix}"
    if suffix == ".json":
        file.write_text(json.dumps({"sampling_rate": 500, "leads": leads, "signal": signal.tolist()}))
    else:
        np.savetxt(file, signal.T, fmt="%.6f", delimiter=",", header=",".join(leads), comments="")
    done = run(script, exported.path, file, 500)
    assert done.returncode == 0, done.stderr
    found, model = json.loads(done.stdout), ecgssl.load(exported.path)
    expected = model.predict(signal, 500, leads)
    assert found["scores"] == pytest.approx(expected.scores, abs=1e-4)
    assert found["calls"] == expected.calls
    # the same graph in another language has the same rounding ties
    ecg, mask = arrange(signal.astype(np.float32), leads)
    session = onnxruntime.InferenceSession(exported.path / "classifier.raw-500.onnx")
    (embedding,) = session.run(["embedding"], {"ecg": ecg[None], "lead_mask": mask[None]})
    np.testing.assert_allclose(found["embedding"], embedding[0], atol=1e-4)


def test_accepts_the_spellings_of_ecgssl(exported, script, tmp_path):
    signal = beats(4, 500) / 1000
    # not the value that I and II give, so a derived row would change the score
    signal[3] = signal[6]
    expected = None
    for names in (LEADS, [lead.upper() for lead in LEADS], [f" mdc_ecg_lead_{lead} " for lead in LEADS]):
        content = {"sampling_rate": 500, "leads": list(names), "signal": signal.tolist()}
        (tmp_path / "recording.json").write_text(json.dumps(content))
        done = run(script, exported.path, tmp_path / "recording.json")
        assert done.returncode == 0, done.stderr
        expected = expected or done.stdout
        assert done.stdout == expected


def test_refuses_what_the_graph_cannot_know(exported, script, tmp_path):
    recording = {"sampling_rate": 500, "leads": ["I", "II"], "signal": [[0.1] * 2400, [0.2] * 2400]}
    for change, message in (
        ({}, "too short"),
        ({"sampling_rate": 360}, "no graph for 360 Hz"),
        ({"leads": ["i", "Poche"]}, 'unknown lead names: "Poche"'),
        ({"leads": ["lead II", "II"]}, "lead II occurs twice"),
        ({"signal": [[None] * 5000, [0.1] * 5000]}, "lead I has a value that is not a number"),
    ):
        file = tmp_path / "recording.json"
        file.write_text(json.dumps(recording | change))
        done = run(script, exported.path, file)
        assert done.returncode != 0
        assert message in done.stderr
