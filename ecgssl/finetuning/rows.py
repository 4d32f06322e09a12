"""Selection of recordings and leads for fine-tuning, and random draws of a share of the training patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.finetuning.task import Array
from ecgssl.signal.leads import canonical
from ecgssl.store.store import Store

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ChosenRows:
    """Rows of a store by split, in ascending order. Each recording has a known target and at least one of the leads.

    Args:
        train, val, test: rows of each split.
        unlabelled: number of recordings per split excluded because no target is known.
        without_leads: number of recordings per split excluded because none of the leads was recorded.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    unlabelled: dict[str, int]
    without_leads: dict[str, int]

    def by_split(self) -> dict[str, NDArray[np.int64]]:
        """Return a dictionary of the rows by split."""
        return {split: getattr(self, split) for split in SPLITS}


def choose_rows(
    store: Store,
    values: Array,
    leads: NDArray[np.bool_] | None = None,
    rows: Mapping[str, NDArray[np.int64]] | None = None,
) -> ChosenRows:
    """Select the recordings with a known target and at least one recorded lead.

    Args:
        store: store with the splits.
        values: target values (len(store), K); NaN if unknown.
        leads: lead mask (L,) from ``lead_subset``; ``None`` for all leads.
        rows: rows by split, for cross-validation; by default the splits of the store. ``train`` is required.

    Raises:
        InputError: a patient is in two splits of ``rows``, ``rows`` has an unknown split, or its ``train`` is empty.
    """
    given = {split: store.rows(split) for split in SPLITS} if rows is None else _checked(store, rows)
    known: NDArray[np.bool_] = np.any(~np.isnan(values), axis=1)
    chosen, unlabelled, without = {}, {}, {}
    for split in SPLITS:
        part = given[split]
        seen = store.lead_mask(part) if leads is None else store.lead_mask(part) & leads
        there = seen.any(axis=1)
        unlabelled[split], without[split] = int((~known[part]).sum()), int((known[part] & ~there).sum())
        chosen[split] = part[known[part] & there]
    return ChosenRows(**chosen, unlabelled=unlabelled, without_leads=without)


def share_of(store: Store, values: Array, train: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Return the rows of a randomly drawn share of the training patients (see ``label_fraction``).

    Patients are stratified by label, or by tertile of the first target for a regression.

    Raises:
        InputError: the share is outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(Problem("finetune", "share", f"{share:g} is not in (0, 1]", "Use 0.05 for 5 %"))
    if share == 1:
        return train
    known = values[train]
    if not np.isin(known[~np.isnan(known)], (0.0, 1.0)).all():
        limits = np.nanquantile(known[:, 0], [1 / 3, 2 / 3])
        known = (np.digitize(known[:, 0], limits)[:, None] == np.arange(3)).astype(np.float64)
    return train[label_fraction(known, store.patients[train], share, seed)]


def lead_subset(store: Store, leads: Sequence[str] | None) -> NDArray[np.bool_] | None:
    """Return the mask (L,) of the given leads; ``None`` for all leads.

    All other leads are masked, including those that can be computed from the given leads. For example, the mask of
    leads I and II excludes lead III. Use ``ecgssl.signal.lead_sets.shown_leads`` to add derived leads.

    Raises:
        InputError: the list is empty, a lead is listed twice, or a lead is not in the store.
    """
    if leads is None:
        return None
    names = [canonical(lead) for lead in leads]
    remedy = f"List each lead once; available leads: {', '.join(store.spec.leads)}"
    problems = [
        Problem("finetune", "leads", f"{lead!r} is not a lead of the store", remedy)
        for lead, name in zip(leads, names, strict=True)
        if name not in store.spec.leads
    ]
    if not names:
        problems.append(Problem("finetune", "leads", "the list is empty", remedy))
    if len(set(names)) < len(names):
        problems.append(Problem("finetune", "leads", f"{', '.join(leads)} has a duplicate", remedy))
    if problems:
        raise InputError(problems)
    mask = np.array([lead in names for lead in store.spec.leads])
    return None if mask.all() else mask


def _checked(store: Store, rows: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    problems = [
        Problem("rows", split, f"is not one of {SPLITS}", "Use train, val or test")
        for split in rows
        if split not in SPLITS
    ]
    if not len(rows.get("train", ())):
        problems.append(Problem("rows", "train", "has no recordings", "Add training recordings"))
    empty = np.empty(0, dtype=np.int64)
    given = {split: np.unique(np.asarray(rows.get(split, empty), dtype=np.int64)) for split in SPLITS}
    patients = {split: set(store.patients[part].tolist()) for split, part in given.items()}
    for i, one in enumerate(SPLITS):
        for other in SPLITS[i + 1 :]:
            if shared := len(patients[one] & patients[other]):
                what = f"{shared} patients are in both {one} and {other}"
                problems.append(Problem("rows", "patient", what, "Split by patient"))
    if problems:
        raise InputError(problems)
    return given


def label_fraction(targets: ArrayLike, patients: ArrayLike, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw a share of the patients and return the mask of their recordings.

    Patients are stratified by the rarest positive label of their recordings. The share is drawn from each stratum,
    rounded up to whole patients. With the same seed, smaller shares are subsets of larger ones: all patients in the 5 % share
    are also in the 10 % share.

    Args:
        targets: targets (N, K): 1, 0 or NaN (unknown).
        patients: patient key (N,) of each recording; the draw depends on the keys, not on the order of the recordings.
        fraction: share of the patients, above 0 and at most 1.
        seed: seed of the order in which patients are drawn.

    Returns:
        Mask (N,) of the recordings of the drawn patients.

    Raises:
        ValueError: ``fraction`` is outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction {fraction} is not in (0, 1]")
    positive = np.asarray(targets, dtype=float) == 1
    keys, code = np.unique(np.asarray(patients), return_inverse=True)
    has = np.zeros((len(keys), positive.shape[1]), dtype=bool)
    np.logical_or.at(has, code, positive)
    rarity = np.argsort(np.argsort(-has.sum(axis=0), kind="stable"))  # rank of each label, 0 for the most common
    stratum = np.where(has, rarity + 1, 0).max(axis=1)
    turn = np.random.default_rng(seed).permutation(len(keys))
    chosen = np.zeros(len(keys), dtype=bool)
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        ordered = members[np.argsort(turn[members])]
        chosen[ordered[: math.ceil(fraction * len(members) - 1e-9)]] = True
    return np.asarray(chosen[code])
