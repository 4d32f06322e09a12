"""Data splits of MERL (Liu et al. 2024, arXiv 2403.06659), read from ``finetune/data_split`` of its repository.

Later publications report results on these splits. Two versions of the labels are available:

``csv``: the labels in the CSV files of MERL, including their errors. Columns are matched by position, as in the code of
the authors. In the sub_class files, three columns of the training split have a different order, so the labels ISC, AVB and
RAO/RAE are confused in training. The labels of chapman were matched by substring, so every AFIB is also an AF, every STE
an ST and every 1AVB a VB.

``corrected``: the same recordings and splits, with the labels of the dataset itself.

Two steps of MERL are not reproduced: its signal scaling, and its selection of the best epoch on the test split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import SPLITS, Cohort
from ecgssl.datasets.public.release_table import read_table
from ecgssl.errors import InputError, Problem

URL = "https://github.com/cheliu-computation/MERL-ICML2024"

_CPSC = {"AFIB": "AF", "VPC": "PVC", "1AVB": "IAVB", "CRBBB": "RBBB", "CLBBB": "LBBB"}


@dataclass(frozen=True)
class _Files:
    """Description of the three CSV files (train, val, test) of a dataset.

    Args:
        stem: common beginning of the file paths below ``data_split``.
        key: column that identifies a recording.
        record: function that converts a cell of that column to a record id.
        first: position of the first label column, counted from 0.
    """

    stem: str
    key: str
    record: Callable[[str], str]
    first: int


def _ptbxl(kind: str) -> _Files:
    return _Files(f"ptbxl/{kind}/ptbxl_{kind}", "ecg_id", lambda cell: f"ptbxl-{int(cell):05d}", 6)


_FILES = {
    ("ptbxl", "superclass"): _ptbxl("super_class"),
    ("ptbxl", "subclass"): _ptbxl("sub_class"),
    ("ptbxl", "form"): _ptbxl("form"),
    ("ptbxl", "rhythm"): _ptbxl("rhythm"),
    ("cpsc2018", "any"): _Files("icbeb/icbeb", "filename", lambda cell: f"cpsc2018-{cell}", 7),
    ("ecg_arrhythmia", "conditions"): _Files(
        "chapman/chapman", "ecg_path", lambda cell: f"ecg_arrhythmia-{Path(cell).stem}", 3
    ),
}


def on_merl_splits(cohort: Cohort, label_set: str, folder: Path, labels: Literal["csv", "corrected"]) -> Cohort:
    """Return a cohort with the recordings and splits of MERL.

    Args:
        cohort: cohort of ``ptbxl`` (superclass, subclass, form, rhythm), ``cpsc2018`` (any) or ``ecg_arrhythmia``.
        label_set: label set of the cohort.
        folder: folder ``finetune/data_split`` of a local copy of the MERL repository.
        labels: ``csv`` or ``corrected``, see the module docstring.

    Raises:
        InputError: MERL has no files for the dataset, a file is missing or invalid, a recording is listed twice, or
            the cohort contains none of the listed recordings.
    """
    files = _FILES.get((cohort.name, label_set))
    if files is None:
        offered = ", ".join(" ".join(pair) for pair in _FILES)
        raise InputError(
            Problem(
                "sets.NAME.merl",
                f"{cohort.name} {label_set}",
                "MERL has no split for this set",
                f"Use one of: {offered}",
            )
        )
    read = {split: _read(folder / f"{files.stem}_{split}.csv", files) for split in SPLITS}
    names = list(read["test"].columns)
    known = set(cohort.table["record_id"])
    listed = pd.concat([table.set_axis(names, axis=1).assign(split=split) for split, table in read.items()])
    twice = listed.index[listed.index.duplicated()]
    if len(twice):
        what = f"{len(twice)} recordings are listed twice, such as {twice[0]}"
        raise InputError(Problem(str(folder), files.stem, what, f"Download the files again ({URL})"))
    there = listed[listed.index.isin(known)]
    if there.empty:
        what = f"none of the {len(listed):,} listed recordings is in {cohort.name}"
        raise InputError(Problem(str(folder), files.stem, what, "Use the dataset version that MERL used"))
    table = cohort.table[cohort.table["record_id"].isin(there.index)].reset_index(drop=True)
    table = table.assign(split=there["split"].loc[table["record_id"]].to_numpy())
    notes = [
        *cohort.notes,
        f"split by the files of MERL ({files.stem}), labels {'of these files' if labels == 'csv' else 'of the release'}",
    ]
    if len(there) < len(listed):
        notes.append(f"{len(listed) - len(there):,} of {len(listed):,} recordings of MERL's files are not in this copy")
    shifted = [name for name, other in zip(names, read["train"].columns, strict=True) if name != other]
    if labels == "csv":
        if shifted:
            notes.append(
                f"the columns of train are in a different order, so {', '.join(shifted)} contain other labels there"
            )
        values = there[names].loc[table["record_id"]].to_numpy(dtype=np.float64)
        described = table.drop(columns=list(cohort.targets))
        return replace(
            cohort,
            table=pd.concat([described, pd.DataFrame(values, columns=names)], axis=1),
            targets=tuple(names),
            notes=tuple(notes),
            random_splits=False,
        )
    ours = _translated(cohort)
    kept = [ours[name] for name in names if name in ours]
    absent = [name for name in names if name not in ours]
    if absent:
        notes.append(f"the MERL columns {', '.join(absent)} are not used, because the dataset has no such labels")
    dropped = [target for target in cohort.targets if target not in kept]
    table = table.drop(columns=dropped)
    return replace(cohort, table=table, targets=tuple(kept), notes=tuple(notes), random_splits=False)


def _translated(cohort: Cohort) -> dict[str, str]:
    """Return a dict from label names in MERL to targets of the cohort.

    MERL removes underscores from PTB-XL codes and renames the labels of CPSC2018.
    """
    if cohort.name == "cpsc2018":
        renamed = {theirs: ours for theirs, ours in _CPSC.items() if ours in cohort.targets}
        return {t: t for t in cohort.targets if t not in renamed.values()} | renamed
    return {t.replace("_", "") if cohort.name == "ptbxl" else t: t for t in cohort.targets}


def _read(path: Path, files: _Files) -> pd.DataFrame:
    """Read one file, and return its label columns indexed by record id."""
    table = read_table(path, (files.key,), URL, dtype=str, keep_default_na=False)
    labels = table[table.columns[files.first :]].apply(pd.to_numeric, errors="coerce")
    wrong = [str(c) for c in labels if not labels[c].isin((0, 1)).all()]
    if wrong or labels.empty or labels.shape[1] == 0:
        what = f"columns {', '.join(wrong[:5])} contain cells other than 0 and 1" if wrong else "has no label columns"
        raise InputError(Problem(str(path), "labels", what, f"Download the file again ({URL})"))
    try:
        records = [files.record(cell) for cell in table[files.key]]
    except ValueError:
        raise InputError(
            Problem(str(path), files.key, "contains invalid recording names", f"Download the file again ({URL})")
        ) from None
    return labels.set_axis(pd.Index(records), axis=0)
