"""St Petersburg INCART 12-lead Arrhythmia Database: 75 records of 30 min from 32 Holter recordings, 257 Hz.

Layout: ``I01.{dat,hea,atr}`` to ``I75``. Each header has three comments: ``<age>: 65 <sex>: F <diagnoses> ...`` (of the
patient; 34 headers state no diagnoses), ``patient 1``, and the findings of the record. A recording is cropped according to
the preprocessing settings, so only a part of each half hour is used. The beat annotations (``.atr``) are not read.
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
    """St Petersburg INCART 12-lead Arrhythmia Database 1.0.0. Targets are the confirmed diagnoses of the patient."""

    name = "incart"
    title = "St Petersburg INCART"
    licence = "ODC-By 1.0"
    citation = "Tihonenko et al. 2008, doi:10.13026/C2V88N"
    url = "https://physionet.org/content/incartdb/1.0.0/"
    source = Source(PHYSIONET + "incartdb/1.0.0/", needs=("RECORDS",))
    label_sets = ("diagnosis",)
    landmark = "I01.hea (to I75.hea)"

    def recognised(self) -> bool:
        """Return whether the root contains a header of a record."""
        return next(self.root.glob("I[0-9][0-9].hea"), None) is not None

    def cohort(self) -> Cohort:
        """Return the recordings with labels and folds.

        Raises:
            InputError: headers cannot be read or state no patient, or 75 recordings differ from the release.
        """
        paths = sorted(path.stem for path in self.root.glob("I[0-9][0-9].hea"))
        headers = header_texts(self.root, paths)
        patients = [_PATIENT.search(text) for text in headers]
        without = [path for path, patient in zip(paths, patients, strict=True) if patient is None]
        if without:
            what = f"{len(without)} of {len(paths)} headers state no patient ({', '.join(without[:5])}): 32 have 75 records"
            remedy = f"Fetch the headers of the release ({self.url}); the copy in the Challenge has no patients"
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
            "half an hour each, of which only a crop is used: a diagnosis of the patient may not be visible in it",
            "74 of 75 recordings are in cinc2020 and cinc2021 (I04 as I0004), re-quantised",
            *labelled.notes(),
        ]
        flagged = int(np.count_nonzero(table["defect"]))
        if flagged:
            notes.append(f"{flagged} recordings with a saturated lead or an excursion are flagged, see column defect")
        return self.checked_cohort(table, diagnoses.labels, labelled.matrix, notes, self.root)


def _parts(diagnoses: str | None) -> tuple[str, ...] | None:
    """Return the diagnoses between commas; ``None`` if there are none."""
    return tuple(part.strip() for part in (diagnoses or "").split(",") if part.strip()) or None
