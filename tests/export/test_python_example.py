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
from ecgssl.config import ModelParams
from ecgssl.signal.leads import LEADS, arrange, named_lead

ROOT = Path(__file__).parents[2]


def run(bundle, recording):
    command = [sys.executable, str(ROOT / "examples/python/score.py"), str(bundle), str(recording)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("leads", [LEADS, ("aVF", "I", "V1", "V2", "V3", "V4", "V5", "V6")])
def test_agrees_with_ecgssl(exported, tmp_path, leads):
    signal = (beats(4, 500, 11) / 1000 - 0.4)[[LEADS.index(lead) for lead in leads]]
    np.savez(tmp_path / "recording.npz", signal=signal, leads=np.array(leads), sampling_rate=500.0)
    done = run(exported.path, tmp_path / "recording.npz")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(
        ecgssl.load(exported.path).predict(signal, 500, leads).scores, abs=1e-4
    )


EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.mark.parametrize(
    ("leads", "names"),
    [
        (EIGHT, [lead.lower() for lead in EIGHT]),
        (EIGHT, [f"MDC_ECG_LEAD_{lead}" for lead in EIGHT]),
        (LEADS, [f" {lead.upper()}" for lead in LEADS]),
    ],
    ids=["lower", "mdc", "ptbxl"],
)
def test_accepts_the_spellings_of_ecgssl(exported, tmp_path, leads, names):
    signal = (beats(4, 500, 11) / 1000 - 0.4)[[LEADS.index(lead) for lead in leads]]
    if len(leads) == 12:
        # not the value that I and II give, so a derived row would change the score
        signal[3] = signal[6]
    content = {"sampling_rate": 500, "leads": names, "signal": signal.tolist()}
    (tmp_path / "recording.json").write_text(json.dumps(content))
    done = run(exported.path, tmp_path / "recording.json")
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(exported.path / "classifier.raw-500.onnx")
    ecg, mask = arrange(signal.astype(np.float32), leads)
    (expected,) = session.run(["probability"], {"ecg": ecg[None], "lead_mask": mask[None]})
    assert list(json.loads(done.stdout).values()) == pytest.approx(expected[0].tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("names", "messages"),
    [
        (["one", "II", "vx", "V1"], ["unknown lead names: 'one', 'vx'"]),
        (["I", "II", "Lead I", "V1"], ["lead I occurs twice"]),
        (["I", "II"], ["2 lead names for 4 rows"]),
    ],
)
def test_fails_on_names_that_are_unknown_or_occur_twice(exported, tmp_path, names, messages):
    content = {"sampling_rate": 500, "leads": names, "signal": (beats(4, 500)[:4] / 1000).tolist()}
    (tmp_path / "recording.json").write_text(json.dumps(content))
    done = run(exported.path, tmp_path / "recording.json")
    assert done.returncode != 0
    assert done.stdout == ""
    for message in messages:
        assert message in done.stderr


def test_names_in_the_bundle_are_those_that_ecgssl_accepts(exported):
    names = json.loads((exported.path / "lead_names.json").read_text())["names"]
    assert set(names.values()) >= set(LEADS)
    for name, lead in names.items():
        assert name == name.strip().lower()
        found = named_lead(f" {name.upper()} ")
        assert found is not None
        assert ("-" if found.sign < 0 else "") + found.lead == lead


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
        if item.name == "embedding":
            # the page shows a model of preset tiny
            assert dims == [str(ModelParams(preset="tiny").embed_dim(12))]
            dims = [str(item.shape[1])]
        assert kind == kinds[item.type]
        # Triton omits the batch dimension and uses -1 for variable sizes
        for declared, size in zip(dims, item.shape[1:], strict=True):
            assert declared == (
                "-1" if isinstance(size, str) else "2" if item.name in ("logits", "probability") else str(size)
            )
    assert found == {}
