"""Loader for EchoNext (Poterucha et al. 2025): 10 s ECGs at 250 Hz, labelled by an echocardiogram of the same patient.

The files are ``echonext_metadata_100k.csv`` and ``EchoNext_{train,val,test,no_split}_waveforms.npy`` (N, 1, 2500, 12). The
n-th table row of a split belongs to row n of the array of this split. The lead order is not documented. The limb-lead laws
show that it is the standard order (ecgbench 1.0.0). The tabular features are not read.

The samples are z-scores: the publisher filtered and clipped each lead, and standardised all leads with an unpublished mean
and standard deviation. They cannot be converted to mV. The dataset is therefore rejected unless ``standardised_as_mv`` is
true, which treats a z-score of 1 as 1 mV. Wave shapes and, approximately, ratios between leads remain valid. Amplitudes,
quality limits in mV and reconstruction errors in mV cannot be compared with other datasets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.datasets.cohort import SPLITS, Cohort
from ecgssl.datasets.public.label_map import package_table
from ecgssl.datasets.public.public_set import PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import FETCH_AGAIN, add_absent_columns, cell_problems, known_ages, read_table
from ecgssl.errors import InputError, Problem
from ecgssl.io.metadata import sex
from ecgssl.signal.leads import LEADS

COMPOSITE = "shd_moderate_or_greater_flag"
_COLUMNS = ("ecg_key", "patient_key", "split")
_DESCRIBING = ("age_at_ecg", "sex")
_NO_SPLIT = "no_split"
_SAMPLES, _RATE = 2500, 250.0
_DEFECT = "the samples are z-scores; a z-score of 1 is read as 1 mV"


class EchoNext(PublicSet):
    """EchoNext 1.1 (Poterucha et al. 2025).

    The label set ``shd`` is the composite flag for structural heart disease. ``released`` contains the composite flag and
    eleven findings as published. ``measured`` contains the same labels, but a 0 of one of the eleven findings
    is replaced by "unknown" if a measurement of this finding is missing.
    """

    name = "echonext"
    title = "EchoNext"
    licence = "PhysioNet Restricted Health Data License 1.5.0: forbids sharing, also of tables that are made from it"
    citation = "Poterucha et al. 2025, doi:10.1038/s41586-025-09227-0"
    url = "https://physionet.org/content/echonext/1.1.0/"
    source = Source(
        "https://physionet.org/content/echonext/",
        manual="Sign in to PhysioNet, accept the restricted licence on the page above, and download with your own account, "
        "for example 'wget -r -N -c -np --user NAME --ask-password' and the address of the files on that page. The "
        "licence forbids sharing: keep DVC remotes private",
    )
    label_sets = ("shd", "measured", "released")
    landmark = "echonext_metadata_100k.csv"
    standardised = True

    def cohort(self) -> Cohort:
        """Return the cohort with labels and the published splits.

        Raises:
            InputError: ``standardised_as_mv`` is false, a table or an array cannot be read, their numbers of
                recordings differ, a cell is invalid, splits share patients, or the counts of the complete dataset
                differ from the known counts.
        """
        source = self.root / self.landmark
        if not self.standardised_as_mv:
            what = (
                "the samples are z-scores, standardised by the publisher with a mean and a standard deviation that are "
                "not released: they cannot be converted to mV"
            )
            remedy = (
                "Set it to true to read a z-score of 1 as 1 mV. Wave shapes stay valid, but voltages, limits and errors "
                "in mV have no meaning"
            )
            raise InputError(Problem(str(source), "sets.NAME.standardised_as_mv", what, remedy))
        flags = {
            row["flag"]: [c for c in row["measurements"].split(";") if c] for row in package_table("echonext_flags.csv")
        }
        needed = (*_COLUMNS, *flags, *(column for columns in flags.values() for column in columns))
        table = read_table(source, needed, self.url, dtype=str, keep_default_na=False)
        without = add_absent_columns(table, _DESCRIBING)
        table["row"] = table.groupby("split").cumcount()
        problems = _unusable(source, table, list(flags)) + self._compare_arrays(table)
        if problems:
            raise InputError(problems)
        unsplit = int((table["split"] == _NO_SPLIT).sum())
        table = table[table["split"] != _NO_SPLIT].reset_index(drop=True)
        targets = (COMPOSITE,) if self.labels == "shd" else tuple(flags)
        values = {flag: pd.to_numeric(table[flag]).to_numpy(np.float64) for flag in targets}
        if self.labels == "measured":
            values = {flag: _measured(cells, table[flags[flag]]) for flag, cells in values.items()}
        described = pd.DataFrame(
            {
                "record_id": f"{self.name}-" + table["ecg_key"],
                "path": "EchoNext_" + table["split"] + "_waveforms.npy#" + table["row"].astype(str),
                "patient_id": table["patient_key"],
                "split": table["split"],
                "age": known_ages(table["age_at_ecg"]),
                "sex": [sex(cell) or "" for cell in table["sex"]],
                "sampling_rate": _RATE,
                "units": "mV",
                "leads": ";".join(LEADS),
                "defect": _DEFECT,
                "defect_action": "flag",
            }
        )
        notes = [
            f"{share(len(table), self.name)} of {table['patient_key'].nunique():,} patients, in the splits of the release",
            f"{unsplit:,} recordings without a split in the release are not used: their patients are in val and test",
            f"{_DEFECT}: voltages, limits and errors in mV have no meaning; every recording is flagged known_defect",
            "the licence forbids sharing: keep stores, training data of models and remotes private",
            *without,
        ]
        if self.labels == "released":
            notes.append(
                "a flag of 0 can mean that the echocardiogram did not measure the finding: see label set measured"
            )
        return self.checked_cohort(described, targets, pd.DataFrame(values), notes, source)

    def _compare_arrays(self, table: pd.DataFrame) -> list[Problem]:
        problems = []
        for split in SPLITS:
            path, rows = self.root / f"EchoNext_{split}_waveforms.npy", int((table["split"] == split).sum())
            try:
                shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            except FileNotFoundError:
                problems.append(Problem(str(path), "file", "does not exist", f"Complete the download ({self.url})"))
                continue
            except (OSError, ValueError) as error:
                what = f"is not a valid array ({type(error).__name__})"
                problems.append(Problem(str(path), "file", what, f"Download the file again ({self.url})"))
                continue
            if shape != (rows, 1, _SAMPLES, len(LEADS)):
                what = f"is {shape}, but the table requires {(rows, 1, _SAMPLES, len(LEADS))}"
                problems.append(
                    Problem(str(path), "shape", what, "Download the table and the array of the same release")
                )
        return problems


def _measured(flag: NDArray[np.float64], measurements: pd.DataFrame) -> NDArray[np.float64]:
    """Replace a flag by NaN (unknown) where it is 0 and at least one of its measurements is missing."""
    absent = (measurements == "").any(axis=1).to_numpy() if measurements.shape[1] else np.zeros(len(flag), dtype=bool)
    return np.where((flag == 0) & absent, np.nan, flag)


def _unusable(source: Path, table: pd.DataFrame, flags: list[str]) -> list[Problem]:
    wrong = {"ecg_key": table["ecg_key"].duplicated(keep=False) | (table["ecg_key"] == "")}
    wrong["patient_key"] = table["patient_key"] == ""
    wrong["split"] = ~table["split"].isin([*SPLITS, _NO_SPLIT])
    wrong |= {flag: ~pd.to_numeric(table[flag], errors="coerce").isin([0, 1]) for flag in flags}
    problems = cell_problems(source, [(column, bad, "not usable", FETCH_AGAIN) for column, bad in wrong.items()])
    splits = table[table["split"].isin(SPLITS)].groupby("patient_key")["split"].nunique()
    shared = int((splits > 1).sum())
    if shared:
        what = f"{shared} patients are in more than one of {', '.join(SPLITS)}"
        problems.append(Problem(str(source), "split", what, FETCH_AGAIN))
    return problems
