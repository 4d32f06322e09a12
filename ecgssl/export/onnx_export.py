"""Export of the deployed model to an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ecgssl.config import ExportParams
from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.labels import labels_dict
from ecgssl.export.onnx_session import INPUTS
from ecgssl.export.raw_module import RawModule
from ecgssl.files import canonical_json


def traced(graph: ContractModule | RawModule) -> torch.export.ExportedProgram:
    """Trace ``graph`` with torch.export. The program accepts any batch size and, for a raw graph, any length."""
    raw = isinstance(graph, RawModule)
    leads = len(graph.spec.leads)
    # torch.export would treat a batch size of 1, or the length in the settings, as a constant
    samples = graph.window + 7 if isinstance(graph, RawModule) else graph.spec.samples
    example = torch.zeros(2, leads, samples), torch.ones(2, leads, dtype=torch.bool)
    batch = torch.export.Dim("batch")
    shapes = {0: batch, 2: torch.export.Dim("samples")} if raw else {0: batch}
    with _quiet(), torch.no_grad():
        return torch.export.export(graph, example, dynamic_shapes=(shapes, {0: batch}))


def require_opset(params: ExportParams) -> None:
    """Check that the installed onnx supports the opset.

    Raises:
        InputError: ``export.opset`` is newer than the installed onnx supports.
    """
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if params.opset > newest:
        what = f"{params.opset} is not supported by the installed onnx, which supports up to {newest}"
        raise InputError(Problem("params.yaml", "export.opset", what, "Use 20"))


def onnx_bytes(
    graph: ContractModule | RawModule, params: ExportParams, program: torch.export.ExportedProgram | None = None
) -> bytes:
    """Export ``graph`` to ONNX and return the bytes of the file. The result is deterministic.

    The metadata of the file contain the preprocessing settings and the labels of a classifier, and for a ``RawModule``
    the sampling rate. ``shortest`` is the smallest number of recorded input samples.

    Args:
        graph: module on the CPU. The exported inputs are ``ecg`` (batch, L, T) float32 in mV and ``lead_mask`` (batch,
            L) bool, with any batch size and, for a ``RawModule``, any T. The exported outputs are ``graph.outputs``.
        params: export parameters; only ``opset`` is used.
        program: result of ``traced``; computed if ``None``.

    Raises:
        InputError: the export to this opset fails, or its result is not a valid ONNX file.
    """
    import onnx

    axes = {0: "batch", 2: "samples"} if isinstance(graph, RawModule) else {0: "batch"}
    try:
        with _quiet(), torch.no_grad():
            exported = torch.onnx.export(
                program or traced(graph),
                dynamo=True,
                external_data=False,
                opset_version=params.opset,
                input_names=list(INPUTS),
                output_names=list(graph.outputs),
                dynamic_shapes=(axes, {0: "batch"}),
                verbose=False,
            )
            if exported is None:
                raise ValueError("torch.onnx.export returned no program")
            proto = exported.model_proto
            opset = next(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))
            if opset != params.opset:
                raise ValueError(f"torch.onnx.export wrote opset {opset} instead")
            _strip(proto.graph)
            del proto.metadata_props[:]
            onnx.helper.set_model_props(proto, {f"ecgssl.{name}": text for name, text in _about(graph).items()})
            content: bytes = proto.SerializeToString(deterministic=True)
            onnx.checker.check_model(content, full_check=True)
    except (torch.onnx.errors.OnnxExporterError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        what = f"{params.opset} does not give a valid ONNX file ({' '.join(str(error).split())[:200]})"
        raise InputError(Problem("params.yaml", "export.opset", what, "Use 20")) from error
    return content


def _about(graph: ContractModule | RawModule) -> dict[str, str]:
    """Return the metadata of the ONNX file: strings with sorted keys."""
    spec = graph.spec
    about = {"fingerprint": spec.fingerprint, "signal": canonical_json(spec.to_dict(), digits=None, indent=None)}
    about["shortest"] = str(graph.shortest)
    if graph.decision is not None:
        about["labels"] = canonical_json(labels_dict(graph.decision), digits=None, indent=None)
    if isinstance(graph, RawModule):
        about["sampling_rate"] = f"{graph.sampling_rate:g}"
    return dict(sorted(about.items()))


def _strip(graph: Any) -> None:
    """Remove the stack traces recorded by the exporter, because they contain file paths of this machine."""
    graph.doc_string = ""
    items = [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for item in items:
        item.doc_string = ""
        del item.metadata_props[:]
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node:
                    _strip(inner)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings of torch.onnx that require no action, such as a missing torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
