"""Input spectrum of FDA's dynamic term, compared with a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgssl.model.fda_dynamic import QUIETEST, SpectrumTerm, hats, log_spectrum

GROUP = torch.tensor([0, 0, 1, 2])
KNOTS = 8


def slow(x: np.ndarray, knots: int) -> np.ndarray:
    """Return the log spectrum by knot and lead in loops, without zero leads."""
    samples = x.shape[-1]
    position = np.fft.rfftfreq(samples) / 0.5 * (knots - 1)
    out = np.zeros((len(x), 3, knots))
    for b, recording in enumerate(x):
        for g in range(3):
            found = []
            for lead in np.flatnonzero(GROUP.numpy() == g):
                power = np.abs(np.fft.rfft(recording[lead])) ** 2
                if not power.any():
                    continue
                at = np.array(
                    [np.average(power, weights=np.maximum(1 - np.abs(position - k), 0)) for k in range(knots)]
                )
                found.append(np.log(np.maximum(at / at.max(), QUIETEST)) / 10)
            out[b, g] = np.mean(found, axis=0) if found else 0
    return out


@pytest.mark.parametrize("samples", [200, 201])
def test_log_spectrum(samples):
    x = np.random.default_rng(0).normal(size=(3, 4, samples)).cumsum(axis=-1)
    x[0, 1] = 0  # one lead of a group
    x[1, 2] = 0  # a whole group
    x[2] = 0
    spectrum = torch.fft.rfft(torch.from_numpy(x).float())
    np.testing.assert_allclose(log_spectrum(spectrum, samples, GROUP, 3, KNOTS), slow(x, KNOTS), atol=1e-3)


def test_hats_share_every_bin_out():
    found = hats(KNOTS, 501, torch.device("cpu"))
    torch.testing.assert_close(found.sum(dim=0), torch.ones(251))
    assert bool(((found > 0).sum(dim=0) <= 2).all())


def test_a_term_is_bounded_and_starts_at_zero():
    spectrum = torch.fft.rfft(torch.randn(2, 4, 100, generator=torch.Generator().manual_seed(0)))
    term = SpectrumTerm(KNOTS, limit=3.0)
    assert not term(spectrum, 100, GROUP, 3).any()
    torch.nn.init.normal_(term.outer.weight, std=100)
    assert 2 < float(term(spectrum, 100, GROUP, 3).abs().max()) <= 3
