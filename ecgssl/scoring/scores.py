"""Model outputs of preprocessed recordings: logits, calibrated scores, calls at thresholds and embeddings.

Files, tables and HTTP requests are scored by these functions. On a CPU, each window passes through the model alone, because
matrix products of other sizes round differently. The score of a recording is therefore bit-identical for any other
recordings. Batches are not faster, because a recording of ten seconds has hundreds of tokens. Measured: 0.97 to 1.0 times
the time per recording of batches of 8, presets tiny and small.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.target_kinds import TARGET_KINDS
from ecgssl.export.bundle import Bundle
from ecgssl.scoring.preprocess import PreparedRecording, Windows

Output = Literal["logits", "embedding"]


def run_windows(
    bundle: Bundle, digital: NDArray[np.int16], lead_mask: NDArray[np.bool_]
) -> dict[str, NDArray[np.float32]]:
    """Return the model's outputs for preprocessed windows.

    Args:
        bundle: bundle whose model is on the device to use.
        digital: (n, L, T) int16 in steps of ``bundle.lsb``, n at least 1.
        lead_mask: (n, L) bool, true for present leads.

    Returns:
        Arrays with n rows, by name of the output.
    """
    step = len(digital) if next(bundle.model.parameters()).is_cuda else 1
    parts = [
        bundle.graph.run(digital[i : i + step] * np.float32(bundle.lsb), lead_mask[i : i + step])
        for i in range(0, len(digital), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in bundle.graph.outputs}


def recording_outputs(
    bundle: Bundle, prepared: list[PreparedRecording], output: Output, windows: Windows
) -> NDArray[np.float32]:
    """Return one row of a model output per recording, with its windows combined; NaN for a recording without windows.

    Args:
        bundle: bundle whose model is on the device to use.
        prepared: preprocessed recordings.
        output: ``logits`` or ``embedding``.
        windows: ``mean`` or ``max`` over the windows; for ``contract``, each recording has one window.
    """
    counts = [len(one.digital) for one in prepared]
    width = bundle.embed_dim if output == "embedding" else len(bundle.targets)
    values = np.full((len(prepared), width), np.nan, dtype=np.float32)
    if not sum(counts):
        return values
    digital = np.concatenate([one.digital for one in prepared])
    found = run_windows(bundle, digital, np.concatenate([one.lead_mask for one in prepared]))[output]
    ends = np.cumsum(counts)
    for i, (end, count) in enumerate(zip(ends, counts, strict=True)):
        if count == 1:
            values[i] = found[end - 1]
        elif count:
            own = found[end - count : end]
            values[i] = own.max(axis=0) if windows == "max" else own.mean(axis=0, dtype=np.float64)
    return values


def require_policy(bundle: Bundle, windows: Windows, output: Output) -> None:
    """Check that the window policy can be used: ``max`` is for independent labels only.

    Raises:
        InputError: the policy is ``max`` and the output is an embedding, a regression or exclusive classes.
    """
    decision = bundle.decision
    if windows == "max" and (output == "embedding" or decision is None or decision.kind != "multilabel"):
        what = "is 'max', which can be used for independent labels only"
        raise InputError(Problem("windows", "policy", what, "Use 'mean' or 'contract'"))


def require_targets(bundle: Bundle, where: str) -> Decision:
    """Return the calibrators and thresholds of a classifier's bundle.

    Raises:
        InputError: the bundle contains an encoder.
    """
    if bundle.decision is None:
        what = "is an encoder and has no targets to score"
        raise InputError(Problem(where, "kind", what, "Use embed, or use the bundle of a classifier"))
    return bundle.decision


def score_columns(decision: Decision) -> dict[str, type]:
    """Return the columns of scores with their types, in order.

    Each label has ``logit__NAME`` and ``prob__NAME`` (with the calibration of the bundle), then ``call__NAME__THRESHOLD``,
    1 or 0, for every threshold of the bundle. For exclusive classes, ``predicted`` is the most probable one. A regression
    has ``raw__NAME`` and ``value__NAME``, before and after calibration.
    """
    if decision.kind == "regression":
        return {f"{kind}__{name}": float for name in decision.names for kind in ("raw", "value")}
    columns: dict[str, type] = {}
    for label in decision.labels:
        columns |= {f"logit__{label.name}": float, f"prob__{label.name}": float}
        columns |= {f"call__{label.name}__{threshold}": int for threshold in label.thresholds}
    return columns | ({"predicted": str} if decision.kind == "multiclass" else {})


def score_cells(decision: Decision, logits: NDArray[np.float32]) -> dict[str, list[Any]]:
    """Return the values of ``score_columns``. A value is ``None`` without logits, or for a threshold without a value.

    Args:
        decision: calibrators and thresholds.
        logits: (n, K) float32; NaN in the rows of recordings without logits.
    """
    known = np.flatnonzero(~np.isnan(logits).any(axis=1))
    scores = decision.probabilities(logits[known])
    raw, final = TARGET_KINDS[decision.kind].score_columns
    cells: dict[str, list[Any]] = {name: [None] * len(logits) for name in score_columns(decision)}
    names = sorted({threshold for label in decision.labels for threshold in label.thresholds})
    calls = {threshold: decision.calls(logits[known], threshold) for threshold in names}
    for k, label in enumerate(decision.labels):
        for place, i in enumerate(known):
            cells[f"{raw}__{label.name}"][i] = logits[i, k]
            cells[f"{final}__{label.name}"][i] = np.float32(scores[place, k])
            for threshold in label.thresholds:
                call = calls[threshold][place, k]
                cells[f"call__{label.name}__{threshold}"][i] = None if np.isnan(call) else int(call)
    if decision.kind == "multiclass":
        for place, i in enumerate(known):
            cells["predicted"][i] = decision.names[int(scores[place].argmax())]
    return cells
