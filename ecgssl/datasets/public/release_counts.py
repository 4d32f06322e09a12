"""Comparison of a loaded public dataset with the known counts of its release (``tables/release_counts.csv``)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ecgssl.datasets.cohort import SPLITS
from ecgssl.datasets.public.label_map import package_table
from ecgssl.errors import Problem

RECORDINGS = "recordings"


def release_counts(name: str, labels: str = "") -> dict[str, int]:
    """Return the known counts of a public dataset.

    Args:
        name: name of the dataset.
        labels: label set whose counts are included; by default only the counts of the dataset as a whole.

    Returns:
        A dict of counts. Keys are ``recordings``, ``patients``, ``train``, ``val`` and ``test`` (recordings with a known
        target), ``patients of train`` and so on, ``unlabelled`` (recordings without a known target), ``targets``
        (number of targets), and target names (number of positives). Keys without a known count are absent.
    """
    return {
        row["counted"]: int(row["count"])
        for row in package_table("release_counts.csv")
        if row["set"] == name and row["labels"] in ("", labels)
    }


def compare(table: pd.DataFrame, targets: Sequence[str], name: str, labels: str, where: str) -> list[Problem]:
    """Compare the counts of a complete dataset with the known counts of its release.

    Args:
        table: table of the cohort. It is compared only if it has as many recordings as the release.
        targets: targets of the label set.
        name: name of the dataset.
        labels: label set.
        where: file that the table was read from, for the message.

    Returns:
        A list with one problem that names all differences; an empty list if there are none.
    """
    known = release_counts(name, labels)
    if len(table) != known.get(RECORDINGS):
        return []
    found = _count(table, targets)
    wrong = [
        f"{what} {found.get(what, 0):,} ({count:,})" for what, count in known.items() if found.get(what, 0) != count
    ]
    if not wrong:
        return []
    what = f"has {len(table):,} recordings, but counts differ from the release (in brackets): {', '.join(wrong)}"
    return [Problem(where, "counts", what, "Download the tables again and compare them with SHA256SUMS.txt")]


def share(recordings: int, name: str) -> str:
    """Return a note such as ``500 of 21,799 recordings``.

    If all recordings are loaded or the total is unknown, the note is ``500 recordings``.
    """
    whole = release_counts(name).get(RECORDINGS, recordings)
    return f"{recordings:,} recordings" if recordings == whole else f"{recordings:,} of {whole:,} recordings"


def _count(table: pd.DataFrame, targets: Sequence[str]) -> dict[str, int]:
    found = {RECORDINGS: len(table), "patients": int(table["patient_id"].nunique()), "targets": len(targets)}
    known = table[list(targets)].notna().any(axis=1)
    found["unlabelled"] = int((~known).sum())
    for split in SPLITS:
        inside = table[known & (table["split"] == split)]
        found |= {split: len(inside), f"patients of {split}": int(inside["patient_id"].nunique())}
    return found | {target: int((table[target] == 1).sum()) for target in targets}
