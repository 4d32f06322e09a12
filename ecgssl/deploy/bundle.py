"""The bundle: one folder with all that scoring needs, verified when it is made and whenever it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ecgssl import __version__
from ecgssl.config import ExportParams, QualityParams, StoreParams
from ecgssl.deploy.checksums import SUMS, verify_sums, write_sums
from ecgssl.deploy.graph import ContractModel
from ecgssl.deploy.model_card import model_card
from ecgssl.deploy.onnx_export import compare_with_torch, onnx_bytes
from ecgssl.deploy.reference import REFERENCE, reference_bytes, verify_reference
from ecgssl.errors import InputError, Problem
from ecgssl.files import atomic_directory, write_atomic, write_json
from ecgssl.model.classifier import Classifier
from ecgssl.model.encoder import Encoder
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.identities import Identities
from ecgssl.training.checkpoint import CONFIG, load_classifier, load_encoder, read_json, write_model

LABELS, CARD = "labels.json", "README.md"
_OWN_KEYS = {"ecgssl", "kind", "targets", "model", "quality", "lsb", "export"}


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Args:
        graph: from clean recordings in mV to outputs.
        spec: the signal contract.
        quality: limits under which the training recordings were accepted; scoring applies them too.
        lsb: mV of one step that contract signals are rounded to, as in the store.
        targets: names of the classifier's outputs; empty for an encoder.
        version: release of ecgssl that is scoring, "+", first 16 hex digits of the SHA-256 of ``SHA256SUMS``.
    """

    graph: ContractModel
    spec: SignalSpec
    quality: QualityParams
    lsb: float
    targets: tuple[str, ...]
    version: str

    @property
    def model(self) -> Encoder | Classifier:
        """The bare network; its input is normalised."""
        return self.graph.model

    @property
    def embed_dim(self) -> int:
        """Width of an embedding."""
        return (self.model.encoder if isinstance(self.model, Classifier) else self.model).embed_dim

    @property
    def fingerprint(self) -> str:
        """Of the signal contract."""
        return self.spec.fingerprint


def export_bundle(
    model_dir: Path | str,
    out: Path | str,
    params: ExportParams,
    *,
    examples: NDArray[np.float32] | None = None,
    quality: QualityParams,
    lsb: float = StoreParams().lsb,
) -> dict[str, Any]:
    """Make a bundle; ``out`` appears when every check has passed, or not at all. The same model gives the same bytes.

    Args:
        model_dir: encoder or classifier of ``ecgssl.training.checkpoint.save_model``.
        out: the bundle; one that exists is replaced.
        params: opset, and the largest difference allowed between torch and onnxruntime.
        examples: (n, L, T) real clean recordings in mV to compare the two on, besides random input. Rows that are 0
            throughout are absent leads. None of them gets into the bundle.
        quality: limits that the training recordings were accepted under.
        lsb: of the store that they were in.

    Returns:
        ``max_difference`` (by input and output, see ``compare_with_torch``), ``tolerance``, ``parameters``,
        ``onnx_bytes``, ``version`` and ``fingerprint``.

    Raises:
        InputError: an unusable model or output folder, examples of another shape, an output that is not finite or too
            far off.
        ContractMismatch: the model was made by another version of the cleaning code.
    """
    model_dir = Path(model_dir)
    config = read_json(model_dir / CONFIG)
    classifies = config.get("kind") == "classifier"
    model, spec = load_classifier(model_dir) if classifies else load_encoder(model_dir)
    _require_shape(examples, spec)
    graph = ContractModel(model, spec)
    targets = list(model.targets) if isinstance(model, Classifier) else []
    onnx_name = "classifier.onnx" if targets else "encoder.onnx"
    about = {key: value for key, value in config.items() if key not in _OWN_KEYS}
    about |= {"quality": quality.model_dump(mode="json"), "lsb": lsb, "export": params.model_dump(mode="json")}
    shown = about | ({"targets": targets} if targets else {})
    with atomic_directory(out, marker=SUMS) as folder:
        write_model(folder, model, spec, about)
        if targets:
            write_json(folder / LABELS, {"targets": targets, "task": config.get("task"), "kind": "multilabel"})
        write_atomic(folder / REFERENCE, reference_bytes(graph))
        content = onnx_bytes(graph, params, {"targets": ",".join(targets)} if targets else None)
        worst = compare_with_torch(content, graph, params, examples, str(Path(out) / onnx_name))
        write_atomic(folder / onnx_name, content)
        known = Identities.read(model_dir)
        if known is not None and (open_set := known.to_pass_on()) is not None:
            open_set.write(folder)
            shown |= {"recordings": len(open_set)}
        card = model_card(graph, params, shown, onnx_name)
        write_atomic(folder / CARD, card)
        write_sums(folder)
        # what is delivered is what has been read back
        bundle = load_bundle(folder)
    return {
        "max_difference": worst,
        "tolerance": params.tolerance,
        "parameters": sum(p.numel() for p in model.parameters()),
        "onnx_bytes": len(content),
        "version": bundle.version,
        "fingerprint": bundle.fingerprint,
    }


def load_bundle(path: Path | str) -> Bundle:
    """Verify and load a bundle; nothing in it is unpickled.

    Checked are the digests of all files, the fingerprint of the signal contract, and that this machine computes
    ``reference.npz`` again to the tolerance of the export.

    Raises:
        InputError: naming each file that is missing, altered, surplus or unusable.
        ContractMismatch: made by another version of the cleaning code.
    """
    path = Path(path)
    digest = verify_sums(path)
    config = read_json(path / CONFIG)
    classifies = config.get("kind") == "classifier"
    model, spec = load_classifier(path) if classifies else load_encoder(path)
    targets = tuple(model.targets) if isinstance(model, Classifier) else ()
    if targets and read_json(path / LABELS).get("targets") != list(targets):
        raise _unusable(path / LABELS, "targets", f"are not those of {CONFIG}")
    try:
        quality = QualityParams(**config["quality"])
        lsb = StoreParams(lsb=config["lsb"]).lsb
        export = ExportParams(**config["export"])
    except (KeyError, TypeError, ValidationError):
        raise _unusable(path / CONFIG, "quality, lsb, export", "are missing or not what they should be") from None
    graph = ContractModel(model, spec)
    verify_reference(path, graph, export.tolerance)
    return Bundle(graph, spec, quality, lsb, targets, f"{__version__}+{digest[:16]}")


def _require_shape(examples: NDArray[np.float32] | None, spec: SignalSpec) -> None:
    if examples is not None and (examples.ndim != 3 or examples.shape[1:] != (len(spec.leads), spec.samples)):
        what = f"have shape {examples.shape}, the model takes (n, {len(spec.leads)}, {spec.samples})"
        raise InputError(Problem("examples", "shape", what, "Take them from a store of the model's contract"))


def _unusable(path: Path, field: str, what: str) -> InputError:
    return InputError(Problem(str(path), field, what, "Make the bundle again with 'ecgssl export'"))
