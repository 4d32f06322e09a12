"""Random draws of a batch that is shared out: every part draws what its recordings would have drawn in the whole batch."""

from __future__ import annotations

import torch
from torch import Tensor


class PartGenerator(torch.Generator):
    """The generator of one part of a batch: recordings ``start`` to ``start + part`` of ``whole``.

    Each draw is made for the whole batch and cut to the part, so that what happens to a recording depends on its place in
    the whole batch and not on how many processes or accumulated pieces that is spread over. The numbers drawn in vain are
    a few hundred per recording.

    Args:
        device: where the numbers are made.
        whole: recordings of the whole batch.
        start: place of the part's first recording.
    """

    whole: int
    start: int

    def __new__(cls, device: torch.device, whole: int, start: int) -> PartGenerator:
        made = super().__new__(cls, device)  # type: ignore[call-arg]
        made.whole, made.start = whole, start
        return made


def uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Numbers of [0, 1) on the generator's device; the first axis is the recordings."""
    return _part(torch.rand(*_whole(shape, generator), generator=generator, device=generator.device), shape, generator)


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers on the generator's device; the first axis is the recordings."""
    return _part(torch.randn(*_whole(shape, generator), generator=generator, device=generator.device), shape, generator)


def integers(high: int, *shape: int, generator: torch.Generator) -> Tensor:
    """Integers of [0, ``high``) on the generator's device; the first axis is the recordings."""
    whole = torch.randint(high, _whole(shape, generator), generator=generator, device=generator.device)
    return _part(whole, shape, generator)


def _whole(shape: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    return (generator.whole, *shape[1:]) if isinstance(generator, PartGenerator) else shape


def _part(drawn: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if not isinstance(generator, PartGenerator):
        return drawn
    return drawn[generator.start : generator.start + shape[0]]
