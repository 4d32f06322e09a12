"""Loader for CODE-15% (Ribeiro et al. 2021): 345,779 recordings of 233,770 patients, 400 Hz, in 18 HDF5 files.

The files are ``exams.csv``, and ``exams_part{0..17}.hdf5`` with arrays ``exam_id`` (N) and ``tracings`` (N, 4096, 12).
Samples are in mV, although the README of the related dataset CODE-test states 1e-4 V. The table and the HDF5 files are
ordered differently, so recordings are matched by ``exam_id``. The files do not state the lead order. It is the standard
order I, II, III, aVR, aVL, aVF, V1 to V6 (verified with the limb-lead laws in ecgbench 1.0.0). Shorter recordings are
padded with zeros at both ends. Each part ends with a row of zeros, which has the ``exam_id`` 0.

Folds are assigned by a hash of the patient id and are not stratified. A recording therefore has the same fold if only some
parts are loaded. Because there are many patients, the prevalence of a label differs little between folds.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import FOLDS, add_folds, hashed_folds
from ecgssl.datasets.public.public_set import PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import add_absent_columns, cell_problems, known_ages, read_table
from ecgssl.errors import InputError, Problem
from ecgssl.signal.leads import LEADS

SIX = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
NORMAL, DEATH = "normal_ecg", "death"
_COLUMNS = ("exam_id", *SIX, "patient_id", DEATH, NORMAL, "trace_file")
_DESCRIBING = ("age", "is_male")
_TRUTH = {"True": 1.0, "TRUE": 1.0, "1": 1.0, "False": 0.0, "FALSE": 0.0, "0": 0.0}
_RATE = 400.0
_SPLIT = (
    "no split is published: patients are assigned to ten folds by a hash of their id, so that folds do not depend on the "
    "loaded parts; folds 1-8 are train, 9 val, 10 test"
)
_PADDING = 0
"""``exam_id`` of padding rows, which contain only zeros."""


class CODE15(PublicSet):
    """CODE-15% (Ribeiro et al. 2021).

    The label set ``six`` contains six abnormalities. ``six_normal`` adds the label ``normal_ecg``, because half of the
    recordings have none of the six abnormalities but are not normal. ``death`` is unknown for patients without follow-up.
    """

    name = "code15"
    title = "CODE-15%"
    licence = "CC BY 4.0"
    citation = "Ribeiro et al. 2021, doi:10.5281/zenodo.4916206"
    url = "https://zenodo.org/records/4916206"
    source = Source(
        "https://zenodo.org/api/records/4916206",
        listing="zenodo",
        needs=("exams.csv",),
        subsets={f"part{i}": (f"exams_part{i}.*",) for i in range(18)},
        advice="the parts are zip archives; each is unpacked in its folder after verification",
    )
    label_sets = ("six", "six_normal", "death")
    landmark = "exams.csv"
    subset_names = tuple(f"part{number}" for number in range(18))

    def cohort(self) -> Cohort:
        """Return the cohort of the selected parts with labels and folds.

        Raises:
            InputError: the table or a part is missing, a cell is invalid, a file cannot be read or lacks exams of the table, or
                the counts of the complete dataset differ from the known counts.
        """
        source = self.root / self.landmark
        table = read_table(
            source,
            _COLUMNS,
            self.url,
            dtype=str,
            keep_default_na=False,
            usecols=lambda c: c in (*_COLUMNS, *_DESCRIBING),
        )
        without = add_absent_columns(table, _DESCRIBING)
        files = [f"exams_{part}.hdf5" for part in self.subsets]
        self._require_files(source, files)
        row = np.arange(2, len(table) + 2)
        inside = table["trace_file"].isin(files).to_numpy()
        elsewhere = int((~inside).sum())
        table, row = table[inside].reset_index(drop=True), row[inside]
        truth = {column: table[column].map(_TRUTH).to_numpy(np.float64) for column in ("is_male", *SIX, NORMAL, DEATH)}
        exam = pd.to_numeric(table["exam_id"], errors="coerce")
        wrong = {column: np.isnan(cells) for column, cells in truth.items()}
        # only the column death may be empty (patients without follow-up)
        wrong[DEATH] &= (table[DEATH] != "").to_numpy()
        if (table["is_male"] == "").all():
            del wrong["is_male"]
        wrong["exam_id"] = (exam.isna() | table["exam_id"].duplicated(keep=False)).to_numpy()
        wrong["patient_id"] = (table["patient_id"] == "").to_numpy()
        checks = [(column, mask, "not usable", "Fetch exams.csv again") for column, mask in wrong.items()]
        if problems := cell_problems(source, checks, row.tolist()):
            raise InputError(problems)
        padding, more = self._compare_files(files, table, exam.astype(np.int64))
        described = pd.DataFrame(
            {
                "record_id": f"{self.name}-" + table["exam_id"],
                "path": table["trace_file"] + "#" + table["exam_id"],
                "patient_id": table["patient_id"],
                "age": known_ages(table["age"]),
                "sex": table["is_male"].map(_TRUTH).map({1.0: "male", 0.0: "female"}).fillna(""),
                "sampling_rate": _RATE,
                "units": "mV",
                "leads": ";".join(LEADS),
            }
        )
        add_folds(described, hashed_folds(table["patient_id"].tolist(), self.name, FOLDS) + 1)
        notes = [f"{share(len(table), self.name)} of {table['patient_id'].nunique():,} patients", _SPLIT, *without]
        if elsewhere:
            notes.append(f"{elsewhere:,} exams are in parts that sets.NAME.subsets does not contain")
        six = np.stack([truth[target] for target in SIX], axis=1)
        neither = int((~six.any(axis=1) & (truth[NORMAL] == 0)).sum())
        notes.append(
            f"{neither:,} recordings have none of the six labels and {NORMAL} 0: they are not healthy controls"
        )
        if self.labels == "death":
            unknown = int(np.isnan(truth[DEATH]).sum())
            notes.append(f"{unknown:,} recordings without follow-up: {DEATH} is unknown")
        notes.append(f"{padding} rows of zeros with exam_id {_PADDING} are not used")
        if more:
            notes.append(f"{more} exams of the files are not in exams.csv and not used")
        notes.append("a few recordings occur under two patients: compare waveforms between splits")
        targets = {"six": SIX, "six_normal": (*SIX, NORMAL), "death": (DEATH,)}[self.labels]
        values = pd.DataFrame({target: truth[target] for target in targets})
        return self.checked_cohort(described, targets, values, notes, source)

    def _require_files(self, source: Path, files: list[str]) -> None:
        absent = [part for part, file in zip(self.subsets, files, strict=True) if not (self.root / file).is_file()]
        if absent:
            there = [part for part in self.subsets if part not in absent]
            what = f"{', '.join(absent)}: no such file exams_partN.hdf5 under {self.root}"
            remedy = f"Complete the download ({self.url})" + (f", or set sets.NAME.subsets to {there}" if there else "")
            raise InputError(Problem(str(source), "sets.NAME.subsets", what, remedy))

    def _compare_files(self, files: list[str], table: pd.DataFrame, exam: pd.Series) -> tuple[int, int]:
        """Compare the exams in the files with the table.

        Returns:
            The number of padding rows (``exam_id`` 0) in the files, and the number of exams in the files that the table
            does not list.

        Raises:
            InputError: a file cannot be read or lacks exams of the table.
        """
        problems, padding, more = [], 0, 0
        by_file = {str(file): ids.to_numpy() for file, ids in exam.groupby(table["trace_file"])}
        for file in files:
            path, expected = self.root / file, by_file.get(file, np.empty(0, dtype=np.int64))
            try:
                held = _exam_ids(path)
            except (OSError, KeyError, ValueError) as error:
                what = f"cannot be read as exam_id and tracings ({type(error).__name__})"
                problems.append(Problem(str(path), "file", what, f"Download the file again ({self.url})"))
                continue
            lacking = np.setdiff1d(expected, held)
            if len(lacking):
                what = f"contains {len(expected) - len(lacking)} of the {len(expected)} exams listed in exams.csv"
                problems.append(
                    Problem(str(path), "exam_id", what, f"Download this file and exams.csv again ({self.url})")
                )
            padding += int((held == _PADDING).sum())
            more += len(np.setdiff1d(held[held != _PADDING], expected))
        if problems:
            raise InputError(problems)
        return padding, more


def _exam_ids(path: Path) -> NDArray[np.int64]:
    with h5py.File(path, "r") as file:
        ids: NDArray[np.int64] = file["exam_id"][:].astype(np.int64)
        if file["tracings"].ndim != 3 or len(file["tracings"]) != len(ids):
            raise ValueError("exam_id and tracings have different lengths")
    return ids
