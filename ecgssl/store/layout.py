"""File layout of a store: file names, columns and Arrow schemas.

``spec.json`` contains, among others, the preprocessing settings, the sample scale and the SHA-256 of each shard.
``shard-00000.npy`` contains int16 samples (recordings, leads, samples). ``index.parquet`` has one row per stored
recording, in storage order. ``rejected.csv`` has one row per rejected recording. With ``signal.windows: all``, both have
one row per window.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

FORMAT = "ecgssl-store"
VERSION = 1
SPEC = "spec.json"
INDEX = "index.parquet"
REJECTED = "rejected.csv"

DESCRIPTIVE_COLUMNS = ("record_id", "patient", "split", "fold", "age", "sex", "site", "device")
"""First columns of the index; they are followed by the targets and the results of preprocessing."""

FOUND_COLUMNS = (
    "source_rate",
    "recorded",
    "window",
    "lead_mask",
    "reasons",
    "findings",
    "clipped",
    "waveform_hash",
)
"""Columns of the index with results of preprocessing other than quality figures.

``recorded`` is the number of recorded samples from the start of the window; the samples after them are 0. ``window`` is the
number of the window in its recording, from 0 (``signal.windows``). Stores of earlier releases have neither column; all
their recordings are complete.
"""

FIGURE_COLUMNS = (
    "amplitude",
    "beats",
    "chest_swap",
    "flat_seconds",
    "heart_rate",
    "hf_noise",
    "lead_difference",
    "leads",
    "limb_residual",
    "limb_swap",
    "lowest_sd",
    "mains",
    "nan_fraction",
    "railed_fraction",
    "span",
    "template_match",
    "wander",
)
"""Columns of the index with quality figures (``ecgssl.signal.quality``)."""

REJECTED_COLUMNS = ("record_id", "stage", "reason", "detail", "findings")
"""Columns of ``rejected.csv``. Use ``ecgssl.signal.findings.findings_from_cell`` to parse column ``findings``."""


def window_id(record_id: str, window: int) -> str:
    """Return the id of a window: the id of the recording for the first window, and for others for example ``ID@w2``."""
    return f"{record_id}@w{window}" if window else record_id


def split_window_id(name: str) -> tuple[str, int]:
    """Return the id of the recording and the number of the window, the arguments of ``window_id``."""
    record_id, at, number = name.rpartition("@w")
    return (record_id, int(number)) if at and number.isdecimal() else (name, 0)


def shard_name(number: int) -> str:
    """Return the file name of the shard with this number."""
    return f"shard-{number:05d}.npy"


_NOT_FLOAT = {
    **dict.fromkeys(("record_id", "patient", "split", "sex", "site", "device"), pa.string()),
    **dict.fromkeys(("stage", "reason", "detail", "reasons", "findings", "waveform_hash"), pa.string()),
    **dict.fromkeys(("place", "recorded", "window", "lead_mask", "clipped"), pa.int64()),
}


def _schema(*columns: str) -> pa.Schema:
    return pa.schema([(name, _NOT_FLOAT.get(name, pa.float64())) for name in dict.fromkeys(columns)])


PART_SCHEMA = _schema(
    # the column findings occurs in two of these groups, but only once in the schema
    *dict.fromkeys(("place", *REJECTED_COLUMNS[1:], *FOUND_COLUMNS, *FIGURE_COLUMNS))
)
"""Schema of a part file, which has one row per recording of a shard, or one per window with ``signal.windows: all``.

The reason of rejection is null for stored recordings. Results of preprocessing other than the findings are null for
rejected recordings.
"""


def index_schema(targets: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of ``index.parquet`` for the given target columns."""
    known, found = _schema(*DESCRIPTIVE_COLUMNS), _schema(*FOUND_COLUMNS, *FIGURE_COLUMNS)
    return pa.schema([*known, *((name, pa.float64()) for name in targets), *found])
