"""The PTB Diagnostic ECG Database (Bousseljot et al. 1995): 15 leads, 32 to 120 s, 1 kHz, labels in header comments.

Layout: ``patientNNN/sNNNN_re.{dat,xyz,hea}``. The folder is the patient; 113 of 290 have several recordings. The label
is the reason for admission, one per recording. The Frank leads of the ``.xyz`` file are left out when a recording is
read, and what is longer than the contract is cropped as it says.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, split_of, stratified_folds
from ecgssl.datasets.public.header_text import header_texts
from ecgssl.datasets.public.label_map import Labelled, read_label_map
from ecgssl.datasets.public.public_set import PublicSet
from ecgssl.datasets.public.release_counts import compare, share
from ecgssl.datasets.public.wfdb_comments import find_records, parse_comments
from ecgssl.errors import InputError, Problem

_RECORD = re.compile(r"(?P<patient>patient\d{3})/(?P<name>s\d{4}\w*)")
_REASON = re.compile(r"^[ \t]*#[ \t]*Reason for admission[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_UNKNOWN = {"", "n/a", "unknown"}
MI, HEALTHY = "MI", "HEALTHY"


class PTB(PublicSet):
    """PTB Diagnostic ECG Database 1.0.0.

    Label set ``diagnosis`` has a column per reason for admission, unknown where the header says n/a; ``infarction`` is
    the usual task of MI against healthy controls, unknown for all others.
    """

    name = "ptb"
    title = "PTB Diagnostic ECG Database"
    licence = "ODC-By 1.0"
    citation = "Bousseljot et al. 1995, doi:10.13026/C28C71"
    url = "https://physionet.org/content/ptbdb/1.0.0/"
    label_sets = ("diagnosis", "infarction")
    landmark = "patientNNN"

    def recognised(self) -> bool:
        """Whether there is a folder of any patient."""
        return next(self.root.glob("patient[0-9][0-9][0-9]"), None) is not None

    def cohort(self) -> Cohort:
        """Recordings, labels and folds.

        Raises:
            InputError: where there are no records, headers cannot be read, or 549 recordings have other labels than the
                release.
        """
        paths = [path for path in find_records(self.root) if _RECORD.fullmatch(path)]
        if not paths:
            what = "holds no patientNNN/sNNNN*.hea"
            raise InputError(Problem(str(self.root), "recordings", what, f"Complete the download ({self.url})"))
        headers = header_texts(self.root, paths)
        comments = [parse_comments(text) for text in headers]
        labelled = read_label_map("ptb_diagnoses.csv").apply([_reason(text) for text in headers])
        names, matrix = self._targets(labelled)
        matches = [_RECORD.fullmatch(path) for path in paths]
        table = pd.DataFrame(
            {
                "record_id": [f"{self.name}-{match['name']}" for match in matches if match],
                "path": paths,
                "patient_id": [match["patient"] for match in matches if match],
                "age": [found.age for found in comments],
                "sex": [found.sex for found in comments],
            }
        )
        table["fold"] = stratified_folds(labelled.matrix, table["patient_id"].tolist(), self.name).astype(float)
        table["split"] = table["fold"].map(split_of)
        table = pd.concat([table, pd.DataFrame(matrix, columns=names)], axis=1)
        problems = compare(table, names, self.name, self.labels, str(self.root))
        if problems:
            raise InputError(problems)
        notes = [
            f"{share(len(table), self.name)} of {table['patient_id'].nunique()} patients",
            MADE_HERE,
            "516 of 549 recordings are in cinc2020 and cinc2021 under names for which there is no crosswalk",
            *labelled.notes(),
        ]
        return Cohort(self.name, self.root, table, tuple(names), self.licence, tuple(notes), source=str(self.root))

    def _targets(self, labelled: Labelled) -> tuple[list[str], NDArray[np.float64]]:
        labels = list(read_label_map("ptb_diagnoses.csv").labels)
        if self.labels == "diagnosis":
            return labels, labelled.matrix
        infarction = labelled.matrix[:, labels.index(MI)]
        either = (infarction == 1) | (labelled.matrix[:, labels.index(HEALTHY)] == 1)
        return [MI], np.where(either, infarction, np.nan)[:, None]


def _reason(header: str) -> tuple[str] | None:
    found = _REASON.search(header)
    reason = found[1].strip() if found else ""
    return None if reason.casefold() in _UNKNOWN else (reason,)
