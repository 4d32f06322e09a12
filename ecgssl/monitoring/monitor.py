"""Monitoring of a deployed model: comparison of score files with the reference statistics in its bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.csv_cells import original_frame
from ecgssl.datasets.cohort import rows_text
from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import InputError, Problem
from ecgssl.export.bundle_files import check_files
from ecgssl.export.checksums import verify_sums
from ecgssl.export.statistics_file import STATISTICS, read_statistics
from ecgssl.files import require_regular, write_atomic, write_json
from ecgssl.monitoring.compare import compare
from ecgssl.monitoring.features import NEEDED, RECORDED, SCORES, embeddings, features
from ecgssl.monitoring.page import render_drift
from ecgssl.output_lock import exclusive
from ecgssl.scoring.score_file import FORMATS
from ecgssl.version import __version__

FEWEST = 50
"""Smallest number of scored recordings in a batch."""
_UNSEEN = ("record_id", "detail")
"""Columns that are not read, because they could identify recordings."""
_NUMBERS = ("sampling_rate", "heart_rate", RECORDED)
_NUMBER_PREFIXES = (*SCORES, "raw__", "call__", "emb_")
_STATUS = ("ok", "rejected")
_FIRST_ROW = {".csv": 2}
"""Row number of the first recording by suffix, 1 for other suffixes. In a CSV file, the header is row 1."""


def monitor(
    bundle: Path | str,
    scores: Sequence[Path | str],
    out: Path | str,
    embedded: Sequence[Path | str] = (),
    *,
    require_signature: Path | str | None = None,
) -> dict[str, Any]:
    """Compare score files with the reference statistics of their bundle, and write an HTML page and a JSON file.

    Args:
        bundle: bundle that scored the files, as a folder or as the name of a shipped model. It must contain
            ``reference_statistics.json``, which ``ecgssl export --store`` writes. The model is not loaded.
        scores: output files of ``ecgssl predict`` or ``ecgssl embed``. They are combined into one batch.
        out: path of the HTML page (``.html``). The JSON file has the same name with the suffix ``.json``.
        embedded: output files of ``ecgssl embed`` with the same bundle, used to compare the embeddings.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.

    Returns:
        Content of the JSON file: ``verdict`` (``steady``, ``watch`` or ``drift``), counts, and the results of all
        comparisons.

    Raises:
        InputError: ``out`` is not an HTML file name, the bundle is altered or has no reference statistics, a score file
            cannot be read or was made with another bundle, the files have different columns, a cell is invalid, or
            fewer than ``FEWEST`` recordings were scored or embedded, or another process uses ``out``.
    """
    bundle, out = model_folder(bundle, "bundle"), Path(out)
    if out.suffix.lower() != ".html":
        raise InputError(Problem(str(out), "suffix", "is not .html", "Use a file name ending in .html"))
    with exclusive(out):
        return _monitor(bundle, scores, out, embedded, require_signature)


def _monitor(
    bundle: Path,
    scores: Sequence[Path | str],
    out: Path,
    embedded: Sequence[Path | str],
    require_signature: Path | str | None,
) -> dict[str, Any]:
    digest = verify_sums(bundle, require_signature)[:16]
    if not (bundle / STATISTICS).exists():
        remedy = (
            "Make the bundle again with 'ecgssl export' and --store, from a store with 30 validation patients or more"
        )
        raise InputError(
            Problem(str(bundle), STATISTICS, "is missing from the bundle, so the batch cannot be compared", remedy)
        )
    files = check_files(bundle)
    reference = read_statistics(bundle, files.embed_dim)
    table, more = _read(scores, digest), _read(embedded, digest) if embedded else None
    _require_scores(table, reference)
    found = features(table, files.spec.leads, files.spec.duration)
    vectors = embeddings(table if more is None else more)
    few = [("scores", found.recordings)] + ([("embeddings", len(vectors))] if more is not None else [])
    width = vectors.shape[1]
    if width and reference["embedding"] is not None and width != files.embed_dim:
        what = f"have {width} columns, but embeddings of the model have {files.embed_dim} values"
        raise InputError(Problem("embeddings", "columns", what, "Use the unchanged files of 'ecgssl embed'"))
    problems = [
        Problem(name, "recordings", f"{n} were not rejected, but a batch needs {FEWEST}", "Add more score files")
        for name, n in few
        if n < FEWEST
    ]
    if problems:
        raise InputError(problems)
    summary = compare(reference, found, vectors if vectors.shape[1] else None)
    policies = set(table["window_policy"]) - {"contract"}
    notes = []
    if policies:
        notes.append(
            f"Window policy of the batch: {', '.join(sorted(policies))}; the reference has one window per recording."
        )
    summary |= {"ecgssl": __version__, "bundle": digest, "smallest_batch": FEWEST, "notes": notes}
    write_json(out.with_suffix(".json"), summary)
    write_atomic(out, render_drift(summary))
    return summary


def _read(paths: Sequence[Path | str], digest: str) -> pd.DataFrame:
    tables: list[pd.DataFrame] = []
    problems: list[Problem] = []
    for path in map(Path, paths):
        try:
            require_regular(path)
            table = _READERS[path.suffix.lower()](path)
        except InputError as error:
            problems += error.problems
            continue
        except KeyError:
            problems.append(Problem(str(path), "suffix", f"is not {', '.join(FORMATS)}", "Use a score file"))
            continue
        except FileNotFoundError:
            problems.append(Problem(str(path), "file", "does not exist", "Use an existing score file"))
            continue
        except (OSError, ValueError, pd.errors.ParserError) as error:
            what = f"cannot be read ({type(error).__name__})"
            problems.append(Problem(str(path), "file", what, "Use a file of 'ecgssl predict' or 'ecgssl embed'"))
            continue
        lacking = [name for name in (*NEEDED, "model", "window_policy") if name not in table]
        if lacking:
            remedy = "Use a file of 'ecgssl predict' or 'ecgssl embed'"
            problems.append(Problem(str(path), "columns", f"do not include {', '.join(lacking)}", remedy))
        elif not table["model"].astype(str).str.endswith(f"+{digest}").all():
            remedy = "Use the bundle that scored it, or score again with 'ecgssl predict' or 'ecgssl embed'"
            problems.append(Problem(str(path), "model", "was scored with another bundle", remedy))
        else:
            wrong = _cell_problems(table, path)
            problems += wrong
            if not wrong:
                tables.append(_with_numbers(table))
    if problems:
        raise InputError(problems)
    # files of older releases have no column of recorded seconds
    kinds = {tuple(sorted(set(map(str, table)) - {RECORDED})) for table in tables}
    if len(kinds) > 1:
        remedy = "Use the option --embeddings for files of embeddings"
        raise InputError(Problem("scores", "columns", "differ between the files", remedy))
    return pd.concat(tables, ignore_index=True)


def _is_number(column: str) -> bool:
    return column in _NUMBERS or column.startswith(_NUMBER_PREFIXES)


def _cell_problems(table: pd.DataFrame, path: Path) -> list[Problem]:
    """Return a problem for each numeric column that contains other text, and for values of status other than ok or rejected.

    The problems do not quote the cells, because these could contain personal data.
    """
    first = _FIRST_ROW.get(path.suffix.lower(), 1)
    problems = []
    for name in map(str, table):
        if name == "status":
            wrong, what, remedy = ~table[name].isin(_STATUS), "is neither ok nor rejected", "Use the unchanged file"
        elif _is_number(name):
            wrong = table[name].notna() & _as_numbers(table[name]).isna() & ~table[name].map(_is_nan)
            what, remedy = "is not a number", "Correct the cells, or use the unchanged file of 'ecgssl predict'"
        else:
            continue
        if wrong.any():
            rows = rows_text([int(row) + first for row in np.flatnonzero(wrong)])
            problems.append(Problem(str(path), name, f"{what} in {rows}", remedy))
    return problems


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


def _require_scores(table: pd.DataFrame, reference: dict[str, Any]) -> None:
    """Check that a table with score columns has all score columns of the reference.

    Files of 'ecgssl embed' have no score columns and are accepted.

    Raises:
        InputError: score columns are missing.
    """
    needed = [name.replace(" of ", "__", 1) for name in reference["numbers"] if name != "heart rate"]
    lacking = [name for name in needed if name not in table]
    if lacking and any(str(name).startswith(SCORES) for name in table):
        what = f"do not include {', '.join(lacking)}"
        raise InputError(Problem("scores", "columns", what, "Use the unchanged files of 'ecgssl predict'"))


def _csv(path: Path) -> pd.DataFrame:
    texts: dict[Hashable, type[str]] = dict.fromkeys(
        ("status", "reasons", "flags", "leads", "model", "window_policy", "predicted"), str
    )
    return original_frame(
        pd.read_csv(path, usecols=lambda name: name not in _UNSEEN, dtype=texts, na_values=[""], keep_default_na=False)
    )


def _json_lines(path: Path) -> pd.DataFrame:
    rows = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            rows.append({k: np.nan if v is None else v for k, v in row.items() if k not in _UNSEEN})
    return pd.DataFrame(rows)


def _parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    names = [name for name in parquet.read_schema(path).names if name not in _UNSEEN]
    return parquet.read_table(path, columns=names).to_pandas()


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
