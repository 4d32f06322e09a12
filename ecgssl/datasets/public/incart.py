"""Loader for the St Petersburg INCART 12-lead Arrhythmia Database: 75 records of 30 min from 32 patients, 257 Hz.

The files are ``I01.{dat,hea,atr}`` to ``I75``. Each header has three comments: age, sex and diagnoses of the patient
(``<age>: 65 <sex>: F <diagnoses> ...``; missing diagnoses in 34 headers), the patient number (``patient 1``), and the
findings of the record. Preprocessing crops the recordings, so only a part of each record is used. The beat annotations
(``.atr``) are not read.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, add_folds, stratified_folds
from ecgssl.datasets.public.known_defects import add_defects, known_defects
from ecgssl.datasets.public.label_map import read_label_map
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.wfdb_comments import header_texts, parse_comments
from ecgssl.errors import InputError, Problem

_PERSON = re.compile(
    r"^#[ \t]*<age>:[ \t]*(?P<age>\S*)[ \t]+<sex>:[ \t]*(?P<sex>[A-Za-z]*)[ \t]*(<diagnoses>(?P<diagnoses>.*))?$",
    re.MULTILINE,
)
_PATIENT = re.compile(r"^#[ \t]*patient[ \t]+(\d+)[ \t]*$", re.MULTILINE)


class INCART(PublicSet):
    """St Petersburg INCART 12-lead Arrhythmia Database 1.0.0. The targets are the diagnoses of the patient."""

    name = "incart"
    title = "St Petersburg INCART"
    licence = "ODC-By 1.0"
    citation = "Tihonenko et al. 2008, doi:10.13026/C2V88N"
    url = "https://physionet.org/content/incartdb/1.0.0/"
    source = Source(PHYSIONET + "incartdb/1.0.0/", needs=("RECORDS",))
    label_sets = ("diagnosis",)
    landmark = "I01.hea (to I75.hea)"

    def recognised(self) -> bool:
        """Return whether the root contains a header file such as ``I01.hea``."""
        return next(self.root.glob("I[0-9][0-9].hea"), None) is not None

    def cohort(self) -> Cohort:
        """Return the cohort with labels and folds.

        Raises:
            InputError: a header cannot be read or contains no patient number, or the counts of the complete dataset
                differ from the known counts.
        """
        paths = sorted(path.stem for path in self.root.glob("I[0-9][0-9].hea"))
        headers = header_texts(self.root, paths)
        patients = [_PATIENT.search(text) for text in headers]
        without = [path for path, patient in zip(paths, patients, strict=True) if patient is None]
        if without:
            what = f"{len(without)} of {len(paths)} headers contain no patient number ({', '.join(without[:5])})"
            remedy = f"Use the headers of the release ({self.url}); the Challenge copy contains no patient numbers"
            raise InputError(Problem(str(self.root), "patient", what, remedy))
        people = [_PERSON.search(text) for text in headers]
        known = [parse_comments(f"#Age: {p['age']}\n#Sex: {p['sex']}" if p else "") for p in people]
        diagnoses = read_label_map("incart_diagnoses.csv")
        labelled = diagnoses.apply([_parts(p["diagnoses"] if p else None) for p in people])
        table = pd.DataFrame(
            {
                "record_id": [f"{self.name}-{path}" for path in paths],
                "path": paths,
                "patient_id": [f"patient{int(patient[1]):02d}" for patient in patients if patient],
                "age": [person.age for person in known],
                "sex": [person.sex for person in known],
            }
        )
        add_defects(table, known_defects(self.name), table["path"])
        add_folds(table, stratified_folds(labelled.matrix, table["patient_id"].tolist(), self.name))
        notes = [
            f"{share(len(table), self.name)} of {table['patient_id'].nunique()} patients",
            MADE_HERE,
            "only a crop of each half hour is used: a diagnosis of the patient may not be visible in it",
            "74 of 75 recordings are in cinc2020 and cinc2021 (I04 as I0004), re-quantised",
            *labelled.notes(),
        ]
        flagged = int(np.count_nonzero(table["defect"]))
        if flagged:
            notes.append(f"{flagged} recordings with a saturated lead or an excursion are flagged, see column defect")
        return self.checked_cohort(table, diagnoses.labels, labelled.matrix, notes, self.root)


def _parts(diagnoses: str | None) -> tuple[str, ...] | None:
    """Split a text at commas, and return the diagnoses; ``None`` if there are none."""
    return tuple(part.strip() for part in (diagnoses or "").split(",") if part.strip()) or None
