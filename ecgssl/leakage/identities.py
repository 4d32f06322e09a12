"""Recording identities: waveform codes and hashed patient ids, used to detect shared recordings and patients.

A pretrained encoder is saved with the identities of its training recordings. ``ecgssl.leakage.overlap`` compares test
sets with them. The saved file contains no record ids and no samples. However, anyone who has a recording can find out
from the file whether the recording was used for training. Therefore share the file only if the recordings may be shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ecgssl.checked_json import parse_object, validated
from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json, write_atomic
from ecgssl.signal.waveform_hash import CODE_BYTES
from ecgssl.signal.waveform_match import WaveformCodes, require_codes
from ecgssl.store.published_hashes import warn_of_published_key
from ecgssl.tensor_header import read_tensor_header

if TYPE_CHECKING:
    from ecgssl.store.corpus import Corpus
    from ecgssl.store.store import Store

FILE = "recordings.safetensors"
"""Name of the identities file in the folder of a pretrained encoder."""

_OPEN_LICENCES = ("CC BY 4.0", "ODC-By 1.0", "Apache-2.0")
"""Licences that permit sharing of data derived from a data set, as prefixes of the licence name."""

_FORMAT, _VERSION, _VERSION_WITH_SOURCES = "ecgssl-recordings", 1, 2
_ABOUT = ("numbering", "set", "licence")
_Text = Annotated[str, Field(max_length=2000)]
_REMEDY = "Copy the complete encoder folder again, or make it again with 'ecgssl pretrain'"


@dataclass(frozen=True)
class Source:
    """Part of the recordings whose patient hashes have one numbering.

    Args:
        numbering: see ``Identities``; empty if unknown.
        count: number of recordings.
    """

    numbering: str
    count: int


@dataclass(frozen=True)
class Identities:
    """Waveform codes and hashed patient ids of n recordings.

    Args:
        waveforms: (n, ``CODE_BYTES``) uint8, codes computed by ``ecgssl.signal.waveform_hash``.
        patients: (n,) uint64, keyed hashes of patient ids; (0,) if unavailable.
        numbering: identifier of the hash key and the source of the patient ids
            (``ecgssl.store.patient_key.numbering_check``); empty if unknown. Only hashes with the same numbering can be
            compared. Empty if ``sources`` is given.
        set, licence: name and licence of the data set.
        names: record ids; empty if unavailable.
        splits: split of each recording; empty if unavailable.
        where: file or folder from which the identities were loaded, for error messages.
        sources: consecutive parts of the recordings with different numberings; empty for a single numbering. ``patients``
            then has n values, which are 0 in parts without a numbering.
    """

    waveforms: NDArray[np.uint8]
    patients: NDArray[np.uint64]
    numbering: str
    set: str
    licence: str
    names: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    where: str = ""
    sources: tuple[Source, ...] = ()

    def __len__(self) -> int:
        return len(self.waveforms)

    @classmethod
    def of_store(cls, store: Store, rows: NDArray[np.int64], named: bool = True) -> Identities:
        """Return the identities of the recordings in ``rows`` of a store.

        Args:
            store: store with the recordings.
            rows: (n,) rows of the store.
            named: whether to read record ids and splits, which need most of the memory.

        Raises:
            InputError: the store has no waveform codes of this version.
        """
        from ecgssl.store.hex_column import decode_hex

        about, where = store.about.get("cohort", {}), str(store.path)
        named_columns = [store.column(name).take(rows).to_pylist() if named else () for name in ("record_id", "split")]
        return cls(
            waveforms=_codes_of(store, where)[rows],
            patients=decode_hex(store.column("patient"), 8)[rows].view(">u8")[:, 0].astype(np.uint64),
            numbering=str(store.about.get("patient_numbering", "")),
            set=str(about.get("name", "")),
            licence=str(about.get("licence", "")),
            names=tuple(map(str, named_columns[0])),
            splits=tuple(map(str, named_columns[1])),
            where=where,
        )

    @classmethod
    def of_corpus(cls, corpus: Corpus, split: str = "train") -> Identities:
        """Return the identities of the recordings of a split of all stores, without record ids and left-out rows.

        Raises:
            InputError: a store has no waveform codes of this version.
        """
        found = [
            cls.of_store(store, corpus.rows_of(name, split) - corpus.start(name), named=False)
            for name, store in corpus.stores.items()
        ]
        whole = found[0]
        for each in found[1:]:
            whole = whole.with_others(each)
        return whole

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
        # import here, because loading a model reads identities but no store, which needs pandas and pyarrow
        from ecgssl.store import layout
        from ecgssl.store.store import Store

        if not (Path(path) / layout.SPEC).exists():
            what = f"is neither a store nor an encoder with {FILE}"
            raise InputError(
                Problem(str(path), "folder", what, "Use a store, or a folder written by 'ecgssl pretrain'")
            )
        store = Store(path)
        known_splits = store.column("split").to_numpy().astype(str)
        rows = np.flatnonzero(np.isin(known_splits, splits)) if splits else np.arange(len(store))
        if not len(rows):
            remedy = f"Splits here: {', '.join(sorted(filter(None, set(known_splits.tolist()))))}"
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
        about = require_identities(path)
        try:
            with safe_open(path, framework="numpy") as file:
                waveforms, patients = file.get_tensor("waveforms"), file.get_tensor("patients")
        except (OSError, SafetensorError, ValueError, TypeError):
            raise _unknown(path) from None
        require_codes(waveforms, str(path))
        if len(patients):
            warn_of_published_key(str(path), about.numbering, about.set, about.licence)
        return cls(
            waveforms,
            patients,
            about.numbering,
            about.set,
            about.licence,
            where=str(folder),
            sources=about.sources,
        )

    def write(self, folder: Path) -> None:
        """Write the waveform codes and patient hashes to ``folder``; record ids and splits are not written."""
        from safetensors.numpy import save

        about: dict[str, Any] = {name: getattr(self, name) for name in _ABOUT} | {
            "format": _FORMAT,
            "version": _VERSION,
        }
        if self.sources:
            # earlier releases refuse this version, because they would compare hashes of different numberings
            about |= {"version": _VERSION_WITH_SOURCES, "sources": [asdict(source) for source in self.sources]}
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

    @property
    def parts(self) -> tuple[Source, ...]:
        """Consecutive parts of the recordings with one numbering each."""
        return self.sources or (Source(self.numbering if len(self.patients) else "", len(self)),)

    @property
    def numberings(self) -> frozenset[str]:
        """Numberings of the patient hashes, without unknown ones."""
        return frozenset(part.numbering for part in self.parts if part.numbering)

    def patient_keys(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return the rows whose patient is known, and a key (m,) for each that is equal for one patient only.

        The keys combine numbering and hash. Therefore keys of different sets can be compared.
        """
        rows, keys, start = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)], 0
        for part in self.parts:
            if part.numbering:
                mark = int.from_bytes(hashlib.sha256(part.numbering.encode()).digest()[:8], "big")
                rows.append(np.arange(start, start + part.count))
                keys.append(self.patients[start : start + part.count] ^ np.uint64(mark))
            start += part.count
        return np.concatenate(rows), np.concatenate(keys)

    def with_others(self, others: Identities) -> Identities:
        """Return the identities of this set and another set, for a model that was trained on both.

        The licence of the result permits sharing only if both licences do. Record ids and splits are not kept.
        """
        licences = list(dict.fromkeys([self.licence, others.licence]))
        closed = [licence for licence in licences if not may_be_shared(licence)]
        parts = _joined((*self.parts, *others.parts))
        single = len(parts) == 1
        known = [
            each.patients if len(each.patients) == len(each) else np.zeros(len(each), np.uint64)
            for each in (self, others)
        ]
        return Identities(
            waveforms=np.concatenate([self.waveforms, others.waveforms]),
            patients=np.zeros(0, np.uint64)
            if parts == (Source("", len(self) + len(others)),)
            else np.concatenate(known),
            numbering=parts[0].numbering if single else "",
            set=", ".join(dict.fromkeys([self.set, others.set])),
            licence=closed[0] if closed else ", ".join(licences),
            where=self.where,
            sources=() if single else parts,
        )

    def to_pass_on(self) -> Identities | None:
        """Return the identities for a bundle: waveform codes if the licence permits sharing, otherwise ``None``.

        Patient hashes are removed, because they are useless without the key.
        """
        if not may_be_shared(self.licence):
            return None
        return replace(self, patients=np.zeros(0, np.uint64), numbering="", sources=())

    def label(self, row: int) -> str:
        """Return a text with the record id and split of a recording, or with its row number if record ids are unavailable."""
        if not self.names:
            return f"pretraining recording {row}"
        return f"{self.names[row]} ({self.splits[row] or 'in no split'})"


class _About(BaseModel):
    """Metadata of an identities file; see ``Identities`` for the entries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["ecgssl-recordings"]
    version: Literal[1, 2]
    numbering: _Text
    set: _Text
    licence: _Text
    sources: tuple[Source, ...] = ()


def require_identities(path: Path) -> _About:
    """Check the header of an identities file, without reading a code or a hash.

    Returns:
        Metadata of the file.

    Raises:
        InputError: the file is damaged or was written by another release.
    """
    try:
        tensors, metadata = read_tensor_header(path, _REMEDY)
        about = validated(_About, parse_object(metadata.get("about", ""), str(path), _REMEDY), str(path), _REMEDY)
    except InputError:
        raise _unknown(path) from None
    waveforms, patients = (tensors[name].kind if name in tensors else ("", ()) for name in ("waveforms", "patients"))
    count = waveforms[1][:1]
    sound = about.version == (_VERSION_WITH_SOURCES if about.sources else _VERSION) and len(tensors) == 2
    sound &= waveforms == ("U8", (*count, CODE_BYTES)) and patients in (("U64", (0,)), ("U64", count))
    if about.sources:
        sound &= patients == ("U64", count) and all(part.count >= 0 for part in about.sources)
        sound &= (sum(part.count for part in about.sources),) == count
    if not sound:
        raise _unknown(path)
    return about


def _unknown(path: Path) -> InputError:
    what = "is damaged or was written by another release, so the overlap is unknown"
    return InputError(Problem(str(path), "recordings", what, _REMEDY))


def may_be_shared(licence: str) -> bool:
    """Return true if a licence permits sharing of derived data, such as figures; false if it is empty (local cohort)."""
    return licence.startswith(_OPEN_LICENCES)


def _joined(parts: Sequence[Source]) -> tuple[Source, ...]:
    """Return the parts without empty ones, with neighbours of equal numbering joined."""
    joined: list[Source] = []
    for part in parts:
        if joined and joined[-1].numbering == part.numbering:
            joined[-1] = Source(part.numbering, joined[-1].count + part.count)
        elif part.count:
            joined.append(part)
    return tuple(joined) or (Source("", 0),)


def _codes_of(store: Store, where: str) -> NDArray[np.uint8]:
    """Return the waveform codes (n, ``CODE_BYTES``) of all recordings of a store."""
    from ecgssl.store.hex_column import decode_hex

    try:
        raw = decode_hex(store.column("waveform_hash"), CODE_BYTES)
    except (ValueError, KeyError):
        raw = np.zeros((1, CODE_BYTES), dtype=np.uint8)
    require_codes(raw, where)
    return raw
