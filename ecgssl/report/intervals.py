"""Confidence intervals without width in a report, and the caution about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecgssl.datasets.cohort import counted
from ecgssl.evaluation.statistics.metrics import headline_metrics
from ecgssl.report.charts import evaluated_models, own_labels
from ecgssl.report.statements import Report

_MOST_NAMED = 5
"""Maximum number of outputs that are named for one metric. Further outputs are counted."""
_OF_OUTPUTS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mae": "mean absolute error",
    "rmse": "RMSE",
    "r2": "R²",
    "bias": "bias",
}
_RATES = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}


def without_width(report: Report, model_names: Mapping[str, str]) -> str:
    """Return a caution about the intervals whose bounds are equal; empty if there are none.

    It names metrics and outputs, and the numbers of recordings and of positive recordings. Differences between models
    are not considered: their interval has no width if both models have the same predictions.

    Args:
        report: content of ``report.json``.
        model_names: name of each model in the tables of the report.
    """
    models = {model: report["evaluation"]["models"][model][report["split"]] for model in evaluated_models(report)}
    parts = []
    for metric in headline_metrics(report["asked"]["kind"]):
        means = [
            model_names[model] for model, found in models.items() if _has_no_width(found["macro"].get(metric.name))
        ]
        parts += [f"{metric.title} ({_listed(means)})"] if means else []
    concerned = _outputs(report)
    parts += [f"{title} ({_listed(names)})" for title, names in concerned.items()]
    parts += [f"{title} of {counted(count, 'subgroup')}" for title, count in _subgroups(report).items()]
    if not parts:
        return ""
    where = report["evaluation"]["splits"][report["split"]]
    size = f"{where['records']:,} recordings of {where['patients']:,} patients"
    text = f"{'; '.join(parts)}. The bounds are equal, because almost all bootstrap resamples have the same value. "
    text += f"Such an interval does not show certainty. These results are of {size}"
    named = {name for names in concerned.values() for name in names}
    own = [(name, found) for name, found in own_labels(report).items() if name in named and "positives" in found]
    positives = [f"{name} {found['positives']:,} of {found['records']:,}" for name, found in own]
    return f"{text}; positive recordings: {_listed(positives)}." if positives else f"{text}."


def _outputs(report: Report) -> dict[str, list[str]]:
    """Return the outputs of the main model with an interval without width, by title of the metric."""
    found: dict[str, list[str]] = {}
    for name, entry in own_labels(report).items():
        titles = [title for key, title in _OF_OUTPUTS.items() if _has_no_width(entry.get(key))]
        points = entry.get("thresholds", {}).values()
        titles += [title for key, title in _RATES.items() if any(_has_no_width(point.get(key)) for point in points)]
        for title in titles:
            found.setdefault(title, []).append(name)
    return {title: found[title] for title in (*_OF_OUTPUTS.values(), *_RATES.values()) if title in found}


def _subgroups(report: Report) -> dict[str, int]:
    """Return the number of subgroups with an interval without width for at least one output, by title of the metric."""
    groups: dict[str, set[tuple[str, str]]] = {}
    for entry in report["evaluation"].get("subgroups", {}).get(report["split"]) or []:
        metrics = entry.get("metrics") or {}
        for key in ("auroc", "mae"):
            if _has_no_width(metrics.get(key)):
                groups.setdefault(_OF_OUTPUTS[key], set()).add((str(entry["column"]), str(entry["group"])))
    return {title: len(found) for title, found in groups.items()}


def _has_no_width(found: Mapping[str, Any] | None) -> bool:
    return found is not None and found.get("low") is not None and found["low"] == found.get("high")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
