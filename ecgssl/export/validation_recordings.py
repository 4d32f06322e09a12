"""Real recordings that graphs are tried and measured on when a bundle is made; none of them gets into it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.finetuning.task import resolve_task, task_values
from ecgssl.io import read
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.inputs import list_recordings
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import CONFIG, read_json

_EXAMPLES = 7
_MOST = 1000


@dataclass(frozen=True)
class Validation:
    """Recordings that the model was not trained on.

    Args:
        ecg: (n, L, T) contract signals in mV; rows that are 0 throughout are absent leads.
        values: (n, K) of a classifier's outputs, NaN where unknown; of an encoder (n, 0).
    """

    ecg: NDArray[np.float32]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Tried:
    """What graphs are tried on besides noise.

    Args:
        examples: (n, L, samples) real clean recordings in mV. Rows that are 0 throughout are absent leads.
        recordings: real ones as recorded, for graphs that take those.
        validation: recordings with targets that an 8-bit graph is measured on.
    """

    examples: NDArray[np.float32] | None = None
    recordings: Sequence[Recording] = ()
    validation: Validation | None = None


def tried_on(store: Store, model_dir: Path, *, measure: bool, recordings: Sequence[Recording] = ()) -> Tried:
    """Recordings of the validation split.

    Args:
        store: of the model's contract.
        model_dir: encoder or classifier, whose targets the store has.
        measure: take ``validation`` too, at most 1,000 recordings.
        recordings: passed on.

    Raises:
        InputError: the store lacks a target.
    """
    rows = store.rows("val")
    examples = store.signals(rows[:_EXAMPLES])
    if not measure:
        return Tried(examples, recordings)
    chosen = rows[:: -(-len(rows) // _MOST)]
    values = np.zeros((len(chosen), 0))
    config = read_json(model_dir / CONFIG)
    if config.get("kind") == "classifier":
        # a class is called target:class
        names = [name.split(":")[0] for name in config["targets"]]
        task = resolve_task(store, list(dict.fromkeys(names)) if config.get("task_kind") == "multiclass" else names)
        values = task_values(store, task)[chosen]
    return Tried(examples, recordings, Validation(store.signals(chosen), values))


def raw_recordings(inputs: Sequence[Path], most: int = 64) -> list[Recording]:
    """The first readable recordings of files, folders and manifests.

    Args:
        inputs: see ``list_recordings``.
        most: at most so many.

    Raises:
        InputError: no input holds a recording, or none of them can be read.
    """
    found: list[Recording] = []
    for item in list_recordings(inputs).items if inputs else ():
        if len(found) == most:
            break
        with suppress(RecordingError):
            found.append(read(item.path, overrides=item.overrides))
    if inputs and not found:
        raise InputError(Problem("recordings", "files", "none can be read", "Name readable recordings"))
    return found
