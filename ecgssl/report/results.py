"""Sections of a report about how well the model does: ranking, curves, errors of numbers, confusion of classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from ecgssl.evaluation.statistics.metrics import headline_metrics
from ecgssl.report.charts import Mark, Panel, forest, mark
from ecgssl.report.text import (
    absent,
    estimate,
    model_name,
    number,
    plain_estimate,
    probability,
    share,
    table,
)

MOST = 12
"""Labels whose curves are drawn; those with the most positives."""
_UNIT = (0.0, 1.0)


def results(report: Mapping[str, Any]) -> str:
    """Figures of all models with intervals and support, who beats whom, and curves."""
    parts = [_macro(report), _paired(report)]
    if report["asked"]["kind"] == "regression":
        parts += [_numbers(report), _agreement(report)]
    else:
        parts += [_labels(report), _confusion(report), _ranking_curves(report)]
    method = report["evaluation"].get("method", {})
    how = (
        "Each recording was scored by models that had not learned from its patient."
        if report["asked"]["folds"]
        else "Validation chose everything; these recordings were scored once."
    )
    lead = f"<p>On {_split(report)}. {how} Intervals: {escape(method.get('interval', 'not stated'))}.</p>"
    return f"<h2 id='results'>Results</h2>{lead}{''.join(parts)}"


def split_words(split: str) -> str:
    """What a split is, for people."""
    return {"test": "the test recordings", "val": "the validation recordings", "external": "the external recordings"}[
        split
    ]


def _split(report: Mapping[str, Any]) -> str:
    counted = report["evaluation"]["splits"][report["split"]]
    return f"{split_words(report['split'])}: {counted['records']:,} of {counted['patients']:,} patients"


def _models(report: Mapping[str, Any]) -> list[str]:
    figures = report["evaluation"]
    others = [m for m in figures["models"] if m != figures["main"]]
    return [m for m in (figures["main"], *others) if report["split"] in figures["models"][m]]


def _macro(report: Mapping[str, Any]) -> str:
    figures, split = report["evaluation"], report["split"]
    asked = [(m.name, m.title) for m in headline_metrics(report["asked"]["kind"])]
    rows = []
    for model in _models(report):
        found = figures["models"][model][split]["macro"]
        name = f"<b>{escape(model_name(model))}</b>" if model == figures["main"] else escape(model_name(model))
        rows.append([name, *(estimate(found.get(metric)) for metric, _ in asked), f"{found.get('labels', '')}"])
    return "<h3>Over all outputs</h3>" + table(["model", *(title for _, title in asked), "outputs defined"], rows)


def _paired(report: Mapping[str, Any]) -> str:
    figures, split = report["evaluation"], report["split"]
    paired = figures.get("paired", {}).get(split, {})
    rows = []
    for other, found in paired.items():
        for metric, title in [(m.name, m.title) for m in headline_metrics(report["asked"]["kind"])]:
            if metric in found and found[metric].get("difference") is not None:
                against = f"{escape(figures['main'])} less {escape(model_name(other))}"
                rows.append([against, title, estimate(found[metric], sign="+"), probability(found[metric].get("p"))])
    if not rows:
        return absent("a comparison with another model.")
    return "<h3>Differences on the same recordings</h3>" + table(["", "of", "difference (interval)", ""], rows, text=2)


def _labels(report: Mapping[str, Any]) -> str:
    figures, split, main = report["evaluation"], report["split"], report["evaluation"]["main"]
    own = figures["models"][main][split]["labels"]
    baseline = figures.get("baseline")
    base = figures["models"].get(baseline, {}).get(split, {}).get("labels", {})
    delong = figures.get("paired", {}).get(split, {}).get(baseline, {}).get("delong", {})
    bars: list[tuple[str, str, list[Mark]]] = []
    rows: list[list[str]] = []
    cautions: list[str] = []
    for name in report["asked"]["labels"]:
        found, other = own[name], base.get(name, {}).get("auroc")
        gain = delong.get(name, {})
        rows.append(
            [
                escape(name),
                f"{share(found['positives'], found['records'])}<br><small>of {found['records']:,}</small>",
                estimate(found["auroc"]),
                estimate(found["auprc"]),
                number(other["value"]) if other else "",
                f"{estimate(gain, sign='+')}<br><small>{probability(gain.get('p'))}</small>" if gain else "",
            ]
        )
        marks = [mark("main", found["auroc"]), *([mark("base", other)] if other else [])]
        beside = f"{plain_estimate(found['auroc'])}, {found['positives']:,} positive"
        bars.append((name, beside, marks))
        if found.get("undefined") or found.get("caution"):
            cautions.append(f"<li><b>{escape(name)}</b>: {escape(found.get('undefined') or found['caution'])}</li>")
    chart = forest(bars, "AUROC, with interval") if len(bars) <= 30 else ""
    key = _key(report, ["main", "base"]) if base else ""
    warned = f"<ul class='told few-list'>{''.join(cautions)}</ul>" if cautions else ""
    heads = ["output", "positive", "AUROC", "AUPRC", "random encoder", "difference (DeLong)"]
    return f"<h3>Each output</h3>{key}<div class='scroll'>{chart}</div>{table(heads, rows)}{warned}"


def _confusion(report: Mapping[str, Any]) -> str:
    figures, split, main = report["evaluation"], report["split"], report["evaluation"]["main"]
    counts = figures["models"][main][split].get("confusion")
    if not counts:
        return ""
    names = [name.partition(":")[2] or name for name in report["asked"]["labels"]]
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(sum(row), 1)
        cells = [f"<span class='heat' style='--share:{count / total:.2f}'>{count:,}</span>" for count in row]
        rows.append([escape(name), *cells, f"{sum(row):,}"])
    heads = ["true class", *(escape(name) for name in names), "in all"]
    return "<h3>Confusion</h3><p class='soft'>Rows: the true class; columns: the likeliest class.</p>" + table(
        heads, rows
    )


def _ranking_curves(report: Mapping[str, Any]) -> str:
    roc, pr = report["curves"].get("roc", {}), report["curves"].get("pr", {})
    names = most_positive(report, roc)
    if not names:
        return absent("curves, as no output has both classes.")
    boxes = []
    figures, split = report["evaluation"], report["split"]
    own = figures["models"][figures["main"]][split]["labels"]
    for name in names:
        first = Panel(_UNIT, _UNIT, ("1 − specificity", "sensitivity"), f"ROC curve of {name}")
        first.line((0, 1), (0, 1), "chance")
        second = Panel(_UNIT, _UNIT, ("recall", "precision"), f"Precision and recall of {name}")
        prevalence = own[name]["prevalence"] or 0.0
        second.line((0, 1), (prevalence, prevalence), "chance")
        for model in reversed(_models(report)):
            kind = _kind(report, model)
            (false, true), (recall, precision) = roc[name][model], pr[name][model]
            first.line(false, true, kind)
            second.line(recall, precision, kind, steps=True)
        boxes.append(f"<div class='pair'><h4>{escape(name)}</h4><div>{first.svg()}{second.svg()}</div></div>")
    kinds = list(dict.fromkeys(_kind(report, model) for model in _models(report)))
    left = len(roc) - len(names)
    more = f"<p class='soft'>{left} rarer outputs are not drawn.</p>" if left else ""
    told = "<p class='soft'>Dotted: a model that knows nothing.</p>"
    return f"<h3>ROC, and precision by recall</h3>{_key(report, kinds)}{told}<div class='pairs'>{''.join(boxes)}</div>{more}"


def most_positive(report: Mapping[str, Any], names: Collection[str]) -> list[str]:
    """The outputs among ``names`` that are drawn: those with the most positives, in the order of the task."""
    figures, split = report["evaluation"], report["split"]
    own = figures["models"][figures["main"]][split]["labels"]
    kept = sorted(names, key=lambda name: -own[name]["positives"])[:MOST]
    return [name for name in report["asked"]["labels"] if name in kept]


def _kind(report: Mapping[str, Any], model: str) -> str:
    figures = report["evaluation"]
    return "main" if model == figures["main"] else "base" if model == figures.get("baseline") else "other"


def _key(report: Mapping[str, Any], kinds: list[str]) -> str:
    figures = report["evaluation"]
    others = [m for m in figures["models"] if m not in (figures["main"], figures.get("baseline"))]
    names = {"main": figures["main"], "base": model_name(str(figures.get("baseline"))), "other": ", ".join(others)}
    entries = "".join(f"<span><i class='key {kind}'></i>{escape(names[kind])}</span>" for kind in kinds)
    return f"<p class='legend'>{entries}</p>"


def _numbers(report: Mapping[str, Any]) -> str:
    figures, split, main = report["evaluation"], report["split"], report["evaluation"]["main"]
    units = report["asked"]["units"]
    rows = []
    for name in report["asked"]["labels"]:
        found = figures["models"][main][split]["labels"][name]
        unit = f" <span class='ci'>{escape(units[name])}</span>" if units.get(name) else ""
        limits = f"{number(found['limit_low']['value'], 1)} to {number(found['limit_high']['value'], 1)}"
        rows.append(
            [
                escape(name) + unit,
                f"{found['records']:,}",
                estimate(found["mae"], 2),
                estimate(found["rmse"], 2),
                estimate(found["r2"]),
                estimate(found["bias"], 2, "+"),
                limits,
            ]
        )
    heads = [
        "target",
        "recordings",
        "mean absolute error",
        "RMSE",
        "R²",
        "bias (predicted less true)",
        "limits of agreement",
    ]
    return "<h3>Each target</h3>" + table(heads, rows)


def _agreement(report: Mapping[str, Any]) -> str:
    boxes = []
    for name in report["asked"]["labels"]:
        groups = report["curves"].get("agreement", {}).get(name)
        if not groups:
            continue
        values = [g[key] for g in groups for key in ("predicted", "true", "low", "high")]
        pad = 0.05 * ((max(values) - min(values)) or 1.0)
        span = (min(values) - pad, max(values) + pad)
        panel = Panel(span, span, ("predicted", "true"), f"Predicted and true {name}", width=380, height=340)
        panel.line(span, span, "chance")
        for g in groups:
            panel.upright(g["predicted"], g["low"], g["high"], "main")
            panel.dot(g["predicted"], g["true"], "main", f"{g['records']} recordings")
        boxes.append(f"<div><h4>{escape(name)}</h4>{panel.svg()}</div>")
    if not boxes:
        return absent("predicted by true numbers, as there are fewer than ten recordings.")
    told = (
        "Recordings in groups of similar prediction: mean truth (dot) and its 10th to 90th percentile (line). "
        "On the dotted line prediction and truth agree."
    )
    return f"<h3>Predicted and true</h3><p class='soft'>{told}</p><div class='charts'>{''.join(boxes)}</div>"
