"""What every public set has in common: a name, a licence, label sets, a folder, and a cohort that comes of it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb.reader import header_path


class PublicSet(ABC):
    """A public set in its official layout.

    Args:
        root: the unpacked release.
        labels: one of ``label_sets``; by default the first.
        sampling_rate: which copy of each recording, where a set has several, in Hz.
        subsets: names of ``subset_names``, all of which must be there; by default all of them.
        standardised_as_mv: take samples that were published as z-scores as if one were 1 mV.

    Attributes:
        name: as ``data.set`` and ``ecgssl download`` spell it.
        title: for people.
        licence, citation, url: of the release.
        label_sets: names of the target sets it offers, the default first.
        landmark: a file or folder, relative to the root, by which the layout is recognised.
        subset_names: parts that may be used without the others; empty for a set that is used as a whole.
        standardised: whether its samples were published as z-scores.

    Raises:
        InputError: where the root does not look like the set, ``labels`` is none of its label sets, ``subsets`` are not
            among its parts, or z-scores are to be accepted that it does not hold.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    url: ClassVar[str]
    label_sets: ClassVar[tuple[str, ...]]
    landmark: ClassVar[str]
    subset_names: ClassVar[tuple[str, ...]] = ()
    standardised: ClassVar[bool] = False

    def __init__(
        self,
        root: Path | str,
        *,
        labels: str | None = None,
        sampling_rate: int = 500,
        subsets: Sequence[str] = (),
        standardised_as_mv: bool = False,
    ) -> None:
        self.root = Path(root)
        self.labels = labels or self.label_sets[0]
        self.sampling_rate = sampling_rate
        self.subsets = tuple(subsets) or self.subset_names
        self.standardised_as_mv = standardised_as_mv
        problems = []
        unknown = [name for name in self.subsets if name not in self.subset_names]
        if unknown:
            known = f"Known: {', '.join(self.subset_names)}" if self.subset_names else "Leave data.subsets out"
            problems.append(Problem("data.subsets", ", ".join(unknown), f"is no part of {self.name}", known))
        if standardised_as_mv and not self.standardised:
            what = f"is true, but {self.name} is published in mV"
            problems.append(Problem("data.standardised_as_mv", "value", what, "Leave it out"))
        if self.labels not in self.label_sets:
            known = ", ".join(self.label_sets)
            problems.append(Problem("data.labels", self.labels, f"is no label set of {self.name}", f"Known: {known}"))
        if not self.recognised():
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

    def recognised(self) -> bool:
        """Whether the root looks like the set."""
        return (self.root / self.landmark).exists()

    def absent(
        self,
        source: Path,
        paths: Sequence[str],
        rows: Iterable[int] | None = None,
        *,
        most: int | None = None,
        field: str = "recordings",
        remedy: str = "",
    ) -> list[Problem]:
        """A problem that counts the WFDB records that are not under the root; none where all are there.

        Folders are listed, files are not asked for one by one: on a network drive that is several times quicker.

        Args:
            source: the table that lists them.
            paths: relative to the root, with ``/``.
            rows: row number of each in ``source``; by default counted from 2, below a header line.
            most: look for so many of them, evenly spread, where there are more; for sets with a folder per recording.
                What is missed then is rejected when it is read. Paths that leave the root are always found.
            field: of the problem.
            remedy: by default to complete the download.
        """
        numbers = list(rows) if rows is not None else range(2, len(paths) + 2)
        step = 1 if most is None else max(1, -(-len(paths) // most))
        listed: dict[str, set[str]] = {}
        missing = []
        for place, path in enumerate(paths):
            folder, _, name = path.rpartition("/")
            if path.startswith("/") or "/../" in f"/{path}/":
                missing.append(place)
            elif place % step == 0:
                if folder not in listed:
                    listed[folder] = _names(self.root / folder)
                if header_path(name or ".").name not in listed[folder]:
                    missing.append(place)
        if not missing:
            return []
        looked = (
            f"{len(missing)} of {len(paths)}" if step == 1 else f"{len(missing)} of {-(-len(paths) // step)} looked for"
        )
        what = f"{looked} recordings are not under {self.root} ({rows_text([numbers[place] for place in missing])})"
        return [Problem(str(source), field, what, remedy or f"Complete the download ({self.url})")]


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()
