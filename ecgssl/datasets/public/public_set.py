"""Base class of the public sets, and their lookup by name."""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.config.public_sets import PUBLIC_SETS, similar_names
from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.public.release_counts import compare
from ecgssl.errors import InputError, Problem
from ecgssl.io.wfdb.reader import header_path

PHYSIONET = "https://physionet.org/files/"


@dataclass(frozen=True)
class Source:
    """Download source of a release.

    Args:
        base_url: folder of the release with a final slash; for ``zenodo`` the API address of the record.
        listing: list of files and checksums that the release has: ``SHA256SUMS.txt``, or the record of Zenodo (MD5).
        needs: path patterns of files without which the set cannot be loaded. They are fetched with every subset.
        subsets: path patterns by name of the subset.
        default: path patterns fetched if no subset is requested; all files if empty.
        manual: instructions for a set that cannot be downloaded automatically; empty for all others.
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
    """A public set in the folder layout of its release.

    Args:
        root: folder of the unpacked release.
        labels: label set, one of ``label_sets``; by default the first.
        sampling_rate: sampling rate in Hz; selects the copy of a recording if a set has several.
        subsets: names out of ``subset_names``, all of which must be present; by default all of them.
        standardised_as_mv: read samples published as z-scores as if one were 1 mV.

    Attributes:
        name: value of ``data.set`` and argument of ``ecgssl download``.
        title: name for display.
        licence, citation, url: licence, reference and web page of the release.
        source: download source.
        label_sets: names of the available sets of targets, the default first.
        landmark: file or folder relative to the root that identifies the layout.
        subset_names: parts that can be used separately; empty for a set without parts.
        standardised: whether the samples were published as z-scores.

    Raises:
        InputError: the root does not have the layout of the set, ``labels`` or ``subsets`` are unknown, or
            ``standardised_as_mv`` is set for a set published in mV.
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
            known = f"Known: {', '.join(self.subset_names)}" if self.subset_names else "Remove data.subsets"
            problems.append(Problem("data.subsets", ", ".join(unknown), f"is not a part of {self.name}", known))
        if standardised_as_mv and not self.standardised:
            what = f"is true, but {self.name} is published in mV"
            problems.append(Problem("data.standardised_as_mv", "value", what, "Remove it"))
        if self.labels not in self.label_sets:
            known = ", ".join(self.label_sets)
            problems.append(
                Problem("data.labels", self.labels, f"is not a label set of {self.name}", f"Known: {known}")
            )
        if not self.recognised():
            what = f"does not contain {self.landmark}, which identifies {self.title}"
            problems.append(Problem(str(self.root), "data.root", what, f"Set the folder of the release ({self.url})"))
        if problems:
            raise InputError(problems)

    @abstractmethod
    def cohort(self) -> Cohort:
        """Return the recordings with labels and splits.

        Raises:
            InputError: lists all errors in the tables and all missing recordings.
        """

    def recognised(self) -> bool:
        """Return whether the root has the layout of the set."""
        return (self.root / self.landmark).exists()

    def checked_cohort(
        self,
        table: pd.DataFrame,
        targets: Sequence[str],
        values: NDArray[np.float64] | pd.DataFrame,
        notes: Iterable[str],
        source: Path,
        kinds: Mapping[str, Target] | None = None,
    ) -> Cohort:
        """Return the cohort, after a comparison with the known counts of the release.

        Args:
            table: descriptive columns, one row per recording.
            targets: names of the targets.
            values: (recordings, targets) values of the targets.
            notes: notes of the cohort.
            source: file or folder that lists the recordings.
            kinds: kind of each target that is not binary.

        Raises:
            InputError: the table is as long as the release and has other counts.
        """
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
            tuple(notes),
            source=str(source),
            kinds=kinds or {},
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
        """Return a problem that counts the WFDB records missing under the root; an empty list if all are present.

        Folders are listed, because one query per file is several times slower on a network drive.

        Args:
            source: table that lists the records.
            paths: paths relative to the root, with ``/``.
            rows: row number of each path in ``source``; by default counted from 2, below a header line.
            most: number of evenly spaced paths to check, for sets with one folder per record; by default all. A missing
                record that is not checked is rejected when it is read. Paths outside the root are always reported.
            field: field of the problem.
            remedy: remedy of the problem; by default the advice to complete the download.
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


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


_REQUIRED = ("name", "title", "licence", "citation", "url", "source", "label_sets", "landmark")


def public_set(name: str) -> type[PublicSet]:
    """Return the class of a public set.

    Raises:
        InputError: the registry does not contain the name.
        TypeError: the class lacks an attribute of ``PublicSet``, or its name differs from the registry.
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
