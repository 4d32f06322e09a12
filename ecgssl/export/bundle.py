"""Bundle: a folder with all files needed for scoring. It is verified after export and each time it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ecgssl.config import ExportParams, QualityParams, StoreParams
from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import InputError, Problem, require
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.bundle_files import BundleFiles, check_files
from ecgssl.export.checksums import SUMS, verify_sums, write_sums
from ecgssl.export.labels import LABELS, labels_dict, read_decision
from ecgssl.export.lead_names import LEAD_NAMES, lead_names_dict
from ecgssl.export.onnx_graph import OnnxGraph
from ecgssl.export.self_test import SELF_TEST_FILE, self_test_bytes, verify_self_test
from ecgssl.extras import installed
from ecgssl.files import atomic_directory, write_atomic, write_json
from ecgssl.leakage.identities import Identities
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.model_folder import CONFIG, WEIGHTS, read_json
from ecgssl.version import __version__

if TYPE_CHECKING:
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.export.validation_recordings import ValidationRecordings
    from ecgssl.model.classifier import Classifier
    from ecgssl.model.encoder import Encoder

ENGINES = ("auto", "torch", "onnxruntime")
"""Values of the argument ``engine``."""
CARD = "README.md"
_OWN_KEYS = {"ecgssl", "kind", "targets", "task_kind", "queries", "model", "quality", "lsb", "export"}


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Args:
        graph: model that takes preprocessed recordings in mV; a torch module, or without torch an ONNX graph.
        spec: preprocessing settings.
        quality: quality limits of the training recordings. Scoring applies the same limits. Recordings from
            ``min_duration`` are accepted; bundles of earlier releases accept complete recordings only.
        lsb: rounding step of preprocessed signals in mV, as in the store.
        targets: names of the classifier's outputs; empty for an encoder.
        encoder: name of the encoder, if it is a shipped one, and the data that it was pretrained on.
        version: version of ecgssl, "+", and the first 16 hex digits of the SHA-256 of ``SHA256SUMS``.
    """

    graph: ContractModule | OnnxGraph
    spec: SignalSpec
    quality: QualityParams
    lsb: float
    targets: tuple[str, ...]
    encoder: str
    version: str

    @property
    def model(self) -> Encoder | Classifier:
        """Encoder or classifier; its input is normalised signals.

        Raises:
            InputError: torch is not installed.
            TypeError: torch is installed, but the bundle was loaded with onnxruntime.
        """
        if isinstance(self.graph, OnnxGraph):
            require("bundle", "torch", field="model")
            raise TypeError("the bundle was loaded with onnxruntime. Load it with engine='torch'")
        return self.graph.model

    @property
    def decision(self) -> Decision | None:
        """Calibrators and thresholds of a classifier; ``None`` for an encoder."""
        return self.graph.decision

    @property
    def embed_dim(self) -> int:
        """Number of values in an embedding."""
        return self.graph.embed_dim

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the preprocessing settings."""
        return self.spec.fingerprint


def export_bundle(
    model_dir: Path | str,
    out: Path | str,
    params: ExportParams,
    *,
    quality: QualityParams,
    validation: ValidationRecordings | None = None,
    lsb: float = StoreParams().lsb,
    add: Callable[[Path, ContractModule], object] | None = None,
) -> dict[str, Any]:
    """Export a model to a bundle and verify it. ``out`` is written only if all checks pass.

    Exporting the same model again with the same arguments gives identical files.

    Args:
        model_dir: encoder or classifier written by ``ecgssl.training.checkpoint.save_model``. Calibrators and
            thresholds are loaded from ``decision.json`` in the same folder.
        out: folder of the bundle; an existing bundle is replaced.
        params: graphs to export, their opset, and the largest allowed difference from the Python pipeline.
        quality: quality limits of the training recordings.
        validation: recordings that are used, in addition to noise, to compare the exported graphs with the Python
            pipeline. They are not stored in the bundle.
        lsb: rounding step of the training recordings in their store, in mV.
        add: function that writes additional files before the checksums are computed, such as
            ``ecgssl.monitoring.reference.write_reference``.

    Returns:
        Dictionary with ``max_difference`` (by file, see ``WrittenGraphs``), ``tolerance``, ``parameters`` (number of
        model parameters), ``bytes`` (size of each exported graph), ``version`` and ``fingerprint``. With an 8-bit
        graph, ``int8`` describes its loss of accuracy.

    Raises:
        InputError: the model or the output folder cannot be used, the validation recordings do not have the input shape
            of the model, an output is not finite, or a graph cannot be exported or fails its check (see
            ``ecgssl.export.write_graphs.write_graphs``).
        ContractMismatch: the model was made with another version of the cleaning code.
    """
    # import torch code only here, because scoring uses this module without torch
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.export.model_card import model_card
    from ecgssl.export.validation_recordings import ValidationRecordings
    from ecgssl.export.write_graphs import write_graphs
    from ecgssl.model.classifier import Classifier
    from ecgssl.training.checkpoint import load_classifier, load_encoder, write_model

    model_dir, validation = Path(model_dir), validation or ValidationRecordings()
    config = read_json(model_dir / CONFIG)
    classifies = config.get("kind") == "classifier"
    model, spec = load_classifier(model_dir) if classifies else load_encoder(model_dir)
    _require_shape(validation, spec)
    decision = read_decision(model_dir, model) if isinstance(model, Classifier) else None
    graph = ContractModule(model, spec, decision, spec.fewest_samples(quality.min_duration))
    about = {key: value for key, value in config.items() if key not in _OWN_KEYS}
    about |= {"quality": quality.model_dump(mode="json"), "lsb": lsb, "export": params.model_dump(mode="json")}
    with atomic_directory(out, marker=SUMS) as folder:
        if graph.decision is not None:
            write_json(folder / LABELS, labels_dict(graph.decision), digits=None)
        write_json(folder / LEAD_NAMES, lead_names_dict(), digits=None)
        write_atomic(folder / SELF_TEST_FILE, self_test_bytes(graph))
        made = write_graphs(folder, graph, params, quality, lsb, validation, Path(out))
        if made.int8:
            about["int8"] = made.int8
        write_model(folder, model, spec, about)
        known = Identities.read(model_dir)
        codes = 0
        if known is not None and (open_set := known.to_pass_on()) is not None:
            open_set.write(folder)
            codes = len(open_set)
        card = model_card(graph, params, about | {"recordings": codes}, made)
        write_atomic(folder / CARD, card)
        if add is not None:
            add(folder, graph)
        write_sums(folder)
        # check that the bundle loads before it is renamed to its final path
        bundle = load_bundle(folder)
    return {
        "max_difference": made.worst,
        "tolerance": params.tolerance,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": made.size,
        "version": bundle.version,
        "fingerprint": bundle.fingerprint,
    } | ({"int8": made.int8} if made.int8 else {})


def load_bundle(
    path: Path | str,
    engine: Literal["auto", "torch", "onnxruntime"] = "auto",
    *,
    require_signature: Path | str | None = None,
) -> Bundle:
    """Verify and load a bundle without unpickling any file.

    Three checks are made: the SHA-256 of all files, the content of each file (``ecgssl.export.bundle_files``), and a
    self-test. In the self-test, the model must reproduce the outputs stored in ``reference.npz`` within
    ``export.tolerance`` (at most 1e-3).

    Args:
        path: folder of the bundle, or name of a shipped model (``ecgssl.encoders.shipped.model_folder``).
        engine: library that runs the model. ``auto`` selects torch if it is installed, otherwise onnxruntime. The
            outputs of the two differ by rounding errors, which the export limits to ``export.tolerance`` (default 1e-4).
        require_signature: file of a public key, which must have signed the bundle (``ecgssl sign``); ``None`` to check no
            signature.

    Raises:
        InputError: no engine or no model has this name, files are missing, altered or not listed in ``SHA256SUMS`` (the
            error lists all of them), the content of a file is invalid, the required signature is missing or invalid, or the
            self-test fails.
        ContractMismatch: the bundle was made with another version of the cleaning code.
    """
    if engine not in ENGINES:
        remedy = f"Use one of: {', '.join(ENGINES)}"
        raise InputError(Problem("bundle", "engine", f"is {engine!r}, which is not known", remedy))
    path = model_folder(path, "bundle")
    digest = verify_sums(path, require_signature)
    files = check_files(path)
    spec, config, decision = files.spec, files.config, files.decision
    targets = files.head.targets if files.head is not None else ()
    if engine == "torch" or (engine == "auto" and installed("torch")):
        graph = _torch_graph(path, files)
    else:
        graph = OnnxGraph(path / f"{config.kind}.onnx", spec, decision)
    verify_self_test(path, graph, decision, config.export.tolerance)
    return Bundle(graph, spec, config.quality, config.lsb, targets, files.encoder, f"{__version__}+{digest[:16]}")


def _torch_graph(path: Path, files: BundleFiles) -> ContractModule | OnnxGraph:
    """Return the model with its weights. The settings in ``files`` are not read and checked a second time."""
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.model.classifier import Classifier
    from ecgssl.model.encoder import Encoder
    from ecgssl.training.checkpoint import load_weights

    spec, head = files.spec, files.head
    encoder = Encoder(files.params, spec.leads, spec.samples)
    model: Encoder | Classifier = encoder
    if head is not None:
        model = Classifier(encoder, head.targets, head.kind, head.queries, head.crops)
    load_weights(model, path / WEIGHTS)
    return ContractModule(model, spec, files.decision, spec.fewest_samples(files.config.quality.min_duration))


def _require_shape(validation: ValidationRecordings, spec: SignalSpec) -> None:
    expected = (len(spec.leads), spec.samples)
    signals = {"examples": validation.examples, "validation": validation.labelled.ecg if validation.labelled else None}
    remedy = "Use a store with the preprocessing settings of the model"
    problems = [
        Problem(
            name, "shape", f"is {ecg.shape}; the input shape of the model is (n, {expected[0]}, {expected[1]})", remedy
        )
        for name, ecg in signals.items()
        if ecg is not None and (ecg.ndim != 3 or ecg.shape[1:] != expected)
    ]
    if problems:
        raise InputError(problems)
