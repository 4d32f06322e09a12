"""Tables that label MIMIC-IV-ECG: the cart's measurements, and the discharge diagnoses of MIMIC-IV-ECG-Ext-ICD.

Both are joined to the recordings by ``study_id``, never by the order of rows: copies with fewer rows go round.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import rows_text
from ecgssl.datasets.public.label_map import read_label_map
from ecgssl.datasets.public.release_table import read_table
from ecgssl.errors import InputError, Problem

MEASUREMENTS = "machine_measurements.csv"
DIAGNOSES = "records_w_diag_icd10.csv"
FOLDS = 20
"""Of Ext-ICD, numbered from 0; its authors train on 0-17, validate on 18 and test on 19."""

UNITS = {
    **dict.fromkeys(("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end"), "ms"),
    **dict.fromkeys(("p_axis", "qrs_axis", "t_axis"), "degrees"),
}
"""Unit of each measurement; onsets and ends count from the beginning of the cart's mean beat."""

NOT_MEASURABLE = (29999, 32767, -32768, 65535)
"""What the cart writes for a timing, an axis (two of them) or an RR interval that it cannot measure."""

_FILTERED = 789_481
_LIST = re.compile(r"\[('[0-9A-Z.]+'(, '[0-9A-Z.]+')*)?\]")
_RESTORE = "Fetch the file again and compare it with SHA256SUMS.txt"


def read_measurements(root: Path, study: pd.Index, url: str) -> tuple[pd.DataFrame, list[str]]:
    """The cart's intervals and axes.

    Args:
        root: of the release.
        study: ``study_id`` of each recording.
        url: of the release, for messages.

    Returns:
        A row per recording, NaN where the table has none or the cart could not measure; and notes.

    Raises:
        InputError: where the table is absent or cannot be used.
    """
    path = root / MEASUREMENTS
    table = _by_study(path, list(UNITS), url)
    numbers = table.apply(pd.to_numeric, errors="coerce").astype(float)
    wrong = (numbers.isna() & table.notna()).any(axis=1).to_numpy()
    if wrong.any():
        raise InputError(Problem(str(path), "measurements", f"{_rows(wrong)}: not a number", _RESTORE))
    without = numbers.isin(NOT_MEASURABLE)
    aligned = numbers.mask(without).reindex(study).reset_index(drop=True)
    notes = [
        f"{int(without.to_numpy().sum()):,} cells say 'not measurable' ({', '.join(map(str, NOT_MEASURABLE))}) and are unknown"
    ]
    missed = int((~study.isin(table.index)).sum())
    if missed:
        copy = ", as in the copy without recordings that have gaps" if len(table) == _FILTERED else ""
        notes.append(f"{MEASUREMENTS} has no row for {missed:,} recordings{copy}: their measurements are unknown")
    return aligned, notes


def read_diagnoses(root: Path, study: pd.Index, url: str) -> pd.DataFrame | None:
    """Diagnoses, folds, age and sex of Ext-ICD; ``None`` where its file is not in the root.

    Args:
        root: of the release, with the file of Ext-ICD beside its own.
        study: ``study_id`` of each recording.
        url: of Ext-ICD, for messages.

    Returns:
        ``all_diag_all`` (text), ``fold`` (0 to 19), ``age`` (years) and ``gender`` (M, F or missing) per recording.

    Raises:
        InputError: where the table cannot be used or lacks recordings.
    """
    path = root / DIAGNOSES
    if not path.exists():
        return None
    table = _by_study(path, ["all_diag_all", "gender", "age", "fold"], url)
    table["fold"] = pd.to_numeric(table["fold"], errors="coerce")
    problems = []
    wrong = (~table["fold"].isin(range(FOLDS))).to_numpy()
    if wrong.any():
        problems.append(Problem(str(path), "fold", f"{_rows(wrong)}: no whole number from 0 to {FOLDS - 1}", _RESTORE))
    missed = int((~study.isin(table.index)).sum())
    if missed:
        what = f"has no row for {missed} of {len(study)} recordings, whose folds are unknown"
        problems.append(Problem(str(path), "study_id", what, f"Put the whole table there ({url}), or take it away"))
    if problems:
        raise InputError(problems)
    return table.reindex(study).reset_index(drop=True)


def diagnosis_labels(diagnoses: pd.DataFrame, where: str) -> tuple[pd.DataFrame, list[str]]:
    """Categories of ICD-10-CM (``tables/mimic_icd10.csv``) among the diagnoses of each recording's stay.

    A recording has a category where one of its codes begins with it, which is what truncation and propagation in the
    published label set come to. An empty list is "linked to no stay", and so unknown.

    Args:
        diagnoses: of ``read_diagnoses``.
        where: for messages.

    Raises:
        InputError: where a cell is no list of codes.
    """
    cells = diagnoses["all_diag_all"].fillna("").astype(str).tolist()
    wrong = sum(cell != "[]" and _LIST.fullmatch(cell) is None for cell in cells)
    if wrong:
        what = f"{wrong} cells are no list of codes like ['I10', 'I4891']"
        raise InputError(Problem(where, "all_diag_all", what, _RESTORE))
    unlinked = np.array([cell == "[]" for cell in cells])
    # a quotation mark and then the category: only the beginning of a code can match
    found = {
        label: np.where(unlinked, np.nan, [f"'{code}" in cell for cell in cells])
        for code, label in read_label_map("mimic_icd10.csv").label_of.items()
    }
    notes = [
        f"{int(unlinked.sum()):,} recordings are linked to no diagnosis of a stay: their targets are unknown, not 0"
    ]
    return pd.DataFrame(found), notes


def _by_study(path: Path, columns: list[str], url: str) -> pd.DataFrame:
    """Columns of a table with its ``study_id`` as index."""
    wanted = {"study_id", *columns}
    table = read_table(path, sorted(wanted), url, usecols=lambda name: name in wanted)
    study = pd.to_numeric(table.pop("study_id"), errors="coerce")
    wrong = (study.isna() | study.duplicated(keep=False)).to_numpy()
    if wrong.any():
        what = f"{_rows(wrong)}: no number, or listed more than once"
        raise InputError(Problem(str(path), "study_id", what, _RESTORE))
    table.index = pd.Index(study.astype(np.int64))
    return table[columns]


def _rows(wrong: np.ndarray) -> str:
    return rows_text([int(place) + 2 for place in np.flatnonzero(wrong)])
