"""JSON files of a model folder: configuration and preprocessing settings. This module does not import torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from ecgssl.config import ModelParams
from ecgssl.config.manifest import OutputKind
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular
from ecgssl.signal.spec import SignalSpec

CONFIG, SIGNAL = "config.json", "signal.json"
_MOST = 64
_REMEDY = (
    "Use a complete, unmodified folder, or create it again with 'ecgssl pretrain', 'ecgssl finetune' or 'ecgssl export'"
)


def load_signal(path: Path) -> SignalSpec:
    """Load the preprocessing settings of a model and check their fingerprint."""
    data = read_json(path / SIGNAL)
    stored = data.get("fingerprint")
    try:
        spec = SignalSpec.from_dict(data, str(path / SIGNAL))
    except (ValidationError, TypeError) as error:
        raise unusable(
            path / SIGNAL, "content", f"does not contain valid preprocessing settings ({type(error).__name__})"
        ) from None
    if stored != spec.fingerprint:
        raise unusable(path / SIGNAL, "fingerprint", "does not match the settings in the file")
    return spec


def load_model_params(path: Path, spec: SignalSpec) -> ModelParams:
    """Load the encoder parameters of a model and check that the patch length divides the number of samples in ``spec``."""
    try:
        params = ModelParams(**read_json(path / CONFIG)["model"])
    except (KeyError, TypeError, ValidationError):
        raise unusable(path / CONFIG, "model", "is missing or not a description of an encoder") from None
    if spec.samples % params.patch:
        what = f"is {params.patch}, but the {spec.samples} samples in {SIGNAL} are not a multiple of it"
        raise unusable(path / CONFIG, "model.patch", what)
    return params


@dataclass(frozen=True)
class Head:
    """Description of a classifier's outputs, from ``config.json``.

    Args:
        targets: names of the outputs.
        kind: type of the outputs.
        queries: number of learned queries of the head; 0 for a linear head on the embedding.
        crops: number of shifted views of a recording whose outputs are averaged.
    """

    targets: tuple[str, ...]
    kind: OutputKind
    queries: int
    crops: int


def load_head(path: Path) -> Head:
    """Load the description of a classifier's outputs.

    Raises:
        InputError: the folder contains no classifier, or an entry is invalid.
    """
    config = read_json(path / CONFIG)
    targets = config.get("targets")
    if config.get("kind") != "classifier" or not isinstance(targets, list) or not targets:
        raise unusable(path / CONFIG, "kind", f"is {config.get('kind')!r}, not a classifier with targets")
    # models of earlier releases lack these entries; they are multilabel models without queries and with a single crop
    task_kind = config.get("task_kind", "multilabel")
    numbers = {name: config.get(name, least) for name, least in (("queries", 0), ("crops", 1))}
    if task_kind not in get_args(OutputKind):
        raise unusable(path / CONFIG, "task_kind", f"is {task_kind!r}, not one of {get_args(OutputKind)}")
    for name, least in (("queries", 0), ("crops", 1)):
        if type(numbers[name]) is not int or not least <= numbers[name] <= _MOST:
            raise unusable(path / CONFIG, name, f"is {numbers[name]!r}, not a whole number from {least} to {_MOST}")
    return Head(tuple(targets), task_kind, numbers["queries"], numbers["crops"])


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        InputError: the file does not exist, cannot be parsed, or does not contain a JSON object.
    """
    require_regular(path)
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise unusable(path, "file", "does not exist") from None
    except (OSError, ValueError):
        raise unusable(path, "content", "is not readable JSON") from None
    if not isinstance(data, dict):
        raise unusable(path, "content", "is not a JSON object")
    return data


def unusable(path: Path, field: str, what: str) -> InputError:
    """Return the error for a file of a model folder that cannot be used."""
    return InputError(Problem(str(path), field, what, _REMEDY))
