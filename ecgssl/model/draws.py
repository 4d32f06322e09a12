"""Random numbers that do not depend on the division of a batch into parts."""

from __future__ import annotations

import torch
from torch import Tensor


class PartGenerator(torch.Generator):
    """Random generator for one part of a batch.

    Numbers are drawn for the whole batch, and those of the part are returned. The numbers of a recording therefore do not
    depend on the number of processes or accumulated pieces. The numbers for the other parts are drawn and discarded.

    Args:
        device: device of the numbers.
        whole: number of recordings of the whole batch.
        start: index of the first recording of the part.
    """

    whole: int
    start: int

    def __new__(cls, device: torch.device, whole: int, start: int) -> PartGenerator:
        made = super().__new__(cls, device)  # type: ignore[call-arg]
        made.whole, made.start = whole, start
        return made


def uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Return uniform numbers in [0, 1) on the generator's device. The first axis of ``shape`` is the axis of recordings."""
    return _part(torch.rand(*_whole(shape, generator), generator=generator, device=generator.device), shape, generator)


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers on the generator's device. The first axis of ``shape`` is the axis of recordings."""
    return _part(torch.randn(*_whole(shape, generator), generator=generator, device=generator.device), shape, generator)


def integers(high: int, *shape: int, generator: torch.Generator) -> Tensor:
    """Return integers in [0, ``high``) on the generator's device. The first axis of ``shape`` is the axis of recordings."""
    whole = torch.randint(high, _whole(shape, generator), generator=generator, device=generator.device)
    return _part(whole, shape, generator)


def _whole(shape: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    return (generator.whole, *shape[1:]) if isinstance(generator, PartGenerator) else shape


def _part(drawn: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if not isinstance(generator, PartGenerator):
        return drawn
    return drawn[generator.start : generator.start + shape[0]]
