"""Drawings of the recordings with the smallest and largest errors, with attribution. Recordings are numbered, not named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import kind_of, labels_of, outputs_of, targets_of
from ecgssl.evaluation.statistics.metrics import Array
from ecgssl.model.classifier import Classifier
from ecgssl.progress import progress
from ecgssl.report.attribution import Attribution, Method, attribute, in_windows, share_by_lead
from ecgssl.signal.drawing import draw_12_lead, filter_text
from ecgssl.signal.figure_file import png_bytes
from ecgssl.signal.normalise import normalise
from ecgssl.store.store import Store

AttributionChoice = Method | Literal["none"]

_DPI = 110
_TINY = 1e-12


@dataclass(frozen=True)
class Drawn:
    """One drawn recording of the report.

    Args:
        facts: entry of ``report.json``: number, ``best`` or ``worst``, true and predicted outputs, attribution.
        png: 12-lead drawing as a PNG file.
    """

    facts: dict[str, Any]
    png: bytes


def draw_recordings(
    store: Store,
    classifier: Classifier,
    predictions: pd.DataFrame,
    decision: Decision | None,
    *,
    count: int,
    attribution: AttributionChoice = "integrated_gradients",
    leads: NDArray[np.bool_] | None = None,
    show_progress: bool = True,
) -> list[Drawn]:
    """Return drawings of the scored recordings with the smallest and largest errors, at most one per patient.

    The error is the mean log loss over the known outputs, or the mean absolute error of a regression. The best recordings
    are chosen among those with at least one positive label (classification) or known target (regression).

    Args:
        store: store of the recordings.
        classifier: fine-tuned classifier.
        predictions: predictions of this classifier on one split.
        decision: calibrators; ``None`` for a run without calibration.
        count: number of best recordings, and of worst recordings.
        attribution: attribution method; ``none`` draws the recordings without attribution.
        leads: (L,) bool, leads that the model receives; ``None`` for all.
        show_progress: draw a progress bar on a terminal.
    """
    kind, names = kind_of(predictions), labels_of(predictions)
    place = pd.Series(np.arange(len(store)), index=store.index["record_id"].astype(str))
    table = predictions[predictions["record_id"].astype(str).isin(place.index)].sort_values(
        "record_id", ignore_index=True
    )
    truth, outputs = targets_of(table, names), outputs_of(table, names, kind)
    shown = _shown(table, names, outputs, decision, kind)
    losses = _losses(truth, shown, kind)
    chosen = _choose(losses, truth, table["patient"].to_numpy().astype(str), kind, count)
    drawn = []
    with progress("draw", len(chosen), enabled=show_progress) as advance:
        for number, (how, row) in enumerate(chosen, start=1):
            k = int(np.nanargmax(losses[row])) if how == "worst" else _best_output(losses[row], truth[row], kind)
            explained = _explained_output(k, truth[row], shown[row], kind, how)
            at = np.array([int(place[str(table["record_id"].iloc[row])])])
            facts = {
                "number": number,
                "how": how,
                "outputs": [
                    {
                        "label": name,
                        "true": None if np.isnan(truth[row, i]) else float(truth[row, i]),
                        "predicted": float(shown[row, i]),
                    }
                    for i, name in enumerate(names)
                ],
                "looked_for": names[explained],
            }
            drawn.append(_draw(store, classifier, at, explained, facts, attribution, leads))
            advance(1)
    return drawn


def _draw(
    store: Store,
    classifier: Classifier,
    at: NDArray[np.int64],
    k: int,
    facts: dict[str, Any],
    attribution: AttributionChoice,
    leads: NDArray[np.bool_] | None,
) -> Drawn:
    signal, present, recorded = store.signals(at), store.lead_mask(at), torch.from_numpy(store.recorded(at))
    if leads is not None:
        present = present & leads
    relevance = None
    if attribution != "none":
        mask = torch.from_numpy(present)
        x = normalise(torch.from_numpy(signal), mask, store.spec.normalise, recorded)
        found = attribute(classifier, x, mask, k, method=attribution, recorded=recorded)
        relevance = in_windows(found.values[0], store.spec.sampling_rate)
        facts = facts | {"attribution": _attribution(found, store.spec.leads, present[0])}
    signal[..., int(recorded[0]) :] = np.nan
    title, filters = f"Recording {facts['number']}", filter_text(store.spec.clean)
    figure = draw_12_lead(
        signal[0], store.spec.sampling_rate, store.spec.leads, present[0],
        title=title, filters=filters, relevance=relevance,
    )  # fmt: skip
    return Drawn(facts, png_bytes(figure, _DPI))


def _attribution(found: Attribution, leads: tuple[str, ...], present: NDArray[np.bool_]) -> dict[str, Any]:
    share = share_by_lead(found.values)[0]
    gap = float(found.gap[0])
    return {
        "method": found.method,
        "output": float(found.output[0]),
        "baseline": float(found.baseline[0]),
        "gap": None if np.isnan(gap) else gap,
        "complete": bool(found.complete[0]),
        "share_by_lead": {lead: float(s) for lead, s, there in zip(leads, share, present, strict=True) if there},
    }


def _shown(table: pd.DataFrame, names: list[str], outputs: Array, decision: Decision | None, kind: str) -> Array:
    if decision is not None:
        return decision.probabilities(outputs)
    return outputs if kind == "regression" else table[[f"prob__{n}" for n in names]].to_numpy(dtype=float)


def _losses(truth: Array, shown: Array, kind: str) -> Array:
    """Return the loss (N, K) of each output; NaN if the target is unknown."""
    if kind == "regression":
        return np.abs(shown - truth)
    p = np.clip(shown, _TINY, 1 - _TINY)
    return np.where(np.isnan(truth), np.nan, -np.where(truth == 1, np.log(p), np.log1p(-p)))


def _choose(
    losses: Array, truth: Array, patients: NDArray[np.str_], kind: str, count: int
) -> list[tuple[Literal["best", "worst"], int]]:
    known = ~np.isnan(losses)
    mean = np.where(known, np.nan_to_num(losses), 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    findings = np.any(known if kind == "regression" else truth == 1, axis=1)
    taken: set[str] = set()
    chosen: list[tuple[Literal["best", "worst"], int]] = []
    order = np.argsort(mean, kind="stable")
    for how, rows in (("worst", order[::-1]), ("best", order)):
        left = count
        for row in rows:
            eligible = findings[row] if how == "best" else known[row].any()
            if left and eligible and patients[row] not in taken:
                taken.add(patients[row])
                chosen.append(("best" if how == "best" else "worst", int(row)))
                left -= 1
    return chosen


def _best_output(losses: Array, truth: Array, kind: str) -> int:
    """Return the index of the output with the smallest loss, for classification among the positive outputs."""
    return int(np.nanargmin(losses if kind == "regression" else np.where(truth == 1, losses, np.nan)))


def _explained_output(k: int, truth: Array, shown: Array, kind: str, how: str) -> int:
    """Return the index of the output to explain: the predicted class for a ``worst`` multiclass recording, otherwise ``k``."""
    return int(np.argmax(shown)) if kind == "multiclass" and how == "worst" else k
