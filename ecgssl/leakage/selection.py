"""File with the recordings that are left out of pretraining, and their numbers by reason."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, write_atomic
from ecgssl.store.content_digest import content_digest
from ecgssl.store.store import Store

_logger = logging.getLogger("ecgssl")

FILE = "pretrain.json"
"""Name of the file with the selection, in the folder ``data/selection`` of the pipeline."""
DUPLICATE = "duplicate of "
"""Start of the reason for a copy of a recording that is already used, before the name of its set."""
_FORMAT, _VERSION = "ecgssl-selection", 1


@dataclass(frozen=True)
class SetSelection:
    """Recordings of one pretraining set that are left out.

    Args:
        digest: ``ecgssl.store.content_digest`` of the store.
        left_out: rows of the store in ascending order, by reason. No row has two reasons.
    """

    digest: str
    left_out: Mapping[str, NDArray[np.int64]]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the store that are left out, for any reason, in ascending order."""
        return np.sort(np.concatenate([*self.left_out.values(), np.zeros(0, np.int64)]))


@dataclass(frozen=True)
class Selection:
    """Recordings of the pretraining sets that are left out.

    Args:
        sets: left-out recordings of each pretraining set, in the order of ``pretrain.sets``.
        targets: targets of the online probe that are part of the digests.
        init: digest of the encoder that pretraining starts from; ``None`` without one.
    """

    sets: Mapping[str, SetSelection]
    targets: tuple[str, ...] = ()
    init: str | None = None

    @property
    def left_out(self) -> dict[str, NDArray[np.int64]]:
        """Rows of each store that are left out, as required by ``ecgssl.store.corpus.Corpus``."""
        return {name: chosen.rows for name, chosen in self.sets.items()}

    def counts(self, stores: Mapping[str, Store]) -> dict[str, dict[str, int]]:
        """Return the numbers of recordings of each pretraining set.

        Returns:
            Dictionary by set with the keys ``in``, ``stored`` and ``rejected`` (of preprocessing), ``duplicates``,
            ``left_out`` (without duplicates), ``left_out: REASON`` for each reason, and ``train``, the number of
            recordings used for training.
        """
        out = {}
        for name, chosen in self.sets.items():
            store = stores[name]
            reasons = {reason: len(rows) for reason, rows in chosen.left_out.items()}
            duplicates = sum(count for reason, count in reasons.items() if reason.startswith(DUPLICATE))
            out[name] = {
                **preprocessing_counts(store),
                "duplicates": duplicates,
                "left_out": sum(reasons.values()) - duplicates,
                **{f"left_out: {reason}": count for reason, count in reasons.items()},
                "train": len(np.setdiff1d(store.rows("train"), chosen.rows, assume_unique=True)),
            }
        return out

    def changes(self, previous: Selection | None) -> list[str]:
        """Return one sentence for every pretraining set in which this selection differs from a previous one."""
        said = []
        before = {} if previous is None else previous.sets
        for name, chosen in self.sets.items():
            if name not in before:
                said.append(f"{name}: new, {len(chosen.rows):,} recordings are left out of pretraining")
            elif before[name].digest != chosen.digest:
                said.append(
                    f"{name}: the store has changed, {len(chosen.rows):,} recordings are left out of pretraining"
                )
            else:
                added = len(np.setdiff1d(chosen.rows, before[name].rows))
                removed = len(np.setdiff1d(before[name].rows, chosen.rows))
                if added or removed:
                    said.append(
                        f"{name}: {added:,} more recordings are left out of pretraining, {removed:,} are used again"
                    )
        said += [f"{name}: no longer used for pretraining" for name in before if name not in self.sets]
        return said

    def require_stores(self, stores: Mapping[str, Store], where: Path | str) -> None:
        """Check that the selection was made for the given pretraining stores.

        Raises:
            InputError: sets or contents differ; all of them are listed. ``where`` is the file of the selection.
        """
        remedy = "Make the selection again ('dvc repro select')"
        problems = [
            Problem(str(where), name, "is not a pretraining set of the selection", remedy)
            for name in stores
            if name not in self.sets
        ]
        problems += [
            Problem(str(where), name, "is in the selection, but is not pretrained on", remedy)
            for name in self.sets
            if name not in stores
        ]
        problems += [
            Problem(str(where), name, f"the selection was made for another version of {store.path}", remedy)
            for name, store in stores.items()
            if name in self.sets and content_digest(store, self.targets) != self.sets[name].digest
        ]
        if problems:
            raise InputError(problems)

    def write(self, path: Path) -> None:
        """Write the selection as JSON. The bytes change only if the selection changes."""
        sets = {
            name: {
                "digest": chosen.digest,
                "left_out": {reason: chosen.left_out[reason].tolist() for reason in sorted(chosen.left_out)},
            }
            for name, chosen in self.sets.items()
        }
        about = {"format": _FORMAT, "version": _VERSION, "order": list(self.sets), "targets": list(self.targets)}
        write_atomic(path, canonical_json({**about, "init": self.init, "sets": sets}, indent=None).encode())

    @classmethod
    def read(cls, path: Path | str) -> Selection:
        """Load a selection written by ``write``.

        Raises:
            InputError: the file is missing, damaged, or was written by another release.
        """
        try:
            data: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["format"] != _FORMAT or data["version"] != _VERSION:
                raise ValueError("not a selection")
            sets = {
                str(name): SetSelection(
                    str(data["sets"][name]["digest"]),
                    {str(why): np.array(rows, np.int64) for why, rows in data["sets"][name]["left_out"].items()},
                )
                for name in data["order"]
            }
            init = None if data["init"] is None else str(data["init"])
            return cls(sets, tuple(map(str, data["targets"])), init)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            what = "is missing, damaged or was written by another release"
            raise InputError(
                Problem(str(path), "selection", what, "Make the selection again ('dvc repro select')")
            ) from None


def preprocessing_counts(store: Store) -> dict[str, int]:
    """Return the numbers of recordings before and after preprocessing: ``in``, ``stored`` and ``rejected``."""
    made = store.about.get("counts", {})
    return {
        "in": int(made.get("counted", len(store))),
        "stored": len(store),
        "rejected": int(made.get("rejected", 0)),
    }
