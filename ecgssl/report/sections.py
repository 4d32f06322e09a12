"""Values for the templates of the report page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import PackageLoader
from markupsafe import Markup

from ecgssl.evaluation.calibration.decision_text import (
    calibration_text,
    criterion_text,
    has_no_recordings,
    has_threshold,
    is_fitted,
    threshold_text,
)
from ecgssl.evaluation.leaderboard import named_mode
from ecgssl.evaluation.predictions import BASELINE, CLINICAL
from ecgssl.evaluation.statistics.metrics import headline_metrics, metric_named
from ecgssl.evaluation.subgroups import NAMED
from ecgssl.evaluation.suppression import SMALLEST
from ecgssl.html.environment import render
from ecgssl.leakage.overlap import in_words
from ecgssl.report import statements
from ecgssl.report.charts import (
    agreement_charts,
    classification_charts,
    estimate_text,
    evaluated_models,
    line_class,
    model_labels,
    own_labels,
)
from ecgssl.report.checklists import CARD, CHECKLISTS, SOURCES
from ecgssl.report.intervals import without_width
from ecgssl.report.statements import Report
from ecgssl.report.subgroup_tables import subgroup_tables
from ecgssl.signal.reasons import REASON_TEXTS
from ecgssl.training.origin import SYNTHETIC_ONLY

TEMPLATES = PackageLoader("ecgssl.report")
_REASONS = 8
_KINDS = {
    "multilabel": "findings, each present or absent",
    "multiclass": "one of several classes",
    "regression": "numbers",
}
_MODES = {
    "linear": "linear probe",
    "mlp": "linear probe averaged with a network of one hidden layer",
    "attentive": "attentive probe",
    "full": "full fine-tuning",
    "scratch": "all weights, from random weights,",
}
_SPLITS = {"test": "the test recordings", "val": "the validation recordings", "external": "the external recordings"}


def render_report(report: Report, pngs: Sequence[bytes]) -> str:
    """Return the HTML page of a report.

    Args:
        report: content of ``report.json``.
        pngs: one PNG drawing for each entry of ``report["recordings"]``.
    """
    figures, split, kind = report["evaluation"], report["split"], report["asked"]["kind"]
    main, baseline = figures["main"], figures.get("baseline")
    sections = _sections(kind)
    values = {
        "report": report,
        "asked": report["asked"],
        "synthetic_only": SYNTHETIC_ONLY if report["asked"]["synthetic_only"] else "",
        "figures": figures,
        "method": _method(report),
        "statements": {
            "selection": statements.selection(report).text,
            "calibration": statements.calibration(report),
            "thresholds": statements.thresholds(report),
            "use": statements.use_of_recordings(report).text,
            "division": statements.division(report).text,
            "repetitions": statements.repetitions(report).text,
        },
        "split": split,
        "split_name": _SPLITS[split],
        "counted": figures["splits"][split],
        "main": main,
        "baseline": baseline,
        "own": {**figures["models"][main][split], "labels": own_labels(report)},
        "models": evaluated_models(report),
        "model_names": _model_names(report),
        "metrics": {metric.name: metric.title for metric in headline_metrics(kind)},
        "primary": _primary(report),
        "clinical": _clinical(report),
        "tiles": _tiles(report),
        "sections": sections,
        "task": _task(report),
        "kind_text": _KINDS[kind],
        "mode_text": named_mode(_MODES.get(report["asked"]["mode"], report["asked"]["mode"]), report["choices"]),
        "smallest": SMALLEST,
        "named": NAMED,
        "flow": report["cohort"] and _flow(report["cohort"]),
        "prevalence": _prevalence(report),
        "paired": _paired(report),
        "base_labels": model_labels(report, baseline),
        "compared": _compared(report),
        "cautions": _cautions(report),
        "class_names": [name.partition(":")[2] or name for name in report["asked"]["labels"]],
        "legend": _legend(report),
        "calibrated_labels": {n: f for n, f in own_labels(report).items() if {"calibration", "brier"} & set(f)},
        "calibrated_names": _calibrated(report),
        "thresholds": list(_thresholds(report)) if kind == "multilabel" and _could_choose(report) else [],
        "subgroups": subgroup_tables(report),
        "charts": agreement_charts(report) if kind == "regression" else classification_charts(report),
        "recordings": list(zip(report["recordings"], pngs, strict=True)),
        "card_questions": CARD,
        "checklists": [_checklist(report, key) for key in CHECKLISTS],
    }
    return render(TEMPLATES, "report.html", **values)


def _method(report: Report) -> dict[str, Any]:
    """Return the texts on the evaluation method. Those on calibration and thresholds describe the decision, if any."""
    method = dict(report["evaluation"].get("method", {}))
    decision = statements.decision_of_results(report)
    if decision is not None:
        method |= {"calibration": calibration_text(decision), "thresholds": threshold_text(decision)}
    return method


def _calibrated(report: Report) -> set[str]:
    """Return the names of the outputs that have a fitted calibrator."""
    decision = statements.decision_of_results(report)
    return {label.name for label in decision.labels if is_fitted(label.calibrator)} if decision else set()


def _model_names(report: Report) -> dict[str, str]:
    names = {model: model for model in report["evaluation"]["models"]} | {BASELINE: "randomly initialised encoder"}
    if "epoch_of_random" not in report["choices"]:
        return names
    # baselines of a run with nonlinear probes can have kept their linear probe
    probes = {m: statements.baseline_probe(report, m) for m in names if m == BASELINE or m.startswith(CLINICAL)}
    return names | {model: f"{names[model]}, {probe.removeprefix('a ')}" for model, probe in probes.items()}


def _sections(kind: str) -> dict[str, str]:
    """Return the titles of the page's sections by anchor, for the navigation."""
    found = {"cohort": "Cohort", "results": "Results"}
    if kind != "regression":
        found["calibration"] = "Calibration"
    if kind == "multilabel":
        found |= {"thresholds": "Thresholds", "benefit": "Decision curve"}
    return found | {
        "subgroups": "Subgroups",
        "recordings": "Recordings",
        "card": "Model card",
        "checklists": "Checklists",
    }


def _primary(report: Report) -> dict[str, Any]:
    """Return the main result: metric, paired difference to the baseline, and conclusion."""
    figures, split = report["evaluation"], report["split"]
    macro = figures["models"][figures["main"]][split]["macro"]
    metric = figures.get("primary") or next(metric for metric in ("auroc", "mae") if metric in macro)
    found = figures.get("paired", {}).get(split, {}).get(figures.get("baseline"), {}).get(metric)
    scratch = report["asked"]["mode"] == "scratch"
    if not found:
        found, tone, conclusion = None, "rejected", "There is no comparison with a randomly initialised encoder."
    elif (better := _better(found, metric)) is None:
        undefined = "The difference from the randomly initialised encoder is undefined."
        found, tone, conclusion = None, "rejected", undefined
    elif better > 0:
        tone = ""
        conclusion = f"{'training the encoder' if scratch else 'pretraining'} improves the result."
    elif better < 0:
        tone, conclusion = "table", "the randomly initialised encoder is better."
    else:
        tone = "rejected"
        conclusion = f"no evidence that {'training the encoder' if scratch else 'pretraining'} improves the result."
    title = metric_named(metric).title
    return {"metric": metric, "title": title, "paired": found, "tone": tone, "conclusion": conclusion}


def _clinical(report: Report) -> dict[str, Any]:
    """Return the comparison with the clinical baseline: its name, its result, the paired difference, and the conclusion.

    ``name`` is empty if the run has no clinical baseline; the conclusion of an external evaluation then states the reason.
    ``tone`` is the colour of the conclusion; empty if it is favourable. ``unknown`` lists the inputs that the external
    cohort lacks.
    """
    figures, split, metric = report["evaluation"], report["split"], _primary(report)["metric"]
    name, about = figures.get("clinical"), figures.get("external", {}).get("clinical_baseline", {})
    paired = figures.get("paired", {}).get(split, {}).get(name, {}).get(metric) if name else None
    if not name or not paired or split not in figures["models"].get(name, {}):
        reason = f": {about['left_out']}" if about.get("left_out") else ""
        return {"name": "", "tone": "", "conclusion": f"There is no comparison with a clinical baseline{reason}."}
    result = figures["models"][name][split]["macro"][metric]
    probe = statements.baseline_probe(report, name).capitalize()
    found = {
        "name": name,
        "probe": probe,
        "result": result,
        "paired": paired,
        "unknown": about.get("unknown_inputs", []),
    }
    better = _better(paired, metric)
    if better is None:
        return found | {"paired": None, "tone": "rejected", "conclusion": "The difference is undefined."}
    if better > 0:
        return found | {"tone": "", "conclusion": "The model is better than the clinical baseline."}
    worse = "The clinical baseline is better." if better < 0 else "The interval includes 0."
    tone = "table" if better < 0 else "rejected"
    return found | {"tone": tone, "conclusion": f"The model does not beat the clinical baseline. {worse}"}


def _compared(report: Report) -> dict[str, Any]:
    """Return the model that the table of outputs compares with, its results by output, and DeLong's differences to it.

    It is the randomly initialised encoder, or else the clinical baseline, as in an external evaluation. The entries are
    empty if neither was evaluated.
    """
    figures = report["evaluation"]
    for model in (figures.get("baseline"), figures.get("clinical")):
        if labels := model_labels(report, model):
            paired = figures.get("paired", {}).get(report["split"], {}).get(model, {})
            return {"name": _model_names(report)[model], "labels": labels, "delong": paired.get("delong", {})}
    return {"name": "", "labels": {}, "delong": {}}


def _better(paired: Mapping[str, Any], metric: str) -> int | None:
    """Return 1 if the interval of a paired difference shows that the model is better, -1 if worse, and 0 if it includes 0.

    ``None`` if the difference is undefined.
    """
    if paired.get("difference") is None or paired.get("low") is None:
        return None
    sign = 1 if metric_named(metric).higher_is_better else -1
    low, high = sorted(sign * paired[bound] for bound in ("low", "high"))
    return 1 if low > 0 else -1 if high < 0 else 0


def _tiles(report: Report) -> list[tuple[str, str]]:
    figures, split, primary = report["evaluation"], report["split"], _primary(report)
    counted = figures["splits"][split]
    return [
        (estimate_text(figures["models"][figures["main"]][split]["macro"][primary["metric"]]), primary["title"]),
        (f"{counted['records']:,}", f"{_SPLITS[split].removeprefix('the ')} scored"),
        (f"{counted['patients']:,}", "patients among them"),
        (f"{len(report['asked']['labels'])}", "outputs"),
        (f"{len(report['gaps'])}", "items to be filled by you"),
    ]


def _task(report: Report) -> list[tuple[str, str]]:
    asked, contract = report["asked"], report["contract"]
    low, high = contract["clean"]["band"]
    facts = [
        ("Outputs", f"{', '.join(asked['labels'])} ({_KINDS[asked['kind']]})"),
        ("Mode", named_mode(asked["mode"], report["choices"])),
        ("Encoder", asked["parameters"]),
        ("Pretraining", asked["encoder"]),
        (
            "Preprocessing",
            f"{len(contract['leads'])} leads, {contract['sampling_rate']:g} Hz, {contract['duration']:g} s, "
            f"{low:g} to {high:g} Hz; fingerprint {contract['short']}",
        ),
        ("Software", f"ecgssl {asked['ecgssl']}; seed {asked['seed']}"),
    ]
    if asked["share"] not in (None, 1.0):
        facts.append(("Labels used", f"{100 * asked['share']:g} % of the training patients"))
    if asked["recorded_leads"] and set(asked["recorded_leads"]) < set(contract["leads"]):
        facts.append(("Recorded leads", ", ".join(asked["recorded_leads"])))
    if asked["absent_targets"]:
        facts.append(("Not in this cohort", ", ".join(asked["absent_targets"])))
    if asked["folds"]:
        facts.append(("Folds", f"{asked['folds']['folds']} folds of patients, {asked['folds']['repeats']} repeats"))
    if asked["overlap"]:
        title = "Overlap with the training data" if asked["judged_on"] else "Overlap with pretraining"
        facts.append((title, in_words(asked["overlap"])))
    return facts


def _flow(cohort: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the recording flow chart, which the macro ``flow`` of ``macros.html`` draws."""
    reasons = cohort["reasons"]
    items = [f"{REASON_TEXTS.get(r['reason'], r['reason'])}: {r['recordings']:,}" for r in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        items.append(f"{len(reasons) - _REASONS} more reasons")
    out = {"count": cohort["rejected"], "text": "rejected", "items": items}
    used = {"count": cohort["stored"], "text": "recordings used", "lines": [f"{cohort['patients']:,} patients"]}
    parts = []
    for split in cohort["splits"]:
        keys = ["recordings", "patients", "labelled", *(["scored"] if split["split"] != "train" else [])]
        parts.append({"name": split["split"], "lines": [f"{split[key]:,} {key}" for key in keys]})
    return {
        "steps": [{"count": cohort["counted"], "text": "recordings", "lines": [], "out": out}, used],
        "parts": parts,
    }


def _prevalence(report: Report) -> dict[str, Any]:
    rows = report["prevalence"]
    splits = list(dict.fromkeys(row["split"] for row in rows))
    cells = {(row["label"], row["split"]): row for row in rows}
    return {
        "splits": splits,
        "rows": [(name, [cells.get((name, split)) for split in splits]) for name in report["asked"]["labels"]],
    }


def _paired(report: Report) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return model name, metric name and paired difference of each comparison; undefined differences are omitted."""
    return [
        (model, metric, found[metric])
        for model, found in report["evaluation"].get("paired", {}).get(report["split"], {}).items()
        for metric in (metric.name for metric in headline_metrics(report["asked"]["kind"]))
        if metric in found and found[metric].get("difference") is not None
    ]


def _cautions(report: Report) -> list[Markup]:
    """Return the cautions about results: those of each output, and one about all intervals without width."""
    labels = own_labels(report)
    texts = [(name, found.get("undefined") or found.get("caution")) for name, found in labels.items()]
    texts.append(("Intervals without width", without_width(report, _model_names(report))))
    return [Markup("<b>{}</b>: {}").format(name, text) for name, text in texts if text]


def _legend(report: Report) -> dict[str, tuple[str, str]]:
    """Return CSS class and text of each legend entry, by CSS class of the line."""
    names = _model_names(report)
    found: dict[str, list[str]] = {}
    for model in evaluated_models(report):
        found.setdefault(line_class(report, model), []).append(names[model])
    return {kind: (f"key {kind}", ", ".join(of_kind)) for kind, of_kind in found.items()}


def _could_choose(report: Report) -> bool:
    """Return whether there were recordings to choose thresholds on; true if the evaluation does not record it."""
    decision = statements.decision_of_results(report)
    return decision is None or has_threshold(decision) or not has_no_recordings(decision)


def _thresholds(report: Report) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Yield output name, criterion and results of each threshold, Youden's index first.

    The output name is empty after the first threshold of an output.
    """
    for name, found in own_labels(report).items():
        points = found.get("thresholds", {})
        for i, key in enumerate(sorted(points, key=lambda key: (key != "youden", key))):
            yield ("" if i else name), criterion_text(key), points[key]


def _checklist(report: Report, key: str) -> dict[str, Any]:
    rows = report["checklists"][key]
    counts = {status: sum(row["status"] == status for row in rows) for status in ("filled", "part", "open")}
    return {"key": key, "title": CHECKLISTS[key], "source": SOURCES[key], "rows": rows, **counts}
