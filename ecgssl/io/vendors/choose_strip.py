"""Choice of the rhythm strip in files that also contain median beats, other strips or strips of a few leads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.io.read_errors import read_error
from ecgssl.signal.leads import canonical

MOST_CHANNELS = 256
"""Largest number of channels of one strip; the largest body surface maps have fewer."""


@dataclass(frozen=True)
class Strip:
    """A block of leads that were recorded at the same time.

    Args:
        leads: canonical names of the leads.
        length: length in s, or in samples if the file does not contain the sampling rate.
    """

    leads: frozenset[str]
    length: float

    @classmethod
    def of(cls, names: Iterable[str], samples: float, sampling_rate: float | None) -> Strip:
        """Return the strip of channels with these names; channels that are not one of the twelve leads do not count."""
        leads = frozenset(lead for lead in map(canonical, names) if lead is not None)
        return cls(leads, samples / sampling_rate if sampling_rate else samples)


def choose_strip(path: Path, strips: Sequence[Strip], member: str | None, others: int) -> int:
    """Return the index of the strip to read: the selected strip, the only strip, or a strip that includes all others.

    Args:
        path: file name for messages.
        strips: rhythm strips, in the file's order.
        member: number of the selected strip, from 1 (``file#2``). Without it, a strip is chosen if every other strip is
            shorter and adds no lead.
        others: number of median or derived blocks in the file.

    Raises:
        RecordingError: ``no_leads`` if there is no strip, or ``member`` if the member is missing or does not exist.
    """
    if not strips:
        only = f"; it contains only median or derived beats ({others})" if others else ""
        raise read_error("no_leads", path, "leads", f"there is no rhythm strip{only}", "Export the rhythm waveform")
    if member is not None:
        if member.isascii() and member.isdigit() and 1 <= int(member[:9]) <= len(strips):
            return int(member) - 1
        raise read_error("member", path, "member", f"there are strips 1 to {len(strips)}", "Use one of them after #")
    place = max(range(len(strips)), key=lambda i: strips[i].length)
    rest = [strip for i, strip in enumerate(strips) if i != place]
    if all(strip.length < strips[place].length and strip.leads <= strips[place].leads for strip in rest):
        return place
    what = f"it contains {len(strips)} rhythm strips, none of which includes the others"
    choices = ", ".join(f"{path.name}#{i}" for i in range(1, min(len(strips), 4) + 1))
    raise read_error("member", path, "leads", what, f"Select one: {choices}")


def check_channels(path: Path, found: int, declared: float | None = None) -> None:
    """Check the number of channels against the declared number, if there is one, and against the limit.

    Raises:
        RecordingError: ``header`` if the numbers differ, or for more than ``MOST_CHANNELS``.
    """
    if declared is not None and found != declared:
        raise read_error("header", path, "channels", f"{found} are stored, but the file declares {declared:g}")
    if found > MOST_CHANNELS:
        raise read_error("header", path, "channels", f"{found} exceed the limit of {MOST_CHANNELS}")


def record_id(path: Path, member: str | None) -> str:
    """Return the name of the file, followed by the number of the strip if one was selected."""
    return path.stem if member is None else f"{path.stem}#{member}"
