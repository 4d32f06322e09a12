"""Scoring of recordings in a pandas table. The result has one row per recording, including rejected recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgssl.errors import RecordingError
from ecgssl.export.bundle import Bundle
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected
from ecgssl.scoring.preprocess import PreparedRecording, prepare_recording, rejected
from ecgssl.scoring.score_file import plain_values
from ecgssl.scoring.scores import recording_outputs, score_cells
from ecgssl.signal.leads import LEADS, LIMB_MATRIX
from ecgssl.signal.spec import SignalSpec

INPUTS = ("signal", "sampling_rate", "leads")
"""Input columns: signal (unfiltered; a list of samples in mV for each lead), sampling rate in Hz, and lead names."""
STATUS_COLUMNS: dict[str, type] = {
    "status": str,
    "reasons": str,
    "detail": str,
    "flags": str,
    "heart_rate": float,
    "recorded_seconds": float,
}
"""Names and types of the output columns that precede the scores."""
MALFORMED = "signal is not one equally long list of numbers per lead, or sampling_rate is not a number"
_EXAMPLE_RATE = 250.0


def score_frame(bundle: Bundle, table: pd.DataFrame) -> pd.DataFrame:
    """Score a table of recordings with a classifier, or embed them with an encoder.

    Args:
        bundle: loaded bundle.
        table: table with the columns ``INPUTS``; its index is kept.

    Returns:
        Table with ``status`` (ok or rejected), ``reasons`` (codes of a rejection), ``detail`` (its explanation, with the
        unknown lead names), ``flags``, ``heart_rate`` and ``recorded_seconds`` (see
        ``ecgssl.scoring.preprocess.COLUMNS``). For a classifier, the columns of ``ecgssl.scoring.scores.score_columns``
        follow; for an encoder, the column ``embedding`` (a list of numbers). Missing values are ``None``.
    """
    prepared = [_prepare_row(bundle, *row) for row in table[list(INPUTS)].itertuples(index=False)]
    cells: dict[str, list[Any]] = {name: [one.row.get(name) for one in prepared] for name in STATUS_COLUMNS}
    decision = bundle.decision
    if decision is not None:
        scores = score_cells(decision, recording_outputs(bundle, prepared, "logits", "contract"))
        cells |= {name: plain_values(values) for name, values in scores.items()}
    else:
        vectors = recording_outputs(bundle, prepared, "embedding", "contract")
        scored = zip(vectors, prepared, strict=True)
        cells["embedding"] = [vector.tolist() if len(one.digital) else None for vector, one in scored]
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in cells.items()}).set_axis(table.index)


def example_frame(spec: SignalSpec) -> pd.DataFrame:
    """Return an example input for ``score_frame``: one synthetic recording with one beat per second."""
    time = np.arange(round(spec.duration * _EXAMPLE_RATE)) / _EXAMPLE_RATE
    parts = ((0.35, 0.012, 1.0), (0.6, 0.05, 0.25), (0.2, 0.025, 0.12))
    beat = sum(size * np.exp(-0.5 * ((time % 1.0 - place) / width) ** 2) for place, width, size in parts)
    # add baseline wander, as in real recordings
    drift = 0.03 * np.sin(2 * np.pi * 0.3 * time)
    sources = np.outer(np.linspace(0.4, 1.1, 8), beat) + np.outer(np.linspace(1, -1, 8), drift)
    rows = dict(zip(LEADS, np.round(np.concatenate([LIMB_MATRIX @ sources[:2], sources[2:]]), 4), strict=True))
    signal = [rows[lead].tolist() for lead in spec.leads]
    return pd.DataFrame({"signal": [signal], "sampling_rate": [_EXAMPLE_RATE], "leads": [list(spec.leads)]})


def _prepare_row(bundle: Bundle, signal: Any, sampling_rate: float, leads: tuple[str, ...]) -> PreparedRecording:
    try:
        # (L, samples)
        array = np.array([np.asarray(lead, dtype=np.float32) for lead in signal], dtype=np.float32)
        recording = Recording(array, float(sampling_rate), leads, "in memory")
    except RecordingError as error:
        problem = error.problems[0]
        return rejected(bundle.spec, error.reason, f"{problem.field}: {problem.what}. {problem.remedy}")
    except (TypeError, ValueError):
        # messages of Python and NumPy contain cells of the table
        return rejected(bundle.spec, "malformed", MALFORMED)
    try:
        return prepare_recording(recording, bundle.spec, bundle.quality, bundle.lsb)
    except Rejected as error:
        return rejected(bundle.spec, error.reason, error.detail)
