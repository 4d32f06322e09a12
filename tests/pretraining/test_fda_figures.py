"""Figures of FDA compared with NumPy, and their values for its two kinds of collapse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from heartbeats import heartbeats

from ecgssl.config import FDAParams
from ecgssl.model.fda import FDA
from ecgssl.pretraining.diagnostics.fda_figures import BANDS, augmentation_figures, band_name, draw_importance
from ecgssl.signal.leads import LEADS

KNOTS, RATE = 16, 100.0


def fda(importance, **params) -> FDA:
    module = FDA(FDAParams(knots=KNOTS, **params), LEADS, RATE, (0.5, 40.0))
    with torch.no_grad():
        module.importance.copy_(torch.as_tensor(importance, dtype=torch.float32).expand_as(module.importance))
    return module


def figures(module: FDA, x: torch.Tensor, lead_mask=None) -> dict[str, float]:
    return augmentation_figures(module, x, lead_mask, 0.1, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.from_numpy(heartbeats(8)).float()


def test_kept_by_band(x):
    values = np.random.default_rng(0).normal(size=KNOTS) * 2
    frequencies = np.fft.rfftfreq(x.shape[-1], 1 / RATE)
    chance = 1 / (1 + np.exp(-np.interp(frequencies, np.linspace(0, RATE / 2, KNOTS), values)))
    chance[frequencies < 0.5] = 1
    found = figures(fda(values), x)
    for low, high in BANDS:
        inside = (frequencies >= low) & (frequencies < high)
        assert found[f"fda_kept_{band_name(low, high)}"] == pytest.approx(chance[inside].mean(), abs=1e-4)
    live = (frequencies >= 0.5) & (frequencies <= 40)
    assert found["fda_map_spread"] == pytest.approx(chance[live].std(), abs=1e-4)
    assert found["fda_gate"] == pytest.approx(chance[live].mean(), abs=0.1)
    slow = FDA(FDAParams(knots=KNOTS), LEADS, 50.0, (0.5, 40.0))
    assert "fda_kept_above_40hz" not in figures(slow, x)


def test_names():
    assert [band_name(*band) for band in BANDS] == [
        "below_0.5hz", "0.5_5hz", "5_15hz", "15_40hz", "above_40hz",
    ]  # fmt: skip


def test_identity_and_nothing_are_told(x):
    identity, nothing, middle = (
        figures(fda(value, strength=2.0, perturb_at_least=0.0), x) for value in (50.0, -50.0, 0.0)
    )
    assert identity["fda_gate"] == 1
    assert identity["fda_correlation"] == pytest.approx(1, abs=1e-5)
    assert nothing["fda_gate"] == 0
    assert nothing["fda_correlation"] < middle["fda_correlation"] < 1
    assert all(f["fda_map_spread"] < 1e-6 for f in (identity, nothing, middle))


def test_correlation_is_of_recorded_leads(x):
    module = fda(0.0)
    mask = torch.ones(8, 12, dtype=torch.bool)
    mask[:, 3] = False
    absent = torch.where(mask[..., None], x, 0)
    found = figures(module, absent, mask)
    assert found["fda_correlation"] == pytest.approx(figures(module, absent)["fda_correlation"], abs=1e-6)
    view = module(x, 0.1, torch.Generator().manual_seed(0)).detach().numpy()
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(x.numpy().reshape(96, -1), view.reshape(96, -1), strict=True)]
    assert figures(module, x)["fda_correlation"] == pytest.approx(np.mean(expected), abs=1e-3)
    silent = figures(module, torch.zeros_like(x), torch.zeros_like(mask))
    assert "fda_correlation" not in silent
    assert np.isfinite([*silent.values()]).all()


def test_same_under_autocast(x):
    with torch.autocast("cpu", torch.bfloat16):
        found = figures(fda(np.linspace(-2, 2, KNOTS)), x)
    assert found == figures(fda(np.linspace(-2, 2, KNOTS)), x)


def test_map_is_drawn_with_its_groups():
    figure = draw_importance(fda(np.linspace(-2, 2, KNOTS)), 500, [("step 0", np.full(251, 0.5, np.float32))])
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["step 0", "limb leads", "V1", "V2", "V3", "V4", "V5", "V6", "budget"]
    line = axes.lines[[line.get_label() for line in axes.lines].index("V3")]
    expected = 1 / (1 + np.exp(-np.interp(line.get_xdata(), np.linspace(0, 50, KNOTS), np.linspace(-2, 2, KNOTS))))
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-5)
