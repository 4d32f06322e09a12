"""Model files (safetensors, JSON) and resumable checkpoints. Loading a file never executes pickled code."""

from __future__ import annotations

import io
import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ecgssl.checked_json import shortened
from ecgssl.errors import InputError, Problem
from ecgssl.files import atomic_directory, make_folder, write_atomic, write_json
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.spec import SignalSpec
from ecgssl.tensor_header import read_tensor_header
from ecgssl.training.model_folder import (
    CONFIG,
    REMEDY,
    SIGNAL,
    WEIGHTS,
    load_head,
    load_model_params,
    load_signal,
    read_json,
    require_weights,
    unusable,
)
from ecgssl.version import __version__

BEST = "best.pt"
RUN_CONFIG = "run.json"
"""Name of the file with the configuration of a run, in the folder of its checkpoints."""
PRETRAINING = "pretraining.safetensors"
"""Name of the file with all weights of CoRe-ECG (decoder, projector, FDA) in the folder of a pretrained encoder."""

_DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.bool: "BOOL",
}
"""Names of types in safetensors files."""
_DAMAGED = (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError)
"""Exceptions raised when a checkpoint is read that is missing, truncated or altered."""


def write_model(
    folder: Path, model: Encoder | Classifier, spec: SignalSpec, about: dict[str, Any] | None = None
) -> None:
    """Write weights, configuration and preprocessing settings of a model into an existing folder.

    Args:
        folder: temporary folder of ``ecgssl.files.atomic_directory``.
        model: encoder or classifier.
        spec: preprocessing settings of the model's input.
        about: additional entries of ``config.json``, such as details of the training.
    """
    write_atomic(folder / WEIGHTS, weight_bytes(model))
    encoder = model.encoder if isinstance(model, Classifier) else model
    kind: dict[str, Any] = {"kind": "encoder"}
    if isinstance(model, Classifier):
        head = {"task_kind": model.kind, "queries": model.query_count, "crops": model.crops}
        head["hidden"] = model.hidden_units
        kind = {"kind": "classifier", "targets": model.targets, **head}
    config = {"ecgssl": __version__, **kind, "model": encoder.params.model_dump(mode="json"), **(about or {})}
    write_json(folder / CONFIG, config)
    write_json(folder / SIGNAL, {**spec.to_dict(), "fingerprint": spec.fingerprint}, digits=None)


def save_model(
    path: Path | str, model: Encoder | Classifier, spec: SignalSpec, about: dict[str, Any] | None = None
) -> None:
    """Write a model folder atomically; arguments as in ``write_model``."""
    with atomic_directory(path, marker=CONFIG) as folder:
        write_model(folder, model, spec, about)


def load_encoder(
    path: Path | str, expect: SignalSpec | None = None, owner: str = "the recordings", drop_path: float = 0.0
) -> tuple[Encoder, SignalSpec]:
    """Load an encoder and its preprocessing settings.

    Args:
        path: encoder folder written by ``save_model``, or a bundle.
        expect: required preprocessing settings; ``None`` to accept any.
        owner: description of the data that require ``expect``, for the error message.
        drop_path: stochastic depth rate for fine-tuning.

    Raises:
        InputError: a file is missing or invalid.
        ContractMismatch: the preprocessing settings differ.
    """
    path = Path(path)
    spec = load_signal(path)
    if expect is not None:
        spec.require_same(expect, str(path), owner)
    params = load_model_params(path, spec)
    kind = read_json(path / CONFIG).get("kind")
    if kind != "encoder":
        what = f"is {shortened(kind)}, not an encoder"
        if kind == "classifier":
            remedy = "Use an encoder, such as ptbxl-tiny ('ecgssl encoders' lists the shipped ones)"
            raise InputError(Problem(str(path / CONFIG), "kind", what, remedy))
        raise unusable(path / CONFIG, "kind", what)
    require_weights(path / WEIGHTS, params)
    encoder = Encoder(params, spec.leads, spec.samples, drop_path)
    load_weights(encoder, path / WEIGHTS)
    return encoder.eval(), spec


def load_classifier(
    path: Path | str, expect: SignalSpec | None = None, owner: str = "the recordings"
) -> tuple[Classifier, SignalSpec]:
    """Load a classifier and its preprocessing settings; arguments and errors as in ``load_encoder``."""
    path = Path(path)
    spec = load_signal(path)
    if expect is not None:
        spec.require_same(expect, str(path), owner)
    head = load_head(path)
    params = load_model_params(path, spec)
    require_weights(path / WEIGHTS, params)
    encoder = Encoder(params, spec.leads, spec.samples)
    model = Classifier(encoder, head.targets, head.kind, head.queries, head.crops, head.hidden)
    load_weights(model, path / WEIGHTS)
    return model.eval(), spec


def weight_bytes(module: nn.Module) -> bytes:
    """Return the parameters and persistent buffers of a module in safetensors format."""
    return save({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()})


def load_weights(module: nn.Module, path: Path) -> None:
    """Load weights in safetensors format into a module.

    Raises:
        InputError: the file is missing or damaged, or its tensors do not match the module; all differences are listed.
    """
    tensors, _ = read_tensor_header(path, REMEDY)
    own = {name: (_DTYPES[value.dtype], tuple(value.shape)) for name, value in module.state_dict().items()}
    problems = [unusable(path, key, "is missing").problems[0] for key in own.keys() - tensors.keys()]
    problems += [unusable(path, key, "is not part of this model").problems[0] for key in tensors.keys() - own.keys()]
    for key in own.keys() & tensors.keys():
        for name, found, needed in zip(("type", "shape"), tensors[key].kind, own[key], strict=True):
            # half-precision weights of a shipped model are converted to single precision, which is exact
            if found != needed and (found, needed) != ("F16", "F32"):
                what = f"has {name} {found}, but the model needs {needed}"
                problems.append(unusable(path, key, what).problems[0])
    if problems:
        raise InputError(sorted(problems, key=str))
    try:
        state = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError):
        raise unusable(path, "content", "is truncated or not in safetensors format") from None
    module.load_state_dict(state)


def state_bytes(state: dict[str, Any]) -> bytes:
    """Return a state of tensors, numbers and strings, serialised with ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def state_from(data: bytes) -> dict[str, Any]:
    """Return the state in the bytes of ``state_bytes``, with tensors on the CPU. No pickled code is executed."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


class RunState:
    """Run folder with the newest checkpoints and the configuration of the run.

    Args:
        folder: folder of the run; created if absent.
        config: all settings that affect the losses; a run resumes only with the same settings.
        keep: number of checkpoints to keep.

    Raises:
        InputError: the folder contains a run with another configuration; all differences are listed.
    """

    def __init__(self, folder: Path, config: dict[str, Any], keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        stored_file = folder / RUN_CONFIG
        config = json.loads(json.dumps(config))
        if stored_file.exists():
            stored = read_json(stored_file)
            problems = [
                Problem(
                    str(stored_file),
                    key,
                    f"the stopped run had {stored.get(key)!r}, this one has {config.get(key)!r}",
                    "Use the parameters of the stopped run, or another folder",
                )
                for key in sorted(stored.keys() | config.keys())
                if stored.get(key) != config.get(key)
            ]
            if problems:
                raise InputError(problems)
        else:
            make_folder(folder)
            write_json(stored_file, config, digits=None)
        # remove temporary files of processes that were killed while saving
        for unfinished in [*folder.glob(".step-*.tmp"), *folder.glob(f".{BEST}.*.tmp")]:
            unfinished.unlink(missing_ok=True)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Save the state after ``step`` steps, and remove old checkpoints."""
        write_atomic(self.folder / f"step-{step:09d}.pt", state_bytes(state))
        for old in sorted(self.folder.glob("step-*.pt"))[: -self.keep]:
            old.unlink()

    def save_best(self, state: dict[str, Any]) -> None:
        """Save the best state so far, replacing the previous best state."""
        write_atomic(self.folder / BEST, state_bytes(state))

    def best(self) -> dict[str, Any]:
        """Return the state saved by ``save_best``.

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            return state_from((self.folder / BEST).read_bytes())
        except _DAMAGED:
            raise InputError(
                Problem(
                    str(self.folder / BEST),
                    "checkpoint",
                    "is missing or damaged",
                    f"Remove {self.folder} and start again with 'ecgssl pretrain'",
                )
            ) from None

    def newest(self) -> dict[str, Any] | None:
        """Return the newest intact checkpoint, or ``None`` if there is none. Newer, damaged checkpoints are removed."""
        for file in sorted(self.folder.glob("step-*.pt"), reverse=True):
            try:
                return state_from(file.read_bytes())
            except _DAMAGED:
                file.unlink()
        return None

    def discard(self) -> None:
        """Remove the checkpoints and the configuration, and the folder if it is then empty."""
        discard_run(self.folder)


def discard_run(folder: Path) -> None:
    """Remove the checkpoints and the configuration of a run, and its folder if it is then empty."""
    for file in [*folder.glob("step-*.pt"), folder / BEST, folder / RUN_CONFIG]:
        file.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
