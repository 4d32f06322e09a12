"""The Lobachevsky University ECG Database (Kalyakulina et al. 2020): 200 patients, 10 s at 500 Hz, waves marked by hand.

Layout: ``ludb.csv`` and ``data/{1..200}.{dat,hea}``, with a file of wave marks per lead that is not read here. Cells of
the table end in line breaks, and several findings of a cell are lines of it.

The headers give each lead a gain of its own, by which every lead spans 1 mV from its lowest to its highest sample. So
the numbers are no voltages, leads cannot be compared, and the limb-lead laws do not hold, although no electrode was
swapped. What the voltages were is in no file. Recordings whose leads have different gains are flagged; a policy
that rejects for ``limb_law`` rejects most of them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.folds import MADE_HERE, split_of, stratified_folds
from ecgssl.datasets.public.ages import known_ages
from ecgssl.datasets.public.label_map import Labelled, LabelMap, package_table
from ecgssl.datasets.public.public_set import PublicSet
from ecgssl.datasets.public.release_counts import compare, share
from ecgssl.datasets.public.release_table import read_table
from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io.metadata import sex
from ecgssl.io.wfdb.header import read_header

RHYTHM, AXIS = "Rhythms", "Electric axis of the heart"
_FINDINGS = (
    *(RHYTHM, AXIS, "Conduction abnormalities", "Extrasystolies", "Hypertrophies", "Cardiac pacing", "Ischemia"),
    *("Non-specific repolarization abnormalities", "Other states"),
)
_MUST_BE_FILLED = {"rhythm": RHYTHM, "axis": AXIS}
"""Groups of findings of which every recording has one; an empty cell there is unknown, elsewhere it is none."""

_ALL = "findings"
_DEFECT = "each lead is scaled to 1 mV peak to peak by the gain in its header: no voltages, limb-lead laws do not hold"


class LUDB(PublicSet):
    """LUDB 1.0.1; label sets are groups of findings, and ``findings``, which is all of them."""

    name = "ludb"
    title = "LUDB"
    licence = "ODC-By 1.0"
    citation = "Kalyakulina et al. 2020, doi:10.1109/ACCESS.2020.3029211"
    url = "https://physionet.org/content/ludb/1.0.1/"
    label_sets = (
        *("rhythm", "axis", "conduction", "hypertrophy", "extrasystole", "pacing", "ischemia", "repolarisation"),
        _ALL,
    )
    landmark = "ludb.csv"

    def cohort(self) -> Cohort:
        """Recordings, labels and folds.

        Raises:
            InputError: where the table cannot be read, names are not unique or recordings are not there.
        """
        source = self.root / self.landmark
        sheet = read_table(source, ("ID", "Sex", "Age", *_FINDINGS), self.url, dtype=str, keep_default_na=False)
        names = sheet["ID"].str.strip()
        problems = []
        wrong = (~names.str.fullmatch(r"\d+") | names.duplicated(keep=False)).to_numpy()
        if wrong.any():
            what = f"{rows_text((np.flatnonzero(wrong) + 2).tolist())}: not a number of its own"
            problems.append(Problem(str(source), "ID", what, "Fetch the table again"))
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
        table["fold"] = stratified_folds(_rhythms(sheet), names.tolist(), self.name).astype(float)
        table["split"] = table["fold"].map(split_of)
        table = pd.concat([table, pd.DataFrame(matrix, columns=list(labels))], axis=1)
        problems = compare(table, labels, self.name, self.labels, str(source))
        if problems:
            raise InputError(problems)
        notes = [
            f"{share(len(table), self.name)}, one per patient",
            MADE_HERE,
            f"{sum(scaled)} recordings: {_DEFECT}; they are flagged known_defect",
            *notes,
        ]
        return Cohort(self.name, self.root, table, labels, self.licence, tuple(notes), source=str(source))

    def _targets(self, sheet: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float64], list[str]]:
        rows = package_table("ludb_findings.csv")
        chosen = [row for row in rows if self.labels in (row["group"], _ALL)]
        stated = [[f for column in _FINDINGS for f in _lines_of(cell[column])] for cell in sheet.to_dict("records")]
        known = {row["code"].casefold() for row in rows}
        found = _map(chosen).apply(stated)
        # findings of another group are known, and are not this label set's business
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
    """Findings of a cell: its lines, without full stops, in small letters."""
    return [line.strip().rstrip(".").casefold() for line in cell.splitlines() if line.strip()]


def _gains_differ(record: Path) -> bool:
    """Whether leads have gains of their own; a header that cannot be parsed is left to the reader of recordings."""
    try:
        header = read_header(record.with_name(record.name + ".hea"))
    except RecordingError:
        return False
    return len({signal.gain for signal in header.signals}) > 1
