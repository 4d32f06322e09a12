"""Loader for MIMIC-IV-ECG 1.0 (Gow et al. 2023, doi:10.13026/4nqg-sb35): 800,035 recordings of 161,352 patients.

``record_list.csv`` lists the recordings. There are three label sets:

- ``none``: no targets. This is the default.
- ``measurements``: intervals and axes in ``machine_measurements.csv``. The free-text statements of the device are not read.
- ``icd10``: categories of discharge diagnoses. This requires ``records_w_diag_icd10.csv`` of MIMIC-IV-ECG-Ext-ICD
  (Strodthoff et al. 2024, doi:10.13026/ypt5-9d58) in the root folder.

No split is published with the recordings. Patients are divided into twenty folds: 0-17 are train, 18 is val, 19 is test. If
the file of Ext-ICD is in the root folder, its folds are used with every label set, so that no model is pretrained on test
data of Ext-ICD. Otherwise, folds are assigned by a hash of ``subject_id``, so that they do not change if recordings are
missing.

The files store aVF before aVL, so leads must be identified by name. Header comments contain the patient number and are not
kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import hashed_folds
from ecgssl.datasets.public.mimic_labels import (
    DIAGNOSES,
    FOLDS,
    UNITS,
    diagnosis_labels,
    read_diagnoses,
    read_measurements,
)
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import FETCH_AGAIN, add_absent_columns, cell_problems, known_ages, read_table
from ecgssl.errors import InputError, Problem

_COLUMNS = ["subject_id", "study_id", "path"]
_EXT_ICD = "https://physionet.org/content/mimic-iv-ecg-ext-icd-labels/1.0.1/"
_VALIDATION, _TEST = 18, 19
_LOOKED_FOR = 1000
"""Maximum number of recordings for which the loader checks that the file exists. Checking all would take minutes to hours."""

_HASHED = (
    "no split is published: patients are assigned to 20 folds by a hash of subject_id; 0-17 are train, 18 val, 19 test"
)
_PUBLISHED = f"folds, age and sex are read from {DIAGNOSES}; folds 0-17 are train, 18 val, 19 test"


class MIMICIVECG(PublicSet):
    """MIMIC-IV-ECG 1.0 (Gow et al. 2023): diagnostic ECGs of MIMIC-IV patients."""

    name = "mimic_iv_ecg"
    title = "MIMIC-IV-ECG"
    licence = "see the LICENSE file of your copy: PhysioNet lists it as open access, other catalogues as credentialed"
    citation = "Gow et al. 2023, doi:10.13026/4nqg-sb35"
    url = "https://physionet.org/content/mimic-iv-ecg/1.0/"
    source = Source(
        PHYSIONET + "mimic-iv-ecg/1.0/",
        needs=("record_list.csv", "machine_measurements*.csv", "LICENSE.txt"),
        advice="1.6 million small files: 'aws s3 sync --no-sign-request s3://physionet-open/mimic-iv-ecg/1.0/ DIR', or the "
        "zip file on its page, is much faster. Read the LICENSE file of your copy: web pages disagree on whether an "
        "agreement is needed",
    )
    label_sets = ("none", "measurements", "icd10")
    landmark = "record_list.csv"

    def cohort(self) -> Cohort:
        """Return the cohort with targets and folds.

        Raises:
            InputError: a table is missing or has invalid cells, a study is listed twice, a patient is in two folds,
                recordings are missing, or the complete dataset does not contain 161,352 patients.
        """
        source = self.root / self.landmark
        listed = read_table(source, _COLUMNS, self.url, usecols=lambda name: name in _COLUMNS)
        paths = listed["path"].fillna("").astype(str).tolist()
        problems = [*_unusable_ids(source, listed), *self.absent(source, paths, most=_LOOKED_FOR)]
        diagnoses_file = self.root / DIAGNOSES
        if self.labels == "icd10" and not diagnoses_file.exists():
            remedy = f"Download it ({_EXT_ICD}) into the folder that contains {self.landmark}"
            problems.append(Problem(str(diagnoses_file), "file", "does not exist", remedy))
        if problems:
            raise InputError(problems)
        study = pd.Index(listed["study_id"].astype(np.int64))
        diagnoses = read_diagnoses(self.root, study, _EXT_ICD)
        without = [] if diagnoses is None else add_absent_columns(diagnoses, ("age", "gender"))
        table = self._described(listed, study, paths, diagnoses)
        notes = [share(len(table), self.name), *without]
        if len(table) > _LOOKED_FOR:
            notes.append(
                "the files of about 1,000 recordings were checked; other missing recordings are rejected when read"
            )
        notes.append(_HASHED if diagnoses is None else _PUBLISHED)
        found, more = pd.DataFrame(index=table.index), list[str]()
        if self.labels == "measurements":
            found, more = read_measurements(self.root, study, self.url)
        elif diagnoses is not None and self.labels == "icd10":
            found, more = diagnosis_labels(diagnoses, str(diagnoses_file))
        targets = tuple(found.columns)
        kinds = {name: Target(kind="regression", unit=UNITS[name]) for name in targets if name in UNITS}
        notes += [*more, "do not publish tables that contain record or patient numbers of this set"]
        return self.checked_cohort(table, targets, found, notes, source, kinds)

    def _described(
        self, listed: pd.DataFrame, study: pd.Index, paths: list[str], diagnoses: pd.DataFrame | None
    ) -> pd.DataFrame:
        """Return the cohort table with all columns except the targets."""
        patient, subjects = pd.factorize(listed["subject_id"].astype(np.int64))
        # share one string per patient to save memory: a patient has up to 260 recordings
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
    """Convert the ids in ``record_list.csv`` to numbers in place, and return a problem for each invalid id column."""
    problems: list[Problem] = []
    for column in ("subject_id", "study_id"):
        numbers = pd.to_numeric(listed[column], errors="coerce")
        wrong = ~(numbers % 1 == 0)
        if column == "study_id":
            wrong |= numbers.duplicated(keep=False)
        what = "not a whole number" + (", or listed more than once" if column == "study_id" else "")
        problems += cell_problems(source, [(column, wrong, what, FETCH_AGAIN)])
        listed[column] = numbers
    return problems


def _published_folds(diagnoses: pd.DataFrame, patient: NDArray[np.intp], where: str) -> NDArray[np.float64]:
    fold = diagnoses["fold"].to_numpy(dtype=np.float64)
    one = np.full(int(patient.max()) + 1, np.nan)
    one[patient] = fold
    shared = len(np.unique(patient[one[patient] != fold]))
    if shared:
        what = f"{shared} patients are in more than one fold"
        raise InputError(Problem(where, "fold", what, FETCH_AGAIN))
    return fold
