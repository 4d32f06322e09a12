"""Loader for the PTB Diagnostic ECG Database (Bousseljot et al. 1995): 15 leads, 32 to 120 s, 1 kHz.

The files are ``patientNNN/sNNNN_re.{dat,xyz,hea}``, with one folder per patient; 113 of 290 patients have several
recordings. The label is the reason for admission, which is a comment in the header. The Frank leads (``.xyz``) are not
used. Preprocessing crops long recordings.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, add_folds, stratified_folds
from ecgssl.datasets.public.label_map import Labelled, read_label_map
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.wfdb_comments import header_texts, list_headers, parse_comments
from ecgssl.errors import InputError, Problem

_RECORD = re.compile(r"(?P<patient>patient\d{3})/(?P<name>s\d{4}\w*)")
_REASON = re.compile(r"^[ \t]*#[ \t]*Reason for admission[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_UNKNOWN = {"", "n/a", "unknown"}
MI, HEALTHY = "MI", "HEALTHY"


class PTB(PublicSet):
    """PTB Diagnostic ECG Database 1.0.0.

    The label set ``diagnosis`` has one label per diagnosis that is a reason for admission. All labels are unknown if the
    header states no reason (for example n/a). The label set ``infarction`` has one label, which is 1 for myocardial
    infarction, 0 for healthy controls, and unknown for all others.
    """

    name = "ptb"
    title = "PTB Diagnostic ECG Database"
    licence = "ODC-By 1.0"
    citation = "Bousseljot et al. 1995, doi:10.13026/C28C71"
    url = "https://physionet.org/content/ptbdb/1.0.0/"
    source = Source(PHYSIONET + "ptbdb/1.0.0/", needs=("RECORDS",))
    label_sets = ("diagnosis", "infarction")
    landmark = "patientNNN"

    def recognised(self) -> bool:
        """Return whether the root folder contains a patient folder such as ``patient001``."""
        return next(self.root.glob("patient[0-9][0-9][0-9]"), None) is not None

    def cohort(self) -> Cohort:
        """Return the cohort with labels and folds.

        Raises:
            InputError: there are no records, a header cannot be read, or the label counts of the complete dataset
                differ from the known counts.
        """
        found = {path: match for path in list_headers(self.root) if (match := _RECORD.fullmatch(path))}
        if not found:
            what = "does not contain patientNNN/sNNNN*.hea"
            raise InputError(Problem(str(self.root), "recordings", what, f"Complete the download ({self.url})"))
        headers = header_texts(self.root, list(found))
        comments = [parse_comments(text) for text in headers]
        labelled = read_label_map("ptb_diagnoses.csv").apply([_reason(text) for text in headers])
        names, matrix = self._targets(labelled)
        table = pd.DataFrame(
            {
                "record_id": [f"{self.name}-{match['name']}" for match in found.values()],
                "path": list(found),
                "patient_id": [match["patient"] for match in found.values()],
                "age": [comment.age for comment in comments],
                "sex": [comment.sex for comment in comments],
            }
        )
        add_folds(table, stratified_folds(labelled.matrix, table["patient_id"].tolist(), self.name))
        notes = [
            f"{share(len(table), self.name)} of {table['patient_id'].nunique()} patients",
            MADE_HERE,
            "516 of 549 recordings are also in cinc2020 and cinc2021, under names that cannot be matched to the names here",
            *labelled.notes(),
        ]
        return self.checked_cohort(table, names, matrix, notes, self.root)

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
