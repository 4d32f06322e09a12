"""Recordings of public sets that are known to be broken: data with a source (``tables/known_defects.csv``), not code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ecgssl.datasets.public.label_map import package_table


@dataclass(frozen=True)
class Defect:
    """What is wrong with one recording.

    Args:
        record: its name within the set.
        defect: what is wrong, in a few words.
        action: ``exclude`` leaves it out, counted with its reason; ``flag`` keeps it and says so in the index.
        source: who found it.
    """

    record: str
    defect: str
    action: Literal["exclude", "flag"]
    source: str


def known_defects(name: str) -> dict[str, Defect]:
    """Defects of a set, by record name."""
    return {
        row["record"]: Defect(row["record"], row["defect"], row["action"], row["source"])
        for row in package_table("known_defects.csv")
        if row["set"] == name
    }


def add_defects(table: pd.DataFrame, name: str, records: pd.Series) -> None:
    """Put columns ``defect`` and ``defect_action`` (empty where nothing is known) into a cohort's table, in place.

    Args:
        table: of the cohort.
        name: of the set in the table of defects.
        records: name of each row's recording within the set.
    """
    found = known_defects(name)
    table["defect"] = [found[r].defect if r in found else "" for r in records]
    table["defect_action"] = [found[r].action if r in found else "" for r in records]
