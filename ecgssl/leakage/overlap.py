"""Leakage checks: recordings shared between splits, or between a test set and the pretraining data.

A recording is shared if both sets contain the same patient or the same waveform. Waveforms are compared by
``ecgssl.signal.waveform_match``, which also finds copies with another name, format, scale or sampling rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgssl.datasets.cohort import EXTERNAL, SPLITS
from ecgssl.errors import InputError, Problem
from ecgssl.leakage.identities import Identities
from ecgssl.signal.waveform_match import find_copies

By = Literal["patient", "waveform"]
BOTH: tuple[By, By] = ("patient", "waveform")

ORDER = (*SPLITS, EXTERNAL)
"""All splits, in the order from training to evaluation."""
REMEDY = (
    "Keep them in one split, or set sets.NAME.overlap to drop_train (removes them from the earlier split) "
    "or warn (only counts them)"
)
MOST_PROBLEMS = 50
"""Largest number of problems of one kind that an error lists; further problems are only counted."""
_MEMBERS = 8
_SHARED = {"patient": "belong to the same patient", "waveform": "have the same waveform"}


@dataclass(frozen=True)
class Crossing:
    """Group of recordings in different splits with the same patient or the same waveform.

    Args:
        by: shared property, ``patient`` or ``waveform``.
        rows: row numbers of the recordings.
        splits: split of each recording.
    """

    by: By
    rows: tuple[int, ...]
    splits: tuple[str, ...]

    @property
    def held_out(self) -> str:
        """Split that keeps the shared recordings: the last of their splits in ``ORDER``."""
        return max(self.splits, key=ORDER.index)

    def what(self, name: Callable[[int], str]) -> str:
        """Return a description for an error message; ``name`` is a function that returns the record id of a row."""
        pairs = list(zip(self.rows, self.splits, strict=True))
        by_split = ([(row, split) for row, split in pairs if split == each] for each in ORDER)
        # list recordings from all splits alternately, so that each split is shown
        turns = [pair for turn in zip_longest(*by_split) for pair in turn if pair is not None]
        shown = ", ".join(f"{name(row)} in {split}" for row, split in turns[:_MEMBERS])
        more = f" and {len(turns) - _MEMBERS} more" if len(turns) > _MEMBERS else ""
        return f"{shown}{more} {_SHARED[self.by]}"


@dataclass(frozen=True)
class Within:
    """Recordings and patients shared between the splits of one cohort.

    Args:
        crossings: groups of recordings with the same patient, then groups with the same waveform.
        two_patients: number of recordings whose waveform also occurs under another patient id in the same split.
    """

    crossings: tuple[Crossing, ...]
    two_patients: int

    def of(self, by: By) -> list[Crossing]:
        """Return the groups that share the given property, ``patient`` or ``waveform``."""
        return [crossing for crossing in self.crossings if crossing.by == by]

    def left_out(self) -> dict[int, str]:
        """Return the rows that ``sets.NAME.overlap: drop_train`` excludes, as a dictionary from row number to reason.

        In each group, the recordings in other splits than ``held_out`` are excluded.
        """
        why: dict[int, str] = {}
        for crossing in self.crossings:
            shared = "of a patient" if crossing.by == "patient" else "has the waveform of a recording"
            for row, split in zip(crossing.rows, crossing.splits, strict=True):
                if split != crossing.held_out:
                    why.setdefault(row, f"{shared} of split {crossing.held_out}")
        return dict(sorted(why.items()))

    def counts(self) -> dict[str, int]:
        """Return the numbers of shared recordings, ``by_patient`` and ``by_waveform``, and the number ``two_patients``."""
        found = {f"by_{by}": sum(len(crossing.rows) for crossing in self.of(by)) for by in BOTH}
        return found | {"two_patients": self.two_patients}

    def warnings(self) -> list[str]:
        """Return one warning for each number in ``counts`` that is not 0."""
        counts = self.counts()
        said = [
            f"{counts[f'by_{by}']} recordings have the {by} of a recording in another split, so results are too optimistic"
            for by in BOTH
            if counts[f"by_{by}"]
        ]
        if self.two_patients:
            said.append(
                f"{self.two_patients} recordings have the same waveform as a recording of another patient in the same split"
            )
        return said


def within(splits: ArrayLike, patients: ArrayLike, waveforms: NDArray[np.int64]) -> Within:
    """Return the recordings and patients that are shared between splits of a cohort.

    Args:
        splits: (n,) split of each recording. Recordings whose split is not in ``ORDER`` are never in a group of
            ``crossings``; together they are treated as one split for ``two_patients``.
        patients: (n,) patient ids or their hashes.
        waveforms: (n,) group numbers, equal for copies of one waveform
            (``ecgssl.signal.waveform_match.same_recording``).
    """
    place = {split: rank for rank, split in enumerate(ORDER)}
    ranks = np.array([place.get(split, -1) for split in np.asarray(splits, dtype=object)], dtype=np.int64)
    groups = {
        "patient": pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64),
        "waveform": waveforms,
    }
    crossings = [crossing for by in BOTH for crossing in _crossings(by, groups[by], ranks)]
    # number of distinct patients per waveform and split
    cells = pd.DataFrame({"cell": groups["waveform"] * (len(ORDER) + 1) + ranks, "patient": groups["patient"]})
    distinct = cells.groupby("cell")["patient"].transform("nunique")
    return Within(tuple(crossings), int((distinct > 1).sum()))


def _crossings(by: By, group: NDArray[np.int64], ranks: NDArray[np.int64]) -> Iterable[Crossing]:
    rows = np.flatnonzero(ranks >= 0)
    size = int(group.max(initial=-1)) + 1
    low, high = np.full(size, len(ORDER)), np.full(size, -1)
    np.minimum.at(low, group[rows], ranks[rows])
    np.maximum.at(high, group[rows], ranks[rows])
    rows = rows[low[group[rows]] < high[group[rows]]]
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1) if len(rows) else []
    found = [Crossing(by, tuple(part.tolist()), tuple(ORDER[rank] for rank in ranks[part])) for part in parts]
    return sorted(found, key=lambda crossing: crossing.rows)


def limit_problems(problems: Sequence[Problem], rest: str) -> list[Problem]:
    """Return the first ``MOST_PROBLEMS`` problems. If there are more, add one with their number and the text ``rest``."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return list(problems)
    last = problems[-1]
    return [*problems[:MOST_PROBLEMS], Problem(last.where, last.field, f"{more} more of this kind{rest}", last.remedy)]


@dataclass(frozen=True)
class Pairs:
    """Recordings of set b that match a recording of set a, by patient or by waveform.

    Args:
        rows: (m,) matching rows of b, ascending.
        others: (m,) matching row of a for each of them: the first match by patient, or the closest match by waveform.
        rows_a: number of recordings of a that match a recording of b.
        distances: (m,) distances of the waveform codes; empty for matches by patient.
    """

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    rows_a: int
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Between:
    """Recordings and patients shared by two sets a and b.

    Args:
        counts: number of recordings in a and in b.
        waveform: pairs of recordings with the same waveform.
        patient: pairs of recordings with the same patient; ``None`` if the patient hashes cannot be compared, because
            their key or the source of the patient ids differs or is unknown.
    """

    counts: tuple[int, int]
    waveform: Pairs
    patient: Pairs | None

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows (m,) of b that match a recording of a by patient or waveform, ascending."""
        found = [self.waveform.rows, *([self.patient.rows] if self.patient else [])]
        return np.unique(np.concatenate(found))

    def outcome(self) -> dict[str, Any]:
        """Return the numbers of compared and shared recordings as a JSON-compatible dictionary."""
        by_patient = None if self.patient is None else len(self.patient)
        found = {"by_waveform": len(self.waveform), "by_patient": by_patient, "found": len(self.rows)}
        return {"pretrained_on": self.counts[0], "compared": self.counts[1]} | found


def between(a: Identities, b: Identities) -> Between:
    """Return the recordings and patients that are shared by two sets.

    Args:
        a: identities of one set, for example the pretraining data.
        b: identities of the other set, for example validation and test recordings.
    """
    # find_copies is faster if the larger set is passed first
    turned = len(a) < len(b)
    in_a, in_b = find_copies(a.codes, b.codes) if not turned else reversed(find_copies(b.codes, a.codes))
    waveform = Pairs(in_b.rows, in_b.closest, len(in_a), in_b.distance)
    # patient hashes are comparable only if both sets have the same key and patient ids; empty means unknown
    comparable = bool(a.numberings & b.numberings)
    return Between((len(a), len(b)), waveform, _same_patients(a, b) if comparable else None)


def _same_patients(a: Identities, b: Identities) -> Pairs:
    (rows_a, keys_a), (rows_b, keys_b) = a.patient_keys(), b.patient_keys()
    places, first = matching_keys(keys_a, keys_b)
    return Pairs(rows_b[places], rows_a[first], int(np.isin(keys_a, keys_b).sum()), np.zeros(0))


def matching_keys(known: NDArray[np.uint64], keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places in ``keys`` (m,) whose key occurs in ``known``, and its first place (m,) there."""
    if not len(known):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distinct, first = np.unique(known, return_index=True)
    place = np.minimum(np.searchsorted(distinct, keys), len(distinct) - 1)
    found = np.flatnonzero(distinct[place] == keys)
    return found, first[place[found]]


def in_words(outcome: Mapping[str, Any]) -> str:
    """Return the result of an overlap check as text, for model cards and the command line.

    Args:
        outcome: result of ``Between.outcome``, or a dictionary with the key ``not_checked`` (the reason). Optional keys
            are ``learned`` (``trained`` if a classifier was trained on the first set, instead of an encoder pretrained),
            ``incomplete`` (recordings of an earlier encoder are not known), ``across_splits`` (number of recordings that
            share a patient or waveform across splits) and ``across_folds`` (result of
            ``ecgssl.leakage.across_folds.count_across_folds``).
    """
    data = (
        "recordings that the model was trained on" if outcome.get("learned") == "trained" else "pretraining recordings"
    )
    if "pretrained_on" in outcome and not outcome["compared"]:
        said = "not checked, because there are no held-out recordings"
    elif "pretrained_on" in outcome:
        by = "waveform and patient"
        if outcome["by_patient"] is None:
            by = "waveform (not by patient, because the keys or the numbering of the patients differ)"
        said = f"{outcome['found']:,} of {outcome['compared']:,} held-out recordings are among the "
        said += f"{outcome['pretrained_on']:,} {data}, compared by {by}"
        if outcome.get("incomplete"):
            said += "; not compared with the recordings of the encoder that pretraining started from (not listed)"
    else:
        said = f"not checked, because {outcome['not_checked']}"
    across = outcome.get("across_splits", 0)
    said += f"; {across:,} recordings share a patient or waveform across splits" if across else ""
    return said + (_across_folds(outcome["across_folds"]) if outcome.get("across_folds") else "")


def _across_folds(counts: Mapping[str, Any]) -> str:
    """Return the result of ``ecgssl.leakage.across_folds.count_across_folds`` as text."""
    text = f"; {counts['by_patient']:,} of {counts['recordings']:,} recordings share their patient with another fold"
    if counts["by_waveform"] is None:
        return f"{text}; copies in other folds were not searched, because the store has no waveform codes"
    return f"{text}, {counts['by_waveform']:,} have a copy in another fold"


def compare_folders(a: Path, b: Path, splits: Sequence[str] = ()) -> dict[str, Any]:
    """Return the recordings shared by two folders, each of which is a store or an encoder.

    Args:
        a, b: folder of a store, or of an encoder with the identities of its training recordings.
        splits: splits of a store to compare; empty for all.

    Returns:
        Dictionary with the keys ``recordings`` (number of recordings in a and b), ``found`` (number of recordings in b
        that match a recording in a), and ``waveform`` and ``patient``, which contain the numbers of matching recordings
        ``a`` and ``b`` and the ``pairs`` of their labels. ``patient`` is ``None`` if the patient hashes cannot be
        compared.

    Raises:
        InputError: a folder cannot be used; see ``Identities.of_folder``. Lists the problems of both folders.
    """
    problems: list[Problem] = []
    sets = []
    for path in (a, b):
        try:
            sets.append(Identities.of_folder(path, splits))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    found = between(*sets)

    def describe(pairs: Pairs) -> dict[str, Any]:
        both = zip(pairs.others.tolist(), pairs.rows.tolist(), strict=True)
        names = [[sets[0].label(other), sets[1].label(row)] for other, row in both]
        return {"a": pairs.rows_a, "b": len(pairs), "pairs": names}

    return {
        "recordings": list(found.counts),
        "found": len(found.rows),
        "waveform": describe(found.waveform),
        "patient": None if found.patient is None else describe(found.patient),
    }
