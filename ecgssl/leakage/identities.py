"""Recording identities: waveform codes and hashed patient ids, used to detect shared recordings and patients.

A pretrained encoder is saved with the identities of its training recordings. ``ecgssl.leakage.overlap`` compares test
sets with them. The saved file contains no record ids and no samples. However, anyone who has a recording can find out
from the file whether the recording was used for training. Therefore share the file only if the recordings may be shared.
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
from ecgssl.store.published_hashes import warn_of_published_key
from ecgssl.store.store import Store

FILE = "recordings.safetensors"
"""Name of the identities file in the folder of a pretrained encoder."""

_OPEN_LICENCES = ("CC BY 4.0", "ODC-By 1.0", "Apache-2.0")
"""Licences that permit sharing of data derived from a data set, as prefixes of the licence name."""

_FORMAT, _VERSION = "ecgssl-recordings", 1
_ABOUT = ("numbering", "set", "licence")


@dataclass(frozen=True)
class Identities:
    """Waveform codes and hashed patient ids of n recordings.

    Args:
        waveforms: (n, ``CODE_BYTES``) uint8, codes computed by ``ecgssl.signal.waveform_hash``.
        patients: (n,) uint64, keyed hashes of patient ids; (0,) if unavailable.
        numbering: identifier of the hash key and the source of the patient ids
            (``ecgssl.store.patient_key.numbering_check``); empty if unknown. Only hashes with the same numbering can be
            compared.
        set, licence: name and licence of the data set.
        names: record ids; empty if unavailable.
        splits: split of each recording; empty if unavailable.
        where: file or folder from which the identities were loaded, for error messages.
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
        """Return the identities of the recordings in ``rows`` of a store.

        Raises:
            InputError: the store has no waveform codes of this version.
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
        """Return the identities of a store, or of the training recordings of an encoder.

        ``splits`` selects splits of a store; by default all recordings are used.

        Raises:
            InputError: the folder is neither a store nor an encoder, the identities file of the encoder is damaged, or
                the store has no waveform codes or no recordings in the splits.
        """
        known = cls.read(path)
        if known is not None:
            return known
        if not (Path(path) / layout.SPEC).exists():
            what = f"is neither a store nor an encoder with {FILE}"
            raise InputError(
                Problem(str(path), "folder", what, "Use a store, or a folder written by 'ecgssl pretrain'")
            )
        store = Store(path)
        rows = np.flatnonzero(store.index["split"].isin(splits)) if splits else np.arange(len(store))
        if not len(rows):
            remedy = f"Splits here: {', '.join(sorted(filter(None, set(store.index['split']))))}"
            raise InputError(Problem(str(path), "splits", f"there are no recordings in {' or '.join(splits)}", remedy))
        return cls.of_store(store, rows)

    @classmethod
    def read(cls, folder: Path | str) -> Identities | None:
        """Load the identities saved with an encoder. Return ``None`` if the folder contains no identities file.

        Raises:
            InputError: the file is damaged or was written by another release.
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
            what = "is damaged or was written by another release, so the overlap is unknown"
            remedy = "Copy the complete encoder folder again, or make it again with 'ecgssl pretrain'"
            raise InputError(Problem(str(path), "recordings", what, remedy))
        WaveformCodes.unpack(waveforms, str(path))
        if len(patients):
            warn_of_published_key(str(path), numbering, name, licence)
        return cls(waveforms, patients, numbering, name, licence, where=str(folder))

    def write(self, folder: Path) -> None:
        """Write the waveform codes and patient hashes to ``folder``; record ids and splits are not written."""
        from safetensors.numpy import save

        about = {name: getattr(self, name) for name in _ABOUT} | {"format": _FORMAT, "version": _VERSION}
        tensors: dict[str, NDArray[Any]] = {
            "waveforms": np.ascontiguousarray(self.waveforms),
            "patients": np.ascontiguousarray(self.patients),
        }
        # a single metadata entry makes the file reproducible, because safetensors writes entries in no fixed order
        write_atomic(folder / FILE, save(tensors, {"about": canonical_json(about, indent=None)}))

    @property
    def codes(self) -> WaveformCodes:
        """Waveform codes in the form required by ``ecgssl.signal.waveform_match``."""
        return WaveformCodes.unpack(self.waveforms, self.where)

    def with_others(self, others: Identities) -> Identities:
        """Return the identities of this set and another set, for a model that was trained on both.

        Patient hashes are kept only if both sets have the same numbering. The licence of the result permits sharing
        only if both licences do. Record ids and splits are not kept.
        """
        comparable = bool(self.numbering) and self.numbering == others.numbering
        licences = [self.licence, others.licence]
        closed = [licence for licence in licences if not may_be_shared(licence)]
        return Identities(
            waveforms=np.concatenate([self.waveforms, others.waveforms]),
            patients=np.concatenate([self.patients, others.patients]) if comparable else np.zeros(0, np.uint64),
            numbering=self.numbering if comparable else "",
            set=", ".join(dict.fromkeys([self.set, others.set])),
            licence=closed[0] if closed else ", ".join(dict.fromkeys(licences)),
            where=self.where,
        )

    def to_pass_on(self) -> Identities | None:
        """Return the identities for a bundle: waveform codes if the licence permits sharing, otherwise ``None``.

        Patient hashes are removed, because they are useless without the key.
        """
        if not may_be_shared(self.licence):
            return None
        return replace(self, patients=np.zeros(0, np.uint64), numbering="")

    def label(self, row: int) -> str:
        """Return a text with the record id and split of a recording, or with its row number if record ids are unavailable."""
        if not self.names:
            return f"pretraining recording {row}"
        return f"{self.names[row]} ({self.splits[row] or 'in no split'})"


def may_be_shared(licence: str) -> bool:
    """Return true if a licence permits sharing of derived data, such as figures; false if it is empty (local cohort)."""
    return licence.startswith(_OPEN_LICENCES)


def _raw(codes: list[str], where: str) -> NDArray[np.uint8]:
    try:
        raw = np.frombuffer(bytes.fromhex("".join(codes)), dtype=np.uint8).reshape(len(codes), CODE_BYTES)
    except (ValueError, TypeError):
        raw = np.zeros((1, CODE_BYTES), dtype=np.uint8)
    WaveformCodes.unpack(raw, where)
    return raw
