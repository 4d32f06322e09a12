"""Selection of the rhythm strip in files with several strips or with median beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgssl.io.read_errors import read_error
from ecgssl.signal.leads import identify_leads

MOST_CHANNELS = 256
"""Largest number of channels of a strip; body surface maps have fewer."""


@dataclass(frozen=True)
class Strip:
    """Rhythm strip: leads that were recorded simultaneously.

    Args:
        leads: canonical names of the standard leads in the strip.
        length: length in s, or in samples if the sampling rate is unknown.
    """

    leads: frozenset[str]
    length: float

    @classmethod
    def of(cls, names: Iterable[str], samples: float, sampling_rate: float | None) -> Strip:
        """Return a strip with the leads among these channel names; other channels are ignored."""
        leads = frozenset(named.lead for named in identify_leads(tuple(names)) if named is not None)
        return cls(leads, samples / sampling_rate if sampling_rate else samples)


def choose_strip(path: Path, strips: Sequence[Strip], member: str | None, others: int) -> int:
    """Return the index of the strip to read: the selected strip, or the longest strip if no other has additional leads.

    Args:
        path: file name for messages.
        strips: rhythm strips, in the order of the file.
        member: number of the selected strip, from 1 (``file#2``). If ``None``, the longest strip is read; every other
            strip must be shorter and contain no additional lead.
        others: number of median or derived beats in the file, for the error message.

    Raises:
        RecordingError: reason ``no_leads`` if there is no strip, or ``member`` if the selected strip does not
            exist, or if none is selected and the choice is ambiguous.
    """
    if not strips:
        only = f"; it contains only median or derived beats ({others})" if others else ""
        raise read_error("no_leads", path, "leads", f"there is no rhythm strip{only}", "Export the rhythm waveform")
    if member is not None:
        if member.isascii() and member.isdigit() and 1 <= int(member[:9]) <= len(strips):
            return int(member) - 1
        raise read_error(
            "member", path, "member", f"the file has strips 1 to {len(strips)}", "Use one of these numbers after #"
        )
    place = max(range(len(strips)), key=lambda i: strips[i].length)
    rest = [strip for i, strip in enumerate(strips) if i != place]
    if all(strip.length < strips[place].length and strip.leads <= strips[place].leads for strip in rest):
        return place
    what = f"the file contains {len(strips)} rhythm strips, so the choice is ambiguous"
    choices = ", ".join(f"{path.name}#{i}" for i in range(1, min(len(strips), 4) + 1))
    raise read_error("member", path, "leads", what, f"Select a strip: {choices}")


def check_channels(path: Path, found: int, declared: float | None = None) -> None:
    """Check that the number of channels equals the declared number and does not exceed ``MOST_CHANNELS``.

    Raises:
        RecordingError: reason ``header`` if the numbers differ or the limit is exceeded.
    """
    if declared is not None and found != declared:
        raise read_error("header", path, "channels", f"{found} are stored, but the file declares another number")
    if found > MOST_CHANNELS:
        raise read_error("header", path, "channels", f"{found} exceed the limit of {MOST_CHANNELS}")


def record_id(path: Path, member: str | None) -> str:
    """Return the record id: the file name without suffix, with ``#member`` if a member was selected."""
    return path.stem if member is None else f"{path.stem}#{member}"
