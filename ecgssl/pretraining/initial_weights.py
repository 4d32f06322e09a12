"""Start of pretraining from the weights of an encoder or bundle (``pretrain.init``)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ecgssl.config import ModelParams, Params
from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import ContractMismatch, InputError, Problem
from ecgssl.leakage.identities import Identities
from ecgssl.model.core_ecg import CoReECG
from ecgssl.training.checkpoint import PRETRAINING, WEIGHTS, load_classifier, load_encoder
from ecgssl.training.model_folder import CONFIG, load_model_params, load_signal, read_json, unusable
from ecgssl.training.origin import describe_origin

_FIELD = "pretrain.init"
_NOT_ENCODER = {"decoder", "preset", "residual"}
"""Parameters of section ``model`` that do not change the sizes of the encoder; the preset is compared as sizes."""


@dataclass(frozen=True)
class InitialWeights:
    """Weights that pretraining starts from.

    Args:
        path: folder of an encoder or a bundle.
        digest: SHA-256 (hex) of its weights.
        origin: its training data; see ``ecgssl.training.origin.describe_origin``.
        known: identities of its training recordings; ``None`` if the folder does not list them.
    """

    path: Path
    digest: str
    origin: dict[str, Any]
    known: Identities | None

    @classmethod
    def of(cls, params: Params) -> InitialWeights | None:
        """Check and describe the encoder in ``params.pretrain.init``; ``None`` if it is not set.

        Raises:
            InputError: no shipped encoder has this name, the folder is not an encoder or bundle, or its preprocessing
                settings, leads, patch length or sizes differ from ``params``; all differences are listed.
        """
        if params.pretrain.init is None:
            return None
        path = model_folder(params.pretrain.init, _FIELD)
        digest = init_digest(path)
        _require_same_model(params, path)
        return cls(path, digest, describe_origin(path), Identities.read(path))

    def load_into(self, model: CoReECG) -> list[str]:
        """Replace the weights of a model on the CPU.

        The encoder is always replaced. The other parts (decoder, projector, FDA) are replaced if the folder has their
        weights with the same shapes.

        Returns:
            Names of the parts that keep their new weights.
        """
        kind = read_json(self.path / CONFIG).get("kind")
        if kind == "classifier":
            model.encoder.load_state_dict(load_classifier(self.path)[0].encoder.state_dict())
        else:
            model.encoder.load_state_dict(load_encoder(self.path)[0].state_dict())
        saved = _saved_parts(self.path)
        new = []
        for name, part in model.named_children():
            own = part.state_dict()
            if name == "encoder" or not own:
                continue
            prefix = f"{name}."
            there = {key.removeprefix(prefix): value for key, value in saved.items() if key.startswith(prefix)}
            if {key: value.shape for key, value in there.items()} == {key: value.shape for key, value in own.items()}:
                part.load_state_dict(there)
            else:
                new.append(name)
        return new

    def described(self, new: list[str]) -> dict[str, Any]:
        """Return an entry for the configuration of the new encoder; ``new`` is the result of ``load_into``."""
        return {"digest": self.digest, "new_parts": new, **self.origin}


def init_digest(model: Path | str) -> str:
    """Return the SHA-256 (hex) of the weights of a shipped encoder, or of those in the folder of an encoder or bundle.

    Raises:
        InputError: no model has this name, or the folder has no weights.
    """
    path = model_folder(model, _FIELD)
    if not (path / WEIGHTS).is_file():
        remedy = "Use the folder of an encoder (ecgssl pretrain) or a bundle (ecgssl export)"
        raise InputError(Problem(str(path), _FIELD, f"has no {WEIGHTS}, so it is not an encoder or bundle", remedy))
    digest = hashlib.sha256()
    for name in (WEIGHTS, PRETRAINING):
        if (path / name).is_file():
            digest.update((path / name).read_bytes())
    return digest.hexdigest()


def _require_same_model(params: Params, path: Path) -> None:
    spec = load_signal(path)
    problems = []
    try:
        params.signal.require_same(spec, "params.yaml", str(path))
    except ContractMismatch as mismatch:
        remedy = "Preprocess the recordings with the settings of the encoder, or remove pretrain.init"
        problems += [Problem(p.where, p.field, p.what, remedy) for p in mismatch.problems]
    own, theirs = _sizes(params.model), _sizes(load_model_params(path, spec))
    problems += [
        Problem(
            "params.yaml",
            f"model.{key}",
            f"is {own[key]!r}, but {theirs[key]!r} in {path}",
            f"Set it to {theirs[key]!r}",
        )
        for key in own
        if own[key] != theirs[key]
    ]
    if problems:
        raise InputError(problems)


def _sizes(model: ModelParams) -> dict[str, Any]:
    width, depth, heads = model.shape
    return {**model.model_dump(exclude=_NOT_ENCODER), "width": width, "depth": depth, "heads": heads}


def _saved_parts(path: Path) -> dict[str, Tensor]:
    file = path / PRETRAINING
    if not file.is_file():
        return {}
    try:
        return load(file.read_bytes())
    except (OSError, SafetensorError, ValueError):
        raise unusable(file, "content", "is truncated or not in safetensors format") from None
