"""Recording metadata: sampling rate, leads, units, age and sex, and values set by the user."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import RecordingError
from ecgssl.io.read_errors import read_error
from ecgssl.io.recording import Recording
from ecgssl.io.recording_checks import FASTEST, SLOWEST
from ecgssl.signal.leads import NamedLead, identify_leads
from ecgssl.signal.other_channels import channels_left_out, left_out_text

OLDEST = 90.0
"""Age in years that replaces every age above 89, because higher ages can identify a patient."""

_MILLIVOLTS = {
    **{"nv": 1e-6, "uv": 1e-3, "\u03bcv": 1e-3, "mv": 1.0, "v": 1e3},
    **{"nanovolt": 1e-6, "microvolt": 1e-3, "millivolt": 1.0, "volt": 1e3},
}
_SEX = {"m": "male", "male": "male", "f": "female", "female": "female"}


@dataclass(frozen=True)
class MetadataOverrides:
    """Metadata from the user or a data set that replace wrong or missing values of a file.

    ``Recording.meta["overridden"]`` lists the fields whose value in the file is replaced by a different one.

    Args:
        sampling_rate: sampling rate in Hz.
        unit: unit of the samples after the file's scaling: nV, uV, mV or V.
        leads: one name per row, in the order of the file.
    """

    sampling_rate: float | None = None
    unit: str | None = None
    leads: tuple[str, ...] | None = None


NO_OVERRIDES = MetadataOverrides()


@dataclass(frozen=True)
class ResolvedMetadata:
    """Metadata of a file after the overrides are applied.

    Args:
        sampling_rate: sampling rate in Hz.
        rows: indices of the rows that contain one of the twelve leads, in the order of the file.
        leads: name of each of these rows, as written in the file or by the user; aVR for the inverted -aVR.
        scale: factor that converts each of these rows to mV; negative for the inverted -aVR.
        overridden: fields whose value in the file is replaced by a different one.
        left_out: names of the channels that are not one of the twelve leads
            (``ecgssl.signal.other_channels.channel_name``).
        inverted: leads that are stored with inverted sign in the file.
        flags: codes of ``ecgssl.signal.reasons`` that preprocessing adds to its findings.
    """

    sampling_rate: float
    rows: tuple[int, ...]
    leads: tuple[str, ...]
    scale: tuple[float, ...]
    overridden: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    inverted: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def meta(self) -> dict[str, Any]:
        """Entries ``overridden``, ``left_out``, ``inverted`` and ``flags`` for ``Recording.meta``; empty ones are omitted."""
        entries = {name: getattr(self, name) for name in ("overridden", "left_out", "inverted", "flags")}
        return {name: value for name, value in entries.items() if value}


def millivolts(unit: str) -> float | None:
    """Return the factor that converts a unit to mV; ``None`` for other units.

    Args:
        unit: nV, uV, mV, V or their English names, in any case. Both Unicode characters for micro are accepted, also if
            UTF-8 was decoded as Latin-1.
    """
    text = unit.strip().lower()
    # micro sign and Greek letter mu in UTF-8 decoded as Latin-1, and the micro sign itself
    for spelling in ("\u00e2\u00b5", "\u00ee\u00bc", "\u00b5"):
        text = text.replace(spelling, "\u03bc")
    return _MILLIVOLTS.get(text, _MILLIVOLTS.get(text.removesuffix("s")))


def age(value: float) -> float | None:
    """Return an age in years, with ages above 89 replaced by ``OLDEST``; ``None`` for values outside 0 to 130."""
    if not (math.isfinite(value) and 0 <= value <= 130):
        return None
    return OLDEST if value > 89 else float(value)


def sex(text: str) -> str | None:
    """Return ``male`` or ``female`` for male, female, m or f in any case; ``None`` for other strings."""
    return _SEX.get(text.strip().casefold())


def recording_meta(
    years: float | None, word: str | None, *, device: str = "", filters: Mapping[str, float | None] | None = None
) -> dict[str, Any]:
    """Return the entries of ``Recording.meta`` about patient and device, without missing or invalid values.

    Args:
        years: age in years.
        word: sex, as written in the file.
        device: model name, truncated to 40 characters.
        filters: cut-off frequencies in Hz by name; zeros and ``None`` are omitted.
    """
    entries = {
        "age": None if years is None else age(years),
        "sex": None if word is None else sex(word),
        "device": device[:40] or None,
        "filters": None if filters is None else {name: float(hertz) for name, hertz in filters.items() if hertz},
    }
    return {name: value for name, value in entries.items() if value is not None}


def resolve_metadata(
    path: Path,
    overrides: MetadataOverrides,
    rows: int,
    *,
    sampling_rate: float | Sequence[float | None] | None = None,
    unit: str | Sequence[str | None] | None = None,
    leads: Sequence[str] | None = None,
) -> ResolvedMetadata:
    """Return the sampling rate, leads and scale factors of a file after applying the overrides.

    Args:
        path: file name for messages.
        overrides: values that replace those of the file.
        rows: number of channels in the file, including those that are not leads.
        sampling_rate: sampling rate in Hz in the file; one value, or one for each row.
        unit: unit in the file; one value, or one for each row. ``None`` if the file does not contain it.
        leads: name of each row in the file; ``None`` if the file does not contain names.

    Raises:
        RecordingError: reason ``rate`` (missing, or outside ``SLOWEST`` to ``FASTEST``), ``rates`` (leads have
            different sampling rates), ``no_leads`` (no lead names, or none of the twelve leads), ``duplicate_lead``,
            ``unit`` (missing, or not a voltage) or ``leads`` (the number of names differs from the number of rows).
    """
    if overrides.leads is not None and len(overrides.leads) != rows:
        fix = "Set one name for each row of the file, in its order"
        raise read_error(
            "leads", path, "leads", f"{len(overrides.leads)} names are given, but there are {rows} rows", fix
        )
    if sampling_rate is None or isinstance(sampling_rate, float | int):
        sampling_rate = (sampling_rate,) * rows
    if unit is None or isinstance(unit, str):
        unit = (unit,) * rows
    given = replace(overrides, leads=tuple(overrides.leads)) if isinstance(overrides.leads, list) else overrides
    try:
        return _resolved(given, tuple(sampling_rate), tuple(unit), None if leads is None else tuple(leads))
    except RecordingError as error:
        problem = error.problems[0]
        raise read_error(error.reason, path, problem.field, problem.what, problem.remedy) from None


_NO_FILE = Path()


@lru_cache(maxsize=512)
def _resolved(
    overrides: MetadataOverrides,
    rates: tuple[float | None, ...],
    units: tuple[str | None, ...],
    leads: tuple[str, ...] | None,
) -> ResolvedMetadata:
    """Return the result of ``resolve_metadata``. The files of a data set have few different metadata.

    Raises:
        RecordingError: as ``resolve_metadata``, without the file name.
    """
    path, rows = _NO_FILE, len(rates)
    names = overrides.leads if overrides.leads is not None else leads
    if names is None:
        raise _no_leads(path, f"the file has no names for its {rows} rows")
    found = _standard_leads(path, names)
    kept = tuple(found)
    if len({rates[i] for i in kept}) > 1:
        raise read_error("rates", path, "leads", "have different sampling rates", "Resample the leads to one rate")
    rate = rates[kept[0]]
    differs = {
        "sampling_rate": overrides.sampling_rate is not None and rate not in (None, overrides.sampling_rate),
        "unit": overrides.unit is not None and any(_differ(units[i], overrides.unit) for i in kept),
        "leads": leads is not None and tuple(names) != tuple(leads),
    }
    inverted = tuple(named.lead for named in found.values() if named.sign < 0)
    return ResolvedMetadata(
        sampling_rate=_check_rate(path, rate if overrides.sampling_rate is None else overrides.sampling_rate),
        rows=kept,
        leads=tuple(names[i].strip() if named.sign > 0 else named.lead for i, named in found.items()),
        scale=tuple(named.sign * _scale(path, named.lead, overrides.unit or units[i]) for i, named in found.items()),
        overridden=tuple(field for field, true in differs.items() if true),
        left_out=channels_left_out(names, kept),
        inverted=inverted,
    )


def build_recording(
    path: Path,
    resolved: ResolvedMetadata,
    rows: Sequence[NDArray[Any]],
    *,
    record_id: str,
    name: str,
    meta: Mapping[str, Any] | None = None,
) -> Recording:
    """Return a recording in mV from the samples of its leads.

    Args:
        path: file name for messages.
        resolved: metadata of this file.
        rows: samples of each lead in ``resolved.leads``, of any integer or floating-point type. Values that are not
            finite become NaN.
        record_id: record id.
        name: name of the format.
        meta: additional entries of ``Recording.meta``.

    Raises:
        RecordingError: reason ``length`` if there are no samples or the leads differ in length, or ``content`` if the
            samples are not real numbers.
    """
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        counts = ", ".join(map(str, lengths[:4]))
        raise read_error("length", path, "leads", f"have different lengths ({counts} samples)")
    if lengths == [0]:
        raise read_error("length", path, "samples", "the recording is empty", "Remove the file from the cohort")
    signal = np.empty((len(rows), lengths[0]), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for out, row, scale in zip(signal, rows, resolved.scale, strict=True):
            check_real(path, "samples", row.dtype)
            out[...] = row.astype(np.float64) * scale
    signal[~np.isfinite(signal)] = np.nan
    entries = {"format": name} | dict(meta or {}) | resolved.meta
    return Recording(signal, resolved.sampling_rate, resolved.leads, record_id, None, entries)


def check_real(path: Path, field: str, dtype: np.dtype[Any]) -> None:
    """Raise an error with reason ``content`` if a dtype is neither integer nor floating-point."""
    if dtype.kind not in "iuf":
        fix = "Store the samples as integers or floating-point numbers, leads x samples"
        raise read_error("content", path, field, f"has type {dtype.name[:20]}, not a real number type", fix)


def _standard_leads(path: Path, names: Sequence[str]) -> dict[int, NamedLead]:
    """Return a dictionary from row index to lead, for the rows that are one of the twelve leads."""
    found = {i: named for i, named in enumerate(identify_leads(names)) if named is not None}
    if not found:
        what = left_out_text(channels_left_out(names, ())) or "the file has no signal"
        raise _no_leads(path, f"none of the {len(names)} channels is one of the twelve leads; {what}")
    counts = Counter(named.lead for named in found.values())
    repeated = sorted(lead for lead, count in counts.items() if count > 1)
    if repeated:
        raise read_error(
            "duplicate_lead", path, ", ".join(repeated), "occurs more than once", "Use each lead name once"
        )
    return found


def _no_leads(path: Path, what: str) -> RecordingError:
    fix = "Set lead names from I, II, III, aVR, aVL, aVF, V1 to V6 (column leads of a manifest: names joined by ;)"
    return read_error("no_leads", path, "leads", what, fix)


def _differ(found: str | None, override: str) -> bool:
    return found is not None and millivolts(found) != millivolts(override)


def _check_rate(path: Path, rate: float | None) -> float:
    if rate is not None and SLOWEST <= rate <= FASTEST:
        return float(rate)
    # the message omits the value, because a damaged file may contain other data in this field
    what = (
        "the file does not contain a sampling rate"
        if rate is None
        else f"is not between {SLOWEST:g} and {FASTEST:g} Hz"
    )
    raise read_error("rate", path, "sampling rate", what, "Set it in Hz (column sampling_rate of a manifest)")


def _scale(path: Path, lead: str, unit: str | None) -> float:
    factor = None if unit is None else millivolts(unit)
    if factor is not None:
        return factor
    what = "the file does not contain the unit" if unit is None else "its unit is not a voltage"
    raise read_error("unit", path, f"lead {lead}", what, "Set nV, uV, mV or V (column units of a manifest)")
