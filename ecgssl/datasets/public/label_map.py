"""Mapping from diagnosis codes (SNOMED CT, SCP-ECG, AHA) to labels, by exact match."""

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
    """Labels of recordings.

    Args:
        matrix: (recordings, labels) 1, 0, or NaN in the rows of recordings without any statement.
        unmapped: codes without a label, with their numbers of recordings.
    """

    matrix: NDArray[np.float64]
    unmapped: Counter[str]

    def notes(self, most: int = 8) -> list[str]:
        """Return notes on recordings without a statement and codes without a label, of which ``most`` are listed."""
        unknown = int(np.isnan(self.matrix).all(axis=1).sum()) if self.matrix.shape[1] else 0
        notes = [f"{unknown} recordings without a statement: their labels are unknown"] if unknown else []
        if self.unmapped:
            shown = ", ".join(f"{code} ({count})" for code, count in self.unmapped.most_common(most))
            more = f" and {len(self.unmapped) - most} more" if len(self.unmapped) > most else ""
            notes.append(f"{len(self.unmapped)} codes without a label (number of recordings): {shown}{more}")
        return notes


@dataclass(frozen=True)
class LabelMap:
    """Label of each code; codes that a standard defines as equal share a label.

    Args:
        label_of: label by code.
        source: origin of the map.
    """

    label_of: dict[str, str]
    source: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels in the order of their first code."""
        return tuple(dict.fromkeys(self.label_of.values()))

    def with_equals(self, equal: Mapping[str, str]) -> LabelMap:
        """Return a map in which codes that a standard defines as equal share one label.

        Args:
            equal: equivalent code by code. If both have a label, the label of the equivalent code is used.
        """
        label_of = dict(self.label_of)
        for code, other in equal.items():
            label = label_of.get(other, label_of.get(code))
            if label is not None:
                label_of |= {other: label, code: label}
        return LabelMap(label_of, self.source)

    def apply(self, codes: Sequence[Iterable[str] | None]) -> Labelled:
        """Return the labels of recordings.

        Args:
            codes: codes of each recording; ``None`` if no code is stated, which makes all its labels unknown.
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
    """Return the rows of a CSV file in ``ecgssl/datasets/public/tables``."""
    text = (files("ecgssl.datasets.public") / "tables" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def equal_snomed_codes() -> dict[str, str]:
    """Return pairs of SNOMED CT codes that the PhysioNet/CinC Challenge 2021 scores as equal."""
    return {row["code"]: row["equal_to"] for row in package_table("snomed_equal.csv")}


def read_label_map(name: str) -> LabelMap:
    """Return the map of a CSV file in ``ecgssl/datasets/public/tables`` with columns ``code``, ``label``, ``source``."""
    rows = package_table(name)
    return LabelMap({row["code"]: row["label"] for row in rows}, "; ".join(dict.fromkeys(r["source"] for r in rows)))
