"""JSON files of a model folder: configuration and preprocessing settings. This module does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ecgssl.checked_json import read_object, shortened, validated
from ecgssl.config import ModelParams
from ecgssl.config.finetune import MOST_HIDDEN
from ecgssl.config.manifest import OutputKind
from ecgssl.config.model import MOST_TOKENS
from ecgssl.errors import InputError, Problem
from ecgssl.signal.spec import SignalSpec
from ecgssl.tensor_header import Tensor, read_tensor_header

CONFIG, SIGNAL, WEIGHTS = "config.json", "signal.json", "model.safetensors"
MOST_TARGETS = 2000
WITHOUT_STEM = {"pooling": "recording", "stem": {"filters": 0}}
"""Parameters of the encoders of release 0.1.0, whose ``config.json`` does not have these keys."""
_MOST = 64
REMEDY = (
    "Use a complete, unmodified folder, or create it again with 'ecgssl pretrain', 'ecgssl finetune' or 'ecgssl export'"
)

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""Name of an output in a file."""


class HeadFile(BaseModel):
    """Entries of ``config.json`` that describe the outputs of a classifier.

    Models of earlier releases lack ``task_kind``, ``queries``, ``crops`` and ``hidden``. They are multilabel models without
    queries and network, and with a single crop.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    targets: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_TARGETS)]
    task_kind: OutputKind = "multilabel"
    queries: Annotated[int, Field(ge=0, le=_MOST)] = 0
    crops: Annotated[int, Field(ge=1, le=_MOST)] = 1
    hidden: Annotated[int, Field(ge=0, le=MOST_HIDDEN)] = 0

    @model_validator(mode="after")
    def _distinct(self) -> HeadFile:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("targets must be distinct")
        return self


def load_signal(path: Path) -> SignalSpec:
    """Load the preprocessing settings of a model and check their fingerprint.

    Raises:
        InputError: the file is missing or invalid.
        ContractMismatch: the settings were written by another version of the cleaning code.
    """
    where = path / SIGNAL
    data = read_json(where)
    SignalSpec.require_version(data, str(where))
    settings = {name: value for name, value in data.items() if name not in ("cleaning_version", "fingerprint")}
    spec = validated(SignalSpec, settings, str(where), REMEDY)
    if data.get("fingerprint") != spec.fingerprint:
        raise unusable(where, "fingerprint", "does not match the settings in the file")
    return spec


def load_model_params(path: Path, spec: SignalSpec) -> ModelParams:
    """Load the encoder parameters of a model and check that they fit the preprocessing settings.

    Raises:
        InputError: a parameter is missing or invalid, the patch length does not divide the number of samples in
            ``spec``, or a recording would have more than ``MOST_TOKENS`` patches.
    """
    model = read_json(path / CONFIG).get("model")
    if isinstance(model, dict):
        model = WITHOUT_STEM | model
    params = validated(ModelParams, model, str(path / CONFIG), REMEDY, "model")
    if spec.samples % params.patch:
        what = f"is {params.patch}, but the {spec.samples} samples in {SIGNAL} are not a multiple of it"
        raise unusable(path / CONFIG, "model.patch", what)
    tokens = len(spec.leads) * (spec.samples // params.patch)
    if tokens > MOST_TOKENS:
        what = f"is {params.patch}, so that a recording has {tokens:,} patches; the limit is {MOST_TOKENS:,}"
        raise unusable(path / CONFIG, "model.patch", what)
    return params


def require_weights(path: Path, params: ModelParams) -> dict[str, Tensor]:
    """Return the tensors in the header of a weights file. Check that they can be those of an encoder, before it is made.

    Args:
        path: ``model.safetensors``.
        params: sizes of the encoder.

    Raises:
        InputError: the file is missing or damaged, or has fewer values than the blocks of the encoder need.
    """
    tensors, _ = read_tensor_header(path, REMEDY)
    width, depth, _ = params.shape
    # weights of the attention (4 matrices) and of the MLP (2 matrices) of each block
    needed = depth * width * (4 * width + 2 * int(width * params.mlp_ratio))
    found = sum(math.prod(tensor.shape) for tensor in tensors.values())
    if found < needed:
        what = f"has {found:,} values, but an encoder of width {width} and depth {depth} has more than {needed:,}"
        raise unusable(path, "size", what)
    return tensors


@dataclass(frozen=True)
class Head:
    """Description of a classifier's outputs, from ``config.json``.

    Args:
        targets: names of the outputs.
        kind: type of the outputs.
        queries: number of learned queries of the head; 0 for a linear head on the embedding.
        crops: number of shifted views of a recording whose outputs are averaged.
        hidden: number of hidden units of the network in the head; 0 for none.
    """

    targets: tuple[str, ...]
    kind: OutputKind
    queries: int
    crops: int
    hidden: int


def load_head(path: Path) -> Head:
    """Load the description of a classifier's outputs.

    Raises:
        InputError: the folder contains no classifier, or an entry is invalid.
    """
    config = read_json(path / CONFIG)
    if config.get("kind") != "classifier" or not config.get("targets"):
        kind = shortened(config.get("kind"))
        raise unusable(path / CONFIG, "kind", f"is {kind}, not a classifier with targets")
    found = validated(HeadFile, config, str(path / CONFIG), REMEDY)
    return Head(found.targets, found.task_kind, found.queries, found.crops, found.hidden)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, see ``ecgssl.checked_json.read_object``."""
    return read_object(path, REMEDY)


def unusable(path: Path, field: str, what: str) -> InputError:
    """Return the error for a file of a model folder that cannot be used."""
    return InputError(Problem(str(path), field, what, REMEDY))
