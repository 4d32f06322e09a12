"""Loader for LUDB, the Lobachevsky University ECG Database (Kalyakulina et al. 2020): 200 patients, 10 s at 500 Hz.

The files are ``ludb.csv`` and ``data/{1..200}.{dat,hea}``. The wave annotations are not read. A cell of the table may
contain several findings, one per line.

The gains of the headers scale each lead separately, so that its samples span 1 mV from minimum to maximum. They distort the
proportions between leads. The WFDB reader ignores such gains (``ecgssl.io.wfdb.normalised_gain``): the digital samples obey the
limb-lead laws, and a step of 1 uV gives typical amplitudes. That step is inferred, so recordings with different gains are
flagged.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, add_folds, stratified_folds
from ecgssl.datasets.public.label_map import Labelled, LabelMap, package_table
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import add_absent_columns, cell_problems, known_ages, read_table
from ecgssl.errors import InputError, RecordingError
from ecgssl.io.metadata import sex
from ecgssl.io.wfdb.header import read_header

RHYTHM, AXIS = "Rhythms", "Electric axis of the heart"
_FINDINGS = (
    *(RHYTHM, AXIS, "Conduction abnormalities", "Extrasystolies", "Hypertrophies", "Cardiac pacing", "Ischemia"),
    *("Non-specific repolarization abnormalities", "Other states"),
)
_MUST_BE_FILLED = {"rhythm": RHYTHM, "axis": AXIS}
"""Columns in which every recording has one finding. An empty cell means "unknown" here, and "no finding" elsewhere."""

_ALL = "findings"
_DEFECT = "the gains scale each lead to 1 mV and are ignored; a digital step of 1 uV is inferred"


class LUDB(PublicSet):
    """LUDB 1.0.1. Each label set is a group of findings, such as ``rhythm``; ``findings`` contains all groups."""

    name = "ludb"
    title = "LUDB"
    licence = "ODC-By 1.0"
    citation = "Kalyakulina et al. 2020, doi:10.1109/ACCESS.2020.3029211"
    url = "https://physionet.org/content/ludb/1.0.1/"
    source = Source(PHYSIONET + "ludb/1.0.1/", needs=("*.csv", "LICENSE.txt", "RECORDS"))
    label_sets = (
        *("rhythm", "axis", "conduction", "hypertrophy", "extrasystole", "pacing", "ischemia", "repolarisation"),
        _ALL,
    )
    landmark = "ludb.csv"

    def cohort(self) -> Cohort:
        """Return the cohort with labels and folds.

        Raises:
            InputError: the table cannot be read, record ids are not unique, or recordings are missing.
        """
        source = self.root / self.landmark
        sheet = read_table(source, ("ID", *_FINDINGS), self.url, dtype=str, keep_default_na=False)
        without = add_absent_columns(sheet, ("Sex", "Age"))
        names = sheet["ID"].str.strip()
        wrong = ~names.str.fullmatch(r"\d+") | names.duplicated(keep=False)
        problems = cell_problems(source, [("ID", wrong, "not a unique number", "Fetch the table again")])
        paths = [f"data/{name}" for name in names]
        problems += self.absent(source, paths)
        if problems:
            raise InputError(problems)
        labels, matrix, notes = self._targets(sheet)
        scaled = [_gains_differ(self.root / path) for path in paths]
        table = pd.DataFrame(
            {
                "record_id": f"{self.name}-" + names,
                "path": paths,
                "patient_id": names,
                "age": known_ages(sheet["Age"]),
                "sex": [sex(cell) or "" for cell in sheet["Sex"]],
                "defect": np.where(scaled, _DEFECT, ""),
                "defect_action": np.where(scaled, "flag", ""),
            }
        )
        add_folds(table, stratified_folds(_rhythms(sheet), names.tolist(), self.name))
        notes = [
            f"{share(len(table), self.name)}, one per patient",
            MADE_HERE,
            f"{sum(scaled)} recordings: {_DEFECT}; they are flagged known_defect",
            *without,
            *notes,
        ]
        return self.checked_cohort(table, labels, matrix, notes, source)

    def _targets(self, sheet: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float64], list[str]]:
        rows = package_table("ludb_findings.csv")
        chosen = [row for row in rows if self.labels in (row["group"], _ALL)]
        stated = [[f for column in _FINDINGS for f in _lines_of(cell[column])] for cell in sheet.to_dict("records")]
        known = {row["code"].casefold() for row in rows}
        found = _map(chosen).apply(stated)
        # findings that belong to other groups are known and are not reported as unmapped
        unmapped = Counter({code: count for code, count in found.unmapped.items() if code not in known})
        matrix = found.matrix
        group = {row["label"]: row["group"] for row in chosen}
        for place, label in enumerate(group):
            if group[label] in _MUST_BE_FILLED:
                matrix[(sheet[_MUST_BE_FILLED[group[label]]].str.strip() == "").to_numpy(), place] = np.nan
        return tuple(group), matrix, Labelled(matrix, unmapped).notes()


def _map(rows: list[dict[str, str]]) -> LabelMap:
    return LabelMap({row["code"].casefold(): row["label"] for row in rows}, "ludb_findings.csv")


def _rhythms(sheet: pd.DataFrame) -> NDArray[np.float64]:
    rows = [row for row in package_table("ludb_findings.csv") if row["group"] == "rhythm"]
    return _map(rows).apply([_lines_of(cell) for cell in sheet[RHYTHM]]).matrix


def _lines_of(cell: str) -> list[str]:
    """Return the findings in a cell, one per line, in lower case and without a final full stop."""
    return [line.strip().rstrip(".").casefold() for line in cell.splitlines() if line.strip()]


def _gains_differ(record: Path) -> bool:
    """Return whether the leads of a record have different gains.

    Returns ``False`` for an invalid header; the error is reported later, when the recording is read.
    """
    try:
        header = read_header(record.with_name(record.name + ".hea"))
    except RecordingError:
        return False
    return len({signal.gain for signal in header.signals}) > 1
