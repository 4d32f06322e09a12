"""Raw module: tensor preprocessing compared with the NumPy pipeline, and the exported raw graph with its metadata."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from deploy_models import SPEC, beats, classifier, decision
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import ExportParams, QualityParams
from ecgssl.errors import InputError
from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import Decision, LabelDecision
from ecgssl.export.calibration_module import CalibrationModule
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_check import TIES, compare_with_pipeline
from ecgssl.export.onnx_export import traced
from ecgssl.export.quantised import quantised
from ecgssl.export.raw_module import RawModule
from ecgssl.export.test_signals import make_test_signals
from ecgssl.export.torch_program import program_bytes
from ecgssl.export.validation_recordings import LabelledSignals, ValidationRecordings, read_raw_recordings
from ecgssl.export.write_graphs import write_graphs
from ecgssl.signal.leads import LEADS
from ecgssl.signal.spec import CleanSpec, SignalSpec

CLASSES = Decision("multiclass", tuple(LabelDecision(f"c:{i}", Calibrator("temperature", 0.7)) for i in range(4)))
NUMBERS = Decision("regression", (LabelDecision("age", Calibrator("linear", 1.1, -3.0)),))


@settings(max_examples=50, deadline=None)
@given(
    which=st.sampled_from([decision(), CLASSES, NUMBERS]),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_calibration_is_that_of_the_decision(which, seed, scale):
    logits = (scale * np.random.default_rng(seed).standard_normal((5, len(which.labels)))).astype(np.float32)
    found = CalibrationModule(which)(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, which.probabilities(logits), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", ["start", "center"])
@pytest.mark.parametrize("rate", [250, 400, 500, 1000])
def test_sees_what_the_file_pipeline_sees(rate, window):
    spec = SignalSpec(crop=window)
    raw = RawModule(ContractModule(classifier(spec), spec, decision()), rate, 0.001)
    for seconds in (10, 13.7):
        ecg = (np.stack([beats(i, rate, seconds) for i in range(2)]) / 1000 + 1.5).astype(np.float32)
        present = np.tile([lead != "V3" for lead in LEADS], (2, 1))
        expected = raw.preprocess(ecg)
        ecg[:, LEADS.index("V3")] = np.nan
        with torch.inference_mode():
            *outputs, signal = raw(torch.from_numpy(ecg), torch.from_numpy(present))
        steps = np.abs(signal.numpy() - expected)[present] / 0.001
        assert steps.max() < 1.01
        assert (steps > 0.5).mean() <= TIES
        again = raw.contract.run(signal.numpy(), present)
        for name, value in zip(raw.contract.outputs, outputs, strict=True):
            np.testing.assert_allclose(value.numpy(), again[name], atol=1e-5)


@pytest.mark.parametrize("rate", [100, 250, 360, 1000])
def test_shortest_recording_is_the_one_that_the_file_pipeline_takes(rate):
    raw = RawModule(ContractModule(classifier(), SPEC), rate, 0.001)
    mask = torch.ones(1, 12, dtype=torch.bool)
    with torch.inference_mode():
        enough, short = (raw(torch.randn(1, 12, raw.shortest - less), mask)[0] for less in (0, 1))
    assert torch.isfinite(enough).all()
    assert torch.isnan(short).all()
    assert raw.preprocess(np.zeros((1, 12, raw.shortest), np.float32)).shape == (1, 12, SPEC.samples)


@pytest.fixture(scope="module")
def session(exported):
    return onnxruntime.InferenceSession(exported.path / "classifier.raw-500.onnx")


def test_file_says_what_it_is(exported):
    about = {p.key: p.value for p in onnx.load(exported.path / "classifier.raw-500.onnx").metadata_props}
    assert (about["ecgssl.sampling_rate"], about["ecgssl.shortest"]) == ("500", "2496")
    assert about["ecgssl.fingerprint"] == SPEC.fingerprint
    assert Decision.from_dict(json.loads(about["ecgssl.labels"])["decision"]) == decision()


def test_file_takes_any_batch_and_length_and_answers_as_the_file_pipeline(exported, session):
    for batch, seconds in ((1, 10), (3, 30.5)):
        ecg = (np.stack([beats(i, 500, seconds) for i in range(batch)]) / 1000).astype(np.float32)
        raw = RawModule(ContractModule(classifier(), SPEC, decision()), 500, 0.001)
        mask = np.ones((batch, 12), dtype=bool)
        logits, probability, embedding, signal = session.run(None, {"ecg": ecg, "lead_mask": mask})
        assert np.abs(signal - raw.preprocess(ecg)).max() < 0.00101
        expected = raw.contract.run(signal, mask)
        for name, value in (("logits", logits), ("probability", probability), ("embedding", embedding)):
            np.testing.assert_allclose(value, expected[name], atol=1e-5)


def test_file_gives_no_number_where_there_is_none(session):
    ecg = (np.stack([beats(i, 500) for i in range(3)]) / 1000).astype(np.float32)
    ecg[0, 3, 100], ecg[1, 3, 100] = np.nan, np.inf
    mask = np.ones((3, 12), dtype=bool)
    for value in session.run(["logits", "probability", "embedding"], {"ecg": ecg, "lead_mask": mask}):
        assert list(np.isnan(value).all(axis=1)) == [True, True, False]
    mask[:, 3] = False
    assert all(np.isfinite(v).all() for v in session.run(None, {"ecg": ecg, "lead_mask": mask}))
    assert all(np.isnan(v).all() for v in session.run(["logits"], {"ecg": ecg[..., :2495], "lead_mask": mask}))


def test_graph_of_another_rate_is_refused(exported):
    content = (exported.path / "classifier.raw-500.onnx").read_bytes()
    raw = RawModule(ContractModule(classifier(), SPEC, decision()), 400, 0.001)
    with pytest.raises(InputError, match=r"signal: graph: differs from the Python pipeline"):
        compare_with_pipeline(
            content, raw, ExportParams(), make_test_signals(raw, None, (), QualityParams()), "file.onnx"
        )


def test_rates_and_cleaners_that_no_graph_can_have(tmp_path):
    def write(spec, rate):
        params = ExportParams(raw_rates=[rate])
        write_graphs(
            tmp_path,
            ContractModule(classifier(spec), spec),
            params,
            QualityParams(),
            0.001,
            ValidationRecordings(),
            tmp_path,
        )

    with pytest.raises(InputError, match=r"export.raw_rates: 60: 60 Hz is too low for the passband"):
        write(SPEC, 60)
    with pytest.raises(InputError, match=r"export.raw_rates: \[\]"):
        write(SignalSpec(clean=CleanSpec(method="neurokit")), 500)
    assert list(tmp_path.iterdir()) == []


def test_program_names_no_place_and_is_the_model(exported):
    content = (exported.path / "model.pt2").read_bytes()
    assert program_bytes(traced(ContractModule(classifier(), SPEC, decision(), 500))) == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [archive.read(name) for name in archive.namelist()]
    places = (b"site-packages", b"/home", str(Path(__file__).parents[2]).encode(), str(exported.path).encode())
    assert not any(place in member for member in members for place in places)
    # only a file written by this test is loaded
    program = torch.export.load(io.BytesIO(content)).module()
    ecg, mask = torch.randn(5, 12, 1000), torch.rand(5, 12) < 0.7
    for found, expected in zip(
        program(ecg, mask), ContractModule(classifier(), SPEC, decision())(ecg, mask), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def eight_bits(exported, graph, values, **params):
    content = (exported.path / "classifier.onnx").read_bytes()
    ecg = np.stack([beats(i, 100) / np.float32(1000) for i in range(12)]).astype(np.float32)
    validation = LabelledSignals(ecg, values(graph.run(ecg, np.ones((12, 12), bool))["probability"]))
    return quantised(content, graph, ExportParams(**params), validation, "file.onnx")


def above_median(probability):
    return (probability > np.median(probability, axis=0)).astype(float)


def test_eight_bits_are_measured_and_take_one_recording(exported):
    graph = ContractModule(classifier(), SPEC, decision())
    content, cost = eight_bits(exported, graph, above_median, int8_loss=0.9)
    assert (cost["metric"], cost["recordings"]) == ("auroc", 12)
    assert cost["float"] == pytest.approx(1.0, abs=1e-9)
    assert cost["loss"] == pytest.approx(cost["float"] - cost["int8"])
    assert cost["largest_difference"] > 0
    session = onnxruntime.InferenceSession(content)
    assert [item.shape for item in session.get_inputs()] == [[1, 12, 1000], [1, 12]]
    assert "MatMulInteger" in {node.op_type for node in onnx.load_model_from_string(content).graph.node}
    assert len(content) < 0.9 * (exported.path / "classifier.onnx").stat().st_size


def test_eight_bits_that_cost_too_much_or_cannot_be_measured_are_refused(exported):
    other = classifier()
    other.head.linear.weight.data *= -1
    with pytest.raises(InputError, match=r"export.int8: reduces auroc 1 by .* on 12 recordings; the limit is 0.01"):
        eight_bits(exported, ContractModule(other, SPEC, decision()), above_median)
    graph = ContractModule(classifier(), SPEC, decision())
    with pytest.raises(InputError, match="cannot be measured"):
        eight_bits(exported, graph, lambda p: np.full(p.shape, np.nan))


@pytest.mark.real
def test_real_recordings_are_seen_as_by_the_file_pipeline(real_data):
    files = sorted((real_data / "ptbxl_500/records500").rglob("*.hea"))[:7]
    recordings = read_raw_recordings([*files, *sorted((real_data / "cinc2021").rglob("A*.hea"))[:7]])
    raw = RawModule(ContractModule(classifier(), SPEC, decision()), 500, 0.001)
    test_signals = [
        some
        for some in make_test_signals(raw, None, recordings, QualityParams())
        if some.source.startswith("recordings")
    ]
    assert sum(len(some.ecg) for some in test_signals) >= 7
    for some in test_signals:
        for _, ecg, present, contract in some.batches(raw):
            with torch.inference_mode():
                signal = raw(torch.from_numpy(ecg), torch.from_numpy(present))[-1].numpy()
            steps = np.abs(signal - contract)[present] / 0.001
            assert steps.max() < 1.01
            assert (steps > 0.5).mean() <= TIES
