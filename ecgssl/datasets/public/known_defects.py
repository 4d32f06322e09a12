"""Known defects of recordings in public datasets, listed in ``tables/known_defects.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ecgssl.datasets.public.label_map import package_table


@dataclass(frozen=True)
class Defect:
    """Known defect of one recording.

    Args:
        record: name of the recording within the dataset.
        defect: short description of the defect.
        action: ``exclude`` rejects the recording; ``flag`` keeps it. Both record the reason code ``known_defect``.
        source: publication or software that reported the defect.
    """

    record: str
    defect: str
    action: Literal["exclude", "flag"]
    source: str


def known_defects(name: str) -> dict[str, Defect]:
    """Return the known defects of a public dataset as a dict from recording name to defect."""
    return {
        row["record"]: Defect(row["record"], row["defect"], row["action"], row["source"])
        for row in package_table("known_defects.csv")
        if row["set"] == name
    }


def add_defects(table: pd.DataFrame, defects: dict[str, Defect], records: pd.Series) -> None:
    """Add the columns ``defect`` and ``defect_action`` to a table of recordings, in place.

    Args:
        table: table of the cohort.
        defects: dict from recording name to known defect.
        records: name of the recording in each row. Rows without a known defect get empty cells.
    """
    table["defect"] = [defects[r].defect if r in defects else "" for r in records]
    table["defect_action"] = [defects[r].action if r in defects else "" for r in records]
