"""Codes of a vocabulary (SNOMED CT, SCP-ECG, AHA) to label names, by exact match only."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Labelled:
    """What a label map made of the codes of some recordings.

    Args:
        matrix: (recordings, labels) 1, 0, or NaN in the rows of recordings without any statement.
        unmapped: codes that no label stands for, with the number of recordings that carry them.
    """

    matrix: NDArray[np.float64]
    unmapped: Counter[str]

    def notes(self, most: int = 8) -> list[str]:
        """What a reader of results should know: recordings without a statement, and codes without a label."""
        unknown = int(np.isnan(self.matrix).all(axis=1).sum()) if self.matrix.shape[1] else 0
        notes = [f"{unknown} recordings without a statement: their labels are unknown"] if unknown else []
        if self.unmapped:
            shown = ", ".join(f"{code} ({count})" for code, count in self.unmapped.most_common(most))
            more = f" and {len(self.unmapped) - most} more" if len(self.unmapped) > most else ""
            notes.append(f"{len(self.unmapped)} codes without a label, in so many recordings: {shown}{more}")
        return notes


@dataclass(frozen=True)
class LabelMap:
    """Which label each code stands for; several codes may share one (pairs that a standard calls equal).

    Args:
        label_of: label by code.
        source: where the map is from.
    """

    label_of: dict[str, str]
    source: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of their first code."""
        return tuple(dict.fromkeys(self.label_of.values()))

    def with_equals(self, equal: Mapping[str, str]) -> LabelMap:
        """The map in which codes that a standard calls equal share one label.

        Args:
            equal: by a code, the code that it means the same as, whose label counts where both have one.
        """
        label_of = dict(self.label_of)
        for code, other in equal.items():
            label = label_of.get(other, label_of.get(code))
            if label is not None:
                label_of |= {other: label, code: label}
        return LabelMap(label_of, self.source)

    def apply(self, codes: Sequence[Iterable[str] | None]) -> Labelled:
        """Labels of recordings.

        Args:
            codes: of each recording; ``None`` where nothing was stated, which makes all its labels unknown.
        """
        place = {label: column for column, label in enumerate(self.labels)}
        matrix = np.zeros((len(codes), len(place)))
        unmapped: Counter[str] = Counter()
        for row, stated in enumerate(codes):
            if stated is None:
                matrix[row] = np.nan
                continue
            for code in set(stated):
                if code in self.label_of:
                    matrix[row, place[self.label_of[code]]] = 1.0
                else:
                    unmapped[code] += 1
        return Labelled(matrix, unmapped)


def package_table(name: str) -> list[dict[str, Any]]:
    """Rows of a CSV in ``ecgssl/datasets/public/tables``: facts about public sets, each with its source."""
    text = (files("ecgssl.datasets.public") / "tables" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def equal_snomed_codes() -> dict[str, str]:
    """SNOMED CT codes that the PhysioNet/CinC Challenge 2021 scores as one: a code, and the one it is merged into."""
    return {row["code"]: row["equal_to"] for row in package_table("snomed_equal.csv")}


def read_label_map(name: str) -> LabelMap:
    """A map from ``ecgssl/datasets/public/tables``: columns ``code``, ``label``, ``source``."""
    rows = package_table(name)
    return LabelMap({row["code"]: row["label"] for row in rows}, "; ".join(dict.fromkeys(r["source"] for r in rows)))
