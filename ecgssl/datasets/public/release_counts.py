"""Known counts of whole releases (``tables/release_counts.csv``), to detect a table that differs from the release."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ecgssl.datasets.cohort import SPLITS
from ecgssl.datasets.public.label_map import package_table
from ecgssl.errors import Problem

RECORDINGS = "recordings"


def release_counts(name: str, labels: str = "") -> dict[str, int]:
    """Return published or recomputed counts of a set.

    Args:
        name: name of the set.
        labels: label set; its counts are added to those of the set as a whole.

    Returns:
        Counts by key: ``recordings``, ``patients``, ``train``, ``val``, ``test`` (recordings with a known
        target), ``patients of train`` and so on, ``unlabelled``, ``targets``, or the name of a target (its positives).
        Empty for a set without rows in the table.
    """
    return {
        row["counted"]: int(row["count"])
        for row in package_table("release_counts.csv")
        if row["set"] == name and row["labels"] in ("", labels)
    }


def compare(table: pd.DataFrame, targets: Sequence[str], name: str, labels: str, where: str) -> list[Problem]:
    """Return a problem that lists every count in which a whole release differs from the known counts.

    Args:
        table: table of the cohort. A table of another length than the release is not compared.
        targets: targets of the label set.
        name: name of the set.
        labels: label set.
        where: file behind the table.
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
    what = f"has {len(table):,} recordings but other counts than the release (in brackets): {', '.join(wrong)}"
    return [Problem(where, "counts", what, "Fetch the tables again and compare them with SHA256SUMS.txt")]


def share(recordings: int, name: str) -> str:
    """Return a note such as ``500 of 21,799 recordings``; ``500 recordings`` if that is all or the total is unknown."""
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
