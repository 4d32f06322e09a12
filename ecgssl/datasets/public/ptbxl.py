"""Loader for PTB-XL (Wagner et al. 2020, doi:10.1038/s41597-020-0495-6; PhysioNet, CC BY 4.0).

The six label sets are those of the benchmark by Strodthoff et al. 2021 (doi:10.1109/JBHI.2020.3022989): ``superclass`` (5
labels), ``subclass`` (23), ``diagnostic`` (44), ``form`` (19), ``rhythm`` (12) and ``all`` (71 SCP-ECG codes). As in the
benchmark, every code of a recording counts regardless of its likelihood, because a likelihood of 0 means that none was
given. The label sets ``..._likelihood50`` use only codes with a likelihood of at least 50; their results are not
comparable with published results. The targets of a recording without any code of the label set are unknown. Folds 1-8 are
train, 9 is val and 10 is test; no patient is in more than one fold.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.folds import split_of
from ecgssl.datasets.public.label_map import LabelMap, package_table
from ecgssl.datasets.public.public_set import PHYSIONET, PublicSet, Source
from ecgssl.datasets.public.release_counts import share
from ecgssl.datasets.public.release_table import FETCH_AGAIN, add_absent_columns, cell_problems, read_table
from ecgssl.errors import InputError, Problem
from ecgssl.io.metadata import OLDEST

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
LIKELIHOOD = "_likelihood50"
_LEAST = 50.0
_COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold")
_DESCRIBING = ("age", "sex", "site", "device")
_STATEMENTS = ("diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
_FILE = {100: "filename_lr", 500: "filename_hr"}


class PTBXL(PublicSet):
    """PTB-XL (Wagner et al. 2020)."""

    name = "ptbxl"
    title = "PTB-XL"
    licence = "CC BY 4.0"
    citation = "Wagner et al. 2020, doi:10.1038/s41597-020-0495-6"
    url = "https://physionet.org/content/ptb-xl/1.0.3/"
    source = Source(
        PHYSIONET + "ptb-xl/1.0.3/",
        needs=("*.csv", "LICENSE.txt"),
        subsets={"100": ("records100/*",), "500": ("records500/*",)},
    )
    label_sets = (
        *("superclass", "subclass", "diagnostic", "form", "rhythm", "all"),
        *(f"{labels}{LIKELIHOOD}" for labels in ("superclass", "subclass", "diagnostic")),
    )
    landmark = "ptbxl_database.csv"

    def cohort(self) -> Cohort:
        """Return the cohort of ``records100`` or ``records500`` with targets and folds.

        Raises:
            InputError: a table or column is missing, a cell is invalid, recordings are missing, or the counts of the
                complete dataset differ from release 1.0.3.
        """
        database, file = self.root / self.landmark, _FILE[self.sampling_rate]
        table = read_table(database, (*_COLUMNS, file), self.url)
        without = add_absent_columns(table, _DESCRIBING)
        names = self._label_map()
        numbers = {
            c: pd.to_numeric(table[c], errors="coerce") for c in ("ecg_id", "patient_id", "strat_fold", "age", "sex")
        }
        stated = [_likelihoods(cell) for cell in table["scp_codes"]]
        problems = _unusable(database, numbers, stated)
        paths = table[file].astype(str).tolist()
        remedy = f"Download records{self.sampling_rate}, or set sets.NAME.sampling_rate to {600 - self.sampling_rate}"
        problems += self.absent(database, paths, field=file, remedy=remedy)
        if problems:
            raise InputError(problems)
        described = pd.DataFrame(
            {
                "record_id": [f"ptbxl-{int(i):05d}" for i in numbers["ecg_id"]],
                "path": paths,
                "patient_id": [str(int(i)) for i in numbers["patient_id"]],
                "split": numbers["strat_fold"].map(split_of),
                "fold": numbers["strat_fold"].astype(float),
                # ages above 89 are stored as 300 in the release
                "age": numbers["age"].clip(upper=OLDEST),
                "sex": numbers["sex"].map({0: "male", 1: "female"}).fillna(""),
                "site": table["site"].map(_site),
                "device": table["device"].fillna("").astype(str).str.strip(),
            }
        )
        labelled = names.apply([self._counted(codes or {}) for codes in stated])
        unlabelled = np.flatnonzero(labelled.matrix.sum(axis=1) == 0)
        matrix = labelled.matrix.copy()
        matrix[unlabelled] = np.nan
        notes = [self._release_note(len(described)), *without]
        if len(unlabelled):
            notes.append(f"{len(unlabelled)} recordings have no code of label set {self.labels}: targets unknown")
        if self.labels == "all":
            notes += labelled.notes()
        old = int((numbers["age"] > OLDEST).sum())
        if old:
            notes.append(f"{old} ages above 89 (stored as 300 in the release) are set to {OLDEST:g}")
        return self.checked_cohort(described, names.labels, matrix, notes, database)

    def _label_map(self) -> LabelMap:
        """Return the mapping from SCP-ECG codes to the labels of the selected label set."""
        path = self.root / "scp_statements.csv"
        statements = read_table(path, _STATEMENTS, self.url, dtype=str, keep_default_na=False)
        statements.index = pd.Index(statements.iloc[:, 0])
        kind = self.labels.removesuffix(LIKELIHOOD)
        if kind == "all":
            chosen = statements.index
        else:
            flag = kind if kind in ("form", "rhythm") else "diagnostic"
            chosen = statements.index[statements[flag].isin(["1", "1.0"])]
        if kind == "superclass":
            of = statements.loc[chosen, "diagnostic_class"]
            label_of = {code: name for name in SUPERCLASSES for code in chosen[of == name]}
        elif kind == "subclass":
            label_of = statements.loc[chosen, "diagnostic_subclass"].to_dict()
        else:
            label_of = {code: code for code in chosen}
        return LabelMap(label_of, "scp_statements.csv")

    def _counted(self, likelihoods: dict[str, float]) -> list[str]:
        graded = self.labels.endswith(LIKELIHOOD)
        return [code for code, likelihood in likelihoods.items() if not graded or likelihood >= _LEAST]

    def _release_note(self, recordings: int) -> str:
        releases = package_table("ptbxl_releases.csv")
        sums = self.root / "SHA256SUMS.txt"
        listed = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
        stated = [row for row in releases if row["listed"] in listed or (self.root / row["listed"]).exists()]
        # the number of rows decides, because SHA256SUMS.txt can come from another release than the table
        for row in releases:
            if recordings == int(row["recordings"]):
                others = [other["release"] for other in stated if other is not row]
                differs = f" (but a file in the folder is of release {', '.join(others)})" if others else ""
                return f"{recordings:,} recordings, as in release {row['release']}{differs}: {row['about']}"
        for row in stated:
            whole = int(row["recordings"])
            return f"{recordings:,} of {whole:,} recordings of release {row['release']}: {row['about']}"
        return f"{share(recordings, self.name)} of release 1.0.3, or of another release: the files do not state it"


def _likelihoods(cell: object) -> dict[str, float] | None:
    """Parse a cell that contains a Python dict from SCP-ECG code to likelihood; ``None`` if the cell is invalid."""
    try:
        value = ast.literal_eval(str(cell))
        found = {str(code): float(likelihood) for code, likelihood in value.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        return None
    return None if any(math.isnan(likelihood) for likelihood in found.values()) else found


def _site(cell: float | str) -> str:
    return "" if pd.isna(cell) else f"{cell:g}" if isinstance(cell, float) else str(cell)


def _unusable(path: Path, numbers: dict[str, pd.Series], stated: list[dict[str, float] | None]) -> list[Problem]:
    number, fold = numbers["ecg_id"], numbers["strat_fold"]
    wrong = (
        ("ecg_id", number.isna()),
        ("patient_id", numbers["patient_id"].isna()),
        ("strat_fold", fold.isna()),
        ("scp_codes", [codes is None for codes in stated]),
        ("ecg_id", number.duplicated(keep=False) & number.notna()),
        ("strat_fold", fold.notna() & ~fold.isin(range(1, 11))),
    )
    return cell_problems(path, [(column, mask, "not usable", FETCH_AGAIN) for column, mask in wrong])
