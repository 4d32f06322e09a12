"""Arrhythmia set of Chapman University, Shaoxing and Ningbo (Zheng et al. 2020; PhysioNet, CC BY 4.0).

Layout: ``WFDBRecords/01/010/JS00001.{hea,mat}`` and so on; JS00001-JS10646 are from Shaoxing, JS10647-JS45551 from Ningbo.
There is no table of recordings: diagnoses, age and sex are comments of the headers, and the names of the SNOMED CT codes
are in ``ConditionNames_SNOMED-CT.csv``. Codes are compared as a whole. Codes that the Challenge of 2021 scores as equal
share one label.

Every patient has one recording, and there is no official split. Folds are made separately for each hospital and by the
labels of the Challenge of 2021, as in the sets ``ningbo`` and ``cinc2021``: a recording has the same fold in all three.
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
"""Prefix of record ids and key of the known defects, also in the subset ``ningbo``."""

_NAMES = "ConditionNames_SNOMED-CT.csv"
_COLUMNS = ("acronymname", "snomedct")
_RECORD = re.compile(r"JS(\d{5})")
_FIRST_OF_NINGBO = 10_647
_SITES = {"chapman_shaoxing": range(1, _FIRST_OF_NINGBO), "ningbo": range(_FIRST_OF_NINGBO, 100_000)}
"""Numbers of the recordings of each hospital, by its folder in the Challenge, which is also the salt of its folds."""


class ECGArrhythmia(PublicSet):
    """Chapman-Shaoxing and Ningbo, as published in 2022."""

    name = RELEASE
    title = "ecg-arrhythmia (Chapman-Shaoxing and Ningbo)"
    licence = "CC BY 4.0"
    citation = "Zheng et al. 2020, doi:10.1038/s41598-020-59821-7; 2022, doi:10.13026/wgex-er52"
    url = "https://physionet.org/content/ecg-arrhythmia/1.0.0/"
    source = Source(PHYSIONET + "ecg-arrhythmia/1.0.0/", needs=("*.csv", "LICENSE.txt"))
    label_sets = ("conditions",)
    landmark = "WFDBRecords"

    sites: ClassVar[tuple[str, ...]] = tuple(_SITES)
    """Hospitals whose recordings are part of the set."""

    def cohort(self) -> Cohort:
        """Return the recordings with labels and folds.

        Raises:
            InputError: the names of the codes or headers cannot be read, or there are no headers.
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
            "one recording per patient according to the release, which publishes no patient ids",
            MADE_HERE,
            "AF means atrial flutter and AFIB atrial fibrillation, as in the release",
            f"known defects: {defects['exclude']} recordings excluded, {defects['flag']} flagged; about 1,480 of "
            "Ningbo have leads of zeros, which the quality checks detect",
            "the PhysioNet/CinC Challenge 2021 contains every recording under the same name",
            *labelled.notes(),
        ]
        if strange:
            notes.append(f"{len(strange)} headers not named JS and five digits are not used, such as {strange[0]}")
        if table["age"].isna().any():
            notes.append(f"{int(table['age'].isna().sum())} ages are absent or not a number and count as unknown")
        return self.checked_cohort(table, names.labels, labelled.matrix, notes, source)

    def _recordings(self) -> tuple[dict[str, str], list[str]]:
        """Return the hospital by path of the recordings of this set, and the paths of headers with other names."""
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
        """Return acronyms by code; the first of several acronyms of one code."""
        path = self.root / _NAMES
        table = read_table(path, (), self.url, dtype=str, keep_default_na=False)
        # the release writes "Acronym Name" and "Snomed_CT", copies omit the space or underscore
        table.columns = pd.Index([re.sub(r"[^a-z]", "", str(name).casefold()) for name in table.columns])
        absent = [column for column in _COLUMNS if column not in table]
        if absent:
            what = "lacks the columns Acronym Name and Snomed_CT"
            raise InputError(Problem(str(path), "columns", what, f"Restore the file of the release ({self.url})"))
        acronyms, codes = (table[column].str.strip().tolist() for column in _COLUMNS)
        wrong = [
            n for n, (name, code) in enumerate(zip(acronyms, codes, strict=True), 2) if not (name and code.isdigit())
        ]
        if wrong:
            what = f"{rows_text(wrong)}: not an acronym and a code"
            raise InputError(Problem(str(path), "rows", what, f"Restore the file of the release ({self.url})"))
        label_of = dict(zip(reversed(codes), reversed(acronyms), strict=True))
        first = {code: label_of[code] for code in dict.fromkeys(codes)}
        return LabelMap(first, _NAMES).with_equals(equal_snomed_codes())


class Ningbo(ECGArrhythmia):
    """Recordings of Ningbo First Hospital (JS10647-JS45551), a part that benchmarks use alone; same folds."""

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
