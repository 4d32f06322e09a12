"""Score files in three formats, written in parts that an interrupted run leaves behind and the next one goes on from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, make_folder, write_atomic, write_json

PART = 512
"""Rows of a part: what is done again after a run was stopped, and what is in memory, are at most so many."""

Columns = Mapping[str, type]


class Format(ABC):
    """How rows become bytes.

    Args:
        columns: name and type (``str``, ``int`` or ``float``) of each column; any cell may be ``None``.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    @abstractmethod
    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        """Some rows."""

    @abstractmethod
    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        """The whole file from its parts, holding one of them at a time."""


class Csv(Format):
    """Nine digits give every float32 back; an empty cell is "no value"."""

    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        frame = pd.DataFrame({name: _series(cells[name], kind) for name, kind in self.columns.items()})
        return frame.to_csv(index=False, header=False, lineterminator="\n", float_format="%.9g").encode()

    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        out.write(pd.DataFrame(columns=list(self.columns)).to_csv(index=False, lineterminator="\n").encode())
        _append(parts, out)


class JsonLines(Format):
    """One object a line, ``null`` for "no value"."""

    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        rows = zip(*([_json_cell(value) for value in cells[name]] for name in self.columns), strict=True)
        lines = (json.dumps(dict(zip(self.columns, row, strict=True)), ensure_ascii=False) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()

    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        _append(parts, out)


class Parquet(Format):
    """A row group per part, zstd."""

    def _schema(self) -> Any:
        import pyarrow as pa

        types = {str: pa.string(), int: pa.int32(), float: pa.float64()}
        measured = {"sampling_rate", "duration", "heart_rate"}
        # scores are float32 by nature
        return pa.schema(
            [(n, pa.float32() if k is float and n not in measured else types[k]) for n, k in self.columns.items()]
        )

    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        buffer = io.BytesIO()
        schema = self._schema()
        arrays = [pa.array(_plain(cells[field.name]), type=field.type) for field in schema]
        parquet.write_table(pa.table(arrays, schema=schema), buffer, compression="zstd")
        return buffer.getvalue()

    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        from pyarrow import parquet

        with parquet.ParquetWriter(out, self._schema(), compression="zstd") as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part))


FORMATS: dict[str, type[Format]] = {".csv": Csv, ".jsonl": JsonLines, ".parquet": Parquet}


class ScoreFile:
    """A file that appears whole, made from parts that survive a stop.

    Args:
        out: ``.csv``, ``.jsonl`` or ``.parquet``.
        columns: of the table.
        about: everything that the rows follow from; parts of a run that differed in any of it are not used.
        rows: how many there will be.

    Raises:
        InputError: another suffix, or a place that cannot be written to.
    """

    def __init__(self, out: Path, columns: Columns, about: Mapping[str, Any], rows: int) -> None:
        require_format(out)
        self.out = out
        self.rows = rows
        self.format = FORMATS[out.suffix.lower()](columns)
        told = {"about": about, "columns": {name: kind.__name__ for name, kind in columns.items()}, "part": PART}
        key = hashlib.sha256(canonical_json(told, digits=None).encode()).hexdigest()[:12]
        self.folder = out.with_name(f".{out.name}.partial-{key}")
        make_folder(self.folder)

    @property
    def parts(self) -> int:
        """How many parts there are in the end."""
        return -(-self.rows // PART)

    def done(self, number: int) -> Counter[str] | None:
        """Reasons of rejections of a part that is there, with counts; ``None`` where it is not."""
        try:
            return Counter(json.loads(self._note(number).read_text()))
        except (OSError, ValueError):
            return None

    def write(self, number: int, cells: Mapping[str, Sequence[Any]], rejected: Counter[str]) -> None:
        """Keep a part; the note beside it says that it is whole."""
        write_atomic(self._part(number), self.format.part(cells))
        write_json(self._note(number), dict(rejected))

    def finish(self) -> None:
        """Put the file in place, and remove its parts and those of runs that were never ended."""
        whole = self.folder / "whole"
        with whole.open("wb") as file:
            self.format.join(map(self._part, range(self.parts)), file)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(self.out)
        for stale in self.out.parent.iterdir():
            if stale.name.startswith(f".{self.out.name}.partial-"):
                shutil.rmtree(stale, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06d}{self.out.suffix.lower()}"

    def _note(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


def require_format(out: Path) -> None:
    """Refuse a name that says no format.

    Raises:
        InputError: for it.
    """
    if out.suffix.lower() not in FORMATS or out.is_dir():
        raise InputError(Problem(str(out), "suffix", f"is not {', '.join(FORMATS)}", "Name a table to write"))


def _append(parts: Iterator[Path], out: BinaryIO) -> None:
    for part in parts:
        out.write(part.read_bytes())


def _series(values: Sequence[Any], kind: type) -> pd.Series[Any]:
    dtype: Any = {str: object, int: "Int64", float: float}[kind]
    return pd.Series(list(values), dtype=dtype)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _json_cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
