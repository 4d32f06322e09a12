"""Tables of a store, merged from the part files of its shards. Parts are read one by one to limit memory use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecgssl.csv_cells import row_writer
from ecgssl.datasets.cohort import NO_PATIENT, Cohort
from ecgssl.preprocessing.shards import read_part
from ecgssl.store import layout
from ecgssl.store.layout import index_schema
from ecgssl.store.patient_key import patient_hash

ROW_GROUP = 1 << 16
"""Minimum number of index rows that are written together."""


def write_rejected(
    path: Path, cohort: Cohort, parts: Sequence[Path], left_out: Mapping[int, str] | None = None
) -> Counter[str]:
    """Write the table of rejected recordings, ``rejected.csv``.

    Args:
        path: file to write.
        cohort: cohort of the recordings.
        parts: part files of the cohort's shards, in order.
        left_out: reason for each usable recording that is left out because of overlap, by row in the cohort's table.

    Returns:
        Number of rejected recordings by reason.
    """
    reasons: Counter[str] = Counter()
    left_out = left_out or {}
    also = pa.array(list(left_out), pa.int64())
    names = cohort.table["record_id"].to_numpy()
    with path.open("w", encoding="utf-8", newline="") as file:
        write = row_writer(file)
        write(layout.REJECTED_COLUMNS)
        for part, _ in map(read_part, parts):
            gone = part.filter(pc.or_(pc.is_valid(part["stage"]), pc.is_in(part["place"], value_set=also)))
            for row in gone.select(["place", *layout.REJECTED_COLUMNS[1:]]).to_pylist():
                place = row.pop("place")
                if place in left_out:
                    row |= {"stage": "overlap", "reason": "overlap", "detail": left_out[place]}
                write((names[place], *row.values()))
                reasons[row["reason"]] += 1
    return reasons


def write_index(
    path: Path, cohort: Cohort, parts: Sequence[Path], key: bytes, left_out: Mapping[int, str] | None = None
) -> tuple[int, Counter[str]]:
    """Write ``index.parquet``, with one row per stored recording in storage order.

    Args:
        path: file to write.
        cohort: cohort of the recordings.
        parts: part files of the cohort's shards, in order.
        key: secret key for the hashes of patient ids.
        left_out: see ``write_rejected``.

    Returns:
        Number of rows, and number of stored recordings with each finding, by code.
    """
    schema = index_schema(cohort.targets)
    stored = 0
    flags: Counter[str] = Counter()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for found in _gathered(parts, left_out or {}):
            writer.write_table(_index_rows(cohort, found, key, schema))
            stored += found.num_rows
            for cell in pc.value_counts(found["reasons"]).to_pylist():
                flags.update(dict.fromkeys(filter(None, cell["values"].split(";")), cell["counts"]))
    return stored, flags


def usable(path: Path) -> pa.Table:
    """Return the rows of a part file that belong to usable recordings, in the order of the shard."""
    part, _ = read_part(path)
    return part.filter(pc.is_null(part["stage"])).replace_schema_metadata()


def _gathered(parts: Sequence[Path], left_out: Mapping[int, str]) -> Iterator[pa.Table]:
    """Yield the rows of stored recordings in tables of at least ``ROW_GROUP`` rows; the last table may be smaller."""
    tables: list[pa.Table] = []
    gone = pa.array(list(left_out), pa.int64())
    for number, path in enumerate(parts, 1):
        part = usable(path)
        tables.append(part.filter(pc.invert(pc.is_in(part["place"], value_set=gone))))
        if number == len(parts) or sum(table.num_rows for table in tables) >= ROW_GROUP:
            yield pa.concat_tables(tables)
            tables = []


def _index_rows(cohort: Cohort, found: pa.Table, key: bytes, schema: pa.Schema) -> pa.Table:
    rows = cohort.table.iloc[found["place"].to_numpy()]
    columns: dict[str, Any] = {
        "record_id": rows["record_id"].astype(str),
        "patient": [
            patient_hash(key, _patient_key(patient, code))
            for patient, code in zip(rows["patient_id"], found["waveform_hash"].to_pylist(), strict=True)
        ],
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
    # NaN becomes null, as in tables written by pandas
    made = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, field.type, from_pandas=True)
        for field, column in ((field, columns[field.name]) for field in schema)
    ]
    return pa.Table.from_arrays(made, schema=schema)


def _patient_key(patient: str, code: str) -> str:
    """Return the patient ID to hash. If it is missing, add the waveform code, so that two cohorts do not share hashes."""
    return f"{patient}\0{code}" if patient.startswith(NO_PATIENT) else patient
