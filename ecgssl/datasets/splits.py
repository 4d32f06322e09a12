"""Splitting of a cohort into train, val and test by patient: random, temporal, by site, or k-fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.config.split import SplitParams
from ecgssl.datasets.cohort import SPLITS, Cohort
from ecgssl.errors import InputError, Problem

FOLDS = 10
"""Number of equal parts of a random split, and minimum number of recordings of a stratum.

The number of parts is doubled if a share is not a multiple of 0.1.
"""

KEEPS_SPLIT = ("auto", "official")
"""Kinds of a split that keep the column ``split`` of a table. The other kinds replace it."""

Names = NDArray[np.object_]
"""Array (recordings,) of ``train``, ``val`` or ``test``; an empty string means that a recording is in no split."""


@dataclass(frozen=True)
class Split:
    """A new split of a cohort.

    Args:
        names: (recordings,) split of each recording.
        note: description of the method, and number of recordings in no split.
        random: whether all patients were assigned at random. False for splits by time or site, and if all are test.
    """

    names: Names
    note: str
    random: bool = False


class CannotSplit(Exception):
    """Raised if a table cannot be split as requested; ``what`` gives the reason, ``remedy`` how to fix it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def resplit(cohort: Cohort, params: SplitParams, seed: int) -> Cohort:
    """Return the cohort with the split that the parameters define, or the same cohort if its split is kept.

    Raises:
        InputError: the cohort cannot be split as requested.
    """
    try:
        split = make_split(cohort.table, cohort.targets, params, seed, cohort.kinds)
    except CannotSplit as error:
        where = cohort.source or cohort.name
        raise InputError(Problem(where, "sets.NAME.split", error.what, error.remedy)) from None
    if split is None:
        return cohort
    table = cohort.table.assign(split=split.names)
    return replace(cohort, table=table, notes=(*cohort.notes, split.note), random_splits=split.random)


def make_split(
    table: pd.DataFrame,
    targets: Sequence[str],
    params: SplitParams,
    seed: int,
    kinds: Mapping[str, Target] | None = None,
) -> Split | None:
    """Split a table of recordings as the parameters define.

    Args:
        table: table with ``patient_id``, ``split`` and the targets. A temporal split also requires ``acq_time``, a split
            by site ``site``.
        targets: targets used for stratification.
        params: kind of the split and its shares.
        seed: seed of a random split. The same seed and table give the same split.
        kinds: declarations of targets that are not binary.

    Returns:
        The new split; ``None`` if the existing split of the table is kept.

    Raises:
        CannotSplit: a required column or site is missing, there are too few patients, or a split would be empty.
    """
    stated = bool((table["split"] != "").any())
    if params.kind in KEEPS_SPLIT and stated:
        return None
    if params.kind == "official":
        raise CannotSplit("the set has no split", "Use another sets.NAME.split.kind")
    if params.kind == "external":
        return Split(
            np.full(len(table), "test", dtype=object), "all recordings are test (sets.NAME.split.kind external)"
        )
    makers = {"temporal": _temporal, "site": _site, "kfold": _kfold}
    split = makers.get(params.kind, _grouped)(table, _strata(table, targets, kinds or {}), params, seed)
    empty = [name for name in SPLITS if not (split.names == name).any()]
    if empty:
        raise CannotSplit(f"no recordings are left for {', '.join(empty)}", "Change the shares, dates or sites")
    crossing = _crossing(table, split.names)
    if crossing:
        raise AssertionError(f"{crossing} patients are in more than one split")
    return split


def repeated_folds(
    table: pd.DataFrame,
    targets: Sequence[str],
    folds: int,
    repeats: int,
    seed: int,
    kinds: Mapping[str, Target] | None = None,
) -> NDArray[np.int64]:
    """Assign recordings to folds for repeated stratified k-fold cross-validation by patient.

    Use this for cohorts that are too small for a separate test split.

    Args:
        table, targets, seed, kinds: see ``make_split``.
        folds: number of folds.
        repeats: number of repetitions.

    Returns:
        Array (recordings, repeats): the fold, counted from 0, in which each recording is tested.

    Raises:
        CannotSplit: there are fewer patients than folds.
    """
    stratum = _strata(table, targets, kinds or {})
    return np.stack([_assign_folds(table, stratum, folds, seed + repeat) for repeat in range(repeats)], axis=1)


def _strata(table: pd.DataFrame, targets: Sequence[str], kinds: Mapping[str, Target]) -> NDArray[np.int64]:
    """Return the stratum of each recording for a stratified split.

    The stratum is the rarest positive binary target of the recording. Without binary targets, it is the class or the
    quartile of the first target. Strata with fewer than ``FOLDS`` recordings are merged into the largest stratum.
    """
    plain = Target()
    binary = [t for t in targets if kinds.get(t, plain).kind == "binary"]
    stratum = np.zeros(len(table), dtype=np.int64)
    for number, target in enumerate(sorted(binary, key=lambda t: -float((table[t] == 1).sum())), 1):
        positive = (table[target] == 1).to_numpy()
        # skip targets with fewer positive recordings than folds, because they cannot be in every fold
        if positive.sum() >= FOLDS:
            stratum[positive] = number
    if not binary and targets:
        # use only the first target, because strata formed by several targets would be too small
        values = table[targets[0]]
        if kinds.get(targets[0], plain).kind == "regression":
            values = pd.qcut(values, 4, labels=False, duplicates="drop")
        stratum = values.fillna(-1).to_numpy(dtype=np.int64) + 1
    sizes = np.bincount(stratum)
    stratum[sizes[stratum] < FOLDS] = sizes.argmax()
    return stratum


def _assign_folds(table: pd.DataFrame, stratum: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    patients = table["patient_id"].nunique()
    if patients < folds:
        what = f"{patients} patients are too few for {folds} parts"
        raise CannotSplit(what, f"Fill the column split, or add recordings (at least {folds} patients)")
    # merge strata smaller than the number of folds into the largest one, because they cannot be in every fold
    sizes = np.bincount(stratum)
    spread = np.where(sizes[stratum] < folds, sizes.argmax(), stratum)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    out = np.empty(len(table), dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(spread, spread, table["patient_id"])):
        out[held_out] = number
    return out


def _grouped(table: pd.DataFrame, stratum: NDArray[np.int64], params: SplitParams, seed: int) -> Split:
    val, test = params.val, params.test
    folds = _parts(val, test)
    fold = _assign_folds(table, stratum, folds, seed)
    first, last = round(val * folds), round((val + test) * folds)
    names = np.where(fold < first, "val", np.where(fold < last, "test", "train")).astype(object)
    train = round(100 * (1 - val - test))
    shares = f"{train}/{round(100 * val)}/{round(100 * test)}"
    return Split(names, f"split {shares} by patient, stratified by target, seed {seed}", random=True)


def _parts(*shares: float) -> int:
    """Return the number of equal parts to divide patients into: 10 if all shares are multiples of 0.1, otherwise 20."""
    return FOLDS if all(round(share * FOLDS, 6).is_integer() for share in shares) else 2 * FOLDS


def _kfold(table: pd.DataFrame, stratum: NDArray[np.int64], params: SplitParams, seed: int) -> Split:
    fold = _assign_folds(table, stratum, params.folds, seed + params.repeat)
    following = (params.fold + 1) % params.folds
    names = np.where(fold == params.fold, "test", np.where(fold == following, "val", "train")).astype(object)
    which = f"fold {params.fold} of {params.folds}, repetition {params.repeat}"
    return Split(names, f"split by patient, stratified by target: {which}, seed {seed}", random=True)


def _temporal(table: pd.DataFrame, stratum: NDArray[np.int64], params: SplitParams, seed: int) -> Split:
    """Split patients by the date of their first recording.

    Recordings of a patient from a later period than the first recording are in no split. Therefore no patient is in two
    splits, and all training recordings are older than the first test recording.
    """
    if "acq_time" not in table:
        raise CannotSplit("kind 'temporal' needs the column acq_time", "Add it, or map one with sets.NAME.columns")
    time = pd.to_datetime(table["acq_time"], errors="coerce", format="ISO8601")
    known = time.notna().to_numpy()
    if not known.any():
        raise CannotSplit("no acq_time can be read", "Write ISO 8601, or set sets.NAME.dates")
    first = time.groupby(table["patient_id"]).transform("min")
    if params.val_from is not None and params.test_from is not None:
        cuts = [pd.Timestamp(params.val_from), pd.Timestamp(params.test_from)]
    else:
        starts = time.groupby(table["patient_id"]).min().dropna().sort_values()
        places = [round((1 - share) * len(starts)) for share in (params.val + params.test, params.test)]
        if places[0] < 1 or places[1] >= len(starts):
            raise CannotSplit(
                f"{len(starts)} patients are too few for these shares", "Set the dates val_from and test_from"
            )
        cuts = [starts.iloc[place] for place in places]

    def period(moment: pd.Series) -> NDArray[np.int64]:
        return np.asarray((moment >= cuts[0]).astype(int) + (moment >= cuts[1]).astype(int), dtype=np.int64)

    own, patients = period(time), period(first)
    later = known & (own != patients)
    names = np.where(known & ~later, np.array(SPLITS, dtype=object)[patients], "")
    note = f"split by time: validation from {cuts[0].date()}, test from {cuts[1].date()}; patients by their first recording"
    if later.any():
        note += f", {int(later.sum())} of their recordings from a later period are in no split"
    if not known.all():
        note += f"; {int((~known).sum())} recordings without a readable acq_time are in no split"
    return Split(names, note)


def _site(table: pd.DataFrame, stratum: NDArray[np.int64], params: SplitParams, seed: int) -> Split:
    """Use all recordings of the given sites as the test split, and split the other patients into train and val.

    Recordings of test patients at other sites, and recordings without a site, are in no split.
    """
    site = table["site"].fillna("").astype(str) if "site" in table else pd.Series("", index=table.index)
    known = sorted({name for name in site if name})
    absent = [name for name in params.sites if name not in known]
    if absent:
        remedy = f"Sites of the set: {', '.join(known[:12]) or 'none'}"
        raise CannotSplit(f"no recording has the site {', '.join(absent)}", remedy)
    held = site.isin(params.sites)
    elsewhere = table["patient_id"].isin(table.loc[held, "patient_id"]) & ~held
    unknown = (site == "") & ~held & ~elsewhere
    rest = (~held & ~elsewhere & ~unknown).to_numpy()
    folds = _parts(params.val)
    fold = _assign_folds(table[rest], stratum[rest], folds, seed)
    names = np.full(len(table), "", dtype=object)
    names[rest] = np.where(fold < round(params.val * folds), "val", "train")
    names[held.to_numpy()] = "test"
    note = f"test is site {', '.join(params.sites)}; {params.val:.0%} of the other patients are val, seed {seed}"
    if elsewhere.any():
        note += f"; {int(elsewhere.sum())} recordings of its patients at other sites are in no split"
    if unknown.any():
        note += f"; {int(unknown.sum())} recordings without a site are in no split"
    return Split(names, note)


def _crossing(table: pd.DataFrame, names: Names) -> int:
    stated = names != ""
    return int((pd.Series(names[stated]).groupby(table["patient_id"].to_numpy()[stated]).nunique() > 1).sum())
