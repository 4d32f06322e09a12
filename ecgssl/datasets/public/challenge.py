"""Loaders for the PhysioNet/CinC Challenges 2020 and 2021, and for the Georgia dataset.

Files are ``training/{subset}/g*/X.{hea,mat}``; the folders ``training`` and ``g*`` may be absent. The headers contain the
labels. The releases (Perez Alday et al. 2020, Reyna et al. 2021) contain recordings of other public datasets, some with new
names. If the original name is known, the recording gets the ``record_id`` of the original dataset (HR00001 becomes
``ptbxl-00001``). Recordings shared by two cohorts can then be found by name.

The Challenge publishes no patient ids. Some subsets contain several recordings per patient (PTB-XL, PTB, INCART). They are
used for training only, because a split by recording would put the same patient into several splits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, split_of, stratified_folds
from ecgssl.datasets.public.challenge_headers import ChallengeHeader, read_headers
from ecgssl.datasets.public.known_defects import Defect, add_defects, known_defects
from ecgssl.datasets.public.label_map import Labelled, LabelMap, equal_snomed_codes, package_table, read_label_map
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.raw_figures import bridge, raw_figures
from ecgssl.signal.set_voltage import unusual_voltage

LABELS = "snomed_cinc2021.csv"
_EXAMPLES = 4
_RECORDINGS_READ = 16
_STRATIFY_BY = "scored2021"

_SAME_NAMES = {"cpsc_2018": "cpsc2018", "chapman_shaoxing": "ecg_arrhythmia", "ningbo": "ecg_arrhythmia"}
"""Subsets with the same signal files and names as another dataset. Defects with the action ``flag`` apply to both."""

_SUBSETS_2020 = ("cpsc_2018", "cpsc_2018_extra", "st_petersburg_incart", "ptb", "ptb-xl", "georgia")
_SUBSETS_2021 = (*_SUBSETS_2020, "chapman_shaoxing", "ningbo")
_FILES = "training/{}/*"


class Challenge(PublicSet):
    """A release of the PhysioNet/CinC Challenge, or one subset of it.

    ``subsets`` selects folders below ``training``, and the ``site`` of a recording is its subset. The label sets are the
    labels scored in 2020, the labels scored in 2021, and all codes of the release. Codes that the Challenge scores as
    equal share one label. The notes of the cohort count codes without a label. If the annotators of a subset did not
    use a label, it is 0 for the recordings of this subset, as in the Challenge.
    """

    licence = "CC BY 4.0"
    landmark = "training"

    folders: ClassVar[tuple[str, ...]] = ()
    """Subsets to read for a dataset without selectable subsets (``subset_names`` is empty)."""

    def cohort(self) -> Cohort:
        """Return the cohort with labels and splits.

        Raises:
            InputError: a subset, its headers or a signal file is missing, a recording occurs twice, headers have the gain
                4880 of old releases or another gain that gives unusual voltages, or the label counts of a complete
                release differ from the known counts.
        """
        folders = self.subsets or self.folders
        inside = self._training_folder()
        training = self.root / inside
        absent = [name for name in folders if not (training / name).is_dir()]
        if absent:
            flat = _headers_without_folder(training)
            there = [name for name in folders if name not in absent]
            remedy = f"Complete the download ({self.url})" + (f", or set sets.NAME.subsets to {there}" if there else "")
            raise InputError([Problem(str(training), "folder", f"does not contain {', '.join(absent)}", remedy), *flat])
        known = {row["subset"]: row for row in package_table("cinc_subsets.csv")}
        headers = {name: read_headers(self.root, f"{inside}{name}") for name in folders}
        problems = [problem for name in folders for problem in _problems(str(training / name), headers[name], self.url)]
        for name in folders:
            problems += _voltage_problems(self.root, str(training / name), headers[name], self.url)
        if problems:
            raise InputError(problems)
        table = pd.concat([_subset_table(known[name], headers[name]) for name in folders], ignore_index=True)
        labels = label_map(self.labels)
        labelled = _label(labels, [header for name in folders for header in headers[name]])
        notes = [*labelled.notes(), *_notes(self.name, known, headers)]
        return self.checked_cohort(table, labels.labels, labelled.matrix, notes, training)

    def recognised(self) -> bool:
        """Return whether the root contains the folder ``training``, or the folder of a selected subset without it."""
        names = (self.landmark, *(self.subsets or self.folders))
        return any((self.root / name).is_dir() for name in names)

    def root_remedy(self) -> str:
        """Return an instruction for setting ``sets.NAME.root``, and for moving header files that are directly in the root."""
        remedies = [super().root_remedy(), *(str(problem.remedy) for problem in _headers_without_folder(self.root))]
        return ". ".join(remedies)

    def _training_folder(self) -> str:
        """Return the prefix of paths to the subsets: ``training/``, or an empty string if this folder does not exist."""
        return f"{self.landmark}/" if (self.root / self.landmark).is_dir() else ""


class CinC2020(Challenge):
    """Training data of the Challenge 2020 (Perez Alday et al. 2020). The Challenge 2021 contains all of it."""

    name = "cinc2020"
    title = "PhysioNet/CinC Challenge 2020"
    citation = "Perez Alday et al. 2020, doi:10.1088/1361-6579/abc960"
    url = "https://physionet.org/content/challenge-2020/1.0.2/"
    source = Source(
        PHYSIONET + "challenge-2020/1.0.2/",
        needs=("LICENSE.txt",),
        subsets={name: (_FILES.format(name),) for name in _SUBSETS_2020},
    )
    label_sets = ("scored2020", "scored2021", "all")
    subset_names = _SUBSETS_2020


class CinC2021(Challenge):
    """Training data of the Challenge 2021 (Reyna et al. 2021)."""

    name = "cinc2021"
    title = "PhysioNet/CinC Challenge 2021"
    citation = "Reyna et al. 2021, doi:10.23919/CinC53138.2021.9662687"
    url = "https://physionet.org/content/challenge-2021/1.0.3/"
    source = Source(
        PHYSIONET + "challenge-2021/1.0.3/",
        needs=("LICENSE.txt",),
        subsets={name: (_FILES.format(name),) for name in _SUBSETS_2021},
    )
    label_sets = ("scored2021", "scored2020", "all")
    subset_names = _SUBSETS_2021


class Georgia(Challenge):
    """Georgia 12-lead dataset (Perez Alday et al. 2020): the folder ``training/georgia`` of a Challenge release."""

    name = "georgia"
    title = "Georgia"
    citation = CinC2020.citation
    url = CinC2021.url
    source = Source(PHYSIONET + "challenge-2021/1.0.3/", needs=("LICENSE.txt",), default=(_FILES.format("georgia"),))
    label_sets = CinC2021.label_sets
    folders = ("georgia",)


def label_map(labels: str) -> LabelMap:
    """Return the mapping from SNOMED CT codes to labels.

    Args:
        labels: ``scored2020`` or ``scored2021`` for the labels scored in that year, ``all`` for all codes.
    """
    rows = package_table(LABELS)
    if labels != "all":
        rows = [row for row in rows if row[f"scored_{labels.removeprefix('scored')}"] == "1"]
    return LabelMap({row["code"]: row["label"] for row in rows}, f"{LABELS}: {labels}")


def original_name(subset: str, header: ChallengeHeader) -> str:
    """Return the name of a recording in its original dataset, or its header name if the original name is unknown."""
    if subset == "ptb-xl" and (match := re.fullmatch(r"HR(\d{5})", header.record)):
        return match[1]
    if subset == "st_petersburg_incart" and (match := re.fullmatch(r"I(\d{4})", header.record)):
        return f"I{int(match[1]):02d}"
    # the header of JS23074 is named S23074.hea, so the name is taken from the signal file
    if subset == "ningbo" and (match := re.fullmatch(r"(JS\d{5})\.mat", header.signal_file)):
        return match[1]
    return header.record


def _label(labels: LabelMap, headers: Sequence[ChallengeHeader]) -> Labelled:
    return labels.apply([header.comments.codes if header.comments else None for header in headers])


def _problems(where: str, headers: list[ChallengeHeader], url: str) -> list[Problem]:
    fetch = f"Fetch it again ({url})"
    if not headers:
        return [Problem(where, "headers", "the folder contains no header files", fetch)]
    count = Counter(header.record for header in headers)
    double = [h for h in headers if count[h.record] > 1]
    old = [h for h in headers if h.old_gain]
    unsigned = [h for h in headers if h.signal_file and not h.signal_there]
    gain = "have the gain 4880 of releases before August 2020, which makes voltages 4.88 times too small"
    found = (
        (double, "names", "have a name that occurs more than once", "Keep one copy of the subset"),
        (old, "gain", gain, f"Fetch the corrected headers, whose gain is 1000 ({url})"),
        (unsigned, "signal files", "name a signal file that is not in their folder", fetch),
    )
    return [
        Problem(where, field, f"{len(some)} of {len(headers)} headers ({_examples(some)}) {what}", remedy)
        for some, field, what, remedy in found
        if some
    ]


def _headers_without_folder(training: Path) -> list[Problem]:
    """Return a problem if header files are directly in a folder that should contain one folder per subset."""
    count = sum(1 for path in training.glob("*.hea"))
    if not count:
        return []
    what = f"{count} header files are in this folder instead of in a folder for each subset"
    names = ", ".join(_SUBSETS_2021)
    remedy = f"Move the files of each subset (.hea and .mat) to a folder training/SUBSET; the subsets are {names}"
    return [Problem(str(training), "headers", what, remedy)]


def _voltage_problems(root: Path, where: str, headers: list[ChallengeHeader], url: str) -> list[Problem]:
    """Return a problem if headers have an unusual gain and their recordings an unusual voltage; otherwise an empty list.

    Up to ``_RECORDINGS_READ`` of these recordings are read.
    """
    other = [header for header in headers if header.other_gain and header.signal_there]
    spans = []
    for header in other[:: max(1, len(other) // _RECORDINGS_READ)][:_RECORDINGS_READ]:
        try:
            recording = read(root / header.path, overrides=MetadataOverrides(unit="mV"))
        except RecordingError:
            # preprocessing rejects the recording and states why
            continue
        lasting = bridge(recording.signal, np.isfinite(recording.signal))
        spans.append(float(np.median(raw_figures(lasting, recording.sampling_rate).span)))
    what = unusual_voltage(spans, fewest=1)
    if not what:
        return []
    what = f"{len(other)} of {len(headers)} headers ({_examples(other)}) have another gain than 1000 per mV, and {what}"
    return [Problem(where, "gain", what, f"Fetch the corrected headers, whose gain is 1000 ({url})")]


def _examples(headers: Sequence[ChallengeHeader]) -> str:
    more = ", ..." if len(headers) > _EXAMPLES else ""
    return ", ".join(header.record for header in headers[:_EXAMPLES]) + more


def _subset_table(known: dict[str, Any], headers: list[ChallengeHeader]) -> pd.DataFrame:
    subset = known["subset"]
    # the original names of PTB recordings are unknown (S0138 is not s0138), so these recordings get the prefix "cinc"
    prefix = known["set"] if known["set"] not in ("", "ptb") else "cinc"
    names = [f"{prefix}-{original_name(subset, header)}" for header in headers]
    folds = np.full(len(headers), np.nan)
    if known["patients"] != "repeat":
        folds = _folds(subset, headers, names)
    table = pd.DataFrame(
        {
            "record_id": names,
            "path": [header.path for header in headers],
            "patient_id": [f"record:{name}" for name in names],
            "split": ["train" if np.isnan(fold) else split_of(fold) for fold in folds],
            "fold": folds,
            "age": [header.comments.age if header.comments else np.nan for header in headers],
            "sex": [header.comments.sex if header.comments else "" for header in headers],
            "site": subset,
        }
    )
    if any(header.other_gain for header in headers):
        # _voltage_problems accepted these gains, so the reader must not refuse them by their headers
        table["units"] = ["mV" if header.other_gain else "" for header in headers]
    add_defects(table, _defects(subset), pd.Series([header.record for header in headers]))
    return table


def _folds(subset: str, headers: list[ChallengeHeader], names: list[str]) -> NDArray[np.float64]:
    """Return the folds of a subset. They do not depend on the label set or on the other selected subsets.

    Recordings of CPSC2018, Chapman-Shaoxing and Ningbo have the same folds as in their original datasets.
    """
    if subset == "cpsc_2018":
        labels = read_label_map("cpsc2018.csv").with_equals(equal_snomed_codes())
        return stratified_folds(_label(labels, headers).matrix, names, "cpsc2018").astype(float)
    return stratified_folds(_label(label_map(_STRATIFY_BY), headers).matrix, names, subset).astype(float)


def _defects(subset: str) -> dict[str, Defect]:
    found = known_defects("cinc2021")
    if subset in _SAME_NAMES:
        # skip the "exclude" defects of the original dataset: they concern headers, and the Challenge rewrote the headers
        found |= {name: d for name, d in known_defects(_SAME_NAMES[subset]).items() if d.action == "flag"}
    return found


def _notes(own: str, known: dict[str, dict[str, Any]], headers: dict[str, list[ChallengeHeader]]) -> list[str]:
    notes = []
    of_subsets = {name: (len(found), int(known[name]["recordings"])) for name, found in headers.items()}
    partial = [f"{name} {here} of {whole}" for name, (here, whole) in of_subsets.items() if here != whole]
    if partial:
        notes.append(f"number of recordings differs from the release: {', '.join(partial)}")
    kept = [name for name in headers if known[name]["patients"] == "repeat"]
    if kept:
        notes.append(
            f"{', '.join(kept)}: patients have several recordings but no published ids; all recordings are in train"
        )
    if len(kept) < len(headers):
        notes.append(MADE_HERE)
    dealt = [name for name in headers if known[name]["patients"] == "unknown"]
    if dealt:
        notes.append(f"{', '.join(dealt)}: no patient ids are published, so splits may share patients")
    copies = list(dict.fromkeys(known[name]["set"] for name in headers if known[name]["set"] not in ("", own)))
    if copies:
        notes.append(
            f"contains recordings of {', '.join(copies)}: do not test a model pretrained on this set on those sets"
        )
    if own == "georgia":
        notes.append("the same recordings are in cinc2020 and cinc2021")
    if "ptb-xl" in headers:
        notes.append(
            "ptb-xl is PTB-XL 1.0.1, with the 38 duplicates that 1.0.3 removed; its folds are those of set ptbxl"
        )
    if "st_petersburg_incart" in headers:
        notes.append("st_petersburg_incart was re-quantised and clipped; the original (set incart) has no gaps")
    every = [header for found in headers.values() for header in found]
    unreadable = [header for header in every if header.comments is None]
    if unreadable:
        notes.append(f"{len(unreadable)} headers cannot be read ({_examples(unreadable)}): their labels are unknown")
    renamed = [h for h in every if h.signal_file and h.signal_file.partition(".")[0] != h.record]
    if renamed:
        of = ", ".join(f"{h.record} ({h.signal_file})" for h in renamed[:_EXAMPLES])
        notes.append(f"{len(renamed)} headers name a signal file with another name: {of}")
    return notes
