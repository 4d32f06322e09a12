"""Short recordings in exported graphs: only the recorded samples are filtered, normalised and seen by the model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from deploy_models import SPEC, TINY, beats, classifier, decision
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import ExportParams, QualityParams
from ecgssl.errors import InputError
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_check import compare_with_pipeline
from ecgssl.export.quantised import quantised
from ecgssl.export.raw_module import RawModule
from ecgssl.export.test_signals import make_test_signals
from ecgssl.export.unrecorded import mark_unrecorded, recorded_counts
from ecgssl.export.validation_recordings import LabelledSignals
from ecgssl.model.encoder import Encoder
from ecgssl.signal.cleaning import clean
from ecgssl.signal.spec import SignalSpec

SHORTEST = 500
PATCH = TINY.patch


def recordings(count: int, rate: int, seconds: float = 10.0, offset: float = 0.0) -> np.ndarray:
    return (np.stack([beats(i, rate, seconds) for i in range(count)]) / 1000 + offset).astype(np.float32)


def leads(count: int) -> np.ndarray:
    return np.ones((count, 12), dtype=bool)


def model_of(spec: SignalSpec = SPEC) -> ContractModule:
    return ContractModule(classifier(spec), spec, decision(), SHORTEST)


@pytest.fixture(scope="module")
def graphs(exported):
    """Return the graphs of the shared bundle with their torch modules. Its quality limits accept 5 s and more."""
    clean_graph = model_of()
    path, raw_path = exported.path / "classifier.onnx", exported.path / "classifier.raw-500.onnx"
    return SimpleNamespace(
        clean=clean_graph, raw=RawModule(clean_graph, 500, 0.001), bundle=exported.path,
        content=path.read_bytes(), worst=exported.result["max_difference"],
        session=onnxruntime.InferenceSession(path), raw_session=onnxruntime.InferenceSession(raw_path),
    )  # fmt: skip


def by_definition(ecg: np.ndarray, recorded: int) -> np.ndarray:
    """Return the embedding (E,) of the first columns of a clean recording (12, T), by an encoder with such a window."""
    encoder = classifier().encoder
    columns = recorded // PATCH
    short = Encoder(TINY, SPEC.leads, columns * PATCH).eval()
    short.load_state_dict(encoder.state_dict())
    part = ecg[:, :recorded]
    x = torch.from_numpy(part[:, : columns * PATCH] / np.float32(0.2))[None]
    with torch.inference_mode():
        return short.embed(x)[0].numpy()


@settings(max_examples=10, deadline=None)
@given(recorded=st.integers(SHORTEST, SPEC.samples), seed=st.integers(0, 5))
def test_clean_graph_sees_the_recorded_columns_only(graphs, recorded, seed):
    ecg = recordings(6, 100)[[seed, 0]]
    given_ecg = mark_unrecorded(ecg, np.array([recorded, SPEC.samples]))
    expected = by_definition(ecg[0], recorded)
    names = ["logits", "embedding"]
    found = dict(zip(names, graphs.session.run(names, {"ecg": given_ecg, "lead_mask": leads(2)}), strict=True))
    in_torch = graphs.clean.run(given_ecg, leads(2))
    for one in (found, in_torch, graphs.clean.run(ecg, leads(2), np.array([recorded, SPEC.samples]))):
        np.testing.assert_allclose(one["embedding"][0], expected, atol=1e-5)
        # the complete recording has the same result as alone
        np.testing.assert_allclose(one["embedding"][1], by_definition(ecg[1], SPEC.samples), atol=1e-5)
    np.testing.assert_allclose(found["logits"], in_torch["logits"], atol=1e-5)


@settings(max_examples=6, deadline=None)
@given(recorded=st.integers(2500, 6000), padded=st.integers(0, 1400))
def test_raw_graph_filters_the_recorded_samples_only(graphs, recorded, padded):
    ecg = recordings(2, 500, 15.0, offset=1.5)[..., : recorded + padded]
    given_ecg = mark_unrecorded(ecg, np.array([recorded, ecg.shape[-1]]))
    logits, _, embedding, signal = graphs.raw_session.run(None, {"ecg": given_ecg, "lead_mask": leads(2)})
    whole = clean(ecg[0, :, :recorded], 500, SPEC)[:, : SPEC.samples]
    kept = whole.shape[1]
    assert np.abs(signal[0, :, :kept] - whole).max() < 0.0016
    assert np.isnan(signal[0, :, kept:]).all()
    np.testing.assert_allclose(embedding[0], by_definition(signal[0], kept), atol=1e-5)
    alone = graphs.raw_session.run(["logits"], {"ecg": ecg[:1, :, :recorded], "lead_mask": leads(1)})[0]
    # a sample halfway between two rounding steps can differ by one step
    np.testing.assert_allclose(logits[:1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("rate", "window"), [(250, "start"), (360, "center"), (1000, "center")])
def test_recordings_of_all_lengths_in_one_batch_are_cleaned_like_single_ones(rate, window):
    raw = RawModule(model_of(SignalSpec(crop=window)), rate, 0.001)
    seconds = np.array([5.0, 7.3, 9.998, 10.0, 11.1, 12.0])
    ecg = mark_unrecorded(recordings(6, rate, 12.0, offset=-0.7), np.round(seconds * rate).astype(int))
    with torch.inference_mode():
        *outputs, signal = raw(torch.from_numpy(ecg), torch.from_numpy(leads(6)))
    expected = raw.preprocess(ecg)
    np.testing.assert_array_equal(np.isnan(signal.numpy()), np.isnan(expected))
    np.testing.assert_array_equal((~np.isnan(expected)).all(axis=1).sum(axis=1), [500, 730, 1000, 1000, 1000, 1000])
    assert np.nanmax(np.abs(signal.numpy() - expected)) < 0.00101
    assert all(bool(value.isfinite().all()) for value in outputs)


def test_partly_recorded_patch_counts_as_absent(graphs):
    ecg = recordings(1, 100)
    # a value in the partly recorded patch changes the normalisation only, so keep its power
    changed = ecg.copy()
    changed[:, :, 600:649] = changed[:, :, 600:649][..., ::-1]
    first, second = (
        graphs.session.run(["embedding"], {"ecg": mark_unrecorded(one, np.array([649])), "lead_mask": leads(1)})[0]
        for one in (ecg, changed)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_other_missing_values_and_too_few_samples_give_no_number(graphs):
    ecg = recordings(6, 100)
    ecg[0, :, 499:] = np.nan  # one sample too short
    ecg[1, 3, 700:] = np.nan  # only one lead ends early
    ecg[2, :, 300:350] = np.nan  # a gap in all leads
    ecg[3, :, 900:] = np.inf
    ecg[4, :, 500:] = np.nan  # the shortest accepted recording
    ecg[5] = np.nan
    expected = [True, True, True, True, False, True]
    outputs = graphs.session.run(None, {"ecg": ecg, "lead_mask": leads(6)})
    for value in (*outputs, *graphs.clean.run(ecg, leads(6)).values()):
        assert list(np.isnan(value).all(axis=1)) == expected
    raw = np.repeat(ecg, 5, axis=2)  # 500 Hz with the same gaps
    raw[0, :, graphs.raw.shortest - 1 :] = np.nan
    for name, value in zip(
        graphs.raw.outputs, graphs.raw_session.run(None, {"ecg": raw, "lead_mask": leads(6)}), strict=True
    ):
        if name != "signal":
            assert list(np.isnan(value).all(axis=1)) == expected
    # an absent lead may contain anything, also after the end of the recording
    mask = leads(6)
    mask[:, 3] = False
    ecg[4, 3] = 7.0
    for value in graphs.session.run(["logits"], {"ecg": ecg[[1, 4]], "lead_mask": mask[:2]}):
        assert np.isfinite(value).all()


def test_graph_for_complete_recordings_rejects_short_ones():
    graph = ContractModule(classifier(), SPEC, decision())
    assert graph.shortest == SPEC.samples
    ecg = mark_unrecorded(recordings(2, 100), np.array([999, 1000]))
    assert list(np.isnan(graph.run(ecg, leads(2))["logits"]).all(axis=1)) == [True, False]


def test_export_compares_short_recordings_with_the_pipeline(graphs):
    for name in ("classifier.onnx", "classifier.raw-500.onnx"):
        assert "random, shorter" in graphs.worst[name]
    examples = mark_unrecorded(recordings(3, 100), np.array([1000, 700, 811]))
    signals = make_test_signals(graphs.clean, examples, (), QualityParams())
    lengths = [one for one in signals if one.source == "examples"]
    worst = compare_with_pipeline(graphs.content, graphs.clean, ExportParams(), lengths, "file.onnx")
    assert all(value < 1e-4 for found in worst.values() for value in found.values())
    (shorter,) = (one.ecg for one in signals if one.source == "random, shorter")
    assert recorded_counts(shorter, leads(len(shorter))).min() == SHORTEST
    # a graph that rejects some of these recordings gives no numbers for them
    earlier = ContractModule(classifier(), SPEC, decision(), 400)
    signals = make_test_signals(earlier, None, (), QualityParams())
    with pytest.raises(InputError, match="is not finite"):
        compare_with_pipeline(graphs.content, earlier, ExportParams(), signals, "file.onnx")


def test_self_test_of_a_bundle_contains_a_short_recording(graphs):
    with np.load(graphs.bundle / "reference.npz") as stored:
        counts = recorded_counts(stored["ecg"], stored["lead_mask"])
        assert sorted(set(counts.tolist())) == [750, 1000]
        assert np.isfinite(stored["logits"]).all()
        found = graphs.session.run(["logits"], {"ecg": stored["ecg"], "lead_mask": stored["lead_mask"]})[0]
        np.testing.assert_allclose(found, stored["logits"], atol=1e-5)


def test_eight_bit_graph_takes_short_recordings(graphs):
    ecg = mark_unrecorded(recordings(8, 100), np.resize([1000, 730, 505], 8))
    ecg[0, 2] = 0
    score = graphs.clean.run(ecg, np.nan_to_num(ecg).any(axis=2))["probability"]
    validation = LabelledSignals(ecg, (score > np.median(score, axis=0)).astype(float))
    content, cost = quantised(graphs.content, graphs.clean, ExportParams(int8_loss=0.9), validation, "file.onnx")
    assert cost["recordings"] == 8
    session = onnxruntime.InferenceSession(content)
    logits = session.run(["logits"], {"ecg": ecg[1:2], "lead_mask": leads(1)})[0]
    other = ecg[1:2].copy()
    assert np.isfinite(logits).all()
    other[:, :, 729:] = np.nan
    assert np.abs(logits - session.run(["logits"], {"ecg": other, "lead_mask": leads(1)})[0]).max() < 0.15
