"""A recording without leads gives NaN in torch, in both kinds of ONNX graphs and in the torch program."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
import torch
from deploy_models import SPEC, TINY, beats, classifier, decision

from ecgssl.errors import InputError
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_check import require_nan_without_leads
from ecgssl.export.raw_module import RawModule
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LEADS


def build(kind: str) -> ContractModule:
    if kind == "multilabel":
        return ContractModule(classifier(), SPEC, decision())
    encoder = Encoder(TINY, SPEC.leads, SPEC.samples)
    if kind == "encoder":
        return ContractModule(encoder, SPEC)
    return ContractModule(Classifier(encoder, ("A", "B", "C"), kind=kind), SPEC)


def mask_without_leads_in_second_row() -> np.ndarray:
    mask = np.ones((3, 12), dtype=bool)
    mask[1] = False
    mask[2, 1:] = False
    return mask


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "regression", "encoder"])
def test_torch_outputs_are_nan_for_that_row_only(kind):
    graph = build(kind)
    ecg = (np.stack([beats(i, 100) for i in range(3)]) / 1000).astype(np.float32)
    for value in graph.run(ecg, mask_without_leads_in_second_row()).values():
        assert list(np.isnan(value).all(axis=1)) == [False, True, False]
        assert np.isfinite(value[[0, 2]]).all()
    raw = RawModule(graph, 500, 0.001)
    ecg = torch.from_numpy((np.stack([beats(i, 500) for i in range(3)]) / 1000).astype(np.float32))
    with torch.inference_mode():
        for value in raw(ecg, torch.from_numpy(mask_without_leads_in_second_row())):
            assert value.flatten(1).isnan().all(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize(("name", "rate"), [("classifier.onnx", 100), ("classifier.raw-500.onnx", 500)])
def test_graph_outputs_are_nan_for_that_row_only(exported, name, rate):
    session = onnxruntime.InferenceSession(exported.path / name)
    ecg = (np.stack([beats(i, rate) for i in range(3)]) / 1000).astype(np.float32)
    for value in session.run(None, {"ecg": ecg, "lead_mask": mask_without_leads_in_second_row()}):
        assert list(np.isnan(value.reshape(3, -1)).all(axis=1)) == [False, True, False]
        assert np.isfinite(value[[0, 2]]).all()


def test_program_outputs_are_nan(exported):
    # only a file written by this test is loaded
    program = torch.export.load(io.BytesIO((exported.path / "model.pt2").read_bytes())).module()
    for value in program(torch.randn(2, 12, SPEC.samples), torch.zeros(2, 12, dtype=torch.bool)):
        assert value.isnan().all()


class NumbersWithoutLeads:
    """Session that returns zeros for any input, as graphs of earlier releases returned numbers."""

    def run(self, names, inputs):
        return [np.zeros((len(inputs["ecg"]), 2), np.float32) for _ in names]


def test_export_refuses_a_graph_that_returns_numbers():
    with pytest.raises(InputError) as caught:
        require_nan_without_leads(
            NumbersWithoutLeads(), ("logits", "embedding"), np.zeros((1, len(LEADS), 10), np.float32), "f.onnx"
        )
    assert [problem.field for problem in caught.value.problems] == ["logits", "embedding"]
