"""Masks: hidden fractions compared with the ratios, visible patches, and linear predictability of hidden leads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgssl.config import STDMParams
from ecgssl.model.stdm import Mask, complement, draw_columns, draw_mask
from ecgssl.signal.leads import LEADS, LIMB_LEADS, LIMB_MATRIX

KINDS = ("paper", "einthoven", "random", "none")
LEAD_SETS = st.lists(st.sampled_from(LEADS), min_size=1, unique=True).map(tuple)
FEWER_LEADS = st.sampled_from([LEADS, LEADS[:6], LEADS[6:], LEADS[:3], (*LEADS[:6], "V2"), ("V1", "II"), ("aVF",)])
RATIOS = st.floats(0, 0.95)


def draw(kind, time_ratio=0.5, lead_ratio=0.2, batch=3, leads=LEADS, columns=10, step=0, seed=0) -> Mask:
    params = STDMParams(kind=kind, time_ratio=time_ratio, lead_ratio=lead_ratio)
    return draw_mask(params, batch, leads, columns, step, torch.Generator().manual_seed(seed))


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    time_ratio=RATIOS,
    lead_ratio=RATIOS,
    batch=st.integers(1, 5),
    leads=LEAD_SETS,
    columns=st.integers(1, 20),
    step=st.integers(0, 100_000),
    seed=st.integers(0, 1000),
)
def test_keep_names_what_is_not_hidden(kind, time_ratio, lead_ratio, batch, leads, columns, step, seed):
    mask = draw(kind, time_ratio, lead_ratio, batch, leads, columns, step, seed)
    hidden = mask.hidden.numpy()
    assert hidden.shape == (batch, len(leads), columns)
    # flatnonzero returns ascending indices, so this also checks the order
    np.testing.assert_array_equal(mask.keep, [np.flatnonzero(~row) for row in hidden.reshape(batch, -1)])
    assert mask.keep.shape[1] >= 1
    for part in (mask.hidden_time, mask.hidden_lead):
        assert len(set(part.sum(dim=1).tolist())) == 1
    if kind == "none":
        assert not hidden.any()
    if kind != "random":
        for row, keep in enumerate(mask.keep.numpy()):
            assert not mask.hidden_time[row].numpy()[keep % columns].any(), "a lead must be hidden at a masked time"
            assert not mask.hidden_lead[row].numpy()[keep // columns].any(), "a dropped lead must be hidden"
        visible = (~mask.hidden_time[0]).sum() * (~mask.hidden_lead[0]).sum()
        assert mask.keep.shape[1] == visible
    again = draw(kind, time_ratio, lead_ratio, batch, leads, columns, step, seed)
    assert torch.equal(mask.hidden, again.hidden)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["paper", "einthoven"]),
    time_ratio=st.integers(0, 18).map(lambda n: n / 20),
    lead_ratio=st.integers(0, 18).map(lambda n: n / 20),
    leads=st.one_of(FEWER_LEADS, LEAD_SETS),
    columns=st.integers(1, 40),
)
def test_mean_ratios_are_exact(kind, time_ratio, lead_ratio, leads, columns):
    steps = 200
    masks = [draw(kind, time_ratio, lead_ratio, 1, leads, columns, step) for step in range(steps)]
    time = np.mean([int(m.hidden_time.sum()) for m in masks])
    assert time == pytest.approx(min(time_ratio * columns, columns - 1), abs=1 / steps)
    lead = np.mean([int(m.hidden_lead.sum()) for m in masks])
    # einthoven drops several limb leads at once, so the last cycle can be incomplete
    abs_tolerance = (1 if kind == "paper" else len(leads)) / steps
    assert lead == pytest.approx(min(lead_ratio * len(leads), len(leads) - 1), abs=abs_tolerance)


@pytest.mark.parametrize("lead_ratio", [0.2, 0.45, 0.7])
def test_einthoven_mean_of_whole_cycles(lead_ratio):
    steps = 140
    counts = [int(draw("einthoven", 0.5, lead_ratio, 1, step=step).hidden_lead.sum()) for step in range(steps)]
    assert np.mean(counts) == pytest.approx(12 * lead_ratio, abs=1 / steps)


@settings(max_examples=10, deadline=None)
@given(time_ratio=RATIOS, lead_ratio=RATIOS, leads=LEAD_SETS, columns=st.integers(1, 30))
def test_random_hides_as_much_as_paper_would(time_ratio, lead_ratio, leads, columns):
    total, steps = len(leads) * columns, 100
    target = (1 - (1 - time_ratio) * (1 - lead_ratio)) * total
    hidden = [int(draw("random", time_ratio, lead_ratio, 1, leads, columns, s).hidden.sum()) for s in range(steps)]
    assert np.mean(hidden) == pytest.approx(min(target, total - 1), abs=1 / steps)


def test_every_column_and_lead_is_as_likely():
    batch = 20_000
    mask = draw("paper", batch=batch, columns=8, step=2)
    assert mask.hidden_time.float().mean(dim=0).numpy() == pytest.approx(np.full(8, 0.5), abs=0.02)
    dropped = int(mask.hidden_lead[0].sum())
    assert mask.hidden_lead.float().mean(dim=0).numpy() == pytest.approx(np.full(12, dropped / 12), abs=0.02)
    # columns and leads are drawn independently
    joint = (mask.hidden_time[:, 0] & mask.hidden_lead[:, 0]).float().mean()
    assert joint == pytest.approx(0.5 * dropped / 12, abs=0.02)


@pytest.mark.parametrize("kind", ["paper", "einthoven", "random"])
def test_recordings_have_masks_of_their_own(kind):
    masks = draw(kind, batch=64, columns=20).hidden.flatten(1)
    assert len(masks.unique(dim=0)) > 60
    assert not torch.equal(draw(kind, seed=1).hidden, draw(kind, seed=2).hidden)


def limb_leads(dropped: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the indices of the visible and the dropped limb leads."""
    return [i for i in range(6) if not dropped[i]], [i for i in range(6) if dropped[i]]


def residual(visible: list[int], target: int, seed: int) -> float:
    """Return the relative error of the best linear estimate of a limb lead from the visible ones, for random signals."""
    limb = LIMB_MATRIX @ np.random.default_rng(seed).normal(size=(2, 300))
    weights, *_ = np.linalg.lstsq(limb[visible].T, limb[target], rcond=None)
    return float(np.linalg.norm(weights @ limb[visible] - limb[target]) / np.linalg.norm(limb[target]))


@pytest.mark.parametrize("lead_ratio", [0.2, 0.6])
def test_einthoven_drops_no_limb_lead_that_the_visible_ones_give(lead_ratio):
    seen = set()
    for step in range(40):
        mask = draw("einthoven", lead_ratio=lead_ratio, batch=8, step=step, seed=step)
        for dropped in mask.hidden_lead.numpy():
            visible, missing = limb_leads(dropped)
            seen.update(missing)
            for lead in missing:
                rank = np.linalg.matrix_rank(LIMB_MATRIX[visible])
                assert np.linalg.matrix_rank(LIMB_MATRIX[[*visible, lead]]) == rank + 1
                assert residual(visible, lead, step) > 0.1
    assert seen == set(range(6)), "every limb lead must be dropped in some step"


@settings(max_examples=60, deadline=None)
@given(leads=LEAD_SETS, lead_ratio=RATIOS, step=st.integers(0, 1000), seed=st.integers(0, 100))
def test_einthoven_on_any_leads(leads, lead_ratio, step, seed):
    mask = draw("einthoven", lead_ratio=lead_ratio, leads=leads, step=step, seed=seed)
    limb = [i for i, lead in enumerate(leads) if lead in LIMB_LEADS]
    for dropped in mask.hidden_lead.numpy():
        if any(dropped[i] for i in limb):
            assert sum(not dropped[i] for i in limb) <= 1


def test_paper_drops_limb_leads_that_least_squares_gives_back():
    recovered = 0
    for step in range(20):
        for dropped in draw("paper", batch=8, step=step, seed=step).hidden_lead.numpy():
            visible, missing = limb_leads(dropped)
            assert len(visible) >= 2
            for lead in missing:
                assert residual(visible, lead, step) < 1e-12
                recovered += 1
    assert recovered > 50


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    time_ratio=RATIOS,
    lead_ratio=RATIOS,
    columns=st.integers(2, 20),
    step=st.integers(0, 99),
)
def test_complementary_views_have_no_patch_in_common(kind, time_ratio, lead_ratio, columns, step):
    mask = draw(kind, time_ratio, lead_ratio, columns=columns, step=step)
    other = complement(mask)
    assert torch.equal(mask.hidden_lead, other.hidden_lead)
    np.testing.assert_array_equal(other.keep, [np.flatnonzero(~row) for row in other.hidden.flatten(1).numpy()])
    if kind == "random" and mask.hidden.any():
        assert torch.equal(other.hidden, ~mask.hidden)
    elif mask.hidden_time.any():
        assert torch.equal(other.hidden_time, ~mask.hidden_time)
        assert not (~mask.hidden & ~other.hidden).any()
    else:
        assert other is mask


@settings(max_examples=60, deadline=None)
@given(
    time_ratio=RATIOS,
    batch=st.integers(1, 5),
    leads=st.integers(1, 12),
    columns=st.integers(1, 20),
    step=st.integers(0, 100_000),
    seed=st.integers(0, 1000),
    short=st.booleans(),
)
def test_visible_columns_are_complete_and_recorded(time_ratio, batch, leads, columns, step, seed, short):
    generator = torch.Generator().manual_seed(seed)
    count = torch.randint(columns + 1, (batch, 1), generator=generator)
    recorded = torch.arange(columns) < count if short else None  # (B, N)
    keep = draw_columns(time_ratio, batch, leads, columns, step, generator, recorded).numpy()
    visible = keep.shape[1] // leads
    assert max(1, np.floor((1 - time_ratio) * columns - 1e-6)) <= visible <= np.ceil((1 - time_ratio) * columns + 1e-6)
    for row, kept in enumerate(keep):
        first = kept[:visible]
        np.testing.assert_array_equal(kept, [lead * columns + column for lead in range(leads) for column in first])
        there = columns if recorded is None else int(count[row])
        assert (first < there).sum() == min(visible, there), "columns that are not recorded must be hidden first"


def test_every_visible_column_is_as_likely():
    kept = draw_columns(0.25, 4000, 1, 8, 0, torch.Generator().manual_seed(0))
    counts = np.bincount(kept.flatten().numpy(), minlength=8)
    # standard deviation of a count: 27
    np.testing.assert_allclose(counts, 3000, atol=130)
