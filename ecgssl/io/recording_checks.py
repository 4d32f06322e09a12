"""Checks of a recording in memory: signal, sampling rate and lead names. This module does not import torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ecgssl.errors import Problem, RecordingError
from ecgssl.signal.leads import LEADS, identify_leads

SLOWEST, FASTEST = 1.0, 100_000.0
"""Smallest and largest sampling rate in Hz that is accepted."""

_SHOWN = 24
"""Number of characters of an unknown lead name that are shown."""
_TEXT = ("has text instead of numbers", "Use signal.astype(numpy.float32)")
_OTHER_KINDS = {
    "U": _TEXT,
    "S": _TEXT,
    "c": ("has complex numbers", "Use signal.real if the imaginary part is 0"),
    "b": ("has truth values instead of voltages", "Give the voltages in mV"),
}


def check_recording(signal: Any, sampling_rate: Any, leads: Any, record_id: Any) -> tuple[str, ...]:
    """Check the fields of a recording in memory and return its lead names as a tuple.

    Args:
        signal: array (leads, samples) of real numbers in mV; NaN for missing values.
        sampling_rate: sampling rate in Hz, from ``SLOWEST`` to ``FASTEST``.
        leads: lead name of each row. An unknown name is an error here; readers of files omit such channels instead.
        record_id: text.

    Raises:
        RecordingError: a field is invalid. The error lists all problems. Its reason has the code of each: ``malformed``
            for signal and record id, ``leads``, ``duplicate_lead`` and ``rate``.
    """
    names = tuple(leads) if isinstance(leads, Iterable) and not isinstance(leads, str | bytes) else leads
    wrong = array_problem(signal)
    if wrong is None:
        wrong = shape_problem(signal.shape, len(names) if isinstance(names, tuple) else None)
    found: list[tuple[str, Problem | None]] = [("malformed", wrong)]
    if not isinstance(record_id, str):
        what = f"is of type {type(record_id).__name__}"
        found.append(("malformed", Problem("recording", "record_id", what, "Give a text, such as 'mine'")))
    found += [*lead_problems(names).items(), ("rate", rate_problem(sampling_rate))]
    problems = [(code, problem) for code, problem in found if problem is not None]
    if problems:
        codes = dict.fromkeys(code for code, _ in problems)
        raise RecordingError(";".join(codes), _joined([problem for _, problem in problems]))
    return tuple(names)


def array_problem(signal: Any) -> Problem | None:
    """Return the problem of a signal that is no array of real numbers; ``None`` for other signals."""
    if not isinstance(signal, np.ndarray):
        what, remedy = f"is of type {type(signal).__name__}", "Use numpy.asarray(signal, dtype=numpy.float32)"
    elif isinstance(signal, np.ma.MaskedArray):
        what, remedy = "is a masked array, whose mask would be lost", "Use signal.astype(float).filled(numpy.nan)"
    elif signal.dtype.kind in "iuf":
        return None
    else:
        other = (f"has the type {signal.dtype.name}, not numbers", "Use signal.astype(numpy.float32)")
        what, remedy = _OTHER_KINDS.get(signal.dtype.kind, other)
    return Problem("recording", "signal", what, remedy)


def shape_problem(shape: Sequence[int], count: int | None) -> Problem | None:
    """Return the problem of an array that does not have one row per lead; ``None`` for other arrays.

    Args:
        shape: shape of the array.
        count: number of lead names; ``None`` if it is unknown.
    """
    if len(shape) != 2:
        what, remedy = f"has {len(shape)} dimensions", "Use an array (leads, samples)"
        return Problem("recording", "signal", what, remedy)
    if count is None or shape[0] == count:
        return None
    if shape[1] == count:
        what = f"has shape ({shape[0]}, {shape[1]}) for {count} leads, but (leads, samples) is required: transpose?"
        return Problem("recording", "signal", what, "Give one row per lead, such as signal.T in NumPy")
    what = f"has {count} names for {shape[0]} rows of the signal"
    return Problem("recording", "leads", what, "Give one name per row")


def lead_problems(leads: Any) -> dict[str, Problem]:
    """Return the problems of lead names by reason code: wrong type, unknown names, repeated leads.

    Args:
        leads: tuple or list of names, or a wrong value.
    """
    if isinstance(leads, str | bytes):
        split = isinstance(leads, str) and "," in leads
        remedy = "Use leads.split(',')" if split else "Use a list, such as ['I', 'II'] or ecgssl.LEADS"
        return {"leads": Problem("recording", "leads", "is one text, not a list of names", remedy)}
    remedy = "Use a list of names, such as ['I', 'II'] or ecgssl.LEADS"
    if not isinstance(leads, tuple | list):
        return {"leads": Problem("recording", "leads", f"is of type {type(leads).__name__}", remedy)}
    if types := sorted({type(name).__name__ for name in leads if not isinstance(name, str)}):
        what = f"has names that are no text, but of type {', '.join(types)}"
        return {"leads": Problem("recording", "leads", what, remedy)}
    if _are_distinct_leads(tuple(leads)):
        return {}
    found = [None if named is None else named.lead for named in identify_leads(leads)]
    problems = {}
    if unknown := [name[:_SHOWN] for name, lead in zip(leads, found, strict=True) if lead is None]:
        what = f"has unknown names: {', '.join(map(repr, unknown))}"
        problems["leads"] = Problem("recording", "leads", what, f"Use {', '.join(LEADS)}, or remove these rows")
    if repeated := sorted(lead for lead, count in Counter(found).items() if lead is not None and count > 1):
        what = f"has {', '.join(repeated)} more than once"
        problems["duplicate_lead"] = Problem("recording", "leads", what, "Send each lead once")
    return problems


@lru_cache(maxsize=512)
def _are_distinct_leads(names: tuple[str, ...]) -> bool:
    found = {None if named is None else named.lead for named in identify_leads(names)}
    return None not in found and len(found) == len(names)


def rate_problem(sampling_rate: Any) -> Problem | None:
    """Return the problem of a sampling rate that is no number from ``SLOWEST`` to ``FASTEST``, otherwise ``None``."""
    if not isinstance(sampling_rate, int | float | np.integer | np.floating) or isinstance(sampling_rate, bool):
        what = f"is of type {type(sampling_rate).__name__}, not a number"
        return Problem("recording", "sampling_rate", what, "Set it in Hz, such as 500")
    # the condition is negated so that NaN also fails the check
    if not SLOWEST <= sampling_rate <= FASTEST:
        what = f"is {sampling_rate:g}, not between {SLOWEST:g} and {FASTEST:g}"
        return Problem("recording", "sampling_rate", what, "Set it in Hz")
    return None


def _joined(problems: Sequence[Problem]) -> Problem:
    fields = ", ".join(dict.fromkeys(problem.field for problem in problems))
    return Problem("recording", fields, "; ".join(p.what for p in problems), ". ".join(p.remedy for p in problems))
