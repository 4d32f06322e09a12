"""Reconstruction gallery: units, absent leads and content of the figure."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from heartbeats import heartbeats

from ecgssl.config import Params, parse_params
from ecgssl.pretraining.diagnostics.reconstruction_gallery import (
    draw_gallery,
    draw_reconstruction,
    lead_gain,
    reconstruct,
)
from ecgssl.pretraining.loop import build_model
from ecgssl.training.batches import load_batch

SILENT = 4
SHORT = 330


def make_params(method: str = "recording", target: str = "plain", stdm: str = "paper") -> Params:
    return parse_params(
        {
            "tasks": {"t": {"targets": ["AF"]}},
            "signal": {"duration": 5.0, "normalise": {"method": method}},
            "model": {"width": 32, "depth": 1, "heads": 2, "patch": 50, "decoder": {"width": 16, "heads": 2}},
            "objective": {"target": target},
            "stdm": {"kind": stdm},
            "fda": {"kind": "none"},
        }
    )


def make_store(params: Params) -> SimpleNamespace:
    signals = 0.7 * np.stack(list(heartbeats(3, rate=100.0)))[..., :500].astype(np.float32)
    mask = np.ones((3, 12), dtype=bool)
    mask[1, SILENT] = False
    signals[1, SILENT] = 0
    signals[2, :, SHORT:] = 0
    recorded = np.array([500, 500, SHORT])
    return SimpleNamespace(
        spec=params.signal,
        signals=lambda rows: signals[rows],
        lead_mask=lambda rows: mask[rows],
        recorded=lambda rows: recorded[rows],
        patients=np.arange(3),
    )


class Perfect(torch.nn.Module):
    """Decoder that returns the target of its recording."""

    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.target = target

    def forward(self, encoded, keep):
        return self.target


@pytest.mark.parametrize("method", ["recording", "lead", "fixed", "none"])
@pytest.mark.parametrize("target", ["plain", "patch_norm"])
@pytest.mark.parametrize("row", [0, 1])
def test_a_perfect_prediction_completes_the_recording_in_mv(method, target, row):
    from ecgssl.model.losses import patch_target

    params = make_params(method, target)
    model, store = build_model(params).eval(), make_store(params)
    x = load_batch(store, np.array([row]), torch.device("cpu")).x
    model.decoder = Perfect(patch_target(model.encoder.patches(x), target))
    found = reconstruct(model, store, row, seed=3)
    np.testing.assert_allclose(found.completed, store.signals(np.array([row]))[0], atol=1e-5)
    assert 0.5 < found.hidden.mean() < 0.7
    assert found.present.sum() == 12 - row
    assert found.errors["millivolts_time"] == pytest.approx(0, abs=1e-6)
    model.decoder = Perfect(torch.zeros_like(model.decoder.target))
    assert reconstruct(model, store, row, seed=3).errors["relative_time"] == pytest.approx(1)
    if target == "plain":
        lost = reconstruct(model, store, row, seed=3)
        original = store.signals(np.array([row]))[0]
        rest = np.where(lost.hidden & lost.present[:, None], original - lost.completed, 0)
        np.testing.assert_allclose(rest, np.where(lost.hidden, original, 0), atol=1e-5)


def test_gain_is_what_the_normaliser_divided_by():
    params = make_params()
    store = make_store(params)
    batch = load_batch(store, np.arange(3), torch.device("cpu"))
    gain = lead_gain(batch, store)
    rms = np.sqrt(np.mean(store.signals(np.array([0]))[0] ** 2))
    np.testing.assert_allclose(gain[0], np.full(12, rms), rtol=1e-5)
    assert gain[1, SILENT] == 0


def test_pictures():
    params = make_params(target="patch_norm")
    model, store = build_model(params).eval(), make_store(params)
    figure = draw_gallery(model, store, np.array([0, 1]), seed=0)
    assert len(figure.axes) == 6
    original, visible, completed = figure.axes[3:]
    assert len(original.lines) == 11, "an absent lead has no trace"
    assert len(completed.lines) == 22
    found = reconstruct(model, store, 1, seed=1)
    trace = visible.lines[0].get_ydata()
    np.testing.assert_array_equal(np.isnan(trace), found.hidden[0])
    back = completed.lines[11].get_ydata()
    np.testing.assert_allclose(back[found.hidden[0]], found.completed[0][found.hidden[0]], rtol=1e-6)
    assert np.isnan(back[~found.hidden[0]]).all()
    assert draw_reconstruction(model, store, 0, 0).axes


def test_a_short_recording_is_shown_without_its_missing_time():
    from ecgssl.model.losses import patch_target

    params = make_params()
    model, store = build_model(params).eval(), make_store(params)
    batch = load_batch(store, np.array([2]), torch.device("cpu"))
    model.decoder = Perfect(patch_target(model.encoder.patches(batch.x), "plain"))
    found = reconstruct(model, store, 2, seed=3)
    assert np.isnan(found.original[:, SHORT:]).all()
    assert np.isnan(found.completed[:, SHORT:]).all()
    np.testing.assert_allclose(found.completed[:, :SHORT], store.signals(np.array([2]))[0, :, :SHORT], atol=1e-5)
    # the patch from 300 to 350 is recorded in part only, so it is never hidden
    assert found.hidden[:, :300].any()
    assert not found.hidden[:, 300:].any()
    scale = np.sqrt((found.original[:, :SHORT].astype(float) ** 2).mean())
    np.testing.assert_allclose(lead_gain(batch, store), np.full((1, 12), scale), rtol=1e-4)
    draw_gallery(model, store, np.array([2, 0]), seed=0)
    draw_reconstruction(model, store, 2, seed=0)
