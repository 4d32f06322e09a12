"""RecordingDataset: torch dataset of preprocessed recordings, from files or from a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecgssl.config import QualityParams, StoreParams
from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.inputs import Listed
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.scoring.preprocess import prepare_recording
from ecgssl.scoring.sources import Source, list_sources
from ecgssl.signal.normalise import normalise
from ecgssl.signal.spec import SignalSpec
from ecgssl.store import layout
from ecgssl.store.store import Store


class RecordingDataset(Dataset[dict[str, Any]]):
    """Recordings as input of an encoder: cleaned, resampled, cropped and normalised.

    A file and its row in a store give the same item. Items are dictionaries that ``torch.utils.data.DataLoader`` can collate:

    - ``ecg``: (leads, samples) float32, normalised; absent leads and samples that were not recorded are 0,
    - ``lead_mask``: (leads,) bool, true for present leads,
    - ``recorded``: int64, number of recorded samples from the start,
    - ``targets``: (K,) float32, NaN for unknown values; only with ``targets``,
    - ``record_id``: text.

    Args:
        source: ``Store`` or folder of a store, or files, folders, tables, recordings or arrays as in
            ``ecgssl.scoring.sources.list_sources``.
        settings: preprocessing settings, such as ``ecgssl.encoder(NAME).settings``. A store has its own; other settings are an
            error.
        split: split of a store, such as ``train``; all recordings if ``None``.
        targets: target columns of a store.
        limits: quality limits for files; the defaults of section ``quality`` if ``None``.
        sampling_rate, leads: sampling rate in Hz and lead names of arrays.

    Raises:
        ContractMismatch: the settings of the store differ from ``settings``.
        InputError: the input is invalid, a target or the split is not in the store, or files are combined with ``split`` or
            ``targets``.

    Example:
        >>> import ecgssl
        >>> from torch.utils.data import DataLoader
        >>> encoder = ecgssl.encoder("ptbxl-tiny")
        >>> data = ecgssl.RecordingDataset("folder", encoder.settings)
        >>> batch = next(iter(DataLoader(data, batch_size=2)))
        >>> batch["ecg"].shape, batch["record_id"]
        (torch.Size([2, 12, 1000]), ['a', 'b'])
        >>> embeddings = encoder.embed(batch["ecg"], batch["lead_mask"], batch["recorded"])
    """

    def __init__(
        self,
        source: Store | Source,
        settings: SignalSpec | None = None,
        *,
        split: str | None = None,
        targets: Sequence[str] = (),
        limits: QualityParams | None = None,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
    ) -> None:
        if isinstance(source, str | Path) and (Path(source) / layout.SPEC).is_file():
            source = Store(source)
        self.store = source if isinstance(source, Store) else None
        self.limits = limits or QualityParams()
        self._items: tuple[Listed | Recording, ...] = ()
        if isinstance(source, Store):
            self.settings = source.spec
            if settings is not None:
                source.require_contract(settings, "settings")
            _require_of_store(source, split, targets)
            self._rows = np.arange(len(source)) if split is None else source.rows(split)
            self._ids = [source.column("record_id")[int(row)].as_py() for row in self._rows]
            columns = [source.column(name).to_numpy().astype(np.float32) for name in targets]
            self._targets = np.stack(columns, axis=1) if columns else None
            return
        if split is not None or targets:
            what, remedy = "are given, but the input is no store", "Make a store with 'ecgssl preprocess'"
            raise InputError(Problem("RecordingDataset", "split, targets", what, remedy))
        self.settings = settings or SignalSpec()
        self._items = list_sources(source, sampling_rate, leads).items

    def __len__(self) -> int:
        return len(self._rows) if self.store is not None else len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an item.

        Raises:
            RecordingError: the file cannot be read, or its recording is rejected.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside a dataset of {len(self)} recordings")
        if self.store is None:
            return self._of_file(self._items[index])
        row = self._rows[index : index + 1] if index >= 0 else self._rows[index:][:1]
        store = self.store
        item = self._item(store.signals(row), store.lead_mask(row), store.recorded(row), self._ids[index])
        if self._targets is not None:
            item["targets"] = torch.from_numpy(self._targets[row[0]].copy())
        return item

    def _of_file(self, item: Listed | Recording) -> dict[str, Any]:
        lsb = StoreParams().lsb
        try:
            recording = item if isinstance(item, Recording) else read_or_reject(item.path, item.overrides)
            found = prepare_recording(recording, self.settings, self.limits, lsb)
        except Rejected as error:
            remedy = f"Remove the recording, or correct its {'signal' if isinstance(item, Recording) else 'source'}"
            raise RecordingError(error.reason, Problem(item.record_id, error.stage, error.detail, remedy)) from error
        signal = np.multiply(found.digital, np.float32(lsb), dtype=np.float32)
        return self._item(signal, found.lead_mask, found.recorded, item.record_id)

    def _item(self, *arrays: Any) -> dict[str, Any]:
        signal, mask, recorded = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays[:3])
        ecg: Tensor = normalise(signal, mask, self.settings.normalise, recorded)
        return {"ecg": ecg[0], "lead_mask": mask[0], "recorded": recorded[0], "record_id": arrays[3]}


def _require_of_store(store: Store, split: str | None, targets: Sequence[str]) -> None:
    where = str(store.path)
    known = ", ".join(store.targets) or "none"
    problems = [
        Problem(where, name, "is not a target of the store", f"Use one of: {known}")
        for name in targets
        if name not in store.targets
    ]
    if split is not None and not len(store.rows(split)):
        problems.append(Problem(where, f"split {split!r}", "has no recordings", "Use train, val, test or external"))
    if problems:
        raise InputError(problems)
