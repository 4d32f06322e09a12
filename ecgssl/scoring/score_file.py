"""Score files in CSV, JSON Lines or Parquet format, written in parts so that interrupted runs can be resumed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ecgssl.csv_cells import safe_csv
from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, make_folder, require_regular, write_atomic, write_json

PART = 512
"""Maximum number of rows per part. It limits memory use and the number of rows that are lost by an interruption."""

Columns = Mapping[str, type]


class Format(ABC):
    """Output format of a score file.

    Args:
        columns: name and type (``str``, ``int`` or ``float``) of each column; any cell may be ``None``.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    @abstractmethod
    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        """Return the rows of one part as bytes in this format."""

    @abstractmethod
    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        """Join the parts and write the complete file to ``out``. Only one part is in memory at a time."""


class Csv(Format):
    """CSV format. Floats have nine significant digits, which is exact for every float32. Missing values are empty cells."""

    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        frame = pd.DataFrame({name: _series(cells[name], kind) for name, kind in self.columns.items()})
        return safe_csv(frame, header=False, float_format="%.9g").encode()

    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        out.write(safe_csv(pd.DataFrame(columns=list(self.columns))).encode())
        _append(parts, out)


class JsonLines(Format):
    """JSON Lines format with one object per line. Missing, NaN and infinite values are ``null``."""

    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        rows = zip(*([_json_cell(value) for value in cells[name]] for name in self.columns), strict=True)
        lines = (json.dumps(dict(zip(self.columns, row, strict=True)), ensure_ascii=False) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()

    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        _append(parts, out)


class Parquet(Format):
    """Parquet format with zstd compression and one row group per part."""

    def _schema(self) -> Any:
        import pyarrow as pa

        types = {str: pa.string(), int: pa.int32(), float: pa.float64()}
        measured = {"sampling_rate", "duration", "recorded_seconds", "heart_rate"}
        # scores are float32, like the model outputs
        return pa.schema(
            [(n, pa.float32() if k is float and n not in measured else types[k]) for n, k in self.columns.items()]
        )

    def part(self, cells: Mapping[str, Sequence[Any]]) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        buffer = io.BytesIO()
        schema = self._schema()
        arrays = [pa.array(plain_values(cells[field.name]), type=field.type) for field in schema]
        parquet.write_table(pa.table(arrays, schema=schema), buffer, compression="zstd")
        return buffer.getvalue()

    def join(self, parts: Iterator[Path], out: BinaryIO) -> None:
        from pyarrow import parquet

        with parquet.ParquetWriter(out, self._schema(), compression="zstd") as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part))


FORMATS: dict[str, type[Format]] = {".csv": Csv, ".jsonl": JsonLines, ".parquet": Parquet}


class ScoreFile:
    """Score file that is written in parts. Finished parts are kept after an interruption.

    Args:
        out: output file, ``.csv``, ``.jsonl`` or ``.parquet``; it is written atomically.
        columns: names and types of the columns.
        about: settings that determine the rows. Parts written with other settings are not reused.
        rows: number of rows of the complete file.

    Raises:
        InputError: ``out`` has an unknown suffix, or its folder cannot be written.
    """

    def __init__(self, out: Path, columns: Columns, about: Mapping[str, Any], rows: int) -> None:
        require_format(out)
        self.out = out
        self.rows = rows
        self.format = FORMATS[out.suffix.lower()](columns)
        described = {"about": about, "columns": {name: kind.__name__ for name, kind in columns.items()}, "part": PART}
        key = hashlib.sha256(canonical_json(described, digits=None).encode()).hexdigest()[:12]
        self.folder = out.with_name(f".{out.name}.partial-{key}")
        make_folder(self.folder)

    @property
    def parts(self) -> int:
        """Number of parts in the complete file."""
        return -(-self.rows // PART)

    def done(self, number: int) -> Counter[str] | None:
        """Return the number of rejected recordings of a part by ``reasons`` cell; ``None`` if the part is not finished."""
        try:
            return Counter(json.loads(self._marker(number).read_text()))
        except (OSError, ValueError):
            return None

    def write(self, number: int, cells: Mapping[str, Sequence[Any]], rejected: Counter[str]) -> None:
        """Write a part, followed by a JSON file that marks it as finished."""
        write_atomic(self._part(number), self.format.part(cells))
        write_json(self._marker(number), dict(rejected))

    def finish(self) -> None:
        """Write the complete file. Remove its parts and those of other interrupted runs with the same output file."""
        whole = self.folder / "whole"
        with whole.open("wb") as file:
            self.format.join(map(self._part, range(self.parts)), file)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(self.out)
        for stale in self.out.parent.iterdir():
            if stale.name.startswith(f".{self.out.name}.partial-"):
                shutil.rmtree(stale, ignore_errors=True)

    @contextmanager
    def without_empty_folder(self) -> Iterator[None]:
        """Remove the folder of the parts if the block ends before a part is finished."""
        try:
            yield
        finally:
            with suppress(OSError):
                self.folder.rmdir()

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06d}{self.out.suffix.lower()}"

    def _marker(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


def require_format(out: Path) -> None:
    """Check that the suffix of an output file is a known format.

    Raises:
        InputError: the suffix is not in ``FORMATS``, or ``out`` is a folder, a pipe or a device.
    """
    require_regular(out)
    if out.suffix.lower() not in FORMATS or out.is_dir():
        raise InputError(Problem(str(out), "suffix", f"is not {', '.join(FORMATS)}", "Use one of these suffixes"))


def require_same_rows(out: Path, columns: Sequence[str], ids: Sequence[str], model: str) -> None:
    """Check that a run would replace an existing score file only by rows of the same recordings and the same model.

    Args:
        out: output file; nothing is checked if it does not exist.
        columns, ids, model: columns, record ids and model version of the new file.

    Raises:
        InputError: ``out`` has other columns, other recordings or scores of another model, or is no score file.
    """
    if not out.exists():
        return
    try:
        found = _read(out)
        same = list(found.columns) == list(columns) and found["record_id"].tolist() == list(ids)
        same = same and set(found["model"]) <= {model}
    except (OSError, ValueError, KeyError):
        same = False
    if not same:
        what = "exists and is not the result of this command: it has other recordings, or scores of another model"
        raise InputError(Problem(str(out), "output", what, "Add --overwrite to replace it, or use another --out"))


def _read(out: Path) -> pd.DataFrame:
    if out.suffix.lower() == ".parquet":
        return pd.read_parquet(out)
    if out.suffix.lower() == ".csv":
        return pd.read_csv(out, dtype=str, keep_default_na=False)
    return pd.read_json(out, lines=True, dtype={"record_id": str}, convert_dates=False)


def _append(parts: Iterator[Path], out: BinaryIO) -> None:
    for part in parts:
        out.write(part.read_bytes())


def _series(values: Sequence[Any], kind: type) -> pd.Series[Any]:
    dtype: Any = {str: object, int: "Int64", float: float}[kind]
    return pd.Series(list(values), dtype=dtype)


def plain_values(values: Sequence[Any]) -> list[Any]:
    """Return values with NumPy scalars converted to Python types."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _json_cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
