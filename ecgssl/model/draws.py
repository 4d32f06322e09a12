"""Random numbers for parts of a batch, equal to the numbers that the whole batch would draw."""

from __future__ import annotations

import torch
from torch import Tensor


class PartGenerator(torch.Generator):
    """Generator of one part of a batch: recordings ``start`` to ``start + part`` of ``whole``.

    Each draw is made for the whole batch and cut to the part. Therefore the numbers of a recording do not depend on the
    number of processes or accumulated pieces. A few hundred unused numbers are drawn per recording.

    Args:
        device: of the numbers.
        whole: number of recordings of the whole batch.
        start: index of the part's first recording.
    """

    whole: int
    start: int

    def __new__(cls, device: torch.device, whole: int, start: int) -> PartGenerator:
        made = super().__new__(cls, device)  # type: ignore[call-arg]
        made.whole, made.start = whole, start
        return made


def uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Return uniform numbers in [0, 1) on the generator's device; the first axis is the recordings."""
    return _part(torch.rand(*_whole(shape, generator), generator=generator, device=generator.device), shape, generator)


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers on the generator's device; the first axis is the recordings."""
    return _part(torch.randn(*_whole(shape, generator), generator=generator, device=generator.device), shape, generator)


def integers(high: int, *shape: int, generator: torch.Generator) -> Tensor:
    """Return integers in [0, ``high``) on the generator's device; the first axis is the recordings."""
    whole = torch.randint(high, _whole(shape, generator), generator=generator, device=generator.device)
    return _part(whole, shape, generator)


def _whole(shape: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    return (generator.whole, *shape[1:]) if isinstance(generator, PartGenerator) else shape


def _part(drawn: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if not isinstance(generator, PartGenerator):
        return drawn
    return drawn[generator.start : generator.start + shape[0]]
