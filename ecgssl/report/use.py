"""Sections of a report about using the model: calibration, thresholds, net benefit, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ecgssl.evaluation.subgroups import UNKNOWN
from ecgssl.report.charts import Panel
from ecgssl.report.results import most_positive
from ecgssl.report.text import UNDEFINED, absent, estimate, number, table

_UNIT = (0.0, 1.0)
_CUTS = {"youden": "Youden's index", "sensitivity": "sensitivity", "specificity": "specificity"}
_METRICS = (("auroc", "AUROC"), ("mae", "Mean absolute error"))


def calibration(report: Mapping[str, Any]) -> str:
    """Reliability before and after calibration, with slope, intercept, Brier score and ECE."""
    if report["asked"]["kind"] == "regression":
        return ""
    found = report["curves"].get("reliability", {})
    names = most_positive(report, found)
    head = "<h2 id='calibration'>Calibration</h2>"
    if not names:
        return head + absent("reliability, as no output has both classes.")
    boxes = []
    both = any("after" in found[name] for name in names)
    for name in names:
        panel = Panel(_UNIT, _UNIT, ("predicted", "observed"), f"Reliability of {name}")
        panel.line(_UNIT, _UNIT, "chance")
        for when, kind in (("before", "base"), ("after", "main")):
            bins = found[name].get(when, [])
            panel.line([b["predicted"] for b in bins], [b["observed"] for b in bins], f"thin {kind}")
            for b in bins:
                # the frozen calibration is what is used: its intervals are the ones that count
                if when == "after" or not both:
                    panel.upright(b["predicted"], b["low"], b["high"], kind)
                panel.dot(b["predicted"], b["observed"], kind, f"{b['records']} recordings")
        boxes.append(f"<div><h4>{escape(name)}</h4>{panel.svg()}</div>")
    stages = [("base", "as the model puts it out"), *([("main", "calibrated")] if both else [])]
    key = "".join(f"<span><i class='key {kind}'></i>{said}</span>" for kind, said in stages)
    method = report["evaluation"].get("method", {}).get("calibration", "")
    told = (
        "Ten groups of equal count at most, 95 % Wilson intervals. On the dotted line, of those told 30 % thirty in a hundred "
        "have it."
    )
    said = f" Calibration: {escape(method)}." if method else ""
    missing = "" if both else absent("calibrated probabilities; this run was made before there were any.")
    rows = _calibration_rows(report)
    heads = ["output", "", "slope", "intercept", "Brier score", "ECE"]
    figures = table(heads, rows, text=2) if rows else ""
    return (
        f"{head}<p>{told}{said}</p><p class='legend'>{key}</p>{missing}<div class='panels'>{''.join(boxes)}</div>{figures}"
        "<p class='soft'>Slope 1 and intercept 0 are perfect; a slope under 1 means too extreme probabilities.</p>"
    )


def _calibration_rows(report: Mapping[str, Any]) -> list[list[str]]:
    figures, split = report["evaluation"], report["split"]
    rows = []
    for name in report["asked"]["labels"]:
        found = figures["models"][figures["main"]][split]["labels"][name]
        if "calibration" not in found:
            if "brier" in found:
                rows.append(
                    [escape(name), "before", UNDEFINED, UNDEFINED, number(found["brier"]), number(found["ece"])]
                )
            continue
        for when, said in (("before", "before"), ("after", "after")):
            stage = found["calibration"][when]
            figures_of = [estimate(stage[key], 2) for key in ("slope", "intercept")]
            rows.append(
                [
                    escape(name) if when == "before" else "",
                    said,
                    *figures_of,
                    estimate(stage["brier"]),
                    number(stage["ece"]),
                ]
            )
    return rows


def thresholds(report: Mapping[str, Any]) -> str:
    """What every frozen threshold does on these recordings."""
    if report["asked"]["kind"] != "multilabel":
        return ""
    figures, split = report["evaluation"], report["split"]
    head = "<h2 id='thresholds'>Thresholds</h2>"
    rows = []
    for name in report["asked"]["labels"]:
        found = figures["models"][figures["main"]][split]["labels"][name].get("thresholds", {})
        # Youden's first, then by name
        for cut in sorted(found, key=lambda name: (name != "youden", name)):
            point, shown = found[cut], escape(name) if cut == "youden" or "youden" not in found else ""
            if point.get("value") is None:
                why = f"<span class='soft'>none: {escape(str(point.get('undefined', '')))}</span>"
                rows.append([shown, _cut(cut), why, "", "", "", "", ""])
                continue
            rates = [estimate(point[rate], 2, brief=True) for rate in ("sensitivity", "specificity", "ppv", "npv")]
            counts = f"{point['tp']} / {point['fp']} / {point['fn']} / {point['tn']}"
            rows.append([shown, _cut(cut), number(point["value"]), *rates, counts])
    if not rows:
        return head + absent("thresholds; this run was made before there were any.")
    told = (
        "Chosen on validation and frozen: called positive at or above the cut-off, on the calibrated probability. "
        "PPV and NPV hold at the prevalence of these recordings."
    )
    heads = ["output", "chosen for", "cut-off", "sensitivity", "specificity", "PPV", "NPV", "TP / FP / FN / TN"]
    return f"{head}<p>{told}</p>{table(heads, rows, text=2)}"


def _cut(name: str) -> str:
    kind, _, wanted = name.partition("_")
    return f"{_CUTS.get(kind, escape(kind))} {wanted}".strip()


def net_benefit(report: Mapping[str, Any]) -> str:
    """Decision curves: the model, treating all, treating none."""
    if report["asked"]["kind"] != "multilabel":
        return ""
    head = "<h2 id='benefit'>Decision curve</h2>"
    found = report["evaluation"].get("net_benefit", {}).get(report["split"])
    if not found or not found["labels"]:
        return head + absent("net benefit; this run was made before it was computed.")
    boxes = []
    for name in most_positive(report, found["labels"]):
        curve = found["labels"][name]
        top = max([*curve["model"], *curve["all"], 0.02])
        low = -0.2 * top
        risk = found["risk"]
        panel = Panel(
            (0.0, 1.0), (low, 1.05 * top), ("risk at which one acts", "net benefit"), f"Decision curve of {name}"
        )
        panel.line((0, 1), (0, 0), "chance")
        for key, kind in (("all", "base"), ("model", "main")):
            shown = [(r, v) for r, v in zip(risk, curve[key], strict=True) if v is not None and v >= low]
            panel.line([r for r, _ in shown], [v for _, v in shown], kind)
        boxes.append(f"<div><h4>{escape(name)}</h4>{panel.svg()}</div>")
    told = (
        "What acting on the model is worth at each risk at which one would act (Vickers & Elkin 2006), in true positives per "
        "recording, less false ones weighed by the odds of that risk. Dotted: acting on nobody."
    )
    key = "<span><i class='key main'></i>acting on the model</span><span><i class='key base'></i>acting on everyone</span>"
    return f"{head}<p>{told}</p><p class='legend'>{key}</p><div class='panels'>{''.join(boxes)}</div>"


def subgroups(report: Mapping[str, Any]) -> str:
    """Results by sex, age, site, device or another column; small groups are withheld."""
    entries = report["evaluation"].get("subgroups", {}).get(report["split"]) or []
    told = {str(entry["column"]) for entry in entries if entry.get("group") != UNKNOWN}
    entries = [entry for entry in entries if str(entry["column"]) in told]
    head = "<h2 id='subgroups'>Subgroups</h2>"
    if not entries:
        return head + absent("subgroups, as no column of people is known of these recordings, or the run is older.")
    method = report["evaluation"].get("method", {}).get("subgroups", "small groups are withheld")
    parts = [f"<p>A group's numbers rest on few people: read the intervals. Groups are {escape(method)}.</p>"]
    for column in dict.fromkeys(str(entry["column"]) for entry in entries):
        parts.append(f"<h3>By {escape(column)}</h3>{_by_column([e for e in entries if str(e['column']) == column])}")
    return head + "".join(parts)


def _by_column(entries: Sequence[Mapping[str, Any]]) -> str:
    if entries[0].get("group") is None:
        return f"<p class='soft'>{escape(str(entries[0].get('withheld', '')))}</p>"
    labels = list(dict.fromkeys(str(entry["label"]) for entry in entries))
    rows = []
    for group in dict.fromkeys(str(entry["group"]) for entry in entries):
        cells = {str(e["label"]): e for e in entries if str(e["group"]) == group}
        counted = next((e["records"] for e in cells.values() if e.get("records") is not None), None)
        rows.append(
            [escape(group), "" if counted is None else f"{counted:,}", *(_cell(cells[name]) for name in labels)]
        )
    shown = next((title for entry in entries for m, title in _METRICS if m in (entry.get("metrics") or {})), "")
    return table(["group", "recordings", *(escape(name) for name in labels)], rows, caption=shown)


def _cell(entry: Mapping[str, Any]) -> str:
    metrics = entry.get("metrics")
    if not metrics:
        return f"<span class='soft'>{escape(str(entry.get('withheld') or 'undefined'))}</span>"
    metric = next(m for m, _ in _METRICS if m in metrics)
    positives = entry.get("positives")
    support = f"<br><small>{positives:,} positive</small>" if positives is not None else ""
    digits = 2 if metric == "auroc" else 1
    return estimate(metrics[metric], digits, brief=True) + support
