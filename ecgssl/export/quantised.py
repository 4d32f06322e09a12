"""8-bit ONNX graphs by dynamic quantisation with onnxruntime, and their loss of accuracy on validation recordings.

Dynamic quantisation computes the scale of each activation over the whole batch. In a larger batch, the score of a
recording would depend on the other recordings. The batch size of the graph is therefore fixed to 1.
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
from ecgssl.export.onnx_check import require_nan_without_leads
from ecgssl.export.onnx_session import open_session, run_session
from ecgssl.export.unrecorded import with_signal
from ecgssl.export.validation_recordings import LabelledSignals
from ecgssl.model.encoder import Encoder


def quantised(
    content: bytes, graph: ContractModule, params: ExportParams, validation: LabelledSignals, where: str
) -> tuple[bytes, dict[str, Any]]:
    """Quantise a graph to 8 bits for a batch size of 1 and measure its loss of accuracy.

    Args:
        content: result of ``onnx_bytes``.
        graph: exported module.
        params: export parameters; only ``int8_loss`` is used.
        validation: recordings on which the loss is measured.
        where: file name for error messages.

    Returns:
        Bytes of the ONNX file, and a dictionary. ``metric`` is ``auroc`` or, for a regression, ``r2`` (mean over the
        targets that are not constant), or ``cosine`` for an encoder (cosine similarity between the embeddings of the
        torch model and of the 8-bit graph). ``float`` and ``int8`` are its values for the torch model and for the 8-bit
        graph, and ``loss`` is their difference. ``largest_difference`` is the largest absolute difference of a score,
        or of an embedding value for an encoder. ``recordings`` is the number of recordings.

    Raises:
        InputError: the loss exceeds ``int8_loss``, cannot be measured because all targets are constant, or a score is not
            finite.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_model_from_string(content)
    for value in [*proto.graph.input, *proto.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    # silence the root logger, because quantize_dynamic logs advice that does not apply here
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_dynamic(
                proto,
                path,
                op_types_to_quantize=["MatMul", "Gemm"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=_products_of_the_signal(proto, graph.encoder),
            )
            quantised_model = onnx.load(path)
    finally:
        root.setLevel(level)
    small: bytes = quantised_model.SerializeToString(deterministic=True)
    return small, _cost(small, graph, params, validation, where)


def _products_of_the_signal(proto: Any, encoder: Encoder) -> list[str]:
    """Return the names of the graph nodes of the patch embedding and of the stem, found by the number of their inputs.

    These nodes are not quantised, because their input is the signal or its spectrum. R-peaks would determine the scale of
    the 256 steps, so that few steps would remain for T-waves. Quantising the patch embedding reduced the macro AUROC of a
    linear probe (tiny encoder) by 0.10. Quantising all other products reduced it by 0.01. If the width of a token equals
    the patch length, more nodes are left out.
    """
    lengths = {encoder.patch}
    if encoder.stem is not None and encoder.stem.autocorrelation is not None:
        lengths.add(len(encoder.stem.autocorrelation.cosines))
    rows: dict[str, int] = {tensor.name: tensor.dims[0] for tensor in proto.graph.initializer if len(tensor.dims) == 2}
    products = [node for node in proto.graph.node if node.op_type in ("MatMul", "Gemm")]
    weighted = [node for node in products if any(name in rows for name in node.input)]
    of_signal = [str(node.name) for node in weighted if any(rows.get(name) in lengths for name in node.input)]
    # the first product with weights is the patch embedding, also if its weight is stored transposed
    return of_signal or [str(weighted[0].name)]


def _cost(
    small: bytes, graph: ContractModule, params: ExportParams, validation: LabelledSignals, where: str
) -> dict[str, Any]:
    session = open_session(small, where)
    require_nan_without_leads(session, graph.outputs, validation.ecg[:1], where)
    outputs: dict[str, list[NDArray[np.float32]]] = {"float": [], "int8": []}
    score = graph.outputs[1] if graph.decision is not None else "embedding"
    for one in validation.ecg:
        present = with_signal(one)[None]
        outputs["float"].append(graph.run(one[None], present)[score][0])
        outputs["int8"].append(run_session(session, graph.outputs, one[None], present, where)[score][0])
    exact, rounded = (np.stack(outputs[name]).astype(np.float64) for name in ("float", "int8"))
    if not np.isfinite(rounded).all():
        raise InputError(Problem(where, "export.int8", "leads to scores that are not finite", "Set export.int8: false"))
    metric, before, after = _metric(exact, rounded, validation.values, graph)
    if before is None or after is None:
        what = "loss cannot be measured, because all validation targets are constant"
        raise InputError(
            Problem(
                where,
                "export.int8",
                what,
                "Use a store whose validation split has both classes, or set export.int8: false",
            )
        )
    loss = before - after
    if loss > params.int8_loss:
        what = (
            f"reduces {metric} {before:.3g} by {loss:.3g} on {len(exact)} recordings; the limit is {params.int8_loss:g}"
        )
        raise InputError(Problem(where, "export.int8", what, "Set export.int8: false, or raise export.int8_loss"))
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
