"""FDA compared with NumPy and the limb-lead laws, and its behaviour at extreme settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import FDAParams
from ecgssl.model.fda import FDA
from ecgssl.pretraining.diagnostics.fda_figures import augmentation_figures
from ecgssl.signal.leads import LEADS, LIMB_MATRIX

RATE, BAND, KNOTS = 100.0, (0.5, 40.0), 16
NYQUIST_KNOTS = np.linspace(0, RATE / 2, KNOTS)


def fda(importance=None, leads=LEADS, **params) -> FDA:
    module = FDA(FDAParams(knots=KNOTS, **params), leads, RATE, BAND)
    if importance is not None:
        with torch.no_grad():
            module.importance.copy_(torch.as_tensor(importance, dtype=torch.float32).expand_as(module.importance))
    return module


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wake(module: FDA) -> FDA:
    """Set random weights for the dynamic term, which is initialised to zero."""
    if module.dynamic is not None:
        torch.nn.init.normal_(module.dynamic.outer.weight, std=0.5, generator=seeded(7))
    return module


def drawn(module: FDA, batch: int, samples: int = 500) -> torch.Tensor:
    chance = module.probability(module.logits(), samples)
    return module.gain(chance, module.draws(batch, seeded()), samples, 0.5).detach()


def kept(module: FDA, samples: int = 1000) -> torch.Tensor:
    impulse = torch.zeros(1, 12, samples)  # its energy is equal in all bins
    impulse[..., 0] = 1
    return module.kept_fraction(impulse).mean()


def budget(module: FDA) -> torch.Tensor:
    return module.budget(kept(module))


def law_residual(x: torch.Tensor) -> float:
    """Return the largest relative deviation of (B, 12, T) from Einthoven's and Goldberger's laws."""
    limb = x[:, :6].double()
    lawful = torch.from_numpy(LIMB_MATRIX) @ limb[:, :2]
    return float((limb - lawful).abs().max() / limb.abs().max())


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(10, 1200), knots=st.integers(4, 100), seed=st.integers(0, 100))
def test_map_is_linear_between_knots(samples, knots, seed):
    module = FDA(FDAParams(knots=knots), LEADS, RATE, BAND)
    values = np.random.default_rng(seed).normal(size=(3, knots)).astype(np.float32)
    frequencies = np.fft.rfftfreq(samples, 1 / RATE)
    expected = [np.interp(frequencies, np.linspace(0, RATE / 2, knots), row) for row in values]
    np.testing.assert_allclose(module.at_bins(torch.from_numpy(values), samples), expected, atol=1e-4)
    np.testing.assert_allclose(module.frequencies(samples), frequencies, rtol=1e-5)


@pytest.mark.parametrize("phase", [0.0, 2.0])
def test_critical_bins_pass_unchanged_and_others_do_not(recordings, phase):
    logits = np.where((NYQUIST_KNOTS > 8) & (NYQUIST_KNOTS < 25), 50.0, -50.0)
    out = fda(logits, phase=phase)(recordings, 0.1, seeded())
    frequencies = np.fft.rfftfreq(recordings.shape[-1], 1 / RATE)
    # 50 exceeds any draw of the gate, so a bin is open if both neighbouring knots are high
    critical = np.interp(frequencies, NYQUIST_KNOTS, logits) == 50
    before, after = (np.fft.rfft(x.detach().double().numpy()) for x in (recordings, out))
    scale = np.abs(before).max()
    assert critical.sum() > 50
    assert np.abs(after - before)[..., critical].max() < 1e-6 * scale
    assert np.abs(after - before)[..., frequencies < 0.5].max() < 1e-6 * scale
    assert np.abs(after - before)[..., (frequencies > 26) & (frequencies < 40)].max() > 1e-3 * scale


@pytest.mark.parametrize("importance", [-3.0, 0.0, 3.0])
def test_gain_is_exactly_one_or_within_its_range(importance):
    module = fda(importance, strength=4.0)
    gain = drawn(module, 16)
    assert bool((gain[..., :3] == 1).all()), "frequencies below 0.5 Hz are kept"
    assert 0 <= gain.min() < 1 < gain.max() <= 2
    passed = float((gain == 1).float().mean())
    # the gate opens with the probability of the map; at the knots the draw is exactly logistic
    assert passed == pytest.approx(float(torch.sigmoid(torch.tensor(importance))), abs=0.15)


@pytest.mark.parametrize("share", ["all", "limb", "none"])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
@pytest.mark.parametrize("switches", [{}, {"phase": 2.0}, {"dynamic": True, "phase": 1.0}])
def test_limb_lead_laws(recordings, share, temperature, switches):
    assert law_residual(recordings) < 1e-5
    out = wake(fda(share=share, **switches))(recordings, temperature, seeded()).detach()
    assert float((out - recordings).abs().max()) > 0.05
    if share == "none":
        assert law_residual(out) > 0.05
    else:
        assert law_residual(out) < 1e-5


@pytest.mark.parametrize(("share", "groups"), [("all", 1), ("limb", 7), ("none", 12)])
def test_leads_of_a_group_share_the_draw_and_others_do_not(recordings, share, groups):
    same = recordings[:2, :1].expand(-1, 12, -1)
    out = fda(share=share)(same, 0.5, seeded()).detach()
    assert len(fda(share=share).importance) == groups
    different = [len(rows.unique(dim=0)) for rows in out]
    assert different == [groups, groups]
    if share == "limb":
        assert len(out[0, :6].unique(dim=0)) == 1
    gain = drawn(fda(share=share), 2)
    assert not torch.equal(gain[0], gain[1]), "each recording has independent draws"


def test_subset_of_leads_in_any_order():
    module = fda(leads=("V3", "II", "V1", "I"))
    assert module.group_names == ["V3", "limb", "V1"]
    assert module.group.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("importance", [-50.0, 0.0, 50.0, "mixed"])
@pytest.mark.parametrize("samples", [10, 11, 499, 1000])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("switches", [{}, {"dynamic": True, "phase": 3.0}])
def test_finite_in_every_corner(importance, samples, size, temperature, switches):
    values = np.where(np.arange(KNOTS) % 2, 50.0, -50.0) if importance == "mixed" else importance
    module = wake(fda(values, protect_below=0.0, strength=4.0, **switches))
    x = size * torch.randn(3, 12, samples, generator=seeded(1))
    x[0] = 0  # all leads absent
    x[1, 6:] = 0
    out = module(x, temperature, seeded())
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    assert bool(out.isfinite().all())
    assert not out[0].any()
    assert not out[1, 6:].any()
    scaled = out / max(size, 1e-30)
    (scaled.square().mean() + module.budget(module.kept_fraction(x).mean())).backward()
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters())


@pytest.mark.parametrize("samples", [500, 501])
def test_phase_alone_turns_and_keeps_amplitudes(samples):
    x = torch.randn(4, 12, samples, generator=seeded(2))
    out = fda(strength=0.0, phase=1.5)(x, 0.5, seeded()).detach()
    before, after = (np.fft.rfft(v.double().numpy()) for v in (x, out))
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=1e-3, atol=1e-3)
    turn = np.abs(np.angle(after / before))
    assert turn.max() > 0.5
    assert turn.max() <= 1.5 + 1e-3
    assert turn[..., -1].max() < 1e-3 or samples % 2, "a Nyquist bin is real"


def test_gradients_reach_map_and_dynamic_term(recordings):
    module = fda(dynamic=True, phase=0.5)
    out = module(recordings, 1.0, seeded())
    (out * torch.randn(out.shape, generator=seeded(3))).sum().backward()
    assert int((module.importance.grad != 0).sum()) > 0.5 * module.importance.numel()
    assert bool(module.dynamic.outer.weight.grad.any())
    assert not module.dynamic.inner.weight.grad.any(), "the last layer starts at zero"
    module.zero_grad()
    wake(module)
    module.budget(module.kept_fraction(recordings).mean()).backward()
    assert bool(module.dynamic.inner.weight.grad.any())


def test_dynamic_term_starts_as_the_static_map_and_then_tells_recordings_apart(recordings):
    module, static = fda(dynamic=True), fda()
    assert torch.equal(module(recordings, 0.5, seeded()), static(recordings, 0.5, seeded()))
    wake(module)
    seen = module.kept_fraction(recordings).detach()
    assert float(seen.std()) > 1e-3
    shifted = recordings.roll(123, dims=2)
    torch.testing.assert_close(module.kept_fraction(shifted), seen, atol=1e-4, rtol=0)
    torch.testing.assert_close(module.kept_fraction(1000 * recordings), seen, atol=1e-4, rtol=0)
    alone = torch.cat([module.kept_fraction(recordings[i : i + 1]) for i in range(len(recordings))])
    torch.testing.assert_close(alone, seen)


def test_deterministic_under_a_generator(recordings):
    module = fda()
    first, again, other = (module(recordings, 0.5, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def energy_kept(x: torch.Tensor, chance: np.ndarray) -> float:
    """Return the share of the energy of x (L, T) between 0.5 and 40 Hz that probabilities (F,) keep, with NumPy."""
    frequencies = np.fft.rfftfreq(x.shape[-1], 1 / RATE)
    power = np.abs(np.fft.rfft(x.double().numpy())) ** 2 * ((frequencies >= 0.5) & (frequencies <= 40))
    return float((power * chance).sum() / power.sum())


def test_kept_fraction_counts_energy_and_not_bins(recordings):
    # the loophole of a budget of bins: more than half of the band is given up, and nearly all energy kept
    logits = np.where(NYQUIST_KNOTS < 16, 50.0, -50.0)
    chance = 1 / (1 + np.exp(-np.interp(np.fft.rfftfreq(500, 1 / RATE), NYQUIST_KNOTS, logits)))
    found = fda(logits).kept_fraction(recordings)
    expected = [energy_kept(x, chance) for x in recordings]
    np.testing.assert_allclose(found.detach(), expected, atol=1e-4)
    assert min(expected) > 0.7


@pytest.mark.parametrize("least", [0.1, 0.3, 0.6])
def test_perturbed_energy_has_a_floor_whatever_the_map_is(recordings, least):
    seen = recordings.repeat(8, 1, 1)
    for logits in (50.0, np.where(NYQUIST_KNOTS < 30, 50.0, -50.0)):
        module = fda(logits, perturb_at_least=least)
        figures = augmentation_figures(module, seen, None, 0.5, seeded())
        # gates of neighbouring bins are drawn together, so the mean over 64 draws varies by a few per cent
        assert figures["fda_perturbed_energy"] == pytest.approx(least, abs=0.12)
        change = (module(seen, 0.5, seeded()) - seen).square().mean() / seen.square().mean()
        assert change > 0.005
    open_map = augmentation_figures(fda(50.0, perturb_at_least=0.0), seen, None, 0.5, seeded())
    assert open_map["fda_perturbed_energy"] == 0


def test_correlation_of_a_view_is_in_its_range(recordings):
    seen = recordings.repeat(4, 1, 1)
    for logits in (0.0, np.where(NYQUIST_KNOTS < 16, 3.0, -3.0), np.where(NYQUIST_KNOTS > 16, 3.0, -3.0)):
        found = augmentation_figures(fda(logits), seen, None, 0.5, seeded())["fda_correlation"]
        assert 0.7 < found < 0.995


def test_empty_bins_do_not_weaken_the_perturbation():
    # the loophole of a mean over all bins: a map that is certain above the band must not change the gain inside it
    closed = np.where(NYQUIST_KNOTS > 42, -50.0, 0.0)
    inside = np.fft.rfftfreq(500, 1 / RATE) < 38
    torch.testing.assert_close(drawn(fda(closed), 4)[..., inside], drawn(fda(0.0), 4)[..., inside])


def test_kept_fraction_counts_the_band_only():
    values = np.random.default_rng(0).normal(size=KNOTS) * 3
    frequencies = np.fft.rfftfreq(1000, 1 / RATE)
    chance = 1 / (1 + np.exp(-np.interp(frequencies, NYQUIST_KNOTS, values)))
    live = (frequencies >= 0.5) & (frequencies <= 40)
    assert kept(fda(values)).item() == pytest.approx(chance[live].mean(), abs=1e-5)
    closed = values.copy()
    closed[NYQUIST_KNOTS > 45] = -50
    assert kept(fda(closed)) == kept(fda(values))
    protected = kept(fda(values, protect_below=10.0)).item()
    assert protected == pytest.approx(chance[(frequencies >= 10) & (frequencies <= 40)].mean(), abs=1e-5)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8])
def test_budget_is_least_at_keep(keep):
    best = float(np.log(keep / (1 - keep)))
    at = [budget(fda(best + shift, keep=keep)).item() for shift in (-2, -0.5, 0, 0.5, 2)]
    assert at[2] == pytest.approx(0, abs=1e-10)
    assert at[0] > at[1] > at[2] < at[3] < at[4]
    for shift, sign in ((-0.5, -1), (0.5, 1)):
        module = fda(best + shift, keep=keep)
        budget(module).backward()
        inside = module.importance.grad[:, torch.from_numpy(NYQUIST_KNOTS <= 40)]
        assert bool((inside.sign() == sign).all())


def test_l1_budget_is_the_kept_fraction():
    for value in (-2.0, 0.0, 2.0):
        assert budget(fda(value, budget="l1")).item() == pytest.approx(1 / (1 + np.exp(-value)), rel=1e-5)


def test_views_of_a_recording_teach_the_map(recordings):
    module = fda()
    generator = seeded()
    # the embedding stands in for an encoder: vectors of the same recording should agree
    project = torch.randn(12 * 500, 16, generator=generator)
    first, second = (module(recordings, 1.0, generator).flatten(1) @ project for _ in range(2))
    (-F.cosine_similarity(first, second).mean()).backward()
    gradient = module.importance.grad
    assert bool(gradient.isfinite().all())
    assert int((gradient != 0).sum()) > 0.5 * gradient.numel()


def test_stays_in_float32_under_autocast(recordings):
    with torch.autocast("cpu", torch.bfloat16):
        out = fda()(recordings, 0.5, seeded())
    assert out.dtype == torch.float32
    assert torch.equal(out, fda()(recordings, 0.5, seeded()))


def test_ablations(recordings):
    assert fda(kind="none")(recordings, 1.0, seeded()) is recordings
    x = torch.randn(2000, 12, 40, generator=seeded(5))
    change = fda(kind="jitter_scale")(x, 1.0, seeded()) - x
    # gain and noise are independent, each with a standard deviation of 0.1
    assert float(change.std()) == pytest.approx(0.1 * 2**0.5, rel=0.02)
    assert float(change.mean()) == pytest.approx(0, abs=1e-3)
