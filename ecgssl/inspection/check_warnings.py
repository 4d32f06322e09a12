"""What is not wrong with a cohort and yet should be known before a model is made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgssl.datasets.cohort import SPLITS
from ecgssl.inspection.check import Checked
from ecgssl.preprocessing.enforce_splits import Policy

SMALL = 10
"""Recordings, or positives among them, below which a figure says little."""

_YEARS = 2.0
_NAMED = 8
_SAME = (("waveform", "waveform"), ("patient_id", "patient"))


@dataclass(frozen=True)
class Warned:
    """A warning, in words that hold no cell, path or name of the table but names of columns.

    Args:
        what: is to be known.
        rows: concerned; empty for the whole cohort.
    """

    what: str
    rows: tuple[int, ...] = ()


def warnings_of(checked: Checked) -> list[Warned]:
    """All warnings, the gravest first."""
    kept = checked.described(checked.kept)
    return [*_stop(checked), *_twice(kept, checked.params.data.overlap), *_contradictions(kept), *_small(checked, kept)]


def _stop(checked: Checked) -> list[Warned]:
    if not checked.would_stop:
        return []
    out, count = len(checked.rejected), len(checked.cohort)
    allowed = checked.params.store.max_rejected_fraction
    return [Warned(f"preprocessing would stop: {out} of {count} recordings are left out, {allowed:.0%} is allowed")]


def _twice(kept: pd.DataFrame, policy: Policy) -> list[Warned]:
    """One recording under two names: a leak where the splits differ, a wrong id where the patients do."""
    leak = "of a recording in another split: the test would be on what was trained on"
    # under "error" they are issues
    found = [(column, "split", f"have the {said} {leak}") for column, said in _SAME if policy != "error"]
    found.append(("waveform", "patient_id", "have the waveform of a recording of another patient"))
    warned = []
    for column, other, what in found:
        stated = kept[kept[other] != ""]
        shared = stated[stated.groupby(column)[other].transform("nunique") > 1]
        if len(shared):
            warned.append(Warned(f"{len(shared)} recordings {what}", _rows(shared)))
    same = kept[kept.duplicated(["waveform", "patient_id", "split"], keep=False)]
    if len(same):
        warned.append(Warned(f"{len(same)} recordings are given more than once under different names", _rows(same)))
    return warned


def _contradictions(kept: pd.DataFrame) -> list[Warned]:
    warned = []
    if "sex" in kept:
        other = kept["file_sex"].notna() & kept["sex"].isin(["male", "female"]) & (kept["file_sex"] != kept["sex"])
        if other.any():
            what = f"{int(other.sum())} files state another sex than the table: they may belong to someone else"
            warned.append(Warned(what, _rows(kept[other])))
    if "age" in kept:
        apart = (kept["file_age"].astype(float) - kept["age"].astype(float)).abs() > _YEARS
        if apart.any():
            what = f"{int(apart.sum())} files state an age more than {_YEARS:g} years from the table's"
            warned.append(Warned(what, _rows(kept[apart])))
    beside = kept["overridden"].fillna("") != ""
    if beside.any():
        fields = sorted({name for cell in kept.loc[beside, "overridden"] for name in cell.split(";")})
        what = f"{int(beside.sum())} files say otherwise than the table of {', '.join(fields)}; the table wins"
        warned.append(Warned(what, _rows(kept[beside])))
    return warned


def _small(checked: Checked, kept: pd.DataFrame) -> list[Warned]:
    cohort = checked.cohort
    if not (cohort.table["split"] != "").any():
        return []
    warned = []
    for split in SPLITS:
        count = int((kept["split"] == split).sum())
        if count < SMALL:
            warned.append(Warned(f"split {split} has {count} usable recordings"))
    asked = [target for target in cohort.targets if target in checked.asked] if checked.asked else cohort.targets
    few = [target for target in asked if cohort.kind(target).kind == "binary" and _is_small(kept, target)]
    if few:
        shown = ", ".join(few[:_NAMED]) + (f" and {len(few) - _NAMED} more" if len(few) > _NAMED else "")
        warned.append(Warned(f"fewer than {SMALL} positives or negatives in train, val or test: {shown}"))
    return warned


def _is_small(kept: pd.DataFrame, target: str) -> bool:
    by_split = kept.groupby("split")[f"target {target}"].value_counts()
    return any(by_split.get((split, value), 0) < SMALL for split in SPLITS for value in (0.0, 1.0))


def _rows(part: pd.DataFrame) -> tuple[int, ...]:
    return tuple(int(row) for row in np.sort(part["row"].to_numpy()))
