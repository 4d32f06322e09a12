"""Splits of MERL (Liu et al. 2024, arXiv 2403.06659), from the CSV files of its repository (``finetune/data_split``).

Later publications report results on these splits. Two sets of labels are available:

``csv``: the labels of the files, column by column in the order of the test file, as in the reader of the authors. This
keeps the defects of the files. In the sub_class files, three columns of train are ordered differently from val and test,
so a positional reader trains ISC, AVB and RAO/RAE on each other's labels. The conditions of chapman were derived with
``label in "SB,TWC"``, which makes every AFIB an AF, every STE an ST and every 1AVB a VB.

``corrected``: the same recordings in the same splits, with the labels of the release, matched by name and exact code.

Two steps of MERL are not reproduced: its scaling of the signal, and reporting the best epoch of the test set.
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
    """The three files of a set.

    Args:
        stem: common beginning of their paths below ``data_split``.
        key: column that identifies a recording.
        record: conversion of a cell of that column to a record id.
        first: position of the first label column.
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
    """Return the recordings of a cohort that the files of MERL list, with the splits of these files.

    Args:
        cohort: cohort of ``ptbxl`` (superclass, subclass, form, rhythm), ``cpsc2018`` (any) or ``ecg_arrhythmia``.
        label_set: label set of the cohort.
        folder: ``finetune/data_split`` of a copy of the repository.
        labels: ``csv`` or ``corrected``, see the description of the module.

    Raises:
        InputError: MERL has no files for the set, a file is missing, invalid or has different columns, a
            recording is listed twice, or no listed recording is in the cohort.
    """
    files = _FILES.get((cohort.name, label_set))
    if files is None:
        offered = ", ".join(" ".join(pair) for pair in _FILES)
        raise InputError(
            Problem("data.merl", f"{cohort.name} {label_set}", "has no split in MERL", f"Available: {offered}")
        )
    read = {split: _read(folder / f"{files.stem}_{split}.csv", files) for split in SPLITS}
    names = list(read["test"].columns)
    known = set(cohort.table["record_id"])
    listed = pd.concat([table.set_axis(names, axis=1).assign(split=split) for split, table in read.items()])
    twice = listed.index[listed.index.duplicated()]
    if len(twice):
        what = f"{len(twice)} recordings are listed twice, such as {twice[0]}"
        raise InputError(Problem(str(folder), files.stem, what, f"Restore the files ({URL})"))
    there = listed[listed.index.isin(known)]
    if there.empty:
        what = f"none of the {len(listed):,} listed recordings is in {cohort.name}"
        raise InputError(Problem(str(folder), files.stem, what, "Use the release that the files belong to"))
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
            notes.append(f"columns {', '.join(shifted)} of train contain other labels, as in a positional reader")
        values = there[names].loc[table["record_id"]].to_numpy(dtype=np.float64)
        described = table.drop(columns=list(cohort.targets))
        return replace(
            cohort,
            table=pd.concat([described, pd.DataFrame(values, columns=names)], axis=1),
            targets=tuple(names),
            notes=tuple(notes),
        )
    ours = _translated(cohort)
    kept = [ours[name] for name in names if name in ours]
    absent = [name for name in names if name not in ours]
    if absent:
        notes.append(f"columns {', '.join(absent)} of the files of MERL are not labels of the release and not used")
    dropped = [target for target in cohort.targets if target not in kept]
    return replace(cohort, table=table.drop(columns=dropped), targets=tuple(kept), notes=tuple(notes))


def _translated(cohort: Cohort) -> dict[str, str]:
    """Return our target by the name in MERL, which removes underscores from PTB-XL codes and renames those of CPSC2018."""
    if cohort.name == "cpsc2018":
        renamed = {theirs: ours for theirs, ours in _CPSC.items() if ours in cohort.targets}
        return {t: t for t in cohort.targets if t not in renamed.values()} | renamed
    return {t.replace("_", "") if cohort.name == "ptbxl" else t: t for t in cohort.targets}


def _read(path: Path, files: _Files) -> pd.DataFrame:
    """Return the label columns of one file, with record ids as index."""
    table = read_table(path, (files.key,), URL, dtype=str, keep_default_na=False)
    labels = table[table.columns[files.first :]].apply(pd.to_numeric, errors="coerce")
    wrong = [str(c) for c in labels if not labels[c].isin((0, 1)).all()]
    if wrong or labels.empty or labels.shape[1] == 0:
        what = f"columns {', '.join(wrong[:5])} contain cells other than 0 and 1" if wrong else "has no label columns"
        raise InputError(Problem(str(path), "labels", what, f"Restore the file ({URL})"))
    try:
        records = [files.record(cell) for cell in table[files.key]]
    except ValueError:
        raise InputError(Problem(str(path), files.key, "contains invalid names", f"Restore the file ({URL})")) from None
    return labels.set_axis(pd.Index(records), axis=0)
