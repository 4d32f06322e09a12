"""Random draws for a part of a batch equal those for the whole batch."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from ecgssl.config import FDAParams, STDMParams
from ecgssl.model.core_ecg import circular_shift
from ecgssl.model.draws import PartGenerator, integers, normal, uniform
from ecgssl.model.fda import FDA
from ecgssl.model.stdm import draw_mask
from ecgssl.signal.leads import LEADS

CPU = torch.device("cpu")


def part(start: int, whole: int = 6) -> torch.Generator:
    return PartGenerator(CPU, whole, start).manual_seed(5)


def assert_parts_of_whole(draw, same=torch.equal) -> None:
    """Call ``draw(count, generator)`` twice, for the whole batch and for parts of 1, 2 and 3 recordings."""
    generator = torch.Generator().manual_seed(5)
    whole = [draw(slice(0, 6), generator) for _ in range(2)]
    assert not torch.equal(whole[0], whole[1])
    for start, stop in ((0, 1), (1, 3), (3, 6)):
        generator = part(start)
        for expected in whole:
            assert same(draw(slice(start, stop), generator), expected[start:stop])


def count(where: slice) -> int:
    return where.stop - where.start


@pytest.mark.parametrize(
    "draw",
    [
        lambda where, g: uniform(count(where), 3, generator=g),
        lambda where, g: normal(count(where), generator=g),
        lambda where, g: integers(1000, count(where), 4, generator=g),
    ],
)
def test_draws(draw):
    assert_parts_of_whole(draw)


@pytest.mark.parametrize("kind", ["paper", "einthoven", "random"])
def test_masks(kind):
    params = STDMParams(kind=kind, time_ratio=0.4, lead_ratio=0.3)
    assert_parts_of_whole(lambda where, g: draw_mask(params, count(where), LEADS, 10, 3, g).hidden)


@pytest.mark.parametrize("kind", ["fda", "jitter_scale"])
def test_views(kind):
    x = torch.randn(6, 12, 200, generator=torch.Generator().manual_seed(0))
    fda = FDA(FDAParams(kind=kind, knots=8), LEADS, 100.0, (0.5, 40.0))
    with torch.no_grad():
        # the draws are bit-identical, but a matrix product of fewer rows may round differently
        assert_parts_of_whole(lambda where, g: fda(x[where], 0.5, g), partial(torch.allclose, rtol=0, atol=1e-6))
    assert_parts_of_whole(lambda where, g: circular_shift(x[where], g))
