"""Autocorrelation of the stem's responses against NumPy, its independence of absent leads, and regular and irregular beats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import ModelParams
from ecgssl.config.model import AutocorrelationParams, StemParams
from ecgssl.model.autocorrelation import FLOOR, LEVELS, SOFTNESS, Autocorrelation
from ecgssl.model.encoder import Encoder
from ecgssl.model.stem import SOFTNESS as SHARE_SOFTNESS
from ecgssl.signal.leads import LEADS

PATCH, COLUMNS, FILTERS = 50, 10, 4
PARAMS = AutocorrelationParams(filters=FILTERS, spacing=10, shortest=20, longest=90, levels=5)
FIRST = 3 * 32 + 6
"""Place of the first value of the autocorrelation in an embedding of ``encoder``."""


def encoder(**changes: object) -> Encoder:
    torch.manual_seed(0)
    stem = StemParams(filters=8, offsets=5, share_offsets=25, shares=6, autocorrelation=PARAMS)
    params = {"width": 32, "depth": 1, "heads": 2, "patch": PATCH, "pooling": "recording", "stem": stem} | changes
    return Encoder(ModelParams(**params), LEADS, PATCH * COLUMNS).eval()


def by_numpy(series: np.ndarray, params: AutocorrelationParams, step: int) -> np.ndarray:
    """Return the features of series (C, S), with a loop over lags."""
    rows = []
    for one in series.astype(np.float64):
        centred = one - one.mean()
        products = [
            float((centred[: len(one) - lag] * centred[lag:]).sum()) / len(one) if lag < len(one) else 0.0
            for lag in range(params.longest // step + 1)
        ]
        correlation = np.array(products) / products[0]
        lags = correlation[params.shortest // step :]
        shares = [
            np.clip((lags - level) / SOFTNESS + 0.5, 0, 1).mean() for level in np.linspace(*LEVELS, params.levels)
        ]
        rows.append((np.log(products[0] + FLOOR), correlation[params.lags(step)], shares))
    return np.concatenate([[row[0] for row in rows], *(row[1] for row in rows), *(row[2] for row in rows)])


def regular_beats(intervals: np.ndarray, samples: int) -> np.ndarray:
    """Return a pulse of 4 samples at every beat."""
    beats = np.cumsum(intervals).astype(int)
    out = np.zeros(samples)
    for beat in beats[beats < samples - 4]:
        out[beat : beat + 4] = 1
    return out


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    step=st.sampled_from([1, 2, 5]),
    length=st.integers(20, 120),
    longest=st.integers(20, 200),
)
def test_features_equal_a_loop_over_lags(seed, step, length, longest):
    params = AutocorrelationParams(filters=3, spacing=10, shortest=15, longest=longest, levels=4)
    series = np.random.default_rng(seed).random((2, 3, length)).astype(np.float32)
    found = Autocorrelation(params, step, length)(torch.from_numpy(series))
    assert found.shape == (2, params.width(step))
    np.testing.assert_allclose(found, np.stack([by_numpy(one, params, step) for one in series]), atol=2e-4)


def test_values_that_were_not_recorded_have_no_influence():
    module = Autocorrelation(PARAMS, 2, 100)
    series = torch.rand(3, FILTERS, 100, generator=torch.Generator().manual_seed(0))
    recorded = torch.arange(100) < torch.tensor([[100], [70], [55]])
    found = module(series, recorded)
    torch.testing.assert_close(found, module(torch.where(recorded[:, None], series, 7.0), recorded), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], Autocorrelation(PARAMS, 2, 70)(series[1:2, :, :70])[0], atol=1e-4, rtol=0)


def test_constant_series_has_finite_features():
    found = Autocorrelation(PARAMS, 2, 100)(torch.full((1, FILTERS, 100), 0.3))
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[0, :FILTERS], torch.full((FILTERS,), float(np.log(FLOOR))), atol=1e-3, rtol=0)


def test_shares_of_lags_tell_irregular_beats_from_regular_ones_from_50_to_100_per_minute():
    """The share of lags above a high level is larger for each regular rhythm than for each irregular one."""
    rng = np.random.default_rng(0)
    rates = np.linspace(30, 60, 12)  # samples of 20 ms per beat
    regular = [regular_beats(np.full(40, interval), 500) for interval in rates]
    irregular = [regular_beats(interval * rng.uniform(0.5, 1.5, 40), 500) for interval in rates]
    params = AutocorrelationParams(filters=1)
    module = Autocorrelation(params, 2, 500)
    high = module(torch.from_numpy(np.stack(regular + irregular)).float()[:, None])[:, -4]
    assert float(high[:12].min()) > float(high[12:].max())


@torch.inference_mode()
def test_embedding_ends_with_the_autocorrelation_of_the_mean_response(recordings):
    model = encoder()
    present = torch.ones(8, 12, dtype=torch.bool)
    present[0, [1, 4, 7]] = False
    x = torch.where(present[..., None], recordings, 0)
    found = model.embed(x, present)
    assert found.shape == (8, model.embed_dim) == (8, FIRST + FILTERS * (1 + 9 + 5))
    step, stem = 2, model.stem
    before = step * (25 // 2)
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (before, PATCH)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, PATCH, axis=-1)[:, :, : PATCH * COLUMNS : step]
    response = windows @ stem.filters[:FILTERS].double().numpy().T - stem.thresholds[:FILTERS].double().numpy()
    above = np.clip(response / SHARE_SOFTNESS + 0.5, 0, 1)  # (B, L, S, C)
    for number, (one, leads) in enumerate(zip(above, present.numpy(), strict=True)):
        expected = by_numpy(one[leads].mean(axis=0).T, PARAMS, step)
        np.testing.assert_allclose(found[number, FIRST:], expected, atol=2e-3)


@pytest.mark.parametrize("changes", [{"x": float("nan")}, {"x": 3.0}])
@torch.inference_mode()
def test_absent_leads_and_unrecorded_samples_have_no_influence(recordings, changes):
    model = encoder()
    present = torch.ones(8, 12, dtype=torch.bool)
    present[:, 3:9] = False
    recorded = torch.full((8,), 340)
    expected = model.stem.rhythm(model.without_partial_patches(recordings, recorded), present, recorded)
    other = recordings.clone()
    other[..., 340:] = changes["x"]
    found = model.embed(torch.where(present[..., None], other, 0), present, recorded)[:, FIRST:]
    assert float((found - expected).abs().max()) <= 1e-4


@torch.inference_mode()
def test_autocorrelation_is_that_of_the_whole_recording_if_only_some_columns_are_visible(recordings):
    model = encoder()
    keep = torch.arange(0, 120, 2).expand(8, -1)
    assert torch.equal(model(recordings, keep=keep, shares=True).rhythm, model(recordings).rhythm)
    assert model(recordings, keep=keep).rhythm is None


@torch.inference_mode()
def test_autocorrelation_is_not_rounded_to_bfloat16(recordings):
    stem = encoder().stem
    with torch.autocast("cpu", torch.bfloat16):
        found = stem.rhythm(recordings)
    assert found.dtype == torch.float32
    assert torch.equal(found, stem.rhythm(recordings))


@torch.inference_mode()
def test_the_other_values_of_an_embedding_do_not_depend_on_the_autocorrelation(recordings):
    """Weights from before it existed give the same tokens and shares."""
    model = encoder()
    before = encoder(stem=StemParams(filters=8, offsets=5, share_offsets=25))
    before.load_state_dict(model.state_dict())
    expected = before.embed(recordings)[:, :FIRST]
    torch.testing.assert_close(model.embed(recordings)[:, :FIRST], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ({"filters": 4, "autocorrelation": {"filters": 2, "spacing": 7}}, "spacing 7 must be a multiple of"),
        ({"filters": 4, "autocorrelation": {"filters": 2, "longest": 25, "spacing": 26}}, "at most longest 25"),
        (
            {"filters": 4, "share_offsets": 1, "autocorrelation": {"filters": 2, "spacing": 50}},
            "shortest 24 at least 50",
        ),
        ({"filters": 4, "shares": 5}, "shares 5 must be at most filters 4"),
        ({"filters": 4, "autocorrelation": {"filters": 5}}, "autocorrelation.filters 5 must be at most filters 4"),
        (
            {"filters": 4, "autocorrelation": {"shortest": 300}},
            "shortest 300 must be at most autocorrelation.longest 218",
        ),
    ],
)
def test_impossible_sizes_are_refused(stem, message):
    with pytest.raises(ValueError, match=message):
        ModelParams(stem=stem)


def test_encoder_without_a_stem_may_have_short_patches():
    """The number of positions per patch has no meaning without a stem."""
    assert ModelParams(width=32, heads=2, patch=20).embed_dim(12) == 96
