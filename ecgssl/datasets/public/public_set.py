"""Base class of the public dataset loaders, and their lookup by name."""

from __future__ import annotations

import copy
import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.config.public_sets import PUBLIC_SETS, similar_names
from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.folds import MADE_HERE
from ecgssl.datasets.public.release_counts import compare
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb.reader import header_path

PHYSIONET = "https://physionet.org/files/"
_LEVELS_SEARCHED, _FOLDERS_SEARCHED = 4, 100


@dataclass(frozen=True)
class Source:
    """Download source of a dataset release.

    Args:
        base_url: URL of the release folder with a final slash; for ``zenodo``, the API URL of the record; for a dataset with
            ``manual`` instructions, the web page.
        listing: where files and checksums are listed: in ``SHA256SUMS.txt``, or in the Zenodo record (MD5).
        needs: path patterns of files that are required to load the dataset. They are downloaded with every subset.
        subsets: path patterns of each subset.
        default: path patterns downloaded if no subset is requested; all files if empty.
        manual: instructions for a dataset that cannot be downloaded automatically; otherwise empty.
        advice: note shown before the download.
    """

    base_url: str
    listing: Literal["sha256sums", "zenodo"] = "sha256sums"
    needs: tuple[str, ...] = ()
    subsets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default: tuple[str, ...] = ()
    manual: str = ""
    advice: str = ""


class PublicSet(ABC):
    """Base class of the loaders for public datasets.

    Args:
        root: folder of the unpacked release.
        labels: label set, one of ``label_sets``; by default the first.
        sampling_rate: sampling rate in Hz, for datasets that contain each recording at several sampling rates.
        subsets: subsets to load, from ``subset_names``; by default all. Their files must exist.
        standardised_as_mv: treat a z-score of 1 as 1 mV, for datasets published as z-scores.

    Attributes:
        name: value of ``sets.NAME.reader`` and argument of ``ecgssl download``.
        title: name for display.
        licence, citation, url: licence, reference and web page of the release.
        source: download source.
        label_sets: names of the available label sets, the default first.
        landmark: file or folder in the root that identifies the dataset, or a description of it for messages.
        subset_names: subsets that can be loaded separately; empty if there are none.
        standardised: whether the samples were published as z-scores.

    Raises:
        InputError: the root does not contain the dataset, ``labels`` or ``subsets`` are unknown, or
            ``standardised_as_mv`` is set for a dataset published in mV.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    url: ClassVar[str]
    source: ClassVar[Source]
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
            known = f"Use: {', '.join(self.subset_names)}" if self.subset_names else "Remove sets.NAME.subsets"
            problems.append(Problem("sets.NAME.subsets", ", ".join(unknown), f"is not a subset of {self.name}", known))
        if standardised_as_mv and not self.standardised:
            what = f"is true, but {self.name} is published in mV"
            problems.append(
                Problem("sets.NAME.standardised_as_mv", "value", what, "Remove sets.NAME.standardised_as_mv")
            )
        if self.labels not in self.label_sets:
            known = ", ".join(self.label_sets)
            problems.append(
                Problem("sets.NAME.labels", self.labels, f"is not a label set of {self.name}", f"Use one of: {known}")
            )
        if not self.recognised():
            what = f"does not contain {self.landmark}, which identifies {self.title}"
            problems.append(Problem(str(self.root), "sets.NAME.root", what, self.root_remedy()))
        if problems:
            raise InputError(problems)

    @abstractmethod
    def cohort(self) -> Cohort:
        """Return the cohort with labels and splits.

        Raises:
            InputError: tables are invalid or recordings are missing.
        """

    def recognised(self) -> bool:
        """Return whether the root folder has the layout of this dataset."""
        return (self.root / self.landmark).exists()

    def root_remedy(self) -> str:
        """Return an instruction for setting ``sets.NAME.root``.

        It names the folder of the dataset if that is found nearby, or else the datasets whose layout the root has.
        """
        for folder in _nearby_folders(self.root):
            other = copy.copy(self)
            other.root = folder
            if other.recognised():
                return f"Set sets.NAME.root to {folder}"
        if others := _datasets_in(self.root):
            names = " or ".join(map(repr, others))
            return f"The folder has the layout of {names}: set sets.NAME.reader to it, or correct sets.NAME.root"
        return f"Set sets.NAME.root to the folder of the release ({self.url})"

    def checked_cohort(
        self,
        table: pd.DataFrame,
        targets: Sequence[str],
        values: NDArray[np.float64] | pd.DataFrame,
        notes: Iterable[str],
        source: Path,
        kinds: Mapping[str, Target] | None = None,
    ) -> Cohort:
        """Create the cohort, and compare its counts with the known counts of the release.

        Args:
            table: descriptive columns, one row per recording.
            targets: names of the targets.
            values: target values (recordings, targets).
            notes: notes of the cohort.
            source: file or folder that lists the recordings.
            kinds: declaration of each target that is not binary.

        Raises:
            InputError: the number of recordings is that of the complete release, but other counts differ.
        """
        notes = tuple(notes)
        matrix = values if isinstance(values, pd.DataFrame) else pd.DataFrame(values, columns=list(targets))
        table = pd.concat([table, matrix], axis=1)
        problems = compare(table, targets, self.name, self.labels, str(source))
        if problems:
            raise InputError(problems)
        return Cohort(
            self.name,
            self.root,
            table,
            tuple(targets),
            self.licence,
            notes,
            source=str(source),
            kinds=kinds or {},
            random_splits=MADE_HERE in notes,
        )

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
        """Check that WFDB records exist, and return a problem with the number of missing records.

        The check lists folders, because one query per file is several times slower on a network drive.

        Args:
            source: table that lists the records.
            paths: paths relative to the root, with ``/``.
            rows: row number of each path in ``source``; by default 2, 3, ... (below a header line).
            most: largest number of paths to check, which are evenly spaced; by default all. Other missing records are rejected
                when they are read. Paths outside the root are always reported.
            field: field of the problem.
            remedy: how to fix the problem; by default to complete the download.

        Returns:
            A list with one problem; an empty list if no record is missing.
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
        counted = (
            f"{len(missing)} of {len(paths)}" if step == 1 else f"{len(missing)} of {-(-len(paths) // step)} checked"
        )
        what = f"{counted} recordings are not under {self.root} ({rows_text([numbers[place] for place in missing])})"
        return [Problem(str(source), field, what, remedy or f"Complete the download ({self.url})")]


def _nearby_folders(root: Path) -> Iterator[Path]:
    """Yield the two folders above a folder, and up to 100 folders inside it, at most four levels deep."""
    yield from list(root.absolute().parents)[:2]
    level = [root]
    left = _FOLDERS_SEARCHED
    for _ in range(_LEVELS_SEARCHED):
        inside: list[Path] = []
        for folder in level:
            try:
                inside += sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
            except OSError:
                continue
        level = inside[:left]
        left -= len(level)
        yield from level


def _datasets_in(root: Path) -> list[str]:
    """Return the names of the public datasets whose layout a folder has."""
    found = []
    for name in PUBLIC_SETS:
        other = public_set(name).__new__(public_set(name))
        other.root, other.subsets = root, other.subset_names
        if other.recognised():
            found.append(name)
    return found


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


_REQUIRED = ("name", "title", "licence", "citation", "url", "source", "label_sets", "landmark")


def public_set(name: str) -> type[PublicSet]:
    """Return the loader class of a public dataset.

    Raises:
        InputError: no dataset has this name.
        TypeError: the class lacks a required attribute, or its attribute ``name`` differs from its name in
            ``PUBLIC_SETS``.
    """
    if name not in PUBLIC_SETS:
        raise InputError(Problem("set", name, "is not a public set", similar_names(name, tuple(PUBLIC_SETS))))
    module, _, attribute = PUBLIC_SETS[name].partition(":")
    found = cast(type[PublicSet], getattr(importlib.import_module(module, "ecgssl.datasets.public"), attribute))
    absent = [field for field in _REQUIRED if not getattr(found, field, None)]
    if absent:
        raise TypeError(f"public set {name!r}: {PUBLIC_SETS[name]} lacks {', '.join(absent)} (see PublicSet)")
    if found.name != name:
        raise TypeError(f"public set {name!r}: {PUBLIC_SETS[name]} has the name {found.name!r}; use one name for both")
    return found
