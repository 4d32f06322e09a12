"""Monitored features of score files, read some rows at a time to limit memory use."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.csv_cells import original_frame
from ecgssl.datasets.cohort import rows_text
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular
from ecgssl.monitoring.features import NEEDED, RECORDED, SCORES, Features, embeddings, features, joined
from ecgssl.scoring.score_file import FORMATS

_ROWS = 20_000
"""Number of rows that are read at the same time."""
_UNSEEN = ("record_id", "detail")
"""Columns that are not read, because they could identify recordings."""
_NUMBERS = ("sampling_rate", "heart_rate", RECORDED)
_NUMBER_PREFIXES = (*SCORES, "raw__", "call__", "emb_")
_STATUS = ("ok", "rejected")
_FIRST_ROW = {".csv": 2}
"""Row number of the first recording by suffix, 1 for other suffixes. In a CSV file, the header is row 1."""


@dataclass(frozen=True)
class Batch:
    """What monitoring needs of score files.

    Args:
        features: features of all recordings.
        embeddings: embeddings (n, E) of the scored recordings; E is 0 without columns of embeddings.
        columns: names of the columns.
        policies: window policies of the recordings.
    """

    features: Features
    embeddings: NDArray[np.float64]
    columns: frozenset[str]
    policies: frozenset[str]


def read_batch(paths: Sequence[Path | str], digest: str, leads: Sequence[str], duration: float | None) -> Batch:
    """Read score files and combine them into one batch.

    Args:
        paths: output files of ``ecgssl predict`` or ``ecgssl embed``.
        digest: digest of the bundle that scored them.
        leads, duration: see ``ecgssl.monitoring.features.features``.

    Raises:
        InputError: a file cannot be read, lacks columns, was scored with another bundle or has invalid cells, or the files have
            different columns. The error lists all problems.
    """
    found: list[Batch] = []
    problems: list[Problem] = []
    for path in map(Path, paths):
        try:
            require_regular(path)
            found.append(_read(path, digest, leads, duration))
        except InputError as error:
            problems += error.problems
        except FileNotFoundError:
            problems.append(Problem(str(path), "file", "does not exist", "Use an existing score file"))
        except (OSError, ValueError, pd.errors.ParserError) as error:
            what = f"cannot be read ({type(error).__name__})"
            problems.append(Problem(str(path), "file", what, "Use a file of 'ecgssl predict' or 'ecgssl embed'"))
    if problems:
        raise InputError(problems)
    # files of older releases have no column of recorded seconds
    if len({batch.columns - {RECORDED} for batch in found}) > 1:
        remedy = "Use the option --embeddings for files of embeddings"
        raise InputError(Problem("scores", "columns", "differ between the files", remedy))
    return _joined(found)


def _read(path: Path, digest: str, leads: Sequence[str], duration: float | None) -> Batch:
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise InputError(Problem(str(path), "suffix", f"is not {', '.join(FORMATS)}", "Use a score file"))
    found: list[Batch] = []
    # rows with an invalid cell, by column and problem
    invalid: dict[tuple[str, str, str], list[int]] = {}
    first = _FIRST_ROW.get(suffix, 1)
    for table in _READERS[suffix](path):
        lacking = [name for name in (*NEEDED, "model", "window_policy") if name not in table]
        if lacking:
            remedy = "Use a file of 'ecgssl predict' or 'ecgssl embed'"
            raise InputError(Problem(str(path), "columns", f"do not include {', '.join(lacking)}", remedy))
        if not table["model"].astype(str).str.endswith(f"+{digest}").all():
            remedy = "Use the bundle that scored it, or score again with 'ecgssl predict' or 'ecgssl embed'"
            raise InputError(Problem(str(path), "model", "was scored with another bundle", remedy))
        for problem, rows in _invalid_cells(table):
            invalid.setdefault(problem, []).extend((rows + first).tolist())
        first += len(table)
        if not invalid:
            numbers = _with_numbers(table)
            part = features(numbers, leads, duration)
            columns, policies = frozenset(map(str, table)), frozenset(table["window_policy"])
            found.append(Batch(part, embeddings(numbers), columns, policies))
    if invalid:
        # the problems do not quote the cells, because these could contain personal data
        raise InputError(
            Problem(str(path), name, f"{what} in {rows_text(rows)}", remedy)
            for (name, what, remedy), rows in invalid.items()
        )
    return _joined(found)


def _joined(parts: Sequence[Batch]) -> Batch:
    return Batch(
        joined([part.features for part in parts]),
        np.concatenate([part.embeddings for part in parts]),
        frozenset().union(*(part.columns for part in parts)),
        frozenset().union(*(part.policies for part in parts)),
    )


def _is_number(column: str) -> bool:
    return column in _NUMBERS or column.startswith(_NUMBER_PREFIXES)


def _invalid_cells(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], NDArray[np.int64]]]:
    """Yield numeric columns that contain other text, and values of status other than ok or rejected, with their rows.

    Rows are counted from 0. The first item consists of column, problem and remedy.
    """
    for name in map(str, table):
        if name == "status":
            wrong, what, remedy = ~table[name].isin(_STATUS), "is neither ok nor rejected", "Use the unchanged file"
        elif _is_number(name):
            wrong = table[name].notna() & _as_numbers(table[name]).isna() & ~table[name].map(_is_nan)
            what, remedy = "is not a number", "Correct the cells, or use the unchanged file of 'ecgssl predict'"
        else:
            continue
        if wrong.any():
            yield (name, what, remedy), np.flatnonzero(wrong)


def _with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its numeric columns as floats. Infinite values become NaN."""
    numbers = {name: _as_numbers(table[name]) for name in map(str, table) if _is_number(name)}
    return table.assign(**numbers)


def _as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    plain = column.where(column.map(lambda cell: isinstance(cell, int | float | str | np.number)))
    numbers = pd.to_numeric(plain, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _is_nan(cell: object) -> bool:
    text = str(cell).strip().lower()
    return text in ("nan", "inf", "-inf", "infinity", "-infinity")


def _csv(path: Path) -> Iterator[pd.DataFrame]:
    texts: dict[Hashable, type[str]] = dict.fromkeys(
        ("status", "reasons", "flags", "leads", "model", "window_policy", "predicted"), str
    )
    options: dict[str, Any] = {"dtype": texts, "na_values": [""], "keep_default_na": False}
    empty = True
    with pd.read_csv(path, usecols=lambda name: name not in _UNSEEN, chunksize=_ROWS, **options) as parts:
        for part in parts:
            empty = False
            yield original_frame(part)
    if empty:
        yield original_frame(pd.read_csv(path, usecols=lambda name: name not in _UNSEEN, **options))


def _json_lines(path: Path) -> Iterator[pd.DataFrame]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, _ROWS)]
        while True:
            yield pd.DataFrame(
                [{k: np.nan if v is None else v for k, v in r.items() if k not in _UNSEEN} for r in rows]
            )
            rows = [json.loads(line) for line in islice(lines, _ROWS)]
            if not rows:
                return


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    from pyarrow import Table, parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        names = [name for name in schema.names if name not in _UNSEEN]
        if not file.metadata.num_rows:
            yield file.read(names).to_pandas()
        for part in file.iter_batches(_ROWS, columns=names):
            yield Table.from_batches([part]).to_pandas()


_READERS: dict[str, Callable[[Path], Iterator[pd.DataFrame]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
"""Functions that yield the rows of a score file in parts."""
