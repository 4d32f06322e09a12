"""Columns and types of the Arrow tables of preprocessing: the part of one shard, and the index of a store."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ecgssl.store import layout

_NOT_FLOAT = {
    **dict.fromkeys(("record_id", "patient", "split", "sex", "site", "device"), pa.string()),
    **dict.fromkeys(("stage", "reason", "detail", "reasons", "findings", "waveform_hash"), pa.string()),
    **dict.fromkeys(("place", "lead_mask", "clipped"), pa.int64()),
}


def _schema(*columns: str) -> pa.Schema:
    return pa.schema([(name, _NOT_FLOAT.get(name, pa.float64())) for name in dict.fromkeys(columns)])


PART_SCHEMA = _schema(
    # findings belong to both kinds of recordings
    *dict.fromkeys(("place", *layout.REJECTED_COLUMNS[1:], *layout.FOUND_COLUMNS, *layout.FIGURE_COLUMNS))
)
"""A row per recording of a shard: its place in the cohort's table; why it was left out, null where it was stored; what
preprocessing found, null (but for the findings) where it was left out."""


def index_schema(targets: Sequence[str]) -> pa.Schema:
    """Columns of ``index.parquet``; the targets lie between what is known and what was found."""
    known, found = _schema(*layout.DESCRIPTIVE_COLUMNS), _schema(*layout.FOUND_COLUMNS, *layout.FIGURE_COLUMNS)
    return pa.schema([*known, *((name, pa.float64()) for name in targets), *found])
