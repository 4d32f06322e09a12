"""What every public set has in common: a name, a licence, label sets, a folder, and a cohort that comes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb_reader import header_path


class PublicSet(ABC):
    """A public set in its official layout.

    Args:
        root: the unpacked release.
        labels: one of ``label_sets``; by default the first.
        sampling_rate: which copy of each recording, where a set has several, in Hz.

    Attributes:
        name: as ``data.set`` and ``ecgssl download`` spell it.
        title: for people.
        licence, citation, url: of the release.
        label_sets: names of the target sets it offers, the default first.
        landmark: a file or folder, relative to the root, by which the layout is recognised.

    Raises:
        InputError: where the root does not look like the set, or ``labels`` is none of its label sets.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    url: ClassVar[str]
    label_sets: ClassVar[tuple[str, ...]]
    landmark: ClassVar[str]

    def __init__(self, root: Path | str, *, labels: str | None = None, sampling_rate: int = 500) -> None:
        self.root = Path(root)
        self.labels = labels or self.label_sets[0]
        self.sampling_rate = sampling_rate
        problems = []
        if self.labels not in self.label_sets:
            known = ", ".join(self.label_sets)
            problems.append(Problem("data.labels", self.labels, f"is no label set of {self.name}", f"Known: {known}"))
        if not (self.root / self.landmark).exists():
            what = f"holds no {self.landmark}, by which {self.title} is recognised"
            problems.append(Problem(str(self.root), "data.root", what, f"Name the unpacked release ({self.url})"))
        if problems:
            raise InputError(problems)

    @abstractmethod
    def cohort(self) -> Cohort:
        """Recordings, labels and splits.

        Raises:
            InputError: with everything that is wrong with the tables, and every recording that is not there.
        """

    def absent(self, source: Path, paths: Sequence[str], rows: Iterable[int] | None = None) -> list[Problem]:
        """A problem that counts the WFDB records that are not under the root; none where all are there.

        Args:
            source: the table that lists them.
            paths: relative to the root.
            rows: row number of each in ``source``; by default counted from 2, below a header line.
        """
        numbers = list(rows) if rows is not None else list(range(2, len(paths) + 2))
        missing = [
            number
            for number, path in zip(numbers, paths, strict=True)
            if ".." in Path(path).parts or not header_path(self.root / path).is_file()
        ]
        if not missing:
            return []
        what = f"{len(missing)} of {len(paths)} recordings are not under {self.root} ({rows_text(missing)})"
        return [Problem(str(source), "recordings", what, f"Complete the download ({self.url})")]
