"""Readers for the label tables of MIMIC-IV-ECG: machine measurements, and discharge diagnoses (MIMIC-IV-ECG-Ext-ICD).

The tables are joined to the recordings by ``study_id``, because some copies of the tables have fewer rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.datasets.public.label_map import read_label_map
from ecgssl.datasets.public.release_table import FETCH_AGAIN, cell_problems, read_table
from ecgssl.errors import InputError, Problem

MEASUREMENTS = "machine_measurements.csv"
DIAGNOSES = "records_w_diag_icd10.csv"
FOLDS = 20
"""Number of folds in Ext-ICD. Its authors use folds 0-17 for training, 18 for validation and 19 for testing."""

UNITS = {
    **dict.fromkeys(("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end"), "ms"),
    **dict.fromkeys(("p_axis", "qrs_axis", "t_axis"), "degrees"),
}
"""Unit of each measurement. Onsets and ends are times from the start of the average beat."""

NOT_MEASURABLE = (29999, 32767, -32768, 65535)
"""Codes that the device writes for a time, an axis (two codes) or an RR interval that it could not measure."""

_FILTERED = 789_481
_LIST = re.compile(r"\[('[0-9A-Z.]+'(, '[0-9A-Z.]+')*)?\]")


def read_measurements(root: Path, study: pd.Index, url: str) -> tuple[pd.DataFrame, list[str]]:
    """Read the intervals and axes measured by the ECG device.

    Args:
        root: folder of the release.
        study: ``study_id`` of each recording.
        url: web page of the release, for messages.

    Returns:
        A table with one row per recording, in which NaN means "not measured"; and notes for the user.

    Raises:
        InputError: the file is missing or has invalid cells.
    """
    path = root / MEASUREMENTS
    table = _by_study(path, list(UNITS), url)
    numbers = table.apply(pd.to_numeric, errors="coerce").astype(float)
    wrong = (numbers.isna() & table.notna()).any(axis=1)
    if problems := cell_problems(path, [("measurements", wrong, "not a number", FETCH_AGAIN)]):
        raise InputError(problems)
    without = numbers.isin(NOT_MEASURABLE)
    aligned = numbers.mask(without).reindex(study).reset_index(drop=True)
    codes = ", ".join(map(str, NOT_MEASURABLE))
    notes = [f"{int(without.to_numpy().sum()):,} cells with a code for 'not measurable' ({codes}) are unknown"]
    missed = int((~study.isin(table.index)).sum())
    if missed:
        copy = ", as in the copy without recordings that have gaps" if len(table) == _FILTERED else ""
        notes.append(f"{MEASUREMENTS} has no row for {missed:,} recordings{copy}: their measurements are unknown")
    return aligned, notes


def read_diagnoses(root: Path, study: pd.Index, url: str) -> pd.DataFrame | None:
    """Read diagnoses, folds, age and sex from the table of Ext-ICD; ``None`` if the table is not in the root folder.

    Args:
        root: folder of the release, to which the file of Ext-ICD was added.
        study: ``study_id`` of each recording.
        url: web page of Ext-ICD, for messages.

    Returns:
        A table with one row per recording and the columns ``all_diag_all`` (text), ``fold`` (0 to 19) and, if
        the file has them, ``age`` (years) and ``gender`` (M, F or missing).

    Raises:
        InputError: the table has invalid cells, or recordings are missing in it.
    """
    path = root / DIAGNOSES
    if not path.exists():
        return None
    table = _by_study(path, ["all_diag_all", "fold"], url, ["age", "gender"])
    table["fold"] = pd.to_numeric(table["fold"], errors="coerce")
    wrong = ~table["fold"].isin(range(FOLDS))
    problems = cell_problems(path, [("fold", wrong, f"not a whole number from 0 to {FOLDS - 1}", FETCH_AGAIN)])
    missed = int((~study.isin(table.index)).sum())
    if missed:
        what = f"has no row for {missed} of {len(study)} recordings, so their folds are unknown"
        problems.append(Problem(str(path), "study_id", what, f"Use the complete table ({url}), or remove the file"))
    if problems:
        raise InputError(problems)
    return table.reindex(study).reset_index(drop=True)


def diagnosis_labels(diagnoses: pd.DataFrame, where: str) -> tuple[pd.DataFrame, list[str]]:
    """Convert discharge diagnoses to one binary label per ICD-10-CM category in ``tables/mimic_icd10.csv``.

    A label is 1 if a diagnosis code of the hospital stay begins with the category. This gives the same labels as the
    method of the publication. If the list of codes is empty, no hospital stay is known, and all labels are NaN.

    Args:
        diagnoses: result of ``read_diagnoses``.
        where: path of the file, for messages.

    Returns:
        The labels, and notes for the user.

    Raises:
        InputError: a cell is not a list of codes.
    """
    cells = diagnoses["all_diag_all"].fillna("").astype(str).tolist()
    wrong = sum(cell != "[]" and _LIST.fullmatch(cell) is None for cell in cells)
    if wrong:
        what = f"{wrong} cells are not lists of codes like ['I10', 'I4891']"
        raise InputError(Problem(where, "all_diag_all", what, FETCH_AGAIN))
    unlinked = np.array([cell == "[]" for cell in cells])
    # search for the category with a quotation mark in front, so that it matches only the beginning of a code
    found = {
        label: np.where(unlinked, np.nan, [f"'{code}" in cell for cell in cells])
        for code, label in read_label_map("mimic_icd10.csv").label_of.items()
    }
    notes = [f"{int(unlinked.sum()):,} recordings without a linked diagnosis: their targets are unknown, not 0"]
    return pd.DataFrame(found), notes


def _by_study(path: Path, columns: list[str], url: str, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of a CSV file, and return them indexed by ``study_id``. Optional columns may be absent."""
    needed = {"study_id", *columns}
    table = read_table(path, sorted(needed), url, usecols=lambda name: name in needed or name in optional)
    study = pd.to_numeric(table.pop("study_id"), errors="coerce")
    wrong = study.isna() | study.duplicated(keep=False)
    if problems := cell_problems(path, [("study_id", wrong, "not a number, or listed more than once", FETCH_AGAIN)]):
        raise InputError(problems)
    table.index = pd.Index(study.astype(np.int64))
    return table[[*columns, *(column for column in optional if column in table)]]
