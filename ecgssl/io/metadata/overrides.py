"""What a user or a set states about a file, for formats that do not say it and for headers that are known to be wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stated:
    """Values that fill in what a file leaves open; where the file says otherwise, they win and ``Recording.meta`` says so.

    Args:
        sampling_rate: Hz.
        unit: of the numbers that the file yields after its own scaling: nV, uV, mV or V.
        leads: name of each row, in the file's order.
    """

    sampling_rate: float | None = None
    unit: str | None = None
    leads: tuple[str, ...] | None = None


NOTHING = Stated()
