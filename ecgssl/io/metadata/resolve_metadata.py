"""What a file says and what a user states of it, settled into what a recording needs: one place for all formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata.overrides import Stated
from ecgssl.io.metadata.units import millivolts
from ecgssl.io.recording import Recording
from ecgssl.signal.leads import canonical

SLOWEST, FASTEST = 1.0, 100_000.0
"""Hz; a sampling rate outside is a mistake of whoever wrote it."""


@dataclass(frozen=True)
class Settled:
    """What is known of a file before its samples are read.

    Args:
        sampling_rate: Hz.
        rows: numbers of the rows that are leads, in the file's order.
        leads: name of each of them, as the file or the user spells it.
        scale: mV of one unit of each of them.
        overridden: fields in which what was stated won over the file.
    """

    sampling_rate: float
    rows: tuple[int, ...]
    leads: tuple[str, ...]
    scale: tuple[float, ...]
    overridden: tuple[str, ...]

    @property
    def meta(self) -> dict[str, Any]:
        """Entry ``overridden`` of ``Recording.meta``, where there is any."""
        return {"overridden": self.overridden} if self.overridden else {}


def settle(
    path: Path,
    stated: Stated,
    rows: int,
    *,
    sampling_rate: float | Sequence[float | None] | None = None,
    unit: str | Sequence[str | None] | None = None,
    leads: Sequence[str] | None = None,
) -> Settled:
    """Settle rate, leads and units.

    Args:
        path: names the file in messages.
        stated: wins over what the file says.
        rows: channels in the file, leads or not.
        sampling_rate: Hz, as the file says, of all rows or of each.
        unit: as the file says, of all rows or of each; ``None`` where it does not.
        leads: name of each row, as the file says.

    Raises:
        RecordingError: ``rate`` (unknown, or outside ``SLOWEST`` to ``FASTEST``), ``rates`` (leads sampled at different
            rates), ``no_leads`` (rows without names, or none of the twelve among them), ``duplicate_lead``, ``unit``
            (unknown, or no voltage), ``leads`` (as many names as rows were not stated).
    """
    if stated.leads is not None and len(stated.leads) != rows:
        raise _error("leads", path, "leads", f"{len(stated.leads)} are stated, the file has {rows} rows")
    names = stated.leads if stated.leads is not None else leads
    if names is None:
        raise _error("no_leads", path, "leads", f"the file does not name its {rows} rows")
    kept, found = _twelve(path, names)
    rates = [sampling_rate] * rows if sampling_rate is None or isinstance(sampling_rate, float | int) else sampling_rate
    units = [unit] * rows if unit is None or isinstance(unit, str) else unit
    if len({rates[i] for i in kept}) > 1:
        raise _error("rates", path, "leads", "are sampled at different rates")
    said = rates[kept[0]]
    won = {
        "sampling_rate": stated.sampling_rate is not None and said not in (None, stated.sampling_rate),
        "unit": stated.unit is not None and any(_differ(units[i], stated.unit) for i in kept),
        "leads": leads is not None and tuple(names) != tuple(leads),
    }
    return Settled(
        sampling_rate=_rate(path, said if stated.sampling_rate is None else stated.sampling_rate),
        rows=kept,
        leads=found,
        scale=tuple(_scale(path, names[i], stated.unit or units[i]) for i in kept),
        overridden=tuple(field for field, true in won.items() if true),
    )


def finish(
    path: Path,
    settled: Settled,
    rows: Sequence[NDArray[Any]],
    *,
    record_id: str,
    name: str,
    meta: Mapping[str, Any] | None = None,
) -> Recording:
    """Scale the rows that are leads to mV and name the result.

    Args:
        path: names the file in messages.
        settled: of this file.
        rows: samples of each lead of ``settled``, in its order, of any real type. Values that are not finite carry no
            value and become NaN.
        record_id: of the recording.
        name: of the format.
        meta: further entries of ``Recording.meta``.

    Raises:
        RecordingError: ``length`` where there are no samples, ``content`` where they are no real numbers.
    """
    if len(rows[0]) == 0:
        raise _error("length", path, "samples", "there are none")
    signal = np.empty((len(rows), len(rows[0])), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for out, row, scale in zip(signal, rows, settled.scale, strict=True):
            if row.dtype.kind not in "iuf":
                raise _error("content", path, "samples", f"are no real numbers (type {row.dtype})")
            out[...] = row.astype(np.float64) * scale
    signal[~np.isfinite(signal)] = np.nan
    known = {"format": name} | dict(meta or {}) | settled.meta
    return Recording(signal, settled.sampling_rate, settled.leads, record_id, None, known)


def _twelve(path: Path, names: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    kept = tuple(i for i, name in enumerate(names) if canonical(name) is not None)
    if not kept:
        found = ", ".join(name[:20] or "(unnamed)" for name in names[:15]) or "no signal"
        raise _error("no_leads", path, "leads", f"none of the twelve leads is among: {found}")
    leads = Counter(canonical(names[i]) for i in kept)
    twice = sorted(str(lead) for lead, count in leads.items() if count > 1)
    if twice:
        raise _error("duplicate_lead", path, ", ".join(twice), "occurs more than once")
    return kept, tuple(names[i] for i in kept)


def _differ(said: str | None, stated: str) -> bool:
    return said is not None and millivolts(said) != millivolts(stated)


def _rate(path: Path, rate: float | None) -> float:
    if rate is None:
        raise _error("rate", path, "sampling rate", "the file does not say it")
    if not SLOWEST <= rate <= FASTEST:
        raise _error("rate", path, "sampling rate", f"{rate:g} Hz is not between {SLOWEST:g} and {FASTEST:g}")
    return float(rate)


def _scale(path: Path, lead: str, unit: str | None) -> float:
    if unit is None:
        raise _error("unit", path, f"lead {lead}", "the file does not say the unit")
    factor = millivolts(unit)
    if factor is None:
        raise _error("unit", path, f"lead {lead}", f"unit {unit[:20]!r} is not a voltage")
    return factor


_REMEDY = {
    "rate": "State it in Hz (column sampling_rate of a manifest)",
    "unit": "State nV, uV, mV or V (column units of a manifest)",
    "rates": "Resample the leads to one rate",
    "no_leads": "Name the rows I, II, III, aVR, aVL, aVF, V1 to V6 (column leads of a manifest: names joined by ;)",
    "leads": "State one name for each row of the file, in its order",
    "duplicate_lead": "Name each lead once",
    "length": "Leave the file out",
    "content": "Store the samples as integers or floating-point numbers",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))
