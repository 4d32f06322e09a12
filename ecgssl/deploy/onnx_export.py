"""The deployed function as one ONNX file, compared with torch before anybody gets to see it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.config import ExportParams
from ecgssl.deploy.graph import ContractModel, lead_subsets
from ecgssl.errors import InputError, Problem
from ecgssl.files import canonical_json

INPUTS = ("ecg", "lead_mask")
BATCHES = (1, 2, 7)


def onnx_bytes(graph: ContractModel, params: ExportParams, about: dict[str, str] | None = None) -> bytes:
    """Export; the same model gives the same bytes.

    Args:
        graph: what to export, on the CPU. Inputs ``ecg`` (batch, L, T) float32 in mV and ``lead_mask`` (batch, L) bool,
            batch of any size; outputs as ``graph.outputs``.
        params: ``opset``.
        about: more entries of the file's metadata, beside the signal contract and its fingerprint.

    Raises:
        InputError: torch or ONNX cannot make a valid file of this opset.
    """
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if params.opset > newest:
        what = f"{params.opset} is unknown to the installed onnx, whose newest is {newest}"
        raise InputError(Problem("params.yaml", "export.opset", what, "Use 20"))
    spec = graph.spec
    batch = torch.export.Dim("batch")
    # a batch of 1 would be taken for a constant
    example = torch.zeros(2, len(spec.leads), spec.samples), torch.ones(2, len(spec.leads), dtype=torch.bool)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph,
                example,
                dynamo=True,
                external_data=False,
                opset_version=params.opset,
                input_names=list(INPUTS),
                output_names=list(graph.outputs),
                dynamic_shapes={name: {0: batch} for name in INPUTS},
                verbose=False,
            )
            if program is None:
                raise ValueError("the exporter made no program")
            proto = program.model_proto
            made = next(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))
            if made != params.opset:
                raise ValueError(f"the exporter wrote opset {made}")
            _strip(proto.graph)
            del proto.metadata_props[:]
            contract = {
                "fingerprint": spec.fingerprint,
                "signal": canonical_json(spec.to_dict(), digits=None, indent=None),
            }
            onnx.helper.set_model_props(
                proto, {f"ecgssl.{k}": v for k, v in sorted((contract | (about or {})).items())}
            )
            content: bytes = proto.SerializeToString(deterministic=True)
            onnx.checker.check_model(content, full_check=True)
    except (torch.onnx.errors.OnnxExporterError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        what = f"{params.opset} gives no valid file ({' '.join(str(error).split())[:200]})"
        raise InputError(Problem("params.yaml", "export.opset", what, "Use 20")) from error
    return content


def compare_with_torch(
    content: bytes, graph: ContractModel, params: ExportParams, examples: NDArray[np.float32] | None, where: str
) -> dict[str, dict[str, float]]:
    """Run a file in onnxruntime beside torch: batches of 1, 2 and 7, every set of ``lead_subsets``.

    Absent leads hold NaN here: whatever reaches a result from them shows.

    Args:
        content: of ``onnx_bytes``.
        graph: that it was made of.
        params: ``tolerance``.
        examples: (n, L, T) clean recordings in mV, or ``None`` for random input only. Rows that are 0 throughout are
            absent leads.
        where: the file, for messages.

    Returns:
        Largest absolute difference by input (``random``, ``examples``) and output.

    Raises:
        InputError: with every output that is further than ``tolerance`` off, or not finite; onnxruntime cannot run it.
    """
    import onnxruntime

    def cannot_run(error: Exception) -> InputError:
        what = f"onnxruntime cannot run it ({' '.join(str(error).split())[:200]})"
        return InputError(Problem(where, "graph", what, "Use export.opset 20"))

    options = onnxruntime.SessionOptions()
    # its errors come as exceptions; it need not print them too
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # its exceptions share no base but Exception
    except Exception as error:
        raise cannot_run(error) from error
    sources = {"random": _random(graph)}
    if examples is not None and len(examples):
        sources["examples"] = np.asarray(examples, dtype=np.float32)
    worst: dict[str, dict[str, float]] = {name: dict.fromkeys(graph.outputs, 0.0) for name in sources}
    place: dict[tuple[str, str], str] = {}
    for source, signals in sources.items():
        start = 0
        for batch in BATCHES:
            for subset, mask in lead_subsets(graph.spec).items():
                rows = signals[(start + np.arange(batch)) % len(signals)]
                start += batch
                present = mask & rows.any(axis=2)
                ecg = np.where(present[..., None], rows, np.float32(np.nan))
                expected = graph.run(ecg, present)
                try:
                    found = session.run(list(graph.outputs), dict(zip(INPUTS, (ecg, present), strict=True)))
                except Exception as error:
                    raise cannot_run(error) from error
                for name, value in zip(graph.outputs, found, strict=True):
                    off = float(np.abs(np.asarray(value) - expected[name]).max())
                    at = f"{source} input, batch {batch}, {subset}"
                    if np.isnan(off):
                        raise InputError(Problem(where, name, f"is not finite ({at})", "Train the model again"))
                    if off >= worst[source][name]:
                        worst[source][name], place[source, name] = off, at
    problems = [
        Problem(
            where,
            name,
            f"differs from torch by {off:.2g} ({place[source, name]}), export.tolerance is {params.tolerance:.2g}",
            "Use another export.opset, or raise export.tolerance if such a difference does not matter",
        )
        for source, outputs in worst.items()
        for name, off in outputs.items()
        if off > params.tolerance
    ]
    if problems:
        raise InputError(problems)
    return worst


def _random(graph: ContractModel) -> NDArray[np.float32]:
    """Noise in mV: quieter than the normaliser's floor, like an ECG, and far louder."""
    generator = np.random.default_rng(0)
    scale = np.resize([0.3, 0.01, 3.0], (9, 1, 1))
    shape = (9, len(graph.spec.leads), graph.spec.samples)
    return (scale * generator.standard_normal(shape)).astype(np.float32)


def _strip(graph: Any) -> None:
    """Take out what the exporter notes of its own source lines: it is of no use to a reader and names files."""
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
    """Keep the exporter's remarks (torchvision is absent, axis names) from the user, who can do nothing about them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
