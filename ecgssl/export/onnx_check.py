"""An ONNX file beside the file pipeline, before anybody gets to see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import ExportParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_export import INPUTS
from ecgssl.export.raw_module import RawModule
from ecgssl.export.test_signals import TestSignals

TIES = 0.01
"""Share of samples that may be rounded the other way."""


def session_of(content: bytes, where: str) -> Any:
    """The file in onnxruntime, on the CPU.

    Raises:
        InputError: onnxruntime cannot run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # its errors come as exceptions; it need not print them too
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # its exceptions share no base but Exception
    except Exception as error:
        raise _cannot_run(where, error) from error


def run_session(
    session: Any, names: Sequence[str], ecg: NDArray[np.float32], present: NDArray[np.bool_], where: str
) -> dict[str, NDArray[np.float32]]:
    """Outputs by name.

    Raises:
        InputError: onnxruntime cannot run it.
    """
    try:
        found = session.run(list(names), dict(zip(INPUTS, (ecg, present), strict=True)))
    except Exception as error:
        raise _cannot_run(where, error) from error
    return dict(zip(names, map(np.asarray, found), strict=True))


def compare_with_pipeline(
    content: bytes,
    graph: ContractModule | RawModule,
    params: ExportParams,
    test_signals: Sequence[TestSignals],
    where: str,
) -> dict[str, dict[str, float]]:
    """Run a file in onnxruntime beside preprocessing in NumPy and the model in torch.

    A raw graph rounds to the steps of the store, as the file pipeline does, and a sample that lies halfway between two may
    fall on either: no two orders of summing agree there. So its ``signal`` must be that of the file pipeline, but for
    ``TIES`` of the samples, which may be one step off; and its other outputs those of the model for that signal.

    Args:
        content: of ``onnx_bytes``.
        graph: that it was made of.
        params: ``tolerance``.
        test_signals: see ``ecgssl.export.test_signals.make_test_signals``.
        where: the file, for messages.

    Returns:
        By source: the largest absolute difference by output. Where a probability lies on an isotonic curve, it is the
        distance from what the curve gives within the tolerance of the logit: a step of the curve enlarges any rounding.
        Of raw graphs, ``signal`` is the largest share of samples one step off, and ``pipeline`` the largest difference of
        any output from the whole file pipeline, ties included.

    Raises:
        InputError: with every output that is further than ``tolerance`` off, or not finite; a signal that is not that of
            the file pipeline; onnxruntime cannot run it.
    """
    session = session_of(content, where)
    model, lsb = (graph.contract, graph.lsb) if isinstance(graph, RawModule) else (graph, None)
    worst: dict[str, dict[str, float]] = {}
    place: dict[tuple[str, str], str] = {}
    for some in test_signals:
        for at, ecg, present, contract in some.batches(graph):
            found = run_session(session, graph.outputs, ecg, present, where)
            off = {}
            if lsb is not None:
                seen = found.pop("signal")
                off["signal"] = _ties(seen, contract, present, lsb, f"{where}: signal", at)
                off["pipeline"] = max(_apart(found, model.run(contract, present)).values())
                contract = seen
            off |= _differences(found, model.run(contract, present), model.decision, params.tolerance)
            for name, value in off.items():
                if np.isnan(value):
                    raise InputError(Problem(where, name, f"is not finite ({at})", "Train the model again"))
                if value >= worst.setdefault(some.source, {}).get(name, 0.0):
                    worst[some.source][name], place[some.source, name] = value, at
    problems = [
        Problem(
            where,
            name,
            f"differs from the file pipeline by {value:.2g} ({place[source, name]}), "
            f"export.tolerance is {params.tolerance:.2g}",
            "Use another export.opset, or raise export.tolerance if such a difference does not matter",
        )
        for source, outputs in worst.items()
        for name, value in outputs.items()
        if name in model.outputs and value > params.tolerance
    ]
    if problems:
        raise InputError(problems)
    return worst


def _ties(
    seen: NDArray[np.float32],
    contract: NDArray[np.float32],
    present: NDArray[np.bool_],
    lsb: float,
    where: str,
    at: str,
) -> float:
    """Share of the samples of present leads that are one step off."""
    steps = np.abs((seen - contract)[present]) / lsb
    share = float((steps > 0.5).mean()) if steps.size else 0.0
    # true of NaN as well
    if not (steps.size == 0 or steps.max() < 1.5) or share > TIES:
        what = (
            f"is not that of the file pipeline: {share:.2%} of samples differ, by up to {steps.max():.3g} steps ({at})"
        )
        raise InputError(Problem(where, "graph", what, "Use another export.opset"))
    return share


def _apart(found: dict[str, NDArray[np.float32]], expected: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    return {name: float(np.abs(value - expected[name]).max()) for name, value in found.items()}


def _differences(
    found: dict[str, NDArray[np.float32]],
    expected: dict[str, NDArray[np.float32]],
    decision: Decision | None,
    tolerance: float,
) -> dict[str, float]:
    off = _apart(found, expected)
    if decision is None or "probability" not in found:
        return off
    # by Decision itself, in float64
    lowest, wanted, highest = (
        decision.probabilities(expected["logits"] + step) for step in (-tolerance, 0.0, tolerance)
    )
    probability = found["probability"]
    beyond = np.maximum(lowest - probability, probability - highest)
    curved = np.array([label.calibrator.method == "isotonic" for label in decision.labels])
    apart = np.where(curved, np.maximum(beyond, 0.0), np.abs(probability - wanted))
    return off | {"probability": float(apart.max())}


def _cannot_run(where: str, error: Exception) -> InputError:
    what = f"onnxruntime cannot run it ({' '.join(str(error).split())[:200]})"
    return InputError(Problem(where, "graph", what, "Use export.opset 20"))
