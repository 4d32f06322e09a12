"""Which block of a file is the recording: hospital files hold median beats, several strips and strips of some leads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.read_errors import read_error
from ecgssl.signal.leads import canonical

MOST_CHANNELS = 256
"""Of one strip; the largest body surface maps have fewer."""


@dataclass(frozen=True)
class Strip:
    """One block of leads that were recorded at the same time.

    Args:
        leads: canonical names of those it holds.
        length: seconds, or samples where no strip of the file says its rate.
    """

    leads: frozenset[str]
    length: float

    @classmethod
    def of(cls, names: Iterable[str], samples: float, sampling_rate: float | None) -> Strip:
        """Of channels called ``names``; channels that are none of the twelve leads do not count."""
        leads = frozenset(lead for lead in map(canonical, names) if lead is not None)
        return cls(leads, samples / sampling_rate if sampling_rate else samples)


def choose(path: Path, strips: Sequence[Strip], member: str | None, others: int) -> int:
    """Place of the strip that is the recording: the only one, or one that leaves out nothing of the others.

    Args:
        path: names the file in messages.
        strips: rhythm strips, in the file's order.
        member: place of the one wanted, counted from 1 (``file#2``).
        others: how many median or derived blocks the file holds besides.

    Returns:
        Index into ``strips``. Without ``member`` a strip is taken where every other one is shorter and adds no lead.

    Raises:
        RecordingError: ``no_leads`` where there is no strip, ``member`` where it is unknown or where a choice is needed.
    """
    if not strips:
        only = f"; it holds only median or derived beats ({others})" if others else ""
        problem = Problem(str(path), "leads", f"there is no rhythm strip{only}", "Export the rhythm waveform")
        raise RecordingError("no_leads", problem)
    if member is not None:
        if member.isascii() and member.isdigit() and 1 <= int(member[:9]) <= len(strips):
            return int(member) - 1
        problem = Problem(str(path), "member", f"there are strips 1 to {len(strips)}", "Name one of them after #")
        raise RecordingError("member", problem)
    place = max(range(len(strips)), key=lambda i: strips[i].length)
    rest = [strip for i, strip in enumerate(strips) if i != place]
    if all(strip.length < strips[place].length and strip.leads <= strips[place].leads for strip in rest):
        return place
    what = f"it holds {len(strips)} rhythm strips, none of which includes the others"
    choices = ", ".join(f"{path.name}#{i}" for i in range(1, min(len(strips), 4) + 1))
    raise RecordingError("member", Problem(str(path), "leads", what, f"Name one: {choices}"))


def check_channels(path: Path, found: int, declared: float | None = None) -> None:
    """Compare how many channels follow with what the file declares, which may be nothing.

    Raises:
        RecordingError: ``header`` where they differ, or for more than ``MOST_CHANNELS``.
    """
    if declared is not None and found != declared:
        raise read_error("header", path, "channels", f"{found} follow, the file declares {declared:g}")
    if found > MOST_CHANNELS:
        raise read_error("header", path, "channels", f"{found} are more than any ECG has")


def record_id(path: Path, member: str | None) -> str:
    """Name of the recording: that of the file, with the strip where one was named."""
    return path.stem if member is None else f"{path.stem}#{member}"
