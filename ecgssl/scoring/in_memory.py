"""Checks of a recording in memory, before it is preprocessed. This module does not import torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata import FASTEST, SLOWEST
from ecgssl.io.recording import Recording
from ecgssl.signal.leads import LEADS, identify_leads

_SHOWN = 24
"""Number of characters of an unknown lead name that are shown."""


def memory_problems(sampling_rate: float, leads: Sequence[str]) -> dict[str, Problem]:
    """Return the problems of a recording in memory by reason code.

    An unknown lead name is a problem here. Readers of files omit channels with unknown names instead.

    Args:
        sampling_rate: sampling rate in Hz.
        leads: lead name of each row.
    """
    found = [None if named is None else named.lead for named in identify_leads(leads)]
    problems = {}
    if unknown := [name[:_SHOWN] for name, lead in zip(leads, found, strict=True) if lead is None]:
        what = f"has unknown names: {', '.join(map(repr, unknown))}"
        problems["leads"] = Problem("recording", "leads", what, f"Use {', '.join(LEADS)}, or remove these rows")
    if repeated := sorted(lead for lead, count in Counter(found).items() if lead is not None and count > 1):
        what = f"has {', '.join(repeated)} more than once"
        problems["duplicate_lead"] = Problem("recording", "leads", what, "Send each lead once")
    # the condition is negated so that NaN also fails the check
    if not SLOWEST <= sampling_rate <= FASTEST:
        what = f"is {sampling_rate:g}, not between {SLOWEST:g} and {FASTEST:g}"
        problems["rate"] = Problem("recording", "sampling_rate", what, "Set it in Hz")
    return problems


def transposed(shape: Sequence[int], leads: Sequence[str]) -> Problem | None:
    """Return the problem of an array in the order (samples, leads); ``None`` for other arrays.

    Args:
        shape: shape of the array.
        leads: lead names, one per row of a correct array.
    """
    if len(shape) != 2 or shape[0] == len(leads) or shape[1] != len(leads):
        return None
    what = f"has shape ({shape[0]}, {shape[1]}) for {len(leads)} leads, but (leads, samples) is required: transpose?"
    return Problem("recording", "signal", what, "Give one row per lead, such as signal.T in NumPy")


def memory_recording(signal: NDArray[np.float32], sampling_rate: float, leads: Sequence[str]) -> Recording:
    """Return a recording in memory after the checks of ``memory_problems``.

    Args:
        signal: (leads, samples) float32 in mV; NaN for missing values.
        sampling_rate: sampling rate in Hz.
        leads: lead name of each row.

    Raises:
        RecordingError: a lead name is unknown, a lead occurs twice, or the sampling rate is not between ``SLOWEST`` and
            ``FASTEST``. The error lists all problems. Reason ``malformed``: the array seems to be transposed.
        ValueError: ``signal`` and ``leads`` have different numbers of rows.
    """
    leads = tuple(str(lead) for lead in leads)
    if problem := transposed(signal.shape, leads):
        raise RecordingError("malformed", problem)
    if problems := memory_problems(sampling_rate, leads):
        fields = ", ".join(dict.fromkeys(problem.field for problem in problems.values()))
        what, remedy = (
            text.join(getattr(problem, name) for problem in problems.values())
            for text, name in (("; ", "what"), (". ", "remedy"))
        )
        raise RecordingError(";".join(problems), Problem("recording", fields, what, remedy))
    return Recording(signal, sampling_rate, leads, "in memory")
