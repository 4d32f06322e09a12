"""Systematic tampering with a bundle: each field and each binary file, with fingerprint and checksums rewritten to match."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import ecgssl
from ecgssl.errors import InputError
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import SUMS, write_sums
from ecgssl.export.lead_names import LEAD_NAMES, lead_names_dict
from ecgssl.files import sha256_of, write_json
from ecgssl.leakage.identities import Identities
from ecgssl.monitoring.embedding import embedding_reference
from ecgssl.monitoring.monitor import monitor
from ecgssl.monitoring.reference import STATISTICS
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.waveform_hash import waveform_hash

DATA = Path(__file__).parents[1] / "data/0.1.0"
JSON_FILES = ("config.json", "signal.json", "labels.json", LEAD_NAMES, STATISTICS)
BINARY_FILES = ("model.safetensors", "classifier.onnx", "reference.npz", "recordings.safetensors")
ENGINES = ("torch", "onnxruntime")
TOLERANCE = 1e-3
"""Largest difference of outputs that are considered equal."""
_DELETED = object()
_DEEP = "[" * 100_000 + "]" * 100_000
_VALUES: dict[str, Any] = {
    "deleted": _DELETED,
    "null": None,
    "negative": -1,
    "zero": 0,
    "1e9": 1e9,
    "huge integer": 10**400,
    "NaN": float("nan"),
    "long text": "x" * 1_000_000,
    "nested": "\0deep",
}


@dataclass(frozen=True)
class Tampering:
    """One change of a bundle.

    Args:
        file: name of the changed file.
        field: key path in a JSON file, or the kind of file.
        kind: description of the change.
        apply: function that changes the bundle in a folder.
    """

    file: str
    field: str
    kind: str
    apply: Callable[[Path], object]

    def __str__(self) -> str:
        return f"{self.file} {self.field}: {self.kind}"


def seed_bundle(folder: Path) -> Path:
    """Return a small bundle with every optional file: lead names, waveform codes and statistics of embeddings."""
    bundle = Path(shutil.copytree(DATA / "bundle", folder / "seed"))
    write_json(bundle / LEAD_NAMES, lead_names_dict(), digits=None)
    generator = np.random.default_rng(0)
    statistics = json.loads((bundle / STATISTICS).read_text())
    statistics["embedding"] = embedding_reference(generator.normal(size=(120, 24)))
    write_json(bundle / STATISTICS, statistics, digits=None)
    signals = generator.normal(size=(3, 12, 1000)).astype(np.float32)
    codes = [bytes.fromhex(waveform_hash(one, np.ones(12, bool), 100.0)) for one in signals]
    waveforms = np.array([list(code) for code in codes], dtype=np.uint8)
    Identities(waveforms, np.zeros(0, np.uint64), "", "synthetic", "Apache-2.0").write(bundle)
    write_sums(bundle)
    return bundle


def tamperings(seed: Path) -> list[Tampering]:
    """Return all changes, in a fixed order."""
    found = [one for name in JSON_FILES for one in _json_changes(name, json.loads((seed / name).read_text()))]
    found += [one for name in BINARY_FILES for one in _binary_changes(name)]
    return found + list(_structural())


def outcome(bundle: Path, made: Tampering, expected: Outputs, out: Path, *, quick: bool = False) -> str:
    """Change a bundle and use it in all ways. Return ``equal``, ``refused``, or the name of the failure.

    Args:
        bundle: copy of the seed, which is changed.
        made: change to make.
        expected: outputs of the unchanged bundle.
        out: folder for the page of ``monitor``.
        quick: use only torch, and ``monitor`` only for its own file.
    """
    made.apply(bundle)
    uses = [partial(expected.scored, bundle, engine) for engine in (ENGINES[:1] if quick else ENGINES)]
    if not quick or made.file == STATISTICS:
        uses.append(partial(expected.monitored, bundle, out))
    found = set()
    for use in uses:
        try:
            found.add(use())
        except InputError:
            found.add("refused")
        # any other exception would reach the user as a traceback
        except Exception as error:
            found.add(f"{type(error).__name__}: {str(error)[:120]}")
    failures = sorted(found - {"equal", "refused"})
    return failures[0] if failures else "refused" if "refused" in found else "equal"


def scores(bundle: Path, engine: Any) -> dict[str, np.ndarray]:
    """Load a bundle with an engine and return the outputs for one raw recording."""
    signal = np.random.default_rng(0).standard_normal((2, 5000)).cumsum(axis=1) / 50
    model = ecgssl.load(bundle)
    model.bundle = load_bundle(bundle, engine)
    found = model.predict(signal, 500, ["II", "V2"])
    calls = np.array([value for label in sorted(found.calls) for _, value in sorted(found.calls[label].items())])
    return {
        "scores": np.array([found.scores[name] for name in sorted(found.scores)]),
        "calls": calls.astype(float),
        "embedding": model.embed(signal, 500, ["II", "V2"]),
    }


class Outputs:
    """Outputs of the unchanged bundle."""

    def __init__(self, bundle: Path, out: Path) -> None:
        self.scores = scores(bundle, "torch")
        self.out = out
        self.verdict = self.page(bundle, out)

    def scored(self, bundle: Path, engine: str) -> str:
        """Return ``equal`` if scores, binary predictions and embedding equal those of the unchanged bundle."""
        found = scores(bundle, engine)
        for name, value in self.scores.items():
            if value.shape != found[name].shape or not np.abs(value - found[name]).max() <= TOLERANCE:
                return f"other {name}"
        return "equal"

    def page(self, bundle: Path, out: Path) -> dict[str, Any]:
        """Return the result of ``monitor`` for a batch of 50 recordings with scores and embeddings."""
        import pandas as pd

        digest = sha256_of(bundle / SUMS)[:16]
        tables = []
        for name in ("scores.csv", "embeddings.csv"):
            table = pd.read_csv(DATA / name).assign(model=f"0.1.0+{digest}")
            tables.append(out / name)
            pd.concat([table] * 10).to_csv(tables[-1], index=False)
        summary = monitor(bundle, tables[:1], out / "drift.html", tables[1:])
        return {name: value for name, value in summary.items() if name != "bundle"}

    def monitored(self, bundle: Path, out: Path) -> str:
        """Return ``equal`` if ``monitor`` runs. Its numbers depend on the statistics, which no other file repeats."""
        self.page(bundle, out)
        return "equal"


def rewritten(bundle: Path) -> None:
    """Write a fingerprint that matches the settings, if they are valid, and the checksums."""
    path = bundle / "signal.json"
    try:
        data = json.loads(path.read_text())
        data["fingerprint"] = SignalSpec.from_dict(data).fingerprint
        path.write_text(json.dumps(data))
    except Exception:  # settings that are not valid have no fingerprint
        pass
    write_sums(bundle)


def _json_changes(name: str, data: Any) -> Iterator[Tampering]:
    for place in _places(data):
        for kind, value in {**_VALUES, "other type": _OTHER}.items():
            yield Tampering(name, ".".join(map(str, place)) or "content", kind, _setter(name, place, value))


_OTHER = object()


def _setter(name: str, place: tuple[Any, ...], value: Any) -> Callable[[Path], object]:
    def apply(bundle: Path) -> None:
        data = json.loads((bundle / name).read_text())
        holder = {"": data}
        owner: Any = holder
        *way, last = ("", *place)
        for key in way:
            owner = owner[key]
        if value is _DELETED:
            del owner[last]
        else:
            owner[last] = _of_other_type(owner[last]) if value is _OTHER else value
        text = json.dumps(holder[""]) if "" in holder else ""
        (bundle / name).write_text(text.replace(json.dumps("\0deep"), _DEEP))
        rewritten(bundle)

    return apply


def _of_other_type(value: Any) -> Any:
    if isinstance(value, str):
        return 3
    return str(value) if isinstance(value, bool | int | float) else {"x": 1} if isinstance(value, list) else [1]


def _places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each value; of a list or of a long mapping only of its first and last value."""
    yield place
    if isinstance(data, dict):
        keys = list(data)
        for key in keys if len(keys) < 60 else [keys[0], keys[-1]]:
            yield from _places(data[key], (*place, key))
    elif isinstance(data, list) and data:
        for number in dict.fromkeys((0, len(data) - 1)):
            yield from _places(data[number], (*place, number))


def _binary_changes(name: str) -> Iterator[Tampering]:
    def change(kind: str, edit: Callable[[bytes], bytes]) -> Tampering:
        def apply(bundle: Path) -> None:
            (bundle / name).write_bytes(edit((bundle / name).read_bytes()))
            rewritten(bundle)

        return Tampering(name, "bytes", kind, apply)

    yield change("empty", lambda data: b"")
    yield change("half", lambda data: data[: len(data) // 2])
    yield change("last byte removed", lambda data: data[:-1])
    yield change("one byte added", lambda data: data + b"\0")
    yield change("a megabyte added", lambda data: data + bytes(1 << 20))
    yield change("zero bytes", lambda data: bytes(len(data)))
    yield change("JSON", lambda data: b"{}")
    for seed in range(20):
        yield change(f"bit flip {seed}", lambda data, seed=seed: _flipped(data, seed, len(data)))
        yield change(f"bit flip near the start {seed}", lambda data, seed=seed: _flipped(data, seed, 200))
    if name.endswith(".safetensors"):
        for kind, edit in _header_edits().items():
            yield change(kind, lambda data, edit=edit: _other_header(data, edit))
        yield change("header of 2^60 bytes", lambda data: struct.pack("<Q", 1 << 60) + data[8:])
        yield change("header nested deeply", lambda data: struct.pack("<Q", len(_DEEP)) + _DEEP.encode())
    if name.endswith(".npz"):
        for array in ("ecg", "lead_mask", "logits", "probability", "embedding"):
            for kind, edit in _array_edits().items():
                yield change(f"{array} {kind}", lambda data, array=array, edit=edit: _other_array(data, array, edit))
            for shape in ("(1000000000, 1000000000)", "(-1, 2)", "(10**9,)", "(1099511627776, 2, 500)"):
                yield change(
                    f"{array} declares shape {shape}",
                    lambda data, array=array, shape=shape: _other_member(data, array, _npy(shape)),
                )
        yield change("compressed zeros of 4 GB", lambda data: _bomb(data))


def _flipped(data: bytes, seed: int, end: int) -> bytes:
    generator = np.random.default_rng(seed)
    place, bit = int(generator.integers(min(end, len(data)))), int(generator.integers(8))
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def _header_edits() -> dict[str, Callable[[dict[str, Any]], object]]:
    def first(header: dict[str, Any]) -> dict[str, Any]:
        return header[next(name for name in header if name != "__metadata__")]

    return {
        "dtype F16": lambda h: first(h).update(dtype="F16"),
        "dtype I32": lambda h: first(h).update(dtype="I32"),
        "dtype F8": lambda h: first(h).update(dtype="F8_E4M3"),
        "unknown dtype": lambda h: first(h).update(dtype="X"),
        "huge shape": lambda h: first(h).update(shape=[10**9, 10**9]),
        "overflowing shape": lambda h: first(h).update(shape=[2**63, 2]),
        "negative shape": lambda h: first(h).update(shape=[-1]),
        "flat shape": lambda h: first(h).update(shape=[int(np.prod(first(h)["shape"]))]),
        "other offsets": lambda h: first(h).update(data_offsets=[0, 10**12]),
        "a tensor removed": lambda h: h.pop(next(name for name in h if name != "__metadata__")),
        "a tensor renamed": lambda h: h.update({"x" * 100_000: h.pop(next(n for n in h if n != "__metadata__"))}),
        "metadata removed": lambda h: h.pop("__metadata__", None),
        "metadata of another kind": lambda h: h.update(__metadata__={"about": "[" * 50_000}),
        "metadata without values": lambda h: h.update(__metadata__={"about": "{}"}),
        "metadata of a long text": lambda h: h.update(__metadata__={"about": "x" * 1_000_000}),
    }


def _other_header(data: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    edit(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _array_edits() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    return {
        "as float64": lambda a: a.astype(np.float64),
        "as int8": lambda a: np.nan_to_num(a).astype(np.int8),
        "as text": lambda a: a.astype("U8"),
        "as dates": lambda a: a.astype(np.int64).astype("M8[s]"),
        "as complex": lambda a: a.astype(np.complex64),
        "as objects": lambda a: a.astype(object),
        "flat": lambda a: a.ravel(),
        "empty": lambda a: a[:0],
        "half": lambda a: a[: len(a) // 2],
        "scalar": lambda a: a.ravel()[0],
        "NaN": lambda a: np.full(a.shape, np.nan, np.float32),
        "zero": lambda a: np.zeros_like(a),
        "infinite": lambda a: np.full(a.shape, np.inf, np.float32),
        "4,000 times": lambda a: np.concatenate([a] * 4000),
        "Fortran order": lambda a: np.asfortranarray(a),
        "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    }


def _other_array(data: bytes, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> bytes:
    with np.load(io.BytesIO(data)) as stored:
        arrays = dict(stored)
    arrays[name] = edit(arrays[name])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _other_member(data: bytes, name: str, member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for one in old.namelist():
            new.writestr(one, member if one == f"{name}.npy" else old.read(one))
    return buffer.getvalue()


def _npy(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)


def _bomb(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.namelist():
            if one != "embedding.npy":
                new.writestr(one, old.read(one))
        with new.open("embedding.npy", "w", force_zip64=True) as member:
            member.write(_npy("(4, 268435456)"))
            for _ in range(64):
                member.write(bytes(1 << 26))
    return buffer.getvalue()


def _structural() -> Iterator[Tampering]:
    def sums(kind: str, edit: Callable[[str], str]) -> Tampering:
        return Tampering(SUMS, "lines", kind, lambda b: (b / SUMS).write_text(edit((b / SUMS).read_text())))

    digest = "0" * 64
    yield sums("name of another folder", lambda text: text + f"{digest}  ../seed/config.json\n")
    yield sums("name is ..", lambda text: text + f"{digest}  ..\n")
    yield sums("long name", lambda text: text + f"{digest}  {'x' * 5000}\n")
    yield sums("zero byte in a name", lambda text: text + f"{digest}  a\0b\n")
    yield sums("line of 20 MB", lambda text: text + "x" * 20_000_000)
    yield sums("a million lines", lambda text: text + f"{digest}  a\n" * 1_000_000)
    for name in ("config.json", "reference.npz", "model.safetensors", "classifier.onnx"):
        yield Tampering(name, "file", "folder", lambda b, name=name: _replaced(b / name, lambda p: p.mkdir()))
        yield Tampering(name, "file", "removed", lambda b, name=name: _replaced(b / name, lambda p: None))
        yield Tampering(name, "file", "sparse, 1 TB", lambda b, name=name: os.truncate(b / name, 1 << 40))
        if hasattr(os, "mkfifo"):
            yield Tampering(name, "file", "pipe", lambda b, name=name: _replaced(b / name, os.mkfifo))


def _replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)
    if not path.exists():
        write_sums(path.parent)
