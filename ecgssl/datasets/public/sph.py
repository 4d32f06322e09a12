"""Loader for the SPH dataset (Liu et al. 2022): 25,770 recordings of 24,666 patients, 500 Hz, 10 to 56 s.

The files are ``metadata.csv``, ``code.csv`` and ``records/A00001.h5``, which contains ``ecg`` (12, N) as float16 in mV.
``records.tar.gz`` is an uncompressed tar file despite its name. Diagnoses are AHA/ACC/HRS statements (Mason et al. 2007).
For example, ``60+310;147`` means statement 60 with modifier 310, and statement 147. Modifiers are ignored, and the order of
the statements has no meaning. ``code.csv`` contains the names of the statements.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import MADE_HERE, add_folds, stratified_folds
from ecgssl.datasets.public.label_map import LabelMap
from ecgssl.datasets.public.public_set import PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import add_absent_columns, cell_problems, known_ages, read_table
from ecgssl.errors import InputError, Problem
from ecgssl.signal.leads import LEADS

_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID")
_DESCRIBING = ("Age", "Sex", "Date")
_CODES = ("Category", "Code", "Description")
_MODIFIER = "Modifier"
_NORMAL = "1"
_SEX = {"M": "male", "F": "female"}
_RATE = 500.0
ABNORMAL = "abnormal"


class SPH(PublicSet):
    """Shandong Provincial Hospital (SPH) dataset.

    The label set ``statements`` has one label per primary statement in ``code.csv``. The label set ``abnormal`` has one
    label, which is 1 if a recording has any statement other than "normal ECG".
    """

    name = "sph"
    title = "SPH"
    licence = "CC BY 4.0"
    citation = "Liu et al. 2022, doi:10.1038/s41597-022-01403-5"
    url = "https://doi.org/10.6084/m9.figshare.c.5779802"
    source = Source(
        "https://springernature.figshare.com/collections/5779802",
        manual="Open the page above, download metadata.csv, code.csv and records.tar.gz (an uncompressed tar in spite of "
        "its name), and unpack it: 'tar -xf records.tar.gz'",
    )
    label_sets = ("statements", ABNORMAL)
    landmark = "metadata.csv"

    def cohort(self) -> Cohort:
        """Return the cohort with labels and folds.

        Raises:
            InputError: a table cannot be read, ``records.tar.gz`` is not unpacked, recordings are missing, names are
                not unique, or the counts of the complete dataset differ from the known counts.
        """
        source, folder = self.root / self.landmark, self.root / "records"
        metadata = read_table(source, _COLUMNS, self.url, dtype=str, keep_default_na=False)
        without = add_absent_columns(metadata, _DESCRIBING)
        statements = self._statements()
        if not folder.is_dir():
            remedy = "Unpack records.tar.gz, which is an uncompressed tar file despite its name: tar -xf records.tar.gz"
            raise InputError(Problem(str(folder), "recordings", "the folder does not exist", remedy))
        files = {path.stem for path in folder.glob("*.h5")}
        names, patients = metadata["ECG_ID"].str.strip(), metadata["Patient_ID"].str.strip()
        again = "Download metadata.csv again"
        complete = f"Complete the download ({self.url})"
        checks = (
            ("ECG_ID", names.duplicated(keep=False) | (names == ""), "not a unique name", again),
            ("ECG_ID", ~names.isin(files), f"no such file in {folder}", complete),
            ("Patient_ID", patients == "", "empty", again),
        )
        if problems := cell_problems(source, checks):
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
        add_folds(table, stratified_folds(labelled.matrix, patients.tolist(), self.name))
        notes = [
            f"{share(len(table), self.name)} of {patients.nunique():,} patients",
            MADE_HERE,
            *without,
            *labelled.notes(),
        ]
        more = len(files - set(names))
        if more:
            notes.append(f"{more} files in records are not in metadata.csv and not used")
        if self.labels == ABNORMAL:
            return self.checked_cohort(table, (ABNORMAL,), _abnormal(stated), notes, source)
        return self.checked_cohort(table, statements.labels, labelled.matrix, notes, source)

    def _statements(self) -> LabelMap:
        path = self.root / "code.csv"
        rows = read_table(path, _CODES, self.url, dtype=str, keep_default_na=False)
        primary = rows[rows["Category"].str.strip() != _MODIFIER]
        label_of = dict(zip(primary["Code"].str.strip(), primary["Description"].str.strip(), strict=True))
        if len(label_of) < len(primary) or len(set(label_of.values())) < len(primary) or _NORMAL not in label_of:
            what = f"does not list each statement once, or lacks statement {_NORMAL}"
            raise InputError(Problem(str(path), "Code", what, f"Download the file again ({self.url})"))
        return LabelMap(label_of, str(path))


def _primaries(cell: str) -> tuple[str, ...] | None:
    """Return the statements in a cell such as ``60+310;147`` without their modifiers; ``None`` if there are none."""
    stated = (statement.partition("+")[0].strip() for statement in cell.split(";"))
    return tuple(code for code in stated if code) or None


def _abnormal(stated: list[tuple[str, ...] | None]) -> NDArray[np.float64]:
    """Return the label ``abnormal`` as an array (recordings, 1).

    It is 1 for any statement other than normal ECG, otherwise 0, and NaN without statements.
    """
    return np.array([[np.nan if codes is None else float(set(codes) != {_NORMAL})] for codes in stated])
