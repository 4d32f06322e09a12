"""The Shandong Provincial Hospital set (Liu et al. 2022): 25,770 recordings of 24,666 patients, 500 Hz, 10 to 56 s.

Layout: ``metadata.csv``, ``code.csv`` and ``records/A00001.h5`` with one dataset ``ecg`` (12, N) of float16 in mV.
``records.tar.gz`` is an uncompressed tar in spite of its name. Statements are those of AHA/ACC/HRS (Mason et al. 2007):
``60+310;147`` is statement 60 with modifier 310, and statement 147. A modifier is no diagnosis, and the order of the
statements is no rank. Their names are those of ``code.csv``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort, rows_text
from ecgssl.datasets.folds import MADE_HERE, split_of, stratified_folds
from ecgssl.datasets.public.ages import known_ages
from ecgssl.datasets.public.label_map import LabelMap
from ecgssl.datasets.public.public_set import PublicSet
from ecgssl.datasets.public.release_counts import compare, share
from ecgssl.datasets.public.release_table import read_table
from ecgssl.errors import InputError, Problem
from ecgssl.signal.leads import LEADS

_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "Date")
_CODES = ("Category", "Code", "Description")
_MODIFIER = "Modifier"
_NORMAL = "1"
_SEX = {"M": "male", "F": "female"}
_RATE = 500.0
ABNORMAL = "abnormal"


class SPH(PublicSet):
    """Shandong Provincial Hospital.

    Label sets: ``statements``, one per primary statement of ``code.csv``; ``abnormal``, 1 where another statement than
    normal ECG is made.
    """

    name = "sph"
    title = "SPH"
    licence = "CC BY 4.0"
    citation = "Liu et al. 2022, doi:10.1038/s41597-022-01403-5"
    url = "https://doi.org/10.6084/m9.figshare.c.5779802"
    label_sets = ("statements", ABNORMAL)
    landmark = "metadata.csv"

    def cohort(self) -> Cohort:
        """Recordings, labels and folds.

        Raises:
            InputError: where a table cannot be read, ``records`` is not unpacked, recordings are not there, names are
                not unique, or 25,770 rows are not the release.
        """
        source, folder = self.root / self.landmark, self.root / "records"
        metadata = read_table(source, _COLUMNS, self.url, dtype=str, keep_default_na=False)
        statements = self._statements()
        if not folder.is_dir():
            remedy = "Unpack records.tar.gz, an uncompressed tar in spite of its name: tar -xf records.tar.gz"
            raise InputError(Problem(str(folder), "recordings", "the folder does not exist", remedy))
        files = {path.stem for path in folder.glob("*.h5")}
        names, patients = metadata["ECG_ID"].str.strip(), metadata["Patient_ID"].str.strip()
        problems = _unusable(source, names, patients, files, self.url)
        if problems:
            raise InputError(problems)
        stated = [_primaries(cell) for cell in metadata["AHA_Code"]]
        labelled = statements.apply(stated)
        table = pd.DataFrame(
            {
                "record_id": f"{self.name}-" + names,
                "path": "records/" + names + ".h5",
                "patient_id": patients,
                "acq_time": metadata["Date"].str.strip(),
                "age": known_ages(metadata["Age"]),
                "sex": metadata["Sex"].str.strip().map(_SEX).fillna(""),
                "sampling_rate": _RATE,
                "units": "mV",
                "leads": ";".join(LEADS),
            }
        )
        table["fold"] = stratified_folds(labelled.matrix, patients.tolist(), self.name).astype(float)
        table["split"] = table["fold"].map(split_of)
        targets = statements.labels if self.labels == "statements" else (ABNORMAL,)
        matrix = labelled.matrix if self.labels == "statements" else _abnormal(stated)
        table = pd.concat([table, pd.DataFrame(matrix, columns=list(targets))], axis=1)
        problems = compare(table, targets, self.name, self.labels, str(source))
        if problems:
            raise InputError(problems)
        notes = [f"{share(len(table), self.name)} of {patients.nunique():,} patients", MADE_HERE, *labelled.notes()]
        more = len(files - set(names))
        if more:
            notes.append(f"{more} files in records are not in metadata.csv and not used")
        return Cohort(self.name, self.root, table, targets, self.licence, tuple(notes), source=str(source))

    def _statements(self) -> LabelMap:
        path = self.root / "code.csv"
        rows = read_table(path, _CODES, self.url, dtype=str, keep_default_na=False)
        primary = rows[rows["Category"].str.strip() != _MODIFIER]
        label_of = dict(zip(primary["Code"].str.strip(), primary["Description"].str.strip(), strict=True))
        if len(label_of) < len(primary) or len(set(label_of.values())) < len(primary) or _NORMAL not in label_of:
            what = f"does not name each statement once, or not statement {_NORMAL}"
            raise InputError(Problem(str(path), "Code", what, f"Fetch the file again ({self.url})"))
        return LabelMap(label_of, str(path))


def _primaries(cell: str) -> tuple[str, ...] | None:
    """Primary statements of ``60+310;147``; ``None`` where there is none."""
    stated = (statement.partition("+")[0].strip() for statement in cell.split(";"))
    return tuple(code for code in stated if code) or None


def _abnormal(stated: list[tuple[str, ...] | None]) -> NDArray[np.float64]:
    """(recordings, 1): whether anything but a normal ECG is stated; NaN where nothing is."""
    return np.array([[np.nan if codes is None else float(set(codes) != {_NORMAL})] for codes in stated])


def _unusable(source: Path, names: pd.Series, patients: pd.Series, files: set[str], url: str) -> list[Problem]:
    wrong = (
        ("ECG_ID", names.duplicated(keep=False) | (names == ""), "not a name of its own", "Fetch metadata.csv again"),
        (
            "ECG_ID",
            ~names.isin(files),
            f"no such file in {source.parent / 'records'}",
            f"Complete the download ({url})",
        ),
        ("Patient_ID", patients == "", "empty", "Fetch metadata.csv again"),
    )
    return [
        Problem(str(source), column, f"{rows_text((np.flatnonzero(bad) + 2).tolist())}: {what}", remedy)
        for column, bad, what, remedy in wrong
        if bad.any()
    ]
