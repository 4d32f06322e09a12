"""By what recordings are known again without their signals: waveform codes and keyed hashes of patients.

A pretrained encoder keeps those of the recordings that it has learned from, so that a later test set can be compared
with them (``ecgssl.leakage.overlap``). Neither names nor samples follow from them, but whoever has a recording can tell
whether it was among them: they are not for everyone's eyes unless the recordings are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, write_atomic
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.signal.waveform_match import WaveformCodes
from ecgssl.store import layout
from ecgssl.store.store import Store

FILE = "recordings.safetensors"
"""Beside a pretrained encoder."""

_OPEN_LICENCES = ("CC BY 4.0", "ODC-By 1.0", "Apache-2.0")
"""Licences that let anyone pass on tables made from a set; the licence of any other set begins otherwise, and a local
cohort has none."""

_FORMAT, _VERSION = "ecgssl-recordings", 1
_ABOUT = ("numbering", "set", "licence")


@dataclass(frozen=True)
class Identities:
    """Of n recordings.

    Args:
        waveforms: (n, ``CODE_BYTES``) uint8, codes of ``ecgssl.signal.waveform_hash``.
        patients: (n,) uint64, keyed hashes of patient ids; (0,) where they are not told.
        numbering: of the patients (``ecgssl.store.patient_key.numbering_check``): equal hashes are equal patients only
            where it is the same; empty where it is not known.
        set, licence: of the recordings.
        names: record ids; empty where only the place of a recording is known.
        splits: of each; empty where not known.
        where: file or folder that they were read from.
    """

    waveforms: NDArray[np.uint8]
    patients: NDArray[np.uint64]
    numbering: str
    set: str
    licence: str
    names: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    where: str = ""

    def __len__(self) -> int:
        return len(self.waveforms)

    @classmethod
    def of_store(cls, store: Store, rows: NDArray[np.int64]) -> Identities:
        """Those of some recordings of a store, in the order of ``rows``.

        Raises:
            InputError: where the store has no waveform codes of this release.
        """
        about, index = store.about.get("cohort", {}), store.index.iloc[rows]
        codes = index["waveform_hash"].tolist() if "waveform_hash" in index else [""] * len(rows)
        return cls(
            waveforms=_raw(codes, str(store.path)),
            patients=np.frombuffer(bytes.fromhex("".join(index["patient"])), dtype=">u8").astype(np.uint64),
            numbering=str(store.about.get("patient_numbering", "")),
            set=str(about.get("name", "")),
            licence=str(about.get("licence", "")),
            names=tuple(index["record_id"].astype(str)),
            splits=tuple(index["split"].astype(str)),
            where=str(store.path),
        )

    @classmethod
    def of_folder(cls, path: Path | str, splits: Sequence[str] = ()) -> Identities:
        """Those of a store, only of some splits where these are named, or those beside an encoder.

        Raises:
            InputError: where the folder is neither, the store has no recording in the splits, or has no codes.
        """
        known = cls.read(path)
        if known is not None:
            return known
        if not (Path(path) / layout.SPEC).exists():
            what = f"is no store, and no encoder that tells its recordings ({FILE})"
            raise InputError(
                Problem(str(path), "folder", what, "Name a store, or a folder that 'ecgssl pretrain' made")
            )
        store = Store(path)
        rows = np.flatnonzero(store.index["split"].isin(splits)) if splits else np.arange(len(store))
        if not len(rows):
            remedy = f"Splits here: {', '.join(sorted(filter(None, set(store.index['split']))))}"
            raise InputError(Problem(str(path), "splits", f"none is {' or '.join(splits)}", remedy))
        return cls.of_store(store, rows)

    @classmethod
    def read(cls, folder: Path | str) -> Identities | None:
        """Those that ``write`` has put beside an encoder; ``None`` where there are none.

        Raises:
            InputError: the file is damaged, or its codes are of another release.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(folder) / FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads((file.metadata() or {}).get("about", ""))
                waveforms, patients = file.get_tensor("waveforms"), file.get_tensor("patients")
            sound = about["format"] == _FORMAT and about["version"] == _VERSION
            sound &= waveforms.dtype == np.uint8 and waveforms.shape[1:] == (CODE_BYTES,)
            sound &= patients.dtype == np.uint64 and patients.shape in ((0,), (len(waveforms),))
            numbering, name, licence = (str(about[key]) for key in _ABOUT)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            what = "is cut, altered or of another release, so overlap cannot be told"
            raise InputError(Problem(str(path), "recordings", what, "Take the encoder whole and unchanged"))
        WaveformCodes.unpack(waveforms, str(path))
        return cls(waveforms, patients, numbering, name, licence, where=str(folder))

    def write(self, folder: Path) -> None:
        """Write all but names and splits: ``CODE_BYTES`` + 8 bytes a recording."""
        from safetensors.numpy import save

        about = {name: getattr(self, name) for name in _ABOUT} | {"format": _FORMAT, "version": _VERSION}
        tensors: dict[str, NDArray[Any]] = {
            "waveforms": np.ascontiguousarray(self.waveforms),
            "patients": np.ascontiguousarray(self.patients),
        }
        # one entry: several would be written in any order
        write_atomic(folder / FILE, save(tensors, {"about": canonical_json(about, indent=None)}))

    @property
    def codes(self) -> WaveformCodes:
        """For comparison."""
        return WaveformCodes.unpack(self.waveforms, self.where)

    def with_others(self, others: Identities) -> Identities:
        """Those of both, for what a model has learned from in two steps.

        Hashes of patients are kept where both are of one numbering; the licence is open only where both are.
        """
        comparable = bool(self.numbering) and self.numbering == others.numbering
        licences = [self.licence, others.licence]
        closed = [licence for licence in licences if not licence.startswith(_OPEN_LICENCES)]
        return Identities(
            waveforms=np.concatenate([self.waveforms, others.waveforms]),
            patients=np.concatenate([self.patients, others.patients]) if comparable else np.zeros(0, np.uint64),
            numbering=self.numbering if comparable else "",
            set=", ".join(dict.fromkeys([self.set, others.set])),
            licence=closed[0] if closed else ", ".join(dict.fromkeys(licences)),
            where=self.where,
        )

    def to_pass_on(self) -> Identities | None:
        """What a bundle may hold: nothing of a local cohort or of a set whose licence is not open; of open sets the
        waveform codes, as hashes of patients serve only who has the key."""
        if not self.licence.startswith(_OPEN_LICENCES):
            return None
        return replace(self, patients=np.zeros(0, np.uint64), numbering="")

    def label(self, row: int) -> str:
        """How to call a recording: by its name and split, or by its place."""
        if not self.names:
            return f"pretraining recording {row}"
        return f"{self.names[row]} ({self.splits[row] or 'in no split'})"


def _raw(codes: list[str], where: str) -> NDArray[np.uint8]:
    try:
        raw = np.frombuffer(bytes.fromhex("".join(codes)), dtype=np.uint8).reshape(len(codes), CODE_BYTES)
    except (ValueError, TypeError):
        raw = np.zeros((1, CODE_BYTES), dtype=np.uint8)
    WaveformCodes.unpack(raw, where)
    return raw
