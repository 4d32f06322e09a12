"""Bundle: a folder with all files needed for scoring. It is verified after export and each time it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgssl.config import ExportParams, QualityParams, StoreParams
from ecgssl.encoders.shipped import model_folder
from ecgssl.errors import InputError, Problem, require
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.bundle_files import BundleFiles, check_files
from ecgssl.export.checksums import SUMS, verify_sums, write_sums
from ecgssl.export.engine import Device, Engine, choose_engine, require_known
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

CARD = "README.md"
_OWN_KEYS = {"ecgssl", "kind", "targets", "task_kind", "queries", "hidden", "model", "quality", "lsb", "export"}


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Args:
        graph: model that takes preprocessed recordings in mV; a torch module, or an ONNX graph run by onnxruntime.
        spec: preprocessing settings.
        quality: quality limits of the training recordings. Scoring applies the same limits. Recordings from
            ``min_duration`` are accepted; bundles of earlier releases accept complete recordings only.
        lsb: rounding step of preprocessed signals in mV, as in the store.
        targets: names of the classifier's outputs; empty for an encoder.
        encoder: name of the encoder, if it is a shipped one, and the data that it was pretrained on.
        version: version of ecgssl, "+", and the first 16 hex digits of the SHA-256 of ``SHA256SUMS``.
        path: folder of the bundle.
        device: where the model runs: ``cpu`` or ``cuda`` for torch, ``onnxruntime`` for an ONNX graph (on the CPU).
    """

    graph: ContractModule | OnnxGraph
    spec: SignalSpec
    quality: QualityParams
    lsb: float
    targets: tuple[str, ...]
    encoder: str
    version: str
    path: Path
    device: str

    @cached_property
    def model(self) -> Encoder | Classifier:
        """Encoder or classifier as a torch module; its input is normalised signals.

        If onnxruntime runs the model, the module is loaded at the first use, on the CPU.

        Raises:
            InputError: torch is not installed, or the files of the bundle were changed since it was loaded.
        """
        graph = self.graph
        if isinstance(graph, OnnxGraph):
            require("bundle", "torch", field="model")
            graph = _load_same(self.path, "torch", self.version).graph
            assert not isinstance(graph, OnnxGraph)
        return graph.model

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

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        """Pickle or copy a bundle. With onnxruntime, the pickle has the path of the bundle, which is loaded again."""
        if isinstance(self.graph, OnnxGraph):
            return _load_same, (self.path.absolute(), "onnxruntime", self.version)
        return super().__reduce_ex__(protocol)


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
        bundle = verify_bundle(folder)
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
    engine: Engine = "auto",
    *,
    device: Device = "cpu",
    require_signature: Path | str | None = None,
) -> Bundle:
    """Verify and load a bundle without unpickling any file.

    Three checks are made: the SHA-256 of all files, the content of each file (``ecgssl.export.bundle_files``), and a
    self-test. In the self-test, the model must reproduce the outputs stored in ``reference.npz`` within
    ``export.tolerance`` (at most 1e-3).

    Args:
        path: folder of the bundle, or name of a shipped model (``ecgssl.encoders.shipped.model_folder``).
        engine: library that runs the model. ``auto`` selects torch on a GPU and onnxruntime on a CPU
            (``ecgssl.export.engine.choose_engine``). The outputs of the two differ by rounding errors, which the export limits
            to ``export.tolerance`` (default 1e-4).
        device: ``cpu``, ``cuda``, or ``auto`` to use a GPU if there is one.
        require_signature: file of a public key, which must have signed the bundle (``ecgssl sign``); ``None`` to check no
            signature.

    Raises:
        InputError: no engine or no model has this name, files are missing, altered or not listed in ``SHA256SUMS`` (the
            error lists all of them), the content of a file is invalid, the required signature is missing or invalid, the
            self-test fails, or the device is not available.
        ContractMismatch: the bundle was made with another version of the cleaning code.
    """
    require_known("bundle", engine, device)
    path = model_folder(path, "bundle")
    digest = verify_sums(path, require_signature)
    files = check_files(path)
    spec, config, decision = files.spec, files.config, files.decision
    targets = files.head.targets if files.head is not None else ()
    onnx = path / f"{config.kind}.onnx"
    graph: ContractModule | OnnxGraph
    if choose_engine(engine, device, onnx) == "torch":
        graph = _torch_graph(path, files)
    else:
        graph = OnnxGraph(onnx, spec, decision)
    verify_self_test(path, graph, decision, config.export.tolerance)
    version = f"{__version__}+{digest[:16]}"
    where = graph.use_device(device)
    return Bundle(graph, spec, config.quality, config.lsb, targets, files.encoder, version, path, where)


def verify_bundle(path: Path | str) -> Bundle:
    """Load a bundle with every installed library that can run it. Use it before a bundle is published or signed.

    Without torch, the weights in ``model.safetensors`` are used only as far as the ONNX graph refers to them.

    Raises:
        InputError, ContractMismatch: see ``load_bundle``.
    """
    bundle = load_bundle(path)
    only_graph = bundle.device == "onnxruntime" and installed("torch")
    return load_bundle(path, "torch") if only_graph else bundle


def _load_same(path: Path, engine: Engine, version: str) -> Bundle:
    """Load a bundle again, and check that its files and the version of ecgssl are those of ``version``."""
    bundle = load_bundle(path, engine)
    if bundle.version != version:
        what, remedy = f"is version {bundle.version}, but {version} was loaded before", "Load the bundle again"
        raise InputError(Problem(str(path), "bundle", what, remedy))
    return bundle


def _torch_graph(path: Path, files: BundleFiles) -> ContractModule:
    """Return the model with its weights. The settings in ``files`` are not read and checked a second time."""
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.model.classifier import Classifier
    from ecgssl.model.encoder import Encoder
    from ecgssl.training.checkpoint import load_weights

    spec, head = files.spec, files.head
    encoder = Encoder(files.params, spec.leads, spec.samples)
    model: Encoder | Classifier = encoder
    if head is not None:
        model = Classifier(encoder, head.targets, head.kind, head.queries, head.crops, head.hidden)
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
