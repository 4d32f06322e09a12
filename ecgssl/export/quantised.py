"""A graph with 8-bit weights and activations (onnxruntime's dynamic quantisation), and what that costs on validation.

The scale of an activation is found anew for every input, over all of it: in a batch, a recording's score would depend on
its neighbours. So the graph takes one recording at a time, and runtimes refuse it another batch.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import ExportParams
from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_check import run_session, session_of
from ecgssl.export.validation_recordings import LabelledSignals


def quantised(
    content: bytes, graph: ContractModule, params: ExportParams, validation: LabelledSignals, where: str
) -> tuple[bytes, dict[str, Any]]:
    """The graph in 8 bits, for one recording at a time, with what it loses.

    Args:
        content: of ``onnx_bytes``.
        graph: that it was made of.
        params: ``int8_loss``.
        validation: to measure the loss on.
        where: the file, for messages.

    Returns:
        The file and: ``metric`` (``auroc``, macro over labels; ``r2`` of a regression; ``cosine`` of embeddings), its value
        ``float`` and ``int8``, ``loss`` between them, ``largest_difference`` of a score or an embedding, ``recordings``.

    Raises:
        InputError: it is worse than ``int8_loss`` allows, gives what is not finite, or cannot be measured.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_model_from_string(content)
    for value in [*proto.graph.input, *proto.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    # it writes files only, and advises on the root logger a preparation that this graph does not need
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "int8.onnx"
            quantize_dynamic(
                proto,
                place,
                op_types_to_quantize=["MatMul", "Gemm"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=[_patch_embedding(proto)],
            )
            made = onnx.load(place)
    finally:
        root.setLevel(level)
    small: bytes = made.SerializeToString(deterministic=True)
    return small, _cost(small, graph, params, validation, where)


def _patch_embedding(proto: Any) -> str:
    """Name of the first product with weights: it meets the signal itself, whose R-peaks leave T-waves few steps of 256.

    In 8 bits, it cost a linear probe of a tiny encoder 0.10 of macro AUROC, and all other products together 0.01.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    products = (node for node in proto.graph.node if node.op_type in ("MatMul", "Gemm"))
    return str(next(node.name for node in products if weights & set(node.input)))


def _cost(
    small: bytes, graph: ContractModule, params: ExportParams, validation: LabelledSignals, where: str
) -> dict[str, Any]:
    session = session_of(small, where)
    outputs: dict[str, list[NDArray[np.float32]]] = {"float": [], "int8": []}
    score = graph.outputs[1] if graph.decision is not None else "embedding"
    for one in validation.ecg:
        present = one.any(axis=1)[None]
        outputs["float"].append(graph.run(one[None], present)[score][0])
        outputs["int8"].append(run_session(session, graph.outputs, one[None], present, where)[score][0])
    exact, rounded = (np.stack(outputs[name]).astype(np.float64) for name in ("float", "int8"))
    if not np.isfinite(rounded).all():
        raise InputError(Problem(where, "export.int8", "gives scores that are not finite", "Export without it"))
    metric, before, after = _metric(exact, rounded, validation.values, graph)
    if before is None or after is None:
        what = "cannot be measured: validation holds no target with both classes, or with two different numbers"
        raise InputError(Problem(where, "export.int8", what, "Name a store with such recordings, or export without it"))
    loss = before - after
    if loss > params.int8_loss:
        what = f"loses {loss:.3g} of {metric} {before:.3g} on {len(exact)} recordings, {params.int8_loss:g} is allowed"
        raise InputError(Problem(where, "export.int8", what, "Export without it, or raise export.int8_loss"))
    return {
        "metric": metric,
        "float": before,
        "int8": after,
        "loss": loss,
        "largest_difference": float(np.abs(rounded - exact).max()),
        "recordings": len(exact),
    }


def _metric(
    exact: NDArray[np.float64], rounded: NDArray[np.float64], values: NDArray[np.float64], graph: ContractModule
) -> tuple[str, float | None, float | None]:
    from sklearn.metrics import r2_score, roc_auc_score

    if graph.decision is None:
        cosine = (exact * rounded).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
        return "cosine", 1.0, float(cosine.mean())
    regression = graph.decision.kind == "regression"
    figure = r2_score if regression else roc_auc_score
    found: list[tuple[float, float]] = []
    for k in range(values.shape[1]):
        known = ~np.isnan(values[:, k])
        truth = values[known, k]
        if len(np.unique(truth)) > 1:
            found.append((figure(truth, exact[known, k]), figure(truth, rounded[known, k])))
    name = "r2" if regression else "auroc"
    if not found:
        return name, None, None
    before, after = np.mean(found, axis=0)
    return name, float(before), float(after)
