"""Loader for the Chapman-Shaoxing-Ningbo arrhythmia dataset (Zheng et al. 2020; PhysioNet, CC BY 4.0).

The files are named ``WFDBRecords/01/010/JS00001.{hea,mat}`` and so on. JS00001-JS10646 are from Shaoxing, JS10647-JS45551
from Ningbo. Diagnosis codes, age and sex are comments in the headers. ``ConditionNames_SNOMED-CT.csv`` lists the names of
the SNOMED CT codes. Codes that the PhysioNet/CinC Challenge 2021 scores as equal share one label.

According to the publication, every patient has one recording. There is no official split. Folds are made separately for
each hospital and stratified by the labels of the Challenge 2021. A recording has the same fold in the sets
``ecg_arrhythmia``, ``ningbo`` and ``cinc2021``.
"""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.folds import MADE_HERE, split_of, stratified_folds
from ecgssl.datasets.public.challenge import label_map
from ecgssl.datasets.public.known_defects import add_defects, known_defects
from ecgssl.datasets.public.label_map import LabelMap, equal_snomed_codes
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import read_table
from ecgssl.datasets.public.wfdb_comments import comments_of, list_headers
from ecgssl.errors import InputError, Problem

RELEASE = "ecg_arrhythmia"
"""Prefix of record ids and value of column ``set`` in ``known_defects.csv``; also used for the subset ``ningbo``."""

_NAMES = "ConditionNames_SNOMED-CT.csv"
_COLUMNS = ("acronymname", "snomedct")
_RECORD = re.compile(r"JS(\d{5})")
_FIRST_OF_NINGBO = 10_647
_SITES = {"chapman_shaoxing": range(1, _FIRST_OF_NINGBO), "ningbo": range(_FIRST_OF_NINGBO, 100_000)}
"""Recording numbers of each hospital. The key is the hospital's folder in the Challenge 2021 and the salt of its folds."""


class ECGArrhythmia(PublicSet):
    """Chapman-Shaoxing-Ningbo arrhythmia dataset as published on PhysioNet in 2022."""

    name = RELEASE
    title = "ecg-arrhythmia (Chapman-Shaoxing and Ningbo)"
    licence = "CC BY 4.0"
    citation = "Zheng et al. 2020, doi:10.1038/s41598-020-59821-7; 2022, doi:10.13026/wgex-er52"
    url = "https://physionet.org/content/ecg-arrhythmia/1.0.0/"
    source = Source(PHYSIONET + "ecg-arrhythmia/1.0.0/", needs=("*.csv", "LICENSE.txt"))
    label_sets = ("conditions",)
    landmark = "WFDBRecords"

    sites: ClassVar[tuple[str, ...]] = tuple(_SITES)
    """Hospitals (keys of ``_SITES``) that the dataset contains."""

    def cohort(self) -> Cohort:
        """Return the cohort with labels and folds.

        Raises:
            InputError: there are no headers, or the headers or the table of code names cannot be read.
        """
        source = self.root / self.landmark
        names = self._condition_names()
        places, strange = self._recordings()
        if not places:
            what = f"does not contain any recording of {self.title}"
            raise InputError(Problem(str(source), "recordings", what, f"Unpack the release ({self.url})"))
        paths = list(places)
        comments = comments_of(self.root, paths)
        codes = [found.codes for found in comments]
        labelled = names.apply(codes)
        site = np.array(list(places.values()), dtype=object)
        records = pd.Series([path.rpartition("/")[2] for path in paths])
        ids = [f"{RELEASE}-{record}" for record in records]
        folds = _folds(label_map("scored2021").apply(codes).matrix, ids, site)
        table = pd.DataFrame(
            {
                "record_id": ids,
                "path": paths,
                "patient_id": [f"record:{name}" for name in ids],
                "split": [split_of(fold) for fold in folds],
                "fold": folds.astype(float),
                "age": [found.age for found in comments],
                "sex": [found.sex for found in comments],
                "site": site,
            }
        )
        add_defects(table, known_defects(RELEASE), records)
        defects = {action: int((table["defect_action"] == action).sum()) for action in ("exclude", "flag")}
        notes = [
            share(len(table), self.name),
            "each patient has one recording according to the publication; no patient ids are published",
            MADE_HERE,
            "AF means atrial flutter and AFIB atrial fibrillation, as in the release",
            f"known defects: {defects['exclude']} recordings excluded, {defects['flag']} flagged; about 1,480 of "
            "Ningbo have leads of zeros, which the quality checks detect",
            "the PhysioNet/CinC Challenge 2021 contains every recording under the same name",
            *labelled.notes(),
        ]
        if strange:
            notes.append(
                f"{len(strange)} headers are not used, because they are not named JS and five digits: {strange[0]}"
            )
        if table["age"].isna().any():
            notes.append(f"{int(table['age'].isna().sum())} ages are absent or not a number and count as unknown")
        return self.checked_cohort(table, names.labels, labelled.matrix, notes, source)

    def _recordings(self) -> tuple[dict[str, str], list[str]]:
        """Return the hospital of each recording in ``sites`` by path, and the paths of headers not named JS and five digits."""
        places, strange = {}, []
        for path in list_headers(self.root, self.landmark):
            match = _RECORD.fullmatch(path.rpartition("/")[2])
            if match is None:
                strange.append(path)
                continue
            site = next((name for name, numbers in _SITES.items() if int(match[1]) in numbers), None)
            if site in self.sites:
                places[path] = site
        return places, strange

    def _condition_names(self) -> LabelMap:
        """Return the mapping from SNOMED CT codes to acronyms.

        If a code has several acronyms, the first is used. Equivalent codes get the same acronym.
        """
        path = self.root / _NAMES
        table = read_table(path, (), self.url, dtype=str, keep_default_na=False)
        # the column names are "Acronym Name" and "Snomed_CT"; some copies omit the space or the underscore
        table.columns = pd.Index([re.sub(r"[^a-z]", "", str(name).casefold()) for name in table.columns])
        absent = [column for column in _COLUMNS if column not in table]
        if absent:
            what = "lacks the columns Acronym Name and Snomed_CT"
            raise InputError(Problem(str(path), "columns", what, f"Download the file again ({self.url})"))
        acronyms, codes = (table[column].str.strip().tolist() for column in _COLUMNS)
        wrong = [
            n for n, (name, code) in enumerate(zip(acronyms, codes, strict=True), 2) if not (name and code.isdigit())
        ]
        if wrong:
            what = f"{rows_text(wrong)}: not an acronym and a code"
            raise InputError(Problem(str(path), "rows", what, f"Download the file again ({self.url})"))
        label_of = dict(zip(reversed(codes), reversed(acronyms), strict=True))
        first = {code: label_of[code] for code in dict.fromkeys(codes)}
        return LabelMap(first, _NAMES).with_equals(equal_snomed_codes())


class Ningbo(ECGArrhythmia):
    """The recordings of Ningbo First Hospital (JS10647-JS45551), with the same folds as in ``ECGArrhythmia``."""

    name = "ningbo"
    title = "Ningbo (part of ecg-arrhythmia)"
    sites = ("ningbo",)


def _folds(labels: NDArray[np.float64], ids: list[str], site: NDArray[np.object_]) -> NDArray[np.int64]:
    folds = np.zeros(len(ids), dtype=np.int64)
    for name in _SITES:
        here = np.flatnonzero(site == name)
        if len(here):
            folds[here] = stratified_folds(labels[here], [ids[i] for i in here], name)
    return folds
