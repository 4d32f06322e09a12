"""PTB-XL in its official layout (Wagner et al. 2020, doi:10.1038/s41597-020-0495-6; PhysioNet, CC BY 4.0).

Targets are the five diagnostic superclasses as in the benchmark of Strodthoff et al. 2021: every SCP-ECG code of a
recording counts, whatever its likelihood, because 0 means "stated, not graded". Recordings without any diagnostic code
have unknown targets. Folds 1-8 train, 9 validate, 10 test; they are disjoint by patient.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.public import PublicSet
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb_reader import header_path

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
_NEEDED = (
    ("ecg_id", "patient_id", "age", "sex", "site", "device", "scp_codes", "strat_fold", "filename_lr", "filename_hr"),
    ("diagnostic", "diagnostic_class"),
)
_FILE = {100: "filename_lr", 500: "filename_hr"}
_OLDEST = 90.0


def load_ptbxl(root: Path | str, sampling_rate: int = 500) -> Cohort:
    """PTB-XL with its superclasses and folds.

    Args:
        root: folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100`` or ``records500``.
        sampling_rate: 100 or 500 Hz: which of the two copies of each recording.

    Raises:
        InputError: where a table or a column is absent, a cell cannot be read, or recordings are not there.
    """
    root = Path(root)
    database, statements = root / "ptbxl_database.csv", root / "scp_statements.csv"
    table = _read(database, _NEEDED[0])
    codes = _read(statements, _NEEDED[1])
    diagnostic = codes[codes["diagnostic"].astype(str).isin(["1", "1.0"])]
    superclass = dict(zip(diagnostic.iloc[:, 0], diagnostic["diagnostic_class"], strict=True))
    numbers = {
        c: pd.to_numeric(table[c], errors="coerce") for c in ("ecg_id", "patient_id", "strat_fold", "age", "sex")
    }
    parsed = [_scp_keys(cell) for cell in table["scp_codes"]]
    problems = _unreadable(database, numbers, parsed)
    paths = table[_FILE[sampling_rate]].astype(str)
    absent = [
        i + 2 for i, path in enumerate(paths) if ".." in Path(path).parts or not header_path(root / path).is_file()
    ]
    if absent:
        problems.append(
            Problem(
                str(database),
                _FILE[sampling_rate],
                f"{len(absent)} of {len(table)} recordings are not under {root} ({rows_text(absent)})",
                f"Download records{sampling_rate}, or choose data.sampling_rate {600 - sampling_rate}",
            )
        )
    if problems:
        raise InputError(problems)
    out = pd.DataFrame(
        {
            "record_id": [f"ptbxl-{int(i):05d}" for i in numbers["ecg_id"]],
            "path": paths,
            "patient_id": [str(int(i)) for i in numbers["patient_id"]],
            "split": numbers["strat_fold"].map(lambda fold: {9: "val", 10: "test"}.get(int(fold), "train")),
            "fold": numbers["strat_fold"].astype(float),
            # the release writes 300 for everyone above 89
            "age": numbers["age"].clip(upper=_OLDEST),
            "sex": numbers["sex"].map({0: "male", 1: "female"}).fillna(""),
            "site": table["site"].map(
                lambda site: "" if pd.isna(site) else f"{site:g}" if isinstance(site, float) else site
            ),
            "device": table["device"].fillna("").astype(str).str.strip(),
        }
    )
    classes = [{superclass.get(key) for key in keys or ()} & set(SUPERCLASSES) for keys in parsed]
    unlabelled = np.array([not found for found in classes])
    for name in SUPERCLASSES:
        out[name] = np.where(unlabelled, np.nan, [float(name in found) for found in classes])
    notes = []
    if unlabelled.any():
        notes.append(f"{int(unlabelled.sum())} recordings have no diagnostic statement: their superclasses are unknown")
    old = int((numbers["age"] > _OLDEST).sum())
    if old:
        notes.append(f"{old} ages are 'above 89' (300 in the release) and given as {_OLDEST:g}")
    return Cohort("ptbxl", root, out, SUPERCLASSES, "CC BY 4.0", tuple(notes), {}, str(database))


def _read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    remedy = "Point data.root at the unpacked PTB-XL release"
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (ValueError, OSError) as error:
        raise InputError(Problem(str(path), "file", f"cannot be read ({type(error).__name__})", remedy)) from error
    absent = [column for column in needed if column not in table]
    if absent or table.empty:
        what = f"lacks the columns {absent}" if absent else "has no rows"
        raise InputError(Problem(str(path), "columns", what, remedy))
    return table


def _scp_keys(cell: object) -> tuple[str, ...] | None:
    """Keys of a Python dict literal; ``None`` where it is none."""
    try:
        value = ast.literal_eval(str(cell))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return tuple(str(key) for key in value) if isinstance(value, dict) else None


def _unreadable(path: Path, numbers: dict[str, pd.Series], parsed: list[tuple[str, ...] | None]) -> list[Problem]:
    remedy = "Fetch the file again and compare it with SHA256SUMS.txt"
    wrong = {column: numbers[column].isna().to_numpy() for column in ("ecg_id", "patient_id", "strat_fold")}
    wrong["scp_codes"] = np.array([keys is None for keys in parsed])
    wrong["ecg_id "] = numbers["ecg_id"].duplicated(keep=False).to_numpy() & ~wrong["ecg_id"]
    wrong["strat_fold "] = ~(wrong["strat_fold"] | numbers["strat_fold"].isin(range(1, 11)).to_numpy())
    return [
        Problem(
            str(path), column.strip(), f"{rows_text([int(i) + 2 for i in np.flatnonzero(bad)])}: not usable", remedy
        )
        for column, bad in wrong.items()
        if bad.any()
    ]


class PTBXL(PublicSet):
    """PTB-XL (Wagner et al. 2020)."""

    name = "ptbxl"
    title = "PTB-XL"
    licence = "CC BY 4.0"
    citation = "Wagner et al. 2020, doi:10.1038/s41597-020-0495-6"
    url = "https://physionet.org/content/ptb-xl/1.0.3/"
    label_sets = ("superclass",)
    landmark = "ptbxl_database.csv"

    def cohort(self) -> Cohort:
        """See ``load_ptbxl``."""
        return load_ptbxl(self.root, self.sampling_rate)
