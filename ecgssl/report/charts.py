"""Charts of the report page: forest plot, ROC, precision-recall, reliability and decision curves, agreement of regressions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ecgssl.html.charts import Chart, Limits, forest, mark, panel
from ecgssl.html.environment import number
from ecgssl.report.statements import Report

MOST_BARS = 30
"""Maximum number of outputs in a forest plot. With more outputs, the page has no forest plot."""
_MOST_CURVES = 12
"""Maximum number of outputs with drawn curves. Outputs with more positives take precedence."""
_UNIT: Limits = (0.0, 1.0)


def classification_charts(report: Report) -> dict[str, Any]:
    """Return the charts of a multilabel or multiclass task, and how many outputs have no curves, by name in the templates."""
    reliability = report["curves"].get("reliability", {})
    ranking = _most_positive(report, report["curves"].get("roc", {}))
    computed = report["evaluation"].get("net_benefit", {}).get(report["split"])
    benefit = computed or {"labels": {}}
    drawn = _most_positive(report, reliability)
    return {
        "forest": _forest(report),
        "ranking": [(name, _roc(report, name), _precision_recall(report, name)) for name in ranking],
        "not_drawn": len(report["curves"].get("roc", {})) - len(ranking),
        "reliability": [(name, _reliability(name, reliability[name])) for name in drawn],
        "calibrated": any("after" in reliability[name] for name in drawn),
        "benefit": [
            (name, _decision_curve(name, benefit["risk"], benefit["labels"][name]))
            for name in _most_positive(report, benefit["labels"])
        ],
        "benefit_computed": computed is not None,
    }


def _most_positive(report: Report, names: Collection[str]) -> list[str]:
    """Return the outputs of ``names`` with the most positives, at most ``_MOST_CURVES``, in the order of the task."""
    labels = own_labels(report)
    kept = sorted(names, key=lambda name: -labels[name]["positives"])[:_MOST_CURVES]
    return [name for name in report["asked"]["labels"] if name in kept]


def _forest(report: Report) -> Markup:
    base = model_labels(report, report["evaluation"].get("baseline"))
    rows = []
    for name, found in own_labels(report).items():
        marks = [mark("main", found["auroc"]), *([mark("base", base[name]["auroc"])] if name in base else [])]
        rows.append((name, f"{estimate_text(found['auroc'])}, {found['positives']:,} positive", marks))
    return forest(rows, "AUROC with confidence interval") if len(rows) <= MOST_BARS else Markup("")


def _roc(report: Report, name: str) -> Markup:
    chart = panel(_UNIT, _UNIT, ("1 − specificity", "sensitivity"))
    chart.line(_UNIT, _UNIT, "chance")
    for model in reversed(evaluated_models(report)):
        x, y = report["curves"]["roc"][name][model]
        chart.line(x, y, line_class(report, model))
    return chart.svg(f"ROC curve of {name}", "panel")


def _precision_recall(report: Report, name: str) -> Markup:
    chart = panel(_UNIT, _UNIT, ("recall", "precision"))
    chart.line(_UNIT, [own_labels(report)[name]["prevalence"] or 0.0] * 2, "chance")
    for model in reversed(evaluated_models(report)):
        x, y = report["curves"]["pr"][name][model]
        chart.line(x, y, line_class(report, model), steps=True)
    return chart.svg(f"Precision-recall curve of {name}", "panel")


def _reliability(name: str, stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """Return the reliability diagram of an output, before and after calibration. Only the last stage has intervals."""
    chart = panel(_UNIT, _UNIT, ("predicted", "observed"))
    chart.line(_UNIT, _UNIT, "chance")
    for when, kind in (("before", "base"), ("after", "main")):
        groups = stages.get(when, [])
        chart.line([g["predicted"] for g in groups], [g["observed"] for g in groups], f"thin {kind}")
        _groups(chart, groups, "observed", kind, intervals=when == "after" or "after" not in stages)
    return chart.svg(f"Reliability of {name}", "panel")


def _groups(chart: Chart, groups: Sequence[Mapping[str, Any]], y: str, kind: str, *, intervals: bool = True) -> None:
    for group in groups:
        x = group["predicted"]
        if intervals:
            chart.segment((x, group["low"]), (x, group["high"]), f"whisker {kind}")
        chart.dot(x, group[y], kind, f"{group['records']} recordings")


def _decision_curve(name: str, risk: Sequence[float], curve: Mapping[str, Sequence[float | None]]) -> Markup:
    top = max(value for values in ([0.02], curve["model"], curve["all"]) for value in values if value is not None)
    low = -0.2 * top
    chart = panel(_UNIT, (low, 1.05 * top), ("risk threshold", "net benefit"))
    chart.line(_UNIT, (0, 0), "chance")
    for key, kind in (("all", "base"), ("model", "main")):
        shown = [(r, value) for r, value in zip(risk, curve[key], strict=True) if value is not None and value >= low]
        chart.line([r for r, _ in shown], [value for _, value in shown], kind)
    return chart.svg(f"Decision curve of {name}", "panel")


def agreement_charts(report: Report) -> dict[str, Any]:
    """Return the charts of a regression: mean predicted and true values of groups of recordings."""
    charts = []
    for name in report["asked"]["labels"]:
        groups = report["curves"].get("agreement", {}).get(name)
        if not groups:
            continue
        values = [group[key] for group in groups for key in ("predicted", "true", "low", "high")]
        margin = 0.05 * ((max(values) - min(values)) or 1.0)
        limits = (min(values) - margin, max(values) + margin)
        chart = panel(limits, limits, ("predicted", "true"), (380, 340))
        chart.line(limits, limits, "chance")
        _groups(chart, groups, "true", "main")
        charts.append((name, chart.svg(f"Predicted and true {name}", "panel")))
    return {"agreement": charts}


def line_class(report: Report, model: str) -> str:
    """Return the CSS class of a model's lines in the charts."""
    figures = report["evaluation"]
    return "main" if model == figures["main"] else "base" if model == figures.get("baseline") else "other"


def evaluated_models(report: Report) -> list[str]:
    """Return the names of the models that were evaluated on the split, the main model first."""
    figures = report["evaluation"]
    order = [figures["main"], *(m for m in figures["models"] if m != figures["main"])]
    return [model for model in order if report["split"] in figures["models"][model]]


def model_labels(report: Report, model: str | None) -> dict[str, Any]:
    """Return the metrics of each output of a model, in the order of the task. Empty if the model was not evaluated."""
    found = report["evaluation"]["models"].get(model, {}).get(report["split"], {}).get("labels", {})
    return {name: found[name] for name in report["asked"]["labels"] if name in found}


def own_labels(report: Report) -> dict[str, Any]:
    """Return the metrics of each output of the main model, in the order of the task."""
    return model_labels(report, report["evaluation"]["main"])


def estimate_text(found: Mapping[str, Any]) -> str:
    """Return the value of an estimate without its interval, or ``undefined`` if it has no value."""
    return number(found["value"]) if found.get("value") is not None else "undefined"
