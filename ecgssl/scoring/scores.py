"""Model outputs for preprocessed recordings: logits, calibrated scores, binary predictions and embeddings.

Files, tables and HTTP requests are scored with these functions. On a CPU, the batch size is always 1, because rounding
in matrix products depends on their size. The scores of a recording are therefore bit-identical, whichever recordings
are scored with it. Batches would not be faster, because a recording of ten seconds has hundreds of tokens: with batch
size 1, the time per recording is 0.97 to 1.0 times that with batch size 8 (presets tiny and small).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.target_kinds import TARGET_KINDS
from ecgssl.export.bundle import Bundle
from ecgssl.scoring.preprocess import POLICIES, PreparedRecording, Windows

Output = Literal["logits", "embedding"]


_GPU_WINDOWS = 64
"""Maximum number of windows that a GPU processes at a time."""


def window_slices(bundle: Bundle, count: int) -> list[slice]:
    """Return slices of the windows that the model processes together: one window on a CPU, up to 64 on a GPU.

    Args:
        bundle: bundle; its model has been moved to the device to use.
        count: number of windows.
    """
    step = _GPU_WINDOWS if bundle.graph.on_gpu else 1
    return [slice(start, start + step) for start in range(0, count, step)]


def combine_windows(values: NDArray[np.float32], windows: Windows) -> NDArray[np.float32]:
    """Return the maximum (policy ``max``) or mean (K,) of the outputs (n, K) of the windows of a recording, n >= 1."""
    if len(values) == 1:
        return np.asarray(values[0])
    combined = values.max(axis=0) if windows == "max" else values.mean(axis=0, dtype=np.float64)
    return combined.astype(np.float32)


def run_windows(
    bundle: Bundle, digital: NDArray[np.int16], lead_mask: NDArray[np.bool_], recorded: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Run the model on preprocessed windows and return its outputs.

    Args:
        bundle: bundle; its model has been moved to the device to use.
        digital: (n, L, T) int16 in steps of ``bundle.lsb``, n at least 1.
        lead_mask: (n, L) bool, true for present leads.
        recorded: (n,) int64, number of recorded samples from the start.

    Returns:
        Output arrays with n rows, by name.
    """
    parts = [
        bundle.graph.run(digital[part] * np.float32(bundle.lsb), lead_mask[part], recorded[part])
        for part in window_slices(bundle, len(digital))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in bundle.graph.outputs}


def recording_outputs(
    bundle: Bundle, prepared: list[PreparedRecording], output: Output, windows: Windows
) -> NDArray[np.float32]:
    """Return a model output for each recording, combined over its windows.

    The result has one row per recording. The row of a recording without windows is NaN.

    Args:
        bundle: bundle; its model has been moved to the device to use.
        prepared: preprocessed recordings.
        output: ``logits`` or ``embedding``.
        windows: window policy. ``mean`` and ``max`` combine the windows of a recording; for ``contract``, each
            recording has one window.
    """
    counts = [len(one.digital) for one in prepared]
    width = bundle.embed_dim if output == "embedding" else len(bundle.targets)
    values = np.full((len(prepared), width), np.nan, dtype=np.float32)
    if not sum(counts):
        return values
    digital = np.concatenate([one.digital for one in prepared])
    lead_mask = np.concatenate([one.lead_mask for one in prepared])
    recorded = np.concatenate([one.recorded for one in prepared])
    found = run_windows(bundle, digital, lead_mask, recorded)[output]
    ends = np.cumsum(counts)
    for i, (end, count) in enumerate(zip(ends, counts, strict=True)):
        if count:
            values[i] = combine_windows(found[end - count : end], windows)
    return values


def require_policy(bundle: Bundle, windows: Windows, output: Output) -> None:
    """Check that the window policy supports the output: ``max`` requires independent labels.

    Raises:
        InputError: the policy is unknown, or it is ``max``, and the output is an embedding or the task is multiclass or a
            regression.
    """
    if windows not in POLICIES:
        what, remedy = f"is {windows!r}, which is not known", f"Use one of: {', '.join(POLICIES)}"
        raise InputError(Problem("windows", "policy", what, remedy))
    decision = bundle.decision
    if windows == "max" and (output == "embedding" or decision is None or decision.kind != "multilabel"):
        what = "is 'max', which can be used for independent labels only"
        raise InputError(Problem("windows", "policy", what, "Use 'mean' or 'contract'"))


def require_targets(bundle: Bundle, where: str) -> Decision:
    """Return the calibrators and thresholds of the classifier in a bundle.

    Raises:
        InputError: the bundle contains an encoder, not a classifier.
    """
    if bundle.decision is None:
        what = "is an encoder, which predicts no targets"
        raise InputError(Problem(where, "kind", what, "Use 'ecgssl embed', or use the bundle of a classifier"))
    return bundle.decision


def score_columns(decision: Decision) -> dict[str, type]:
    """Return the names and types of the score columns, in order.

    Each label has the columns ``logit__NAME`` and ``prob__NAME`` (calibrated probability), and one column
    ``call__NAME__THRESHOLD`` (1 or 0) for each of its thresholds. A multiclass task also has ``predicted``, the most
    probable class. A target of a regression has ``raw__NAME`` and ``value__NAME``, before and after calibration.
    """
    if decision.kind == "regression":
        return {f"{kind}__{name}": float for name in decision.names for kind in ("raw", "value")}
    columns: dict[str, type] = {}
    for label in decision.labels:
        columns |= {f"logit__{label.name}": float, f"prob__{label.name}": float}
        columns |= {f"call__{label.name}__{threshold}": int for threshold in label.thresholds}
    return columns | ({"predicted": str} if decision.kind == "multiclass" else {})


def score_cells(decision: Decision, logits: NDArray[np.float32]) -> dict[str, list[Any]]:
    """Return the values of the score columns by the names in ``score_columns``.

    Values are ``None`` for recordings without logits. A prediction is also ``None`` if its threshold has no value.

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
