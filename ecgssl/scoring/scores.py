"""From prepared windows to what is told of a recording: logits, calibrated scores and calls, or an embedding.

Files and requests are scored by these functions alone. On a CPU every window runs through the model by itself: products of
matrices of other sizes round otherwise, so only then does a recording's score not depend on what is scored beside it, bit for
bit. It costs nothing: a recording of ten seconds is hundreds of tokens, which fill the processor (measured: 0.97 to 1.0
times the time per recording of batches of 8, presets tiny and small).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.bundle import Bundle
from ecgssl.scoring.preprocess import PreparedRecording, Windows


def run_windows(
    bundle: Bundle, digital: NDArray[np.int16], lead_mask: NDArray[np.bool_]
) -> dict[str, NDArray[np.float32]]:
    """The model's outputs for windows.

    Args:
        bundle: with its model on the device to use.
        digital: (n, L, T) int16 in steps of ``bundle.lsb``, n at least 1.
        lead_mask: (n, L) bool.

    Returns:
        By name of output, n rows each.
    """
    step = len(digital) if next(bundle.model.parameters()).is_cuda else 1
    parts = [
        bundle.graph.run(digital[i : i + step] * np.float32(bundle.lsb), lead_mask[i : i + step])
        for i in range(0, len(digital), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in bundle.graph.outputs}


def recording_outputs(
    bundle: Bundle, ready: list[PreparedRecording], output: str, windows: Windows
) -> NDArray[np.float32]:
    """One row of an output per recording, its windows taken together; NaN where a recording has none.

    Args:
        bundle: with its model on the device to use.
        ready: recordings.
        output: ``logits`` or ``embedding``.
        windows: ``mean`` or ``max`` of the windows' values; ``contract`` has one window each.
    """
    counts = [len(one.digital) for one in ready]
    width = bundle.embed_dim if output == "embedding" else len(bundle.targets)
    values = np.full((len(ready), width), np.nan, dtype=np.float32)
    if not sum(counts):
        return values
    found = run_windows(
        bundle, np.concatenate([one.digital for one in ready]), np.concatenate([one.lead_mask for one in ready])
    )[output]
    ends = np.cumsum(counts)
    for i, (end, count) in enumerate(zip(ends, counts, strict=True)):
        if count == 1:
            values[i] = found[end - 1]
        elif count:
            own = found[end - count : end]
            values[i] = own.max(axis=0) if windows == "max" else own.mean(axis=0, dtype=np.float64)
    return values


def require_policy(bundle: Bundle, windows: Windows, output: str) -> None:
    """Refuse the largest of what has no order of alarm: embeddings, values of a regression, exclusive classes.

    Raises:
        InputError: for such a policy.
    """
    decision = bundle.graph.decision
    if windows == "max" and (output == "embedding" or decision is None or decision.kind != "multilabel"):
        what = "is 'max', which has a meaning only for labels that each are there or not"
        raise InputError(Problem("windows", "policy", what, "Use 'mean' or 'contract'"))


def require_targets(bundle: Bundle, where: str) -> Decision:
    """The decision of a classifier's bundle.

    Raises:
        InputError: the bundle holds an encoder only.
    """
    if bundle.graph.decision is None:
        what = "is an encoder, it has no targets to score"
        raise InputError(Problem(where, "kind", what, "Embed the recordings, or name the bundle of a classifier"))
    return bundle.graph.decision


def score_columns(decision: Decision) -> dict[str, type]:
    """Columns of scores with their types, in order.

    For each label ``logit__NAME`` and ``prob__NAME`` (calibrated as the bundle says), then ``call__NAME__THRESHOLD``, 1 or 0,
    for every threshold of the bundle. Of exclusive classes, ``predicted`` names the likeliest. A regression has
    ``raw__NAME`` and ``value__NAME``, before and after calibration.
    """
    if decision.kind == "regression":
        return {f"{kind}__{name}": float for name in decision.names for kind in ("raw", "value")}
    columns: dict[str, type] = {}
    for label in decision.labels:
        columns |= {f"logit__{label.name}": float, f"prob__{label.name}": float}
        columns |= {f"call__{label.name}__{cut}": int for cut in label.thresholds}
    return columns | ({"predicted": str} if decision.kind == "multiclass" else {})


def score_cells(decision: Decision, logits: NDArray[np.float32]) -> dict[str, list[Any]]:
    """Content of ``score_columns``; ``None`` where a recording has no logits, or a label no such threshold.

    Args:
        decision: calibrators and thresholds.
        logits: (n, K) float32, rows of NaN for recordings that have none.
    """
    known = np.flatnonzero(~np.isnan(logits).any(axis=1))
    scores = decision.probabilities(logits[known])
    raw, final = ("raw", "value") if decision.kind == "regression" else ("logit", "prob")
    cells: dict[str, list[Any]] = {name: [None] * len(logits) for name in score_columns(decision)}
    names = sorted({cut for label in decision.labels for cut in label.thresholds})
    calls = {cut: decision.calls(logits[known], cut) for cut in names}
    for k, label in enumerate(decision.labels):
        for place, i in enumerate(known):
            cells[f"{raw}__{label.name}"][i] = logits[i, k]
            cells[f"{final}__{label.name}"][i] = np.float32(scores[place, k])
            for cut in label.thresholds:
                call = calls[cut][place, k]
                cells[f"call__{label.name}__{cut}"][i] = None if np.isnan(call) else int(call)
    if decision.kind == "multiclass":
        for place, i in enumerate(known):
            cells["predicted"][i] = decision.names[int(scores[place].argmax())]
    return cells
