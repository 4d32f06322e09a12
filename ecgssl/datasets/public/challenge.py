"""The PhysioNet/CinC Challenge's releases: ``training/{subset}/g*/X.{hea,mat}``, labels in the headers (Reyna et al. 2021).

They hold other public sets, some of them under other names. Where the crosswalk is known a recording gets the
``record_id`` of its own set (HR00001 is ``ptbxl-00001``), so that an overlap of two cohorts shows in their names.

No patient ids are published. A subset in which patients are known to have several recordings (PTB-XL, PTB, INCART)
therefore only trains: dealt out by recording it would test on patients that it trained on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, split_of, stratified_folds
from ecgssl.datasets.public.challenge_headers import ChallengeHeader, read_headers
from ecgssl.datasets.public.known_defects import Defect, known_defects
from ecgssl.datasets.public.label_map import Labelled, LabelMap, equal_snomed_codes, package_table, read_label_map
from ecgssl.datasets.public.public_set import PublicSet
from ecgssl.datasets.public.release_counts import compare
from ecgssl.errors import InputError, Problem

LABELS = "snomed_cinc2021.csv"
_EXAMPLES = 4
_STRATIFY_BY = "scored2021"

_SAME_NAMES = {"cpsc_2018": "cpsc2018", "chapman_shaoxing": "ecg_arrhythmia", "ningbo": "ecg_arrhythmia"}
"""Subsets that hold the signal files of another set under its names, and so their defects."""


class Challenge(PublicSet):
    """A release of the Challenge, or one subset of it.

    ``subsets`` chooses among the folders below ``training``. ``site`` of a recording is its subset. Labels are those
    that the metric of 2021 or 2020 counts, or all that the release's code table knows; pairs that the Challenge calls
    equal are one label. A code of a recording that is none of the labels is counted in the notes; a label that a
    subset's annotators did not use is 0 there, as in the Challenge.
    """

    licence = "CC BY 4.0"
    landmark = "training"

    folders: ClassVar[tuple[str, ...]] = ()
    """Subsets that are read, where ``subset_names`` leaves no choice."""

    def cohort(self) -> Cohort:
        """Recordings, labels and splits.

        Raises:
            InputError: where a subset is not there, headers have the gain of before August 2020, signal files are
                absent, a recording is there twice, or as many recordings as the release has do not have its labels.
        """
        folders = self.subsets or self.folders
        training = self.root / self.landmark
        absent = [name for name in folders if not (training / name).is_dir()]
        if absent:
            there = [name for name in folders if name not in absent]
            remedy = f"Complete the download ({self.url})" + (f", or set data.subsets to {there}" if there else "")
            raise InputError(Problem(str(training), "data.subsets", f"holds no {', '.join(absent)}", remedy))
        known = {row["subset"]: row for row in package_table("cinc_subsets.csv")}
        headers = {name: read_headers(self.root, f"{self.landmark}/{name}") for name in folders}
        problems = [problem for name in folders for problem in _problems(str(training / name), headers[name], self.url)]
        if problems:
            raise InputError(problems)
        parts = [_subset_table(known[name], headers[name]) for name in folders]
        every = [header for name in folders for header in headers[name]]
        labelled = _label(label_map(self.labels), every)
        targets = label_map(self.labels).labels
        table = pd.concat(parts, ignore_index=True)
        table = pd.concat([table, pd.DataFrame(labelled.matrix, columns=list(targets))], axis=1)
        problems = compare(table, targets, self.name, self.labels, str(training))
        if problems:
            raise InputError(problems)
        notes = [*labelled.notes(), *_notes(self.name, known, headers)]
        return Cohort(self.name, self.root, table, targets, self.licence, tuple(notes), {}, str(training))


def label_map(labels: str) -> LabelMap:
    """Labels by SNOMED CT code: ``scored2021``, ``scored2020``, or ``all`` of the Challenge's code table."""
    rows = package_table(LABELS)
    if labels != "all":
        rows = [row for row in rows if row[f"scored_{labels.removeprefix('scored')}"] == "1"]
    return LabelMap({row["code"]: row["label"] for row in rows}, f"{LABELS}: {labels}")


def original_name(subset: str, header: ChallengeHeader) -> str:
    """Name of a recording in the set that it is from; that of its header where no crosswalk is known."""
    if subset == "ptb-xl" and (match := re.fullmatch(r"HR(\d{5})", header.record)):
        return match[1]
    if subset == "st_petersburg_incart" and (match := re.fullmatch(r"I(\d{4})", header.record)):
        return f"I{int(match[1]):02d}"
    # the one header that is named otherwise than its recording: S23074 for JS23074
    if subset == "ningbo" and (match := re.fullmatch(r"(JS\d{5})\.mat", header.signal_file)):
        return match[1]
    return header.record


def _label(labels: LabelMap, headers: Sequence[ChallengeHeader]) -> Labelled:
    return labels.apply([header.comments.codes if header.comments else None for header in headers])


def _problems(where: str, headers: list[ChallengeHeader], url: str) -> list[Problem]:
    fetch = f"Fetch it again ({url})"
    if not headers:
        return [Problem(where, "headers", "there are none", fetch)]
    count = Counter(header.record for header in headers)
    found = (
        (
            [h for h in headers if count[h.record] > 1],
            "names",
            "are not the only one of their name",
            "Keep one copy of the subset",
        ),
        (
            [h for h in headers if h.old_gain],
            "gain",
            "have gain 4880, in releases before August 2020: voltages come out 4.88 times too small",
            f"Fetch the corrected headers, whose gain is 1000 ({url})",
        ),
        (
            [h for h in headers if h.signal_file and not h.signal_there],
            "signal files",
            "name a file that is not beside them",
            fetch,
        ),
    )
    return [
        Problem(where, field, f"{len(some)} of {len(headers)} headers ({_examples(some)}) {what}", remedy)
        for some, field, what, remedy in found
        if some
    ]


def _examples(headers: Sequence[ChallengeHeader]) -> str:
    more = ", ..." if len(headers) > _EXAMPLES else ""
    return ", ".join(header.record for header in headers[:_EXAMPLES]) + more


def _subset_table(known: dict[str, Any], headers: list[ChallengeHeader]) -> pd.DataFrame:
    subset = known["subset"]
    # PTB's names are no crosswalk (S0138 is not s0138), so they must not look like one
    prefix = known["set"] if known["set"] not in ("", "ptb") else "cinc"
    names = [f"{prefix}-{original_name(subset, header)}" for header in headers]
    defects = _defects(subset)
    folds = np.full(len(headers), np.nan)
    if known["patients"] != "repeat":
        folds = _folds(subset, headers, names)
    return pd.DataFrame(
        {
            "record_id": names,
            "path": [header.path for header in headers],
            "patient_id": [f"record:{name}" for name in names],
            "split": ["train" if np.isnan(fold) else split_of(fold) for fold in folds],
            "fold": folds,
            "age": [header.comments.age if header.comments else np.nan for header in headers],
            "sex": [header.comments.sex if header.comments else "" for header in headers],
            "site": subset,
            "defect": [defects[h.record].defect if h.record in defects else "" for h in headers],
            "defect_action": [defects[h.record].action if h.record in defects else "" for h in headers],
        }
    )


def _folds(subset: str, headers: list[ChallengeHeader], names: list[str]) -> NDArray[np.float64]:
    """The folds in which the subset's own set has its recordings, whatever else is chosen and whatever the labels."""
    if subset == "cpsc_2018":
        labels = read_label_map("cpsc2018.csv").with_equals(equal_snomed_codes())
        return stratified_folds(_label(labels, headers).matrix, names, "cpsc2018").astype(float)
    return stratified_folds(_label(label_map(_STRATIFY_BY), headers).matrix, names, subset).astype(float)


def _defects(subset: str) -> dict[str, Defect]:
    found = known_defects("cinc2021")
    if subset in _SAME_NAMES:
        # what is excluded there is so for its header, and the Challenge wrote its own
        found |= {name: d for name, d in known_defects(_SAME_NAMES[subset]).items() if d.action == "flag"}
    return found


def _notes(own: str, known: dict[str, dict[str, Any]], headers: dict[str, list[ChallengeHeader]]) -> list[str]:
    notes = []
    of_subsets = {name: (len(found), int(known[name]["recordings"])) for name, found in headers.items()}
    partial = [f"{name} {here} of {whole}" for name, (here, whole) in of_subsets.items() if here != whole]
    if partial:
        notes.append(f"recordings other than in the release: {', '.join(partial)}")
    kept = [name for name in headers if known[name]["patients"] == "repeat"]
    if kept:
        notes.append(f"{', '.join(kept)}: patients have several recordings, their ids are not published, so all train")
    if len(kept) < len(headers):
        notes.append(MADE_HERE)
    dealt = [name for name in headers if known[name]["patients"] == "unknown"]
    if dealt:
        notes.append(f"{', '.join(dealt)}: no patient ids are published, so splits may share patients")
    copies = list(dict.fromkeys(known[name]["set"] for name in headers if known[name]["set"] not in ("", own)))
    if copies:
        notes.append(
            f"holds recordings of {', '.join(copies)}: what is pretrained here must not be tested on those sets"
        )
    if own == "georgia":
        notes.append("the same recordings are in cinc2020 and cinc2021")
    if "ptb-xl" in headers:
        notes.append(
            "ptb-xl is PTB-XL 1.0.1, with the 38 duplicates that 1.0.3 removed; its folds are those of set ptbxl"
        )
    if "st_petersburg_incart" in headers:
        notes.append("st_petersburg_incart was re-quantised and clipped: the original (set incart) has no gaps")
    every = [header for found in headers.values() for header in found]
    unreadable = [header for header in every if header.comments is None]
    if unreadable:
        notes.append(f"{len(unreadable)} headers cannot be read ({_examples(unreadable)}): their labels are unknown")
    renamed = [h for h in every if h.signal_file and h.signal_file.partition(".")[0] != h.record]
    if renamed:
        of = ", ".join(f"{h.record} ({h.signal_file})" for h in renamed[:_EXAMPLES])
        notes.append(f"{len(renamed)} headers name a signal file that is called otherwise: {of}")
    return notes
