"""Reader for stores of preprocessed recordings, with memory-mapped shards."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecgssl.config import Target
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular, sha256_of
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout
from ecgssl.store.published_hashes import warn_of_published_key

_REMEDY = "Make the store again with 'ecgssl preprocess'"
_MOST_MAPS = 1 << 15  # half of the default limit of memory mappings per process on Linux


def _most_maps() -> int:
    """Return how many shards may be mapped at once: half of the limit of open files, and at most ``_MOST_MAPS``."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_MAPS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_MAPS if files == resource.RLIM_INFINITY else max(1, min(files // 2, _MOST_MAPS))


def store_folder(name: str) -> Path:
    """Return the folder of the store of a set in a project."""
    return Path("data/processed") / name


class Store:
    """Store of preprocessed recordings. They are cleaned, resampled and cropped, but not normalised.

    Args:
        path: folder written by ``preprocess``.

    Attributes:
        spec: preprocessing settings.
        targets: names of the target columns in ``index``.
        kinds: definitions of the targets that are not binary, by name.
        parts: number of stores that are open together and share the limit of memory maps.

    Raises:
        InputError: the folder is not a store, its format version is not supported, or files are missing, truncated or
            do not belong to the store.
        ContractMismatch: the store was made by another version of the cleaning code.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        about = self._about()
        try:
            self.spec = SignalSpec.from_dict(about["spec"], str(self.path / layout.SPEC))
        except (TypeError, ValueError) as error:
            raise self._broken(layout.SPEC, f"has no valid preprocessing settings ({type(error).__name__})") from None
        try:
            self.kinds = {name: Target.model_validate(kind) for name, kind in about.get("target_kinds", {}).items()}
        except (AttributeError, ValueError) as error:
            raise self._broken(layout.SPEC, f"target_kinds cannot be read ({type(error).__name__})") from None
        if self.spec.fingerprint != about["fingerprint"]:
            raise self._broken(layout.SPEC, "fingerprint does not match the preprocessing settings in the same file")
        self.targets: tuple[str, ...] = tuple(about["targets"])
        self.lsb: float = about["lsb"]
        self.about: dict[str, Any] = about
        made = about.get("cohort", {})
        numbering = str(about.get("patient_numbering", ""))
        warn_of_published_key(str(self.path), numbering, str(made.get("name", "")), str(made.get("licence", "")))
        self._starts = np.cumsum([0, *(shard["count"] for shard in about["shards"])])
        self._offsets = self._check_shards()
        self.columns: tuple[str, ...] = self._check_index()
        self.parts = 1
        self._maps: dict[int, NDArray[np.int16]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def signals(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the samples of recordings.

        Args:
            rows: (B,) row numbers, in any order and with possible repetitions.

        Returns:
            Array (B, leads, samples) of float32 in mV. Absent leads and samples that were not recorded are zero; see
            ``lead_mask`` and ``recorded``.

        Raises:
            IndexError: a row number is out of range.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} are outside a store of {len(self)} recordings")
        digital = np.empty((len(rows), len(self.spec.leads), self.spec.samples), dtype=np.int16)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        within = (rows - self._starts[shards]).tolist()
        # copy each recording separately, because grouping by shard is slower for batches from many shards
        for place, shard in zip(np.argsort(rows, kind="stable").tolist(), np.sort(shards).tolist(), strict=True):
            digital[place] = self._map(shard)[within[place]]
        return np.multiply(digital, np.float32(self.lsb), dtype=np.float32)

    @cached_property
    def index(self) -> pd.DataFrame:
        """Table with one row per recording, in storage order. Methods select recordings by row number in this table.

        The table is read on first use. ``column`` reads a single column and needs less memory.
        """
        index: pd.DataFrame = self._read_index().to_pandas()
        return index

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column of the index. Only this column is read, unless ``index`` is already in memory."""
        if "index" in self.__dict__:
            return pa.chunked_array([pa.Array.from_pandas(self.index[name])])
        return self._read_index([name]).column(name)

    def lead_mask(self, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return a mask (B, leads) for the recordings in ``rows`` (B,), true for present leads."""
        return self._lead_masks[np.asarray(rows, dtype=np.int64)]

    def recorded(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the number of recorded samples (B,) of the recordings in ``rows`` (B,), counted from the window's start.

        It is ``spec.samples`` for a recording as long as the window, and in a store without the index column ``recorded``.
        """
        return self._recorded[np.asarray(rows, dtype=np.int64)]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the row numbers of a split, for example ``train``, in ascending order; empty if the split does not occur."""
        found = pc.fill_null(pc.equal(self.column("split"), split), False)
        return np.flatnonzero(found.to_numpy()).astype(np.int64)

    @cached_property
    def patients(self) -> NDArray[np.int64]:
        """Patient number of each recording, an integer from 0.

        Patients are numbered in the order of their first recording. The order of their hashes depends on the secret key, and
        random draws would differ between machines.
        """
        return pd.factorize(self.column("patient").to_numpy())[0].astype(np.int64)

    @property
    def described(self) -> dict[str, Any]:
        """Name of the data set and number of recordings in the splits ``train``, ``val`` and ``test``, for model cards."""
        counts = {split: len(self.rows(split)) for split in ("train", "val", "test")}
        return {"set": self.about["cohort"]["name"], **counts}

    def require_contract(self, spec: SignalSpec, owner: str = "the model") -> None:
        """Check that a model or another store has the same preprocessing settings as this store.

        Raises:
            ContractMismatch: the settings differ. Lists all differing fields.
        """
        self.spec.require_same(spec, str(self.path), owner)

    def verify(self) -> None:
        """Verify the SHA-256 of the shards and the index, which is recorded in ``spec.json``.

        Raises:
            InputError: files have changed. Lists all of them.
        """
        expected = {shard["file"]: shard["sha256"] for shard in self.about["shards"]}
        expected[layout.INDEX] = self.about["index_sha256"]
        wrong = [name for name, digest in expected.items() if sha256_of(self.path / name) != digest]
        if wrong:
            raise InputError(Problem(str(self.path / name), "SHA-256", "has changed", _REMEDY) for name in wrong)

    @cached_property
    def _lead_masks(self) -> NDArray[np.bool_]:
        bits = self.column("lead_mask").to_numpy().astype(np.int64)
        return (bits[:, None] >> np.arange(len(self.spec.leads)) & 1).astype(bool)

    @cached_property
    def _recorded(self) -> NDArray[np.int64]:
        if "recorded" not in (self.index.columns if "index" in self.__dict__ else self.columns):
            return np.full(len(self), self.spec.samples, dtype=np.int64)
        return self.column("recorded").to_numpy().astype(np.int64)

    @cached_property
    def recording_of(self) -> NDArray[np.int64]:
        """Number (n,) of the recording of each row: the first row of its windows (``signal.windows: all``)."""
        rows = np.arange(len(self), dtype=np.int64)
        if "window" not in (self.index.columns if "index" in self.__dict__ else self.columns):
            return rows
        windows = self.column("window").to_numpy()
        if not windows.any():
            return rows
        first: dict[str, int] = {}
        names = zip(self.column("record_id").to_pylist(), windows.tolist(), strict=True)
        found = [
            first.setdefault(layout.split_window_id(name)[0] if w else name, row) for row, (name, w) in enumerate(names)
        ]
        return np.array(found, dtype=np.int64)

    def _map(self, shard: int) -> NDArray[np.int16]:
        found = self._maps.get(shard)
        if found is None:
            if len(self._maps) >= max(1, _most_maps() // self.parts):
                del self._maps[next(iter(self._maps))]
            with self._file(shard).open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            # use a plain array, because indexing a numpy.memmap takes longer than copying the recording
            shape = (-1, len(self.spec.leads), self.spec.samples)
            found = self._maps[shard] = np.frombuffer(mapped, np.int16, offset=self._offsets[shard]).reshape(shape)
        return found

    def __getstate__(self) -> dict[str, Any]:
        # exclude memory maps, because pickling would copy their contents
        return {**self.__dict__, "_maps": {}}

    def _file(self, shard: int) -> Path:
        return self.path / self.about["shards"][shard]["file"]

    def _about(self) -> dict[str, Any]:
        path = self.path / layout.SPEC
        for name in (layout.SPEC, layout.INDEX, layout.REJECTED):
            require_regular(self.path / name)
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self._broken(layout.SPEC, "does not exist, so this is not a store") from None
        except (OSError, ValueError) as error:
            raise self._broken(layout.SPEC, f"cannot be read ({type(error).__name__})") from error
        if not isinstance(about, dict) or about.get("format") != layout.FORMAT:
            raise self._broken(layout.SPEC, "does not describe a store")
        if about.get("version") != layout.VERSION:
            raise self._broken(layout.SPEC, f"store version {about.get('version')}, this ecgssl reads {layout.VERSION}")
        lacking = {"spec", "fingerprint", "targets", "lsb", "count", "shards", "index_sha256"} - about.keys()
        if lacking:
            raise self._broken(layout.SPEC, f"lacks {', '.join(sorted(lacking))}")
        return about

    def _check_shards(self) -> list[int]:
        """Check type, shape and size of all shards, and return the byte offset of the samples in each shard."""
        problems, offsets = [], []
        if len(self) != self.about["count"]:
            problems.append(
                self._problem(layout.SPEC, f"count {self.about['count']}, but its shards contain {len(self)}")
            )
        for shard in self.about["shards"]:
            expected = (shard["count"], len(self.spec.leads), self.spec.samples)
            require_regular(self.path / shard["file"])
            try:
                with (self.path / shard["file"]).open("rb") as stream:
                    np.lib.format.read_magic(stream)
                    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
                    offsets.append(stream.tell())
                    body = stream.seek(0, 2) - offsets[-1]
            except FileNotFoundError:
                problems.append(self._problem(shard["file"], "does not exist"))
                continue
            except (OSError, ValueError) as error:
                problems.append(self._problem(shard["file"], f"is not a NumPy array ({type(error).__name__})"))
                continue
            if shape != expected or dtype != np.int16 or fortran:
                problems.append(
                    self._problem(shard["file"], f"contains {dtype} {shape}; spec.json requires int16 {expected}")
                )
            elif body != 2 * int(np.prod(expected)):
                problems.append(self._problem(shard["file"], f"is truncated or padded: {body} bytes of samples"))
        if problems:
            raise InputError(problems)
        return offsets

    def _check_index(self) -> tuple[str, ...]:
        """Check the rows and columns of the index by its footer, and return the names of the columns."""
        with self._reading_index(), pq.ParquetFile(self.path / layout.INDEX) as file:
            count, names = file.metadata.num_rows, tuple(file.schema_arrow.names)
        needed = {"record_id", "patient", "split", "lead_mask", *self.targets}
        if count != len(self) or not needed <= set(names):
            raise self._broken(layout.INDEX, f"{count} rows or its columns do not match spec.json ({len(self)} rows)")
        return names

    def _read_index(self, columns: list[str] | None = None) -> pa.Table:
        with self._reading_index():
            return pq.read_table(self.path / layout.INDEX, columns=columns)

    @contextmanager
    def _reading_index(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise self._broken(layout.INDEX, "does not exist") from None
        except (OSError, ValueError) as error:
            raise self._broken(layout.INDEX, f"cannot be read ({type(error).__name__})") from error

    def _problem(self, file: str, what: str) -> Problem:
        return Problem(str(self.path / file), "store", what, _REMEDY)

    def _broken(self, file: str, what: str) -> InputError:
        return InputError(self._problem(file, what))
