"""Validation recordings for the comparison of exported graphs with the model. They are not stored in the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.export.unrecorded import mark_unrecorded
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.io import read
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.inputs import list_recordings
from ecgssl.store.store import Store
from ecgssl.training.model_folder import CONFIG, read_json

_EXAMPLES = 7
_MAX_LABELLED = 1000


@dataclass(frozen=True)
class LabelledSignals:
    """Preprocessed recordings that were not used for training, with their target values.

    Args:
        ecg: (n, L, T) preprocessed signals in mV. Rows of absent leads are 0, and samples that were not recorded are NaN.
        values: (n, K) target values of a classifier, NaN where unknown; (n, 0) for an encoder.
    """

    ecg: NDArray[np.float32]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class ValidationRecordings:
    """Recordings that are used, in addition to noise, to check exported graphs.

    Args:
        examples: (n, L, samples) preprocessed recordings in mV. Rows of absent leads are 0, and samples that were not
            recorded are NaN.
        raw: recordings before preprocessing, for graphs that take raw signals.
        labelled: recordings with targets, used to measure the loss of accuracy of an 8-bit graph.
    """

    examples: NDArray[np.float32] | None = None
    raw: Sequence[Recording] = ()
    labelled: LabelledSignals | None = None


def read_validation_recordings(
    store: Store, model_dir: Path, *, measure: bool, raw: Sequence[Recording] = ()
) -> ValidationRecordings:
    """Load recordings from the validation split of a store. The first 7 are the ``examples``.

    Args:
        store: store with the model's preprocessing settings.
        model_dir: folder of the encoder or classifier. For ``measure``, the store must contain the targets of a
            classifier.
        measure: also return ``labelled``, with at most 1,000 recordings.
        raw: raw recordings, returned as field ``raw``.

    Raises:
        InputError: ``measure`` is set, and a target of the classifier is missing from the store.
    """
    rows = store.rows("val")
    examples = _signals(store, rows[:_EXAMPLES])
    if not measure:
        return ValidationRecordings(examples, raw)
    chosen = rows[:: -(-len(rows) // _MAX_LABELLED)]
    values = np.zeros((len(chosen), 0))
    config = read_json(model_dir / CONFIG)
    if config.get("kind") == "classifier":
        # the outputs of a multiclass model are named target:class
        names = [name.split(":")[0] for name in config["targets"]]
        task = resolve_task(store, list(dict.fromkeys(names)) if config.get("task_kind") == "multiclass" else names)
        values = task_values(store, task)[chosen]
    return ValidationRecordings(examples, raw, LabelledSignals(_signals(store, chosen), values))


def _signals(store: Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return mark_unrecorded(store.signals(rows), store.recorded(rows))


def read_raw_recordings(inputs: Sequence[Path], limit: int = 64) -> list[Recording]:
    """Load the first readable recordings from files, folders and manifests; empty if no input is given.

    Args:
        inputs: see ``list_recordings``.
        limit: largest number of recordings.

    Raises:
        InputError: an input is invalid (see ``list_recordings``), or no recording can be read.
    """
    found: list[Recording] = []
    for item in list_recordings(inputs).items if inputs else ():
        if len(found) == limit:
            break
        with suppress(RecordingError):
            found.append(read(item.path, overrides=item.overrides))
    if inputs and not found:
        raise InputError(
            Problem("recordings", "files", "none of the files can be read", "Use recordings in a supported format")
        )
    return found
