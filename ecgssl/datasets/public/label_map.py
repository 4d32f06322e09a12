"""Mapping of diagnosis codes (SNOMED CT, SCP-ECG, AHA) to labels by exact match."""

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
    """Label matrix of recordings.

    Args:
        matrix: (recordings, labels) with values 1 and 0. All labels of a recording with unknown codes are NaN.
        unmapped: number of recordings for each code without a label.
    """

    matrix: NDArray[np.float64]
    unmapped: Counter[str]

    def notes(self, most: int = 8) -> list[str]:
        """Return notes on recordings without codes and on codes without a label.

        Args:
            most: number of codes to list.
        """
        unknown = int(np.isnan(self.matrix).all(axis=1).sum()) if self.matrix.shape[1] else 0
        notes = [f"{unknown} recordings have no diagnosis code: their labels are unknown"] if unknown else []
        if self.unmapped:
            shown = ", ".join(f"{code} ({count})" for code, count in self.unmapped.most_common(most))
            more = f" and {len(self.unmapped) - most} more" if len(self.unmapped) > most else ""
            notes.append(f"{len(self.unmapped)} codes without a label (number of recordings): {shown}{more}")
        return notes


@dataclass(frozen=True)
class LabelMap:
    """Mapping from diagnosis codes to labels. Several codes can have the same label.

    Args:
        label_of: dict from code to label.
        source: file that the mapping was read from, or the publications it is based on.
    """

    label_of: dict[str, str]
    source: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Distinct labels, in the order in which they first occur in ``label_of``."""
        return tuple(dict.fromkeys(self.label_of.values()))

    def with_equals(self, equal: Mapping[str, str]) -> LabelMap:
        """Return a new mapping in which equivalent codes have the same label.

        Args:
            equal: dict from a code to its equivalent code. If both have a label, the label of the equivalent code is
                used.
        """
        label_of = dict(self.label_of)
        for code, other in equal.items():
            label = label_of.get(other, label_of.get(code))
            if label is not None:
                label_of |= {other: label, code: label}
        return LabelMap(label_of, self.source)

    def apply(self, codes: Sequence[Iterable[str] | None]) -> Labelled:
        """Convert the codes of recordings to a label matrix.

        Args:
            codes: codes of each recording. ``None`` means unknown and sets all labels to NaN; an empty list sets them to 0.
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
    """Read a CSV file in ``ecgssl/datasets/public/tables``, and return its rows as dicts."""
    text = (files("ecgssl.datasets.public") / "tables" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def equal_snomed_codes() -> dict[str, str]:
    """Return equivalent SNOMED CT codes (scored as equal in the PhysioNet/CinC Challenge 2021) as a dict."""
    return {row["code"]: row["equal_to"] for row in package_table("snomed_equal.csv")}


def read_label_map(name: str) -> LabelMap:
    """Load a mapping from a CSV file in ``ecgssl/datasets/public/tables`` (columns ``code``, ``label``, ``source``)."""
    rows = package_table(name)
    return LabelMap({row["code"]: row["label"] for row in rows}, "; ".join(dict.fromkeys(r["source"] for r in rows)))
