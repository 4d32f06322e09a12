"""Layout of a store on disk: file names, columns and Arrow schemas.

``spec.json`` holds the preprocessing settings, the scale and the SHA-256 of each shard. ``shard-00000.npy`` holds int16
samples (recordings x leads x samples). ``index.parquet`` has a row per stored recording, in storage order.
``rejected.csv`` has a row per rejected recording.
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
"""First columns of the index, followed by the targets and the results of preprocessing."""

FOUND_COLUMNS = ("source_rate", "lead_mask", "reasons", "findings", "clipped", "waveform_hash")
"""Results of preprocessing, without the quality figures."""

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
"""Quality figures (``ecgssl.signal.quality``)."""

REJECTED_COLUMNS = ("record_id", "stage", "reason", "detail", "findings")
"""Columns of ``rejected.csv``. ``ecgssl.signal.findings.findings_from_cell`` reads the column ``findings``."""


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:05d}.npy"


_NOT_FLOAT = {
    **dict.fromkeys(("record_id", "patient", "split", "sex", "site", "device"), pa.string()),
    **dict.fromkeys(("stage", "reason", "detail", "reasons", "findings", "waveform_hash"), pa.string()),
    **dict.fromkeys(("place", "lead_mask", "clipped"), pa.int64()),
}


def _schema(*columns: str) -> pa.Schema:
    return pa.schema([(name, _NOT_FLOAT.get(name, pa.float64())) for name in dict.fromkeys(columns)])


PART_SCHEMA = _schema(
    # both groups contain the findings
    *dict.fromkeys(("place", *REJECTED_COLUMNS[1:], *FOUND_COLUMNS, *FIGURE_COLUMNS))
)
"""Schema of a part file, with a row per recording of a shard: row in the cohort's table, reason of rejection (null if stored),
and results of preprocessing (null if rejected, except for the findings)."""


def index_schema(targets: Sequence[str]) -> pa.Schema:
    """Return the schema of ``index.parquet``: descriptive columns, targets and results of preprocessing."""
    known, found = _schema(*DESCRIPTIVE_COLUMNS), _schema(*FOUND_COLUMNS, *FIGURE_COLUMNS)
    return pa.schema([*known, *((name, pa.float64()) for name in targets), *found])
