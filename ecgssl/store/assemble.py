"""From the parts of all shards to the tables of a store, one part at a time, so that memory does not grow with them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecgssl.datasets.cohort import Cohort
from ecgssl.store import layout
from ecgssl.store.patient_key import patient_hash
from ecgssl.store.shards import read_part
from ecgssl.store.tables import index_schema

ROW_GROUP = 1 << 16
"""Rows of the index that are gathered before they are written."""


def write_rejected(path: Path, cohort: Cohort, parts: Sequence[Path]) -> Counter[str]:
    """Write ``rejected.csv``.

    Args:
        path: of the file.
        cohort: whose recordings the parts tell of.
        parts: files in the order of their shards.

    Returns:
        Recordings left out, by reason.
    """
    reasons: Counter[str] = Counter()
    names = cohort.table["record_id"].to_numpy()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(layout.REJECTED_COLUMNS)
        for part, _ in map(read_part, parts):
            left_out = part.filter(pc.is_valid(part["stage"]))
            for row in left_out.select(["place", *layout.REJECTED_COLUMNS[1:]]).to_pylist():
                writer.writerow([names[row.pop("place")], *row.values()])
                reasons[row["reason"]] += 1
    return reasons


def write_index(path: Path, cohort: Cohort, parts: Sequence[Path], key: bytes) -> tuple[int, Counter[str]]:
    """Write ``index.parquet``: a row per stored recording, in storage order.

    Args:
        path: of the file.
        cohort: whose recordings the parts tell of.
        parts: files in the order of their shards.
        key: that patient ids are hashed with.

    Returns:
        Number of rows; findings of stored recordings, by code.
    """
    schema = index_schema(cohort.targets)
    stored = 0
    flags: Counter[str] = Counter()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for found in _gathered(parts):
            writer.write_table(_index_rows(cohort, found, key, schema))
            stored += found.num_rows
            for cell in pc.value_counts(found["reasons"]).to_pylist():
                flags.update(dict.fromkeys(filter(None, cell["values"].split(";")), cell["counts"]))
    return stored, flags


def shared_waveforms(index: Path) -> list[str]:
    """A note where recordings look the same and lie in different splits: the test would be on what was trained on."""
    table = pq.read_table(index, columns=["record_id", "split", "waveform_hash"])
    table = table.filter(pc.not_equal(table["split"], ""))
    splits = table.group_by("waveform_hash").aggregate([("split", "count_distinct")])
    several = splits.filter(pc.greater(splits["split_count_distinct"], 1))["waveform_hash"]
    shared = table.filter(pc.is_in(table["waveform_hash"], value_set=several.combine_chunks()))
    if not shared.num_rows:
        return []
    ordered = shared.sort_by([("waveform_hash", "ascending"), ("record_id", "ascending")])
    examples = ", ".join(ordered["record_id"][:4].to_pylist())
    return [f"{shared.num_rows} recordings have the waveform of a recording in another split ({examples})"]


def _gathered(parts: Sequence[Path]) -> Iterator[pa.Table]:
    """What was found of stored recordings, ``ROW_GROUP`` rows or a few more at a time."""
    tables: list[pa.Table] = []
    for number, path in enumerate(parts, 1):
        part, _ = read_part(path)
        tables.append(part.filter(pc.is_null(part["stage"])).replace_schema_metadata())
        if number == len(parts) or sum(table.num_rows for table in tables) >= ROW_GROUP:
            yield pa.concat_tables(tables)
            tables = []


def _index_rows(cohort: Cohort, found: pa.Table, key: bytes, schema: pa.Schema) -> pa.Table:
    rows = cohort.table.iloc[found["place"].to_numpy()]
    columns: dict[str, Any] = {
        "record_id": rows["record_id"].astype(str),
        "patient": [patient_hash(key, patient) for patient in rows["patient_id"]],
    }
    for name in layout.DESCRIPTIVE_COLUMNS[2:]:
        if name not in rows:
            columns[name] = [None if pa.types.is_floating(schema.field(name).type) else ""] * len(rows)
        elif pa.types.is_floating(schema.field(name).type):
            columns[name] = rows[name].astype(float)
        else:
            columns[name] = rows[name].fillna("").astype(str)
    columns |= {name: rows[name].astype(float) for name in cohort.targets}
    columns |= {name: found[name] for name in (*layout.FOUND_COLUMNS, *layout.FIGURE_COLUMNS)}
    # NaN becomes null, as in every table that pandas writes
    made = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, field.type, from_pandas=True)
        for field, column in ((field, columns[field.name]) for field in schema)
    ]
    return pa.Table.from_arrays(made, schema=schema)
