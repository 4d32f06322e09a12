"""Comparison of an exported ONNX graph with the Python pipeline. Graphs that differ by more than the tolerance are rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.config import ExportParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_session import open_session, run_session
from ecgssl.export.raw_module import RawModule
from ecgssl.export.test_signals import TestSignals

TIES = 0.01
"""Largest allowed share of samples that differ from the Python pipeline by one rounding step."""


def compare_with_pipeline(
    content: bytes,
    graph: ContractModule | RawModule,
    params: ExportParams,
    test_signals: Sequence[TestSignals],
    where: str,
) -> dict[str, dict[str, float]]:
    """Compare an ONNX graph, run by onnxruntime, with the Python pipeline (preprocessing in NumPy, model in torch).

    A raw graph rounds the signal to the steps of the store, as the Python pipeline does. A sample halfway between two
    steps can be rounded up or down, depending on the order of summation. Therefore up to a share ``TIES`` of the
    samples of the output ``signal`` may differ by one step; all other samples must be equal. The other outputs of a raw
    graph are compared with the outputs of the torch model for the graph's own ``signal``.

    Args:
        content: result of ``onnx_bytes``.
        graph: exported module.
        params: export parameters; only ``tolerance`` is used.
        test_signals: result of ``ecgssl.export.test_signals.make_test_signals``.
        where: file name for error messages.

    Returns:
        Largest absolute difference by source of the test signals and name of the output. A steep isotonic curve
        amplifies rounding errors. For such a curve, the difference is the distance of the probability from the interval
        of the curve between logit - tolerance and logit + tolerance. Raw graphs have two further entries. ``signal`` is
        the largest share of samples that differ by one step. ``pipeline`` is the largest difference of an output from
        the complete Python pipeline, which also contains the effect of these samples.

    Raises:
        InputError: an output differs by more than ``tolerance`` (the error lists all such outputs), an output is not
            finite, an output is not NaN for a recording without leads, onnxruntime cannot run the file, or the output
            ``signal`` differs at too many samples or by more than one step.
    """
    session = open_session(content, where)
    require_nan_without_leads(session, graph.outputs, test_signals[0].ecg[:1], where)
    model, lsb = (graph.contract, graph.lsb) if isinstance(graph, RawModule) else (graph, None)
    worst: dict[str, dict[str, float]] = {}
    place: dict[tuple[str, str], str] = {}
    for signals in test_signals:
        for at, ecg, present, contract in signals.batches(graph):
            found = run_session(session, graph.outputs, ecg, present, where)
            off = {}
            if lsb is not None:
                seen = found.pop("signal")
                off["signal"] = _ties(seen, contract, present, lsb, f"{where}: signal", at)
                off["pipeline"] = max(_largest_difference(found, model.run(contract, present)).values())
                contract = seen
            off |= _differences(found, model.run(contract, present), model.decision, params.tolerance)
            for name, value in off.items():
                if np.isnan(value):
                    raise InputError(Problem(where, name, f"is not finite ({at})", "Train the model again"))
                if value >= worst.setdefault(signals.source, {}).get(name, 0.0):
                    worst[signals.source][name], place[signals.source, name] = value, at
    problems = [
        Problem(
            where,
            name,
            f"differs from the Python pipeline by {value:.2g} ({place[source, name]}), "
            f"more than export.tolerance {params.tolerance:.2g}",
            "Use another export.opset, or raise export.tolerance if this difference is acceptable",
        )
        for source, outputs in worst.items()
        for name, value in outputs.items()
        if name in model.outputs and value > params.tolerance
    ]
    if problems:
        raise InputError(problems)
    return worst


def require_nan_without_leads(session: Any, names: Sequence[str], ecg: NDArray[np.float32], where: str) -> None:
    """Check that every output is NaN for a recording without leads.

    Args:
        session: result of ``open_session``.
        names: names of the outputs.
        ecg: (B, L, T) float32 in mV.
        where: file name for error messages.

    Raises:
        InputError: an output contains a number instead of NaN. The error lists all such outputs.
    """
    found = run_session(session, names, ecg, np.zeros(ecg.shape[:2], dtype=bool), where)
    what, remedy = "is a number for a recording without leads", "Use another export.opset"
    if problems := [Problem(where, name, what, remedy) for name, value in found.items() if not np.isnan(value).all()]:
        raise InputError(problems)


def _ties(
    seen: NDArray[np.float32],
    contract: NDArray[np.float32],
    present: NDArray[np.bool_],
    lsb: float,
    where: str,
    at: str,
) -> float:
    """Return the share of recorded samples in present leads that differ by one step.

    Raises:
        InputError: the share exceeds ``TIES``, a sample differs by more than one step, or a sample is NaN in only one of the
            two signals.
    """
    recorded = ~np.isnan(contract)
    if np.isfinite(seen[present[..., None] & ~recorded]).any():
        what = f"has values after the end of a short recording ({at})"
        raise InputError(Problem(where, "graph", what, "Use another export.opset"))
    steps = np.abs((seen - contract)[present[..., None] & recorded]) / lsb
    share = float((steps > 0.5).mean()) if steps.size else 0.0
    # the condition is negated so that NaN also fails the check
    if not (steps.size == 0 or steps.max() < 1.5) or share > TIES:
        what = f"differs from the Python pipeline: {share:.2%} of samples, by up to {steps.max():.3g} steps ({at})"
        raise InputError(Problem(where, "graph", what, "Use another export.opset"))
    return share


def _largest_difference(
    found: dict[str, NDArray[np.float32]], expected: dict[str, NDArray[np.float32]]
) -> dict[str, float]:
    return {name: float(np.abs(value - expected[name]).max()) for name, value in found.items()}


def _differences(
    found: dict[str, NDArray[np.float32]],
    expected: dict[str, NDArray[np.float32]],
    decision: Decision | None,
    tolerance: float,
) -> dict[str, float]:
    off = _largest_difference(found, expected)
    if decision is None or "probability" not in found:
        return off
    # compare with the probabilities of Decision, which are computed in float64
    lowest, expected_probability, highest = (
        decision.probabilities(expected["logits"] + step) for step in (-tolerance, 0.0, tolerance)
    )
    probability = found["probability"]
    beyond = np.maximum(lowest - probability, probability - highest)
    curved = np.array([label.calibrator.method == "isotonic" for label in decision.labels])
    difference = np.where(curved, np.maximum(beyond, 0.0), np.abs(probability - expected_probability))
    return off | {"probability": float(difference.max())}
