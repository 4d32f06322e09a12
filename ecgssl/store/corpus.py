"""Corpus: several stores that are read as one, without copying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import ContractMismatch, Problem
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.store import Store

_NONE: Mapping[str, NDArray[np.int64]] = MappingProxyType({})


class Corpus:
    """Recordings of one or more stores with the same preprocessing settings, numbered consecutively.

    A row of the corpus is the row of the store plus the number of recordings in the stores before it.

    Args:
        stores: store of each set, by name.
        left_out: rows of each store that ``rows`` does not return, by name.

    Raises:
        ContractMismatch: the preprocessing settings of the stores differ. Lists all differing fields.
        ValueError: there is no store, or ``left_out`` has a name without a store.
    """

    def __init__(self, stores: Mapping[str, Store], left_out: Mapping[str, NDArray[np.int64]] = _NONE) -> None:
        if not stores or not left_out.keys() <= stores.keys():
            raise ValueError(f"left_out has {sorted(left_out)}, stores are {sorted(stores)}")
        require_same_settings(stores)
        self.stores: dict[str, Store] = dict(stores)
        self.left_out = {name: np.unique(left_out.get(name, np.zeros(0, np.int64))) for name in stores}
        self.names: tuple[str, ...] = tuple(stores)
        self.spec: SignalSpec = self._first.spec
        self._starts = np.cumsum([0, *map(len, stores.values())])
        for store in stores.values():
            store.parts = max(store.parts, len(stores))

    @classmethod
    def of(cls, recordings: Store | Corpus) -> Corpus:
        """Return a corpus unchanged, or a corpus with one store and no left-out rows."""
        if isinstance(recordings, Corpus):
            return recordings
        return cls({str(recordings.about.get("cohort", {}).get("name", "")) or recordings.path.name: recordings})

    def __len__(self) -> int:
        return int(self._starts[-1])

    def set_of(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the index in ``names`` of the set (B,) of each row (B,)."""
        return np.searchsorted(self._starts, np.asarray(rows, dtype=np.int64), side="right").astype(np.int64) - 1

    def store_row(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the row (B,) in its store of each row (B,) of the corpus."""
        return np.asarray(rows, dtype=np.int64) - self._starts[self.set_of(rows)]

    def start(self, name: str) -> int:
        """Return the first row of a set."""
        return int(self._starts[self.names.index(name)])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of a split of all sets, without left-out rows, in ascending order."""
        return np.concatenate([self.rows_of(name, split) for name in self.names])

    def rows_of(self, name: str, split: str) -> NDArray[np.int64]:
        """Return the rows of a split of one set, without left-out rows, in ascending order."""
        rows = self.stores[name].rows(split)
        if len(self.left_out[name]):
            rows = np.setdiff1d(rows, self.left_out[name], assume_unique=True)
        return rows + self.start(name)

    def signals(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the samples (B, leads, samples) of the recordings in ``rows`` (B,) in mV; see ``Store.signals``."""
        if len(self.names) == 1:
            return self._first.signals(rows)
        out = np.empty((len(rows), len(self.spec.leads), self.spec.samples), dtype=np.float32)
        for store, where, own in self._parts(rows):
            out[where] = store.signals(own)
        return out

    def lead_mask(self, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return a mask (B, leads) for the recordings in ``rows`` (B,), true for present leads."""
        out = np.empty((len(rows), len(self.spec.leads)), dtype=np.bool_)
        for store, where, own in self._parts(rows):
            out[where] = store.lead_mask(own)
        return out

    def recorded(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the number of recorded samples (B,) of the recordings in ``rows`` (B,); see ``Store.recorded``."""
        out = np.empty(len(rows), dtype=np.int64)
        for store, where, own in self._parts(rows):
            out[where] = store.recorded(own)
        return out

    @cached_property
    def patients(self) -> NDArray[np.int64]:
        """Patient number of each recording, an integer from 0.

        Recordings of two sets have the same number if their patient hashes are equal and were made with the same key for
        patient ids of the same source (``ecgssl.store.patient_key.numbering_check``).
        """
        if len(self.names) == 1:
            return self._first.patients
        numbers: list[NDArray[np.int64]] = []
        known: dict[tuple[str, str], int] = {}
        for name, store in self.stores.items():
            numbering = str(store.about.get("patient_numbering", "")) or f"\0{name}"
            coded = store.column("patient").combine_chunks().dictionary_encode()
            found = [known.setdefault((numbering, patient), len(known)) for patient in coded.dictionary.to_pylist()]
            numbers.append(np.array(found, dtype=np.int64)[coded.indices.to_numpy()])
        return np.concatenate(numbers)

    def targets(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the values (recordings, targets) of targets; NaN if unknown or if the store lacks the target."""
        out = np.full((len(self), len(names)), np.nan)
        for name, store in self.stores.items():
            for k, target in enumerate(names):
                if target in store.targets:
                    out[self.start(name) : self.start(name) + len(store), k] = store.column(target).to_numpy()
        return out

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets of all stores, without repetitions."""
        return tuple(dict.fromkeys(name for store in self.stores.values() for name in store.targets))

    @property
    def where(self) -> str:
        """Paths of the stores, for messages."""
        return ", ".join(str(store.path) for store in self.stores.values())

    @property
    def described(self) -> dict[str, Any]:
        """Names of the data sets and numbers of used recordings in train, val and test, for model cards.

        With several stores, the entry ``sets`` has the numbers of each.
        """
        sets = {name: store.described for name, store in self.stores.items()}
        for name, entry in sets.items():
            entry |= {split: len(self.rows_of(name, split)) for split in ("train", "val")}
        if len(sets) == 1:
            return sets[self.names[0]]
        entries = list(sets.values())
        names = ", ".join(dict.fromkeys(entry["set"] for entry in entries))
        counts = {split: sum(entry[split] for entry in entries) for split in ("train", "val", "test")}
        return {"set": names, **counts, "sets": sets}

    def require_contract(self, spec: SignalSpec, owner: str = "the model") -> None:
        """Check that a model has the same preprocessing settings as the stores; see ``Store.require_contract``."""
        self._first.require_contract(spec, owner)

    @property
    def _first(self) -> Store:
        return next(iter(self.stores.values()))

    def _parts(self, rows: NDArray[np.integer]) -> list[tuple[Store, NDArray[np.int64], NDArray[np.int64]]]:
        """Return, for every set in ``rows``, its store, the places in ``rows``, and the rows of the store."""
        if len(rows) and (np.min(rows) < 0 or np.max(rows) >= len(self)):
            raise IndexError(f"rows {np.min(rows)} to {np.max(rows)} are outside a corpus of {len(self)} recordings")
        sets, own = self.set_of(rows), self.store_row(rows)
        out = []
        for number, store in enumerate(self.stores.values()):
            where = np.flatnonzero(sets == number)
            if len(where):
                out.append((store, where, own[where]))
        return out

    def __copy__(self) -> Corpus:
        # copies of stores have separate memory maps, as required by threads
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, stores={name: copy(store) for name, store in self.stores.items()})
        return new


def require_same_settings(stores: Mapping[str, Store]) -> None:
    """Check that stores have the same preprocessing settings.

    Raises:
        ContractMismatch: the settings of a store differ from those of the first one. Lists all stores and fields.
    """
    problems = []
    name, first = next(iter(stores.items()))
    for other, store in stores.items():
        try:
            first.spec.require_same(store.spec, f"{name} ({first.path})", f"{other} ({store.path})")
        except ContractMismatch as mismatch:
            remedy = "Make both stores with the same settings ('ecgssl preprocess'), or leave out one of the sets"
            problems += [Problem(p.where, p.field, p.what, remedy) for p in mismatch.problems]
    if problems:
        raise ContractMismatch(problems)


def has_labels(store: Store | Corpus) -> bool:
    """Return whether a target has a known value in the train or validation split; empty columns have none."""
    if isinstance(store, Corpus):
        return any(map(has_labels, store.stores.values()))
    rows = np.concatenate([store.rows(split) for split in ("train", "val")])
    # one column at a time, because an index of 800,000 recordings needs 1 GB
    return any(not np.isnan(store.column(name).to_numpy()[rows]).all() for name in store.targets)
