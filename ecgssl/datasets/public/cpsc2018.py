"""Loader for CPSC2018 (Liu et al. 2018, doi:10.1166/jmihi.2018.2442), also called ICBEB2018.

The dataset exists in two forms, which are detected from the files. The original release has MATLAB files and
``REFERENCE.csv``, which lists up to three of nine labels per recording in order of rank. The copy in the PhysioNet/CinC
Challenges has WFDB files. Its headers list the labels in order of their codes, so the rank is lost. The label set ``any``
uses all labels of a recording. ``first`` uses only the first label and requires the original release.

Neither form has patient ids or an official split (the test set is private). This module makes ten folds stratified by
label: 1-8 are train, 9 is val, 10 is test. Strodthoff et al. 2021 use the same proportions but different folds.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.folds import MADE_HERE, add_folds, stratified_folds
from ecgssl.datasets.public.label_map import equal_snomed_codes, read_label_map
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import read_table
from ecgssl.datasets.public.wfdb_comments import comments_of
from ecgssl.errors import InputError, Problem
from ecgssl.signal.leads import LEADS

_RECORD = re.compile(r"A\d{4}")
_REFERENCE = "reference.csv"
_COLUMNS = ("Recording", "First_label", "Second_label", "Third_label")
_RATE = 500.0


class CPSC2018(PublicSet):
    """Public training data of the China Physiological Signal Challenge 2018 (CPSC2018)."""

    name = "cpsc2018"
    title = "CPSC2018 (ICBEB2018)"
    licence = "CC BY 4.0 (as released again in the PhysioNet/CinC Challenges)"
    citation = "Liu et al. 2018, doi:10.1166/jmihi.2018.2442"
    url = "https://physionet.org/content/challenge-2021/1.0.3/"
    source = Source(
        PHYSIONET + "challenge-2021/1.0.3/",
        needs=("LICENSE.txt",),
        default=("training/cpsc_2018/*",),
        advice="the original MATLAB release is no longer served; this is the copy in the CinC Challenge 2021",
    )
    label_sets = ("any", "first")
    landmark = "A0001.hea or A0001.mat (to A6877)"

    def recognised(self) -> bool:
        """Return whether the root folder or a folder below it contains a file such as ``A0001.hea`` or ``A0001.mat``."""
        return any(
            _RECORD.fullmatch(Path(name).stem) and name.endswith((".hea", ".mat"))
            for _, _, names in os.walk(self.root)
            for name in names
        )

    def cohort(self) -> Cohort:
        """Return the cohort with labels and folds.

        Raises:
            InputError: MATLAB files have no ``REFERENCE.csv``, a row is invalid, a recording is missing or occurs
                twice, the label set ``first`` is used with the WFDB copy, or the label counts of the complete dataset
                differ from the known counts.
        """
        files = _Files(self.root)
        if files.references:
            table, codes = self._original(files)
            form, source = "as first released", files.references[0]
        else:
            table, codes = self._headers(files)
            form, source = "WFDB copy, which does not state the first label of a recording", self.root
        names = read_label_map("cpsc2018.csv").with_equals(equal_snomed_codes())
        labelled = names.apply(codes)
        table.insert(0, "record_id", [f"{self.name}-{Path(path).stem}" for path in table["path"]])
        # patient ids are unknown; the prefix "record:" marks an id made from the recording
        table["patient_id"] = "record:" + table["record_id"]
        add_folds(table, stratified_folds(labelled.matrix, table["record_id"].tolist(), self.name))
        notes = [
            f"{share(len(table), self.name)}, {form}",
            "no patient ids are published: each recording counts as a different patient, so splits may share patients",
            MADE_HERE,
            "the PhysioNet/CinC Challenges 2020 and 2021 contain every recording under the same name",
            *labelled.notes(),
        ]
        if "age" not in table:
            notes.append("age and sex are stored in the signal files and not read here")
        elif table["age"].isna().any():
            notes.append(f"{int(table['age'].isna().sum())} ages are absent or -1 and count as unknown")
        return self.checked_cohort(table, names.labels, labelled.matrix, notes, source)

    def _original(self, files: _Files) -> tuple[pd.DataFrame, list[tuple[str, ...] | None]]:
        problems, names, codes = list(files.problems), [], []
        for reference in files.references:
            rows = read_table(reference, _COLUMNS, self.url, dtype=str, keep_default_na=False)
            cells = [[cell.strip() for cell in row] for row in rows[list(_COLUMNS)].itertuples(index=False)]
            wrong = [n for n, row in enumerate(cells, 2) if not _usable(row)]
            absent = [n for n, row in enumerate(cells, 2) if row[0] not in files.matlab and row[0] not in files.wfdb]
            where = str(reference)
            if wrong:
                what = f"{rows_text(wrong)}: not a name with one to three different labels from 1 to 9"
                problems.append(Problem(where, "labels", what, "Use the unchanged REFERENCE.csv of the release"))
            if absent:
                what = f"{len(absent)} of {len(cells)} recordings are not under {self.root} ({rows_text(absent)})"
                problems.append(Problem(where, "recordings", what, "Unpack all three training sets"))
            names += [row[0] for row in cells]
            codes += [tuple(label for label in row[1:] if label) for row in cells]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            what = f"{', '.join(twice[:5])} listed more than once"
            problems.append(Problem(str(files.references[0]), "Recording", what, "Keep one row for each recording"))
        if problems:
            raise InputError(problems)
        if self.labels == "first":
            codes = [stated[:1] for stated in codes]
        unlisted = sorted((files.matlab.keys() | files.wfdb.keys()) - set(names))
        names += unlisted
        plain = [name in files.matlab for name in names]
        table = pd.DataFrame(
            {
                "path": [files.matlab.get(name) or files.wfdb[name] for name in names],
                # the MATLAB files contain no sampling rate, units or lead names
                "sampling_rate": np.where(plain, _RATE, np.nan),
                "units": np.where(plain, "mV", ""),
                "leads": np.where(plain, ";".join(LEADS), ""),
            }
        )
        return table, [*codes, *[None] * len(unlisted)]

    def _headers(self, files: _Files) -> tuple[pd.DataFrame, list[tuple[str, ...] | None]]:
        problems = list(files.problems)
        if files.matlab:
            what = f"is absent, and {len(files.matlab)} MATLAB files have no labels without it"
            remedy = "Add REFERENCE.csv to their folder, or set sets.NAME.root to the folder of the WFDB copy"
            problems.append(Problem(str(self.root), "REFERENCE.csv", what, remedy))
        if self.labels == "first":
            what = "is unknown: headers list labels in the order of their numbers"
            problems.append(
                Problem(
                    "sets.NAME.labels",
                    "first",
                    what,
                    "Set sets.NAME.labels to 'any', or use the release with REFERENCE.csv",
                )
            )
        if problems:
            raise InputError(problems)
        names = sorted(files.wfdb)
        comments = comments_of(self.root, [files.wfdb[name] for name in names])
        table = pd.DataFrame(
            {
                "path": [files.wfdb[name] for name in names],
                "age": [found.age for found in comments],
                "sex": [found.sex for found in comments],
            }
        )
        return table, [found.codes for found in comments]


class _Files:
    """Files of CPSC2018 found below a folder.

    Attributes:
        wfdb: path of each WFDB record (without suffix) by name.
        matlab: path of each MATLAB file by record name.
        references: paths of the label tables (``REFERENCE.csv``).
        problems: errors for records that exist in two folders.
    """

    def __init__(self, root: Path) -> None:
        self.wfdb: dict[str, str] = {}
        self.matlab: dict[str, str] = {}
        self.references: list[Path] = []
        twice: list[str] = []
        for folder, inner, names in os.walk(root):
            inner.sort()
            here = set(names)
            for name in sorted(names):
                path, stem = Path(folder) / name, Path(name).stem
                if name.lower() == _REFERENCE:
                    self.references.append(path)
                elif _RECORD.fullmatch(stem) and path.suffix in (".hea", ".mat"):
                    if path.suffix == ".mat" and f"{stem}.hea" in here:
                        continue
                    kind = self.wfdb if path.suffix == ".hea" else self.matlab
                    if stem in kind:
                        twice.append(stem)
                    inside = path.relative_to(root).as_posix()
                    kind[stem] = inside.removesuffix(".hea")
        what = f"{', '.join(twice[:5])} ({len(twice)} in total) exist in two folders"
        remedy = "Keep one copy, or set sets.NAME.root to its folder"
        self.problems = [Problem(str(root), "recordings", what, remedy)] if twice else []


def _usable(row: list[str]) -> bool:
    stated = [label for label in row[1:] if label]
    known = {str(number) for number in range(1, 10)}
    return bool(row[0] and row[1] in known and set(stated) <= known and len(set(stated)) == len(stated))
