"""Tables of a store, merged from the part files of its shards. Parts are read one by one to limit memory use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecgssl.csv_cells import row_writer
from ecgssl.datasets.cohort import NO_PATIENT, Cohort
from ecgssl.preprocessing.shards import read_part
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout
from ecgssl.store.layout import index_schema
from ecgssl.store.patient_key import patient_hash

ROW_GROUP = 1 << 16
"""Minimum number of index rows that are written together."""


@dataclass(frozen=True)
class IndexCounts:
    """Counts of a store index.

    Args:
        rows: number of rows: recordings, or windows with ``signal.windows: all``.
        recordings: number of stored recordings.
        short: number of stored recordings that are shorter than ``signal.duration``.
        flags: number of rows with each finding, by code.
    """

    rows: int
    recordings: int
    short: int
    flags: Counter[str]


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
        Number of rejected recordings by reason. A recording with several windows counts once, with the reason of its first
        window, and only if no window is stored.
    """
    reasons: dict[int, str] = {}
    left_out = left_out or {}
    also = pa.array(list(left_out), pa.int64())
    names = cohort.table["record_id"].to_numpy()
    with path.open("w", encoding="utf-8", newline="") as file:
        write = row_writer(file)
        write(layout.REJECTED_COLUMNS)
        for part, _ in map(read_part, parts):
            gone = pc.or_(pc.is_valid(part["stage"]), pc.is_in(part["place"], value_set=also))
            stored = set(part.filter(pc.invert(gone))["place"].to_pylist())
            for row in part.filter(gone).select(["place", "window", *layout.REJECTED_COLUMNS[1:]]).to_pylist():
                place, window = row.pop("place"), row.pop("window")
                if place in left_out:
                    row |= {"stage": "overlap", "reason": "overlap", "detail": left_out[place]}
                write((layout.window_id(names[place], window), *row.values()))
                if place not in stored:
                    reasons.setdefault(place, row["reason"])
    return Counter(reasons.values())


def write_index(
    path: Path,
    cohort: Cohort,
    parts: Sequence[Path],
    key: bytes,
    spec: SignalSpec,
    left_out: Mapping[int, str] | None = None,
) -> IndexCounts:
    """Write ``index.parquet``, with one row per stored recording or window in storage order.

    Args:
        path: file to write.
        cohort: cohort of the recordings.
        parts: part files of the cohort's shards, in order.
        key: secret key for the hashes of patient ids.
        spec: preprocessing settings.
        left_out: see ``write_rejected``.
    """
    schema = index_schema(cohort.targets)
    rows = recordings = short = 0
    flags: Counter[str] = Counter()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for found in _gathered(parts, left_out or {}):
            writer.write_table(_index_rows(cohort, found, key, schema))
            rows += found.num_rows
            recordings += pc.count_distinct(found["place"]).as_py()
            short += pc.sum(pc.less(found["recorded"], spec.samples)).as_py() or 0
            for cell in pc.value_counts(found["reasons"]).to_pylist():
                flags.update(dict.fromkeys(filter(None, cell["values"].split(";")), cell["counts"]))
    return IndexCounts(rows, recordings, short, flags)


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
    # all windows of a recording have the patient of its first stored window
    codes: dict[int, str] = {}
    for place, code in zip(found["place"].to_pylist(), found["waveform_hash"].to_pylist(), strict=True):
        codes.setdefault(place, code)
    names = zip(rows["record_id"].astype(str), found["window"].to_pylist(), strict=True)
    columns: dict[str, Any] = {
        "record_id": [layout.window_id(name, window) for name, window in names],
        "patient": [
            patient_hash(key, _patient_key(patient, codes[place]))
            for patient, place in zip(rows["patient_id"], found["place"].to_pylist(), strict=True)
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
