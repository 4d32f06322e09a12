"""Selection of the recordings of a pretraining run from one or more sets.

Recordings are left out of pretraining if their patient or waveform is in validation, test or an external cohort of a
downstream set. A waveform that occurs several times in the pretraining sets is used once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.datasets.cohort import EXTERNAL
from ecgssl.errors import InputError, Problem
from ecgssl.leakage.identities import Identities
from ecgssl.leakage.overlap import limit_problems, matching_keys
from ecgssl.leakage.selection import DUPLICATE, Selection, SetSelection
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.signal.waveform_match import WaveformCodes, find_copies, same_recording
from ecgssl.store.content_digest import content_digest
from ecgssl.store.corpus import require_same_settings
from ecgssl.store.store import Store

_logger = logging.getLogger("ecgssl")

Policy = Literal["drop", "error"]
"""Action for pretraining recordings in validation or test of a downstream set (``pretrain.overlap``)."""
_HELD_OUT = ("val", "test", EXTERNAL)


def select_recordings(
    stores: Mapping[str, Store],
    pretrain_sets: Sequence[str],
    downstream: Mapping[str, str],
    policy: Policy = "drop",
    targets: Sequence[str] = (),
    init: str | None = None,
) -> Selection:
    """Return which recordings of the pretraining sets are left out, and why.

    The recordings of split ``train`` are compared with the splits ``val``, ``test`` and ``external`` of all downstream sets
    and of all stores that are not pretrained on, by patient and by waveform. Then the recordings of ``train`` and ``val``
    that remain are compared with each other by waveform. The first copy in the order of the sets is used.

    Args:
        stores: stores of all sets, by name.
        pretrain_sets: names of the pretraining sets, in order of precedence.
        downstream: set of each downstream task, by task.
        policy: ``drop`` to leave out recordings of downstream sets, or ``error``.
        targets: targets of the online probe, for the digests of the stores.
        init: digest of the encoder that pretraining starts from.

    Raises:
        ContractMismatch: the preprocessing settings of the stores differ; all fields are listed.
        InputError: a store has no waveform codes of this release, a pretraining set has no recordings in ``train``, all
            recordings are left out, or the policy is ``error`` and recordings are in a downstream set.
    """
    used = {name: stores[name] for name in (*pretrain_sets, *stores)}
    require_same_settings(used)
    _require_recordings(stores, pretrain_sets)
    apart = list(dict.fromkeys([*downstream.values(), *(name for name in stores if name not in pretrain_sets)]))
    pool = _Pool.of({name: stores[name] for name in pretrain_sets}, ("train", "val"))
    held_out = _Pool.of({name: stores[name] for name in apart}, _HELD_OUT)
    reasons = _in_held_out(pool, held_out)
    if policy == "error" and reasons:
        _refuse(pool, stores, reasons)
    kept = np.setdiff1d(np.arange(len(pool)), np.concatenate([*reasons.values(), np.zeros(0, np.int64)]))
    for reason, rows in _duplicates(pool, kept).items():
        reasons[reason] = rows
    sets = {}
    for number, name in enumerate(pool.names):
        mine = {reason: np.sort(pool.rows[rows[pool.sets[rows] == number]]) for reason, rows in reasons.items()}
        digest = content_digest(stores[name], targets)
        sets[name] = SetSelection(digest, {reason: rows for reason, rows in mine.items() if len(rows)})
    selection = Selection(sets, tuple(sorted(targets)), init)
    _require_some_left(selection, stores)
    return selection


@dataclass(frozen=True)
class _Pool:
    """Recordings of several stores in some splits: names of the sets and, for each recording, set, row and split.

    ``known`` are the places of recordings with a known patient, and ``patients`` their keys.
    """

    names: tuple[str, ...]
    sets: NDArray[np.int64]
    rows: NDArray[np.int64]
    splits: NDArray[np.int64]
    codes: WaveformCodes
    known: NDArray[np.int64]
    patients: NDArray[np.uint64]
    split_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, stores: Mapping[str, Store], splits: Sequence[str]) -> _Pool:
        sets, rows, places, known = ([np.zeros(0, np.int64)] for _ in range(4))
        raw, patients, start = [np.zeros((0, CODE_BYTES), np.uint8)], [np.zeros(0, np.uint64)], 0
        problems: list[Problem] = []
        for number, store in enumerate(stores.values()):
            by_split = [store.rows(split) for split in splits]
            own = np.concatenate(by_split)
            order = np.argsort(own, kind="stable")
            try:
                found = Identities.of_store(store, own[order], named=False)
            except InputError as error:
                problems += error.problems
                continue
            with_patient, keys = found.patient_keys()
            sets.append(np.full(len(own), number))
            rows.append(own[order])
            places.append(np.repeat(np.arange(len(splits)), [len(part) for part in by_split])[order])
            raw.append(found.waveforms)
            known.append(with_patient + start)
            patients.append(keys)
            start += len(own)
        if problems:
            raise InputError(problems)
        return cls(
            tuple(stores),
            sets=np.concatenate(sets),
            rows=np.concatenate(rows),
            splits=np.concatenate(places),
            codes=WaveformCodes.unpack(np.concatenate(raw)),
            known=np.concatenate(known),
            patients=np.concatenate(patients),
            split_names=tuple(splits),
        )

    def place_of(self, row: int) -> str:
        """Return split and set of a recording, for example ``test of ptbxl``."""
        return f"{self.split_names[self.splits[row]]} of {self.names[self.sets[row]]}"


def _in_held_out(pool: _Pool, held_out: _Pool) -> dict[str, NDArray[np.int64]]:
    """Return the training recordings of ``pool`` whose patient or waveform is held out, by reason."""
    train = np.flatnonzero(pool.splits == 0)
    known = np.intersect1d(pool.known, train, assume_unique=True)
    keys = pool.patients[np.searchsorted(pool.known, known)]
    places, first = matching_keys(held_out.patients, keys)
    same_patient = known[places]
    by_patient = _by_place("patient in", same_patient, held_out.known[first], held_out)
    copies = find_copies(pool.codes.take(train), held_out.codes)[0]
    rows = train[copies.rows]
    new = ~np.isin(rows, same_patient)
    return by_patient | _by_place("waveform in", rows[new], copies.closest[new], held_out)


def _by_place(
    prefix: str, rows: NDArray[np.int64], others: NDArray[np.int64], held_out: _Pool
) -> dict[str, NDArray[np.int64]]:
    """Return the rows grouped by the split and set of the recordings ``others`` that they match."""
    cells = held_out.sets[others] * len(_HELD_OUT) + held_out.splits[others]
    return {
        f"{prefix} {held_out.place_of(int(others[cells == cell][0]))}": rows[cells == cell] for cell in np.unique(cells)
    }


def _duplicates(pool: _Pool, kept: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return the rows in ``kept`` that are copies of an earlier row in ``kept``, by the set of the first copy."""
    if not len(kept):
        return {}
    group = same_recording(pool.codes.take(kept))
    _, first, of = np.unique(group, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[of] != np.arange(len(kept)))
    sets = pool.sets[kept[first[of[copies]]]]
    return {f"{DUPLICATE}{pool.names[number]}": kept[copies[sets == number]] for number in np.unique(sets)}


def _require_recordings(stores: Mapping[str, Store], pretrain_sets: Sequence[str]) -> None:
    problems = [
        Problem(
            str(stores[name].path),
            "split",
            f"the pretraining set {name} has no recordings in split train",
            f"Change the split of the set (sets.{name}.split), or remove {name} from pretrain.sets",
        )
        for name in pretrain_sets
        if not len(stores[name].rows("train"))
    ]
    if problems:
        raise InputError(problems)


def _require_some_left(selection: Selection, stores: Mapping[str, Store]) -> None:
    counts = selection.counts(stores)
    empty = [name for name, count in counts.items() if not count["train"]]
    why = {
        name: ", ".join(f"{len(rows):,} {reason}" for reason, rows in selection.sets[name].left_out.items())
        for name in empty
    }
    if len(empty) == len(counts):
        remedy = "Pretrain on other sets, or run the downstream tasks on other sets"
        raise InputError(
            Problem(
                str(stores[name].path), "pretrain.sets", f"{name}: every recording is left out ({why[name]})", remedy
            )
            for name in empty
        )
    for name in empty:
        _logger.warning("pretraining uses no recording of %s: %s", name, why[name])


def _refuse(pool: _Pool, stores: Mapping[str, Store], reasons: Mapping[str, NDArray[np.int64]]) -> None:
    """Raise an error that lists the recordings that are held out."""
    problems: list[Problem] = []
    remedy = "Set pretrain.overlap to drop (leaves them out of pretraining), or pretrain on other sets"
    for reason, places in reasons.items():
        listed = []
        for number, name in enumerate(pool.names):
            rows = pool.rows[places[pool.sets[places] == number]]
            ids = stores[name].column("record_id").take(rows).to_pylist() if len(rows) else []
            listed += [
                Problem(str(stores[name].path), "pretrain.overlap", f"{record} of {name} has its {reason}", remedy)
                for record in ids
            ]
        problems += limit_problems(listed, "")
    raise InputError(problems)
