"""MIMIC-IV-ECG 1.0 (Gow et al. 2023, doi:10.13026/4nqg-sb35): 800,035 recordings of 161,352 patients, for pretraining.

``record_list.csv`` names the recordings. Three label sets:

- ``none``: no targets, the default.
- ``measurements``: intervals and axes of ``machine_measurements.csv``. The statements of the cart are free text and are
  not read: which of them mean a diagnosis cannot be told by exact match.
- ``icd10``: categories of discharge diagnoses, where ``records_w_diag_icd10.csv`` of MIMIC-IV-ECG-Ext-ICD (Strodthoff et
  al. 2024, doi:10.13026/ypt5-9d58) lies in the root.

No split is published with the recordings. Twenty folds by patient, 0-17 train, 18 validates, 19 tests: those of Ext-ICD
where its file lies in the root, whatever the labels, so that nothing is pretrained on what it will be tested on;
otherwise from a hash of ``subject_id``, which gives any part of the set the folds that it has in the whole.

Leads are stored with aVF before aVL, and headers hold the patient's number: readers go by name and keep no comments.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.folds import hashed_folds
from ecgssl.datasets.public.ages import known_ages
from ecgssl.datasets.public.mimic_labels import (
    DIAGNOSES,
    FOLDS,
    UNITS,
    diagnosis_labels,
    read_diagnoses,
    read_measurements,
)
from ecgssl.datasets.public.public_set import PublicSet
from ecgssl.datasets.public.release_counts import compare, share
from ecgssl.datasets.public.release_table import read_table
from ecgssl.errors import InputError, Problem

_COLUMNS = ["subject_id", "study_id", "path"]
_EXT_ICD = "https://physionet.org/content/mimic-iv-ecg-ext-icd-labels/1.0.1/"
_VALIDATION, _TEST = 18, 19
_LOOKED_FOR = 1000
"""Recordings that are looked for on disk. Each has a folder of its own: to ask for all takes minutes, or hours."""

_HASHED = (
    "no split is published with it: patients were dealt to 20 folds by a hash of subject_id; 0-17 train, 18 validates, 19 "
    "tests"
)
_PUBLISHED = f"folds, age and sex of {DIAGNOSES}: 0-17 train, 18 validates, 19 tests"


class MIMICIVECG(PublicSet):
    """The diagnostic electrocardiograms of MIMIC-IV."""

    name = "mimic_iv_ecg"
    title = "MIMIC-IV-ECG"
    licence = "as the LICENSE in your copy says: PhysioNet lists it as open access, other catalogues as credentialed"
    citation = "Gow et al. 2023, doi:10.13026/4nqg-sb35"
    url = "https://physionet.org/content/mimic-iv-ecg/1.0/"
    label_sets = ("none", "measurements", "icd10")
    landmark = "record_list.csv"

    def cohort(self) -> Cohort:
        """Recordings, targets and folds.

        Raises:
            InputError: where a table cannot be used, a study is listed twice, a patient is in two folds, recordings are
                not there, or 800,035 recordings are not those of 161,352 patients.
        """
        source = self.root / self.landmark
        listed = read_table(source, _COLUMNS, self.url, usecols=lambda name: name in _COLUMNS)
        paths = listed["path"].fillna("").astype(str).tolist()
        problems = [*_unusable_ids(source, listed), *self.absent(source, paths, most=_LOOKED_FOR)]
        diagnoses_file = self.root / DIAGNOSES
        if self.labels == "icd10" and not diagnoses_file.exists():
            problems.append(
                Problem(str(diagnoses_file), "file", "does not exist", f"Put it beside {self.landmark} ({_EXT_ICD})")
            )
        if problems:
            raise InputError(problems)
        study = pd.Index(listed["study_id"].astype(np.int64))
        diagnoses = read_diagnoses(self.root, study, _EXT_ICD)
        table = self._described(listed, study, paths, diagnoses)
        notes = [share(len(table), self.name)]
        if len(table) > _LOOKED_FOR:
            notes.append(
                "about 1,000 recordings were looked for on disk; any other that is missing is rejected when read"
            )
        notes.append(_HASHED if diagnoses is None else _PUBLISHED)
        found, more = pd.DataFrame(index=table.index), list[str]()
        if self.labels == "measurements":
            found, more = read_measurements(self.root, study, self.url)
        elif diagnoses is not None and self.labels == "icd10":
            found, more = diagnosis_labels(diagnoses, str(diagnoses_file))
        targets = tuple(found.columns)
        table = pd.concat([table, found], axis=1)
        problems = compare(table, targets, self.name, self.labels, str(source))
        if problems:
            raise InputError(problems)
        kinds = {name: Target(kind="regression", unit=UNITS[name]) for name in targets if name in UNITS}
        notes += [*more, "publish no table of its record or patient numbers"]
        return Cohort(self.name, self.root, table, targets, self.licence, tuple(notes), source=str(source), kinds=kinds)

    def _described(
        self, listed: pd.DataFrame, study: pd.Index, paths: list[str], diagnoses: pd.DataFrame | None
    ) -> pd.DataFrame:
        """The table without its targets."""
        patient, subjects = pd.factorize(listed["subject_id"].astype(np.int64))
        # one object per patient: a patient has up to 260 recordings
        names = np.array([str(subject) for subject in subjects], dtype=object)
        if diagnoses is None:
            fold = hashed_folds(names.tolist(), self.name, FOLDS)[patient].astype(float)
        else:
            fold = _published_folds(diagnoses, patient, str(self.root / DIAGNOSES))
        split = np.full(len(listed), "train", dtype=object)
        split[fold == _VALIDATION], split[fold == _TEST] = "val", "test"
        table = pd.DataFrame(
            {
                "record_id": [f"{self.name}-{number}" for number in study],
                "path": paths,
                "patient_id": names[patient],
                "split": split,
                "fold": fold,
            }
        )
        if diagnoses is not None:
            table["age"] = known_ages(diagnoses["age"])
            table["sex"] = diagnoses["gender"].map({"M": "male", "F": "female"}).fillna("")
        return table


def _unusable_ids(source: Path, listed: pd.DataFrame) -> list[Problem]:
    """Problems of ``record_list.csv``; ids become numbers in place."""
    problems = []
    for column in ("subject_id", "study_id"):
        numbers = pd.to_numeric(listed[column], errors="coerce")
        wrong = ~(numbers % 1 == 0)
        if column == "study_id":
            wrong |= numbers.duplicated(keep=False)
        if wrong.any():
            rows = rows_text([int(place) + 2 for place in np.flatnonzero(wrong)])
            what = f"{rows}: no whole number" + (", or listed more than once" if column == "study_id" else "")
            problems.append(
                Problem(str(source), column, what, "Fetch the file again and compare it with SHA256SUMS.txt")
            )
        listed[column] = numbers
    return problems


def _published_folds(diagnoses: pd.DataFrame, patient: NDArray[np.intp], where: str) -> NDArray[np.float64]:
    fold = diagnoses["fold"].to_numpy(dtype=np.float64)
    one = np.full(int(patient.max()) + 1, np.nan)
    one[patient] = fold
    shared = len(np.unique(patient[one[patient] != fold]))
    if shared:
        what = f"{shared} patients are in more than one fold"
        raise InputError(Problem(where, "fold", what, "Fetch the file again and compare it with SHA256SUMS.txt"))
    return fold
