"""Amplitude normalisation compared with NumPy, and properties that it preserves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.signal.leads import LIMB_MATRIX
from ecgssl.signal.normalise import normalise
from ecgssl.signal.spec import NormaliseSpec

METHODS = ("recording", "lead", "fixed", "none")


def batch(seed: int, size: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((size, 12, 100)) * rng.uniform(0.05, 3, (size, 12, 1))
    mask = rng.random((size, 12)) < 0.7
    mask[:, 0] = True
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(mask)


@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(METHODS))
def test_against_numpy(seed: int, method: str) -> None:
    x, mask = batch(seed)
    got = normalise(x, mask, NormaliseSpec(method=method, floor=0.1)).numpy()
    for signal, there, out in zip(x.numpy(), mask.numpy(), got, strict=True):
        expected = np.zeros_like(signal)
        scale = np.sqrt(np.mean(signal[there].astype(np.float64) ** 2, axis=None if method == "recording" else 1))
        constant = {"fixed": 0.2, "none": 1.0}.get(method)
        scale = np.maximum(scale, 0.1) if constant is None else np.full_like(scale, constant)
        expected[there] = signal[there] / (scale if method == "recording" else scale[:, None])
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_absent_leads_are_exactly_zero_and_do_not_count_even_as_nan() -> None:
    x, mask = batch(1)
    dirty = torch.where(mask[..., None], x, torch.nan)
    for method in METHODS:
        out = normalise(dirty, mask, NormaliseSpec(method=method))
        assert (out[~mask] == 0).all()
        torch.testing.assert_close(out, normalise(x, mask, NormaliseSpec(method=method)))


def test_silence_stays_silent_and_small_signals_are_not_blown_up() -> None:
    x = torch.full((1, 12, 100), 1e-3)
    mask = torch.ones(1, 12, dtype=torch.bool)
    recording = NormaliseSpec(method="recording", floor=0.02)
    torch.testing.assert_close(normalise(x, mask, recording), torch.full((1, 12, 100), 0.05))
    for method in METHODS:
        nothing = torch.zeros(1, 12, 9), torch.zeros(1, 12, dtype=torch.bool)
        assert not normalise(*nothing, NormaliseSpec(method=method)).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_makes_the_whole_recording_nan(method: str, value: float) -> None:
    x, mask = batch(6)
    x[1, 0, 50] = value
    out = normalise(x, mask, NormaliseSpec(method=method))
    assert out[1].isnan().all()
    assert out[[0, 2]].isfinite().all()


@pytest.mark.parametrize("method", ["recording", "fixed"])
def test_limb_laws_and_voltage_ratios_survive(method: str) -> None:
    x, _ = batch(2)
    x[:, :6] = torch.from_numpy(LIMB_MATRIX.astype(np.float32)) @ x[:, :2]
    out = normalise(x, torch.ones(3, 12, dtype=torch.bool), NormaliseSpec(method=method))
    torch.testing.assert_close(out[:, 2], out[:, 1] - out[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(out[:, 7] * x[:, 8], out[:, 8] * x[:, 7], atol=1e-5, rtol=1e-4)


def test_single_precision_within_autocast_and_from_half() -> None:
    x, mask = batch(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = normalise(x, mask, NormaliseSpec(method="recording"))
    assert out.dtype == torch.float32
    assert torch.equal(out, normalise(x, mask, NormaliseSpec(method="recording")))
    assert normalise(x.bfloat16(), mask, NormaliseSpec(method="recording")).dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_exports_without_control_flow_on_data(method: str) -> None:
    spec = NormaliseSpec(method=method)

    class Step(torch.nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return normalise(x, mask, spec)

    x, mask = batch(4)
    size = torch.export.Dim("batch")
    program = torch.export.export(Step(), (x, mask), dynamic_shapes=({0: size}, {0: size}))
    other = batch(5, size=7)
    torch.testing.assert_close(program.module()(*other), Step()(*other))


@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(METHODS), recorded=st.integers(1, 100))
def test_short_recordings_are_normalised_like_a_window_of_their_length(seed: int, method: str, recorded: int) -> None:
    x, mask = batch(seed)
    spec = NormaliseSpec(method=method, floor=0.1)
    lengths = torch.tensor([recorded, 100, recorded])
    dirty = x.clone()
    dirty[0, :, recorded:], dirty[2, :, recorded:] = torch.nan, 1e6
    got = normalise(dirty, mask, spec, lengths)
    assert torch.equal(got[1], normalise(x, mask, spec)[1])
    expected = normalise(x[..., :recorded], mask, spec)
    for i in (0, 2):
        np.testing.assert_allclose(got[i, :, :recorded], expected[i], rtol=1e-5, atol=1e-6)
        assert not got[i, :, recorded:].any()
