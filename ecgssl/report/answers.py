"""Answers of a run to the items of the checklists, derived from the content of ``report.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecgssl.evaluation.leaderboard import named_mode
from ecgssl.leakage.overlap import in_words
from ecgssl.report import statements
from ecgssl.report.statements import Report, Statement
from ecgssl.signal.reasons import REASON_TEXTS

_KINDS = {
    "multilabel": "findings, independently of each other",
    "multiclass": "one of several classes",
    "regression": "a number",
}
_MODES = {
    "linear": "a linear head on the frozen pretrained encoder",
    "mlp": "a linear head and a network with one hidden layer on the frozen pretrained encoder, whose outputs are averaged; "
    "early stopping of the network",
    "attentive": "learned queries that pool the tokens of the frozen pretrained encoder, and a linear head; early stopping",
    "full": "pretrained encoder and head trained together, with lower learning rates for lower layers; early stopping",
    "scratch": "encoder and head trained together from random weights; early stopping",
}
_SCALES = {
    "recording": "Voltages are divided by the root mean square of the whole recording, which keeps the ratios between leads.",
    "lead": "Voltages are divided by the root mean square of their lead.",
    "fixed": "Voltages are divided by a constant, so that the model receives the voltages themselves.",
    "none": "Voltages are not scaled; they remain in mV.",
}
_OUTPUTS = {
    "multilabel": "A probability for each finding.",
    "multiclass": "A probability for each class.",
    "regression": "A number in the unit of the target.",
}
_MASKED = {
    "mask": "Absent leads are masked, and the mask is an input of the model.",
    "reject": "Recordings with absent leads are rejected.",
}


def answers(report: Report) -> dict[str, Statement]:
    """Return the answers that follow from a run, by key (column ``answers`` of the checklists). Empty ones are omitted.

    Args:
        report: result of ``ecgssl.report.build.gather`` without checklists.
    """
    found = {**_of_model(report), **_of_figures(report), **_of_cohort(report)}
    made = {key: one if isinstance(one, Statement) else Statement(one) for key, one in found.items()}
    joined = {key: Statement(" ".join(one.text.split()), one.complete) for key, one in made.items()}
    return {key: one for key, one in joined.items() if one.text}


def _of_model(report: Report) -> dict[str, str | Statement]:
    asked, contract = report["asked"], report["contract"]
    low, high = contract["clean"]["band"]
    clean = f"{contract['clean']['method']} band-pass {low:g} to {high:g} Hz"
    names, selected = ", ".join(asked["labels"]), statements.selection(report)
    external = statements.is_external(report)
    study = "External evaluation" if external else "Development and evaluation"
    where = f"on the external set {asked['judged_on']}" if external else "on held-out patients"
    leads = ", ".join(asked["recorded_leads"] or contract["leads"])
    mode = named_mode(_MODES.get(asked["mode"], asked["mode"]), report["choices"])
    return {
        "title": f"{study} of a model of {names} from the ECG.",
        "objective": f"{study} {where}; the model predicts {_KINDS[asked['kind']]}: {names}.",
        "preparation": f"Every recording is cleaned ({clean}), resampled to {contract['sampling_rate']:g} Hz, cut to "
        f"{contract['duration']:g} s and checked by fixed rules without labels; fingerprint {contract['short']}.",
        "predictors": f"The voltage of the leads {leads} over {contract['duration']:g} s. There are no other predictors.",
        "predictors_chosen": "The recording is the only predictor; no variables were selected.",
        "predictors_assessed": "The predictors need no human assessment or measurement.",
        "scaling": _SCALES[contract["normalise"]["method"]],
        "model": Statement(
            f"Vision transformer over patches of leads and time ({asked['parameters']}); "
            f"{mode}. Encoder: {asked['encoder']}. {selected.text}",
            selected.complete,
        ),
        "calculation": f"Computed by ecgssl {asked['ecgssl']} from the stored recordings; the same code scores new files.",
        "specification": "Weights, preprocessing settings and hyperparameters are in the classifier folder of the run.",
        "software": f"Software: ecgssl {asked['ecgssl']}.",
        "imbalance": statements.class_weights(report),
        "blinding": "The model receives the recording only; it receives neither clinical information nor the reference.",
        "input_quality": "Unreadable, short, flat, saturated or implausible recordings are rejected with a reason. "
        + _MASKED[contract.get("missing_leads", "mask")],
        "code": f"ecgssl {asked['ecgssl']}, Apache-2.0.",
        "audit": "Every prediction of these results is kept in predictions.csv"
        + (", those of further repetitions in folds/" if asked["folds"] else "")
        + ". The metrics can be computed from it again.",
    }


def _of_figures(report: Report) -> dict[str, str | Statement]:
    asked, figures, kind = report["asked"], report["evaluation"], report["asked"]["kind"]
    columns = statements.subgroup_columns(report)
    sites, named = [c for c in columns if c in ("site", "device")], ", ".join(columns)
    calibrated, cuts = statements.calibration(report), statements.thresholds(report)
    output = f"{_OUTPUTS[kind]} {calibrated.text} {cuts.text}"
    return {
        "measures": _measures(report),
        "performance": _performance(report),
        "subgroup_results": f"See Subgroups: {named}." if columns else Statement("No subgroups are shown.", False),
        "fairness": f"Performance is reported for groups of {named}; it was not corrected." if columns else "",
        "clusters": f"Performance by {' and '.join(sites)} is in Subgroups." if sites else "",
        "cluster_results": "See Subgroups." if sites else "",
        "limits": _limits(report),
        "differences": f"Evaluated on the external set {asked['judged_on']}; see Cohort."
        if "external" in figures["splits"]
        else "",
        "updating": calibrated,
        "updated": _updated(report),
        "output": Statement(output, cuts.complete or kind != "multilabel"),
        "crosstab": _crosstab(report),
    }


def _updated(report: Report) -> Statement:
    calibrated = statements.calibration(report)
    if not calibrated.complete:
        return Statement(f"The model was not updated. {calibrated.text}", False)
    if report["asked"]["kind"] == "regression":
        return Statement("The results are those of the calibrated values.", False)
    return Statement("See Calibration: before and after.")


def _performance(report: Report) -> Statement:
    figures = report["evaluation"]
    macro = figures["models"][figures["main"]][report["split"]]["macro"]
    metric = figures.get("primary") or next(name for name in ("auroc", "mae") if name in macro)
    found = macro.get(metric) or {}
    compared = statements.comparison(report)
    if found.get("value") is None:
        return Statement(f"The mean {metric} is undefined; see Results for the reasons. {compared.text}", False)
    exists = found.get("low") is not None
    interval = "with intervals" if exists else "without intervals"
    return Statement(f"See Results: metrics {interval} and support. {compared.text}", exists)


def _measures(report: Report) -> Statement:
    """Return a statement that lists the performance measures of the main model."""
    asked, figures, labels = report["asked"], report["evaluation"], statements.main_labels(report)
    method, split = figures.get("method", {}), report["split"]
    macro = figures["models"][figures["main"]][split]["macro"]
    if asked["kind"] == "regression":
        named = ["mean absolute and root mean squared error, R2, bias and limits of agreement"]
    else:
        named = ["AUROC and AUPRC with support by output and their means"]
    if asked["kind"] == "multiclass":
        shown = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "log_loss": "log loss"}
        named += [text for key, text in shown.items() if key in macro]
        named += ["confusion matrix"] if figures["models"][figures["main"]][split].get("confusion") else []
    if measured := _calibration_measures(labels):
        named.append(f"calibration ({', '.join(measured)})")
    if statements.cross_tabulated(report)[0]:
        named.append("sensitivity, specificity and predictive values at thresholds")
    if (figures.get("net_benefit", {}).get(split) or {}).get("labels"):
        named.append("net benefit")
    undefined = [name for name, found in labels.items() if found.get("undefined")]
    text = f"{', '.join(named)}."
    text += f" Undefined for {', '.join(undefined)}: {labels[undefined[0]]['undefined']}." if undefined else ""
    text += f" Intervals: {method['interval']}." if method.get("interval") else ""
    if statements.comparison(report).complete and method.get("paired"):
        text += f" Paired: {method['paired']}."
    complete = bool(method.get("interval")) and len(undefined) < len(labels)
    return Statement(text[0].upper() + text[1:], complete)


def _calibration_measures(labels: Mapping[str, Any]) -> list[str]:
    """Return the names of the calibration measures that have a value for at least one output."""
    found = [stage for one in labels.values() for stage in one.get("calibration", {}).values()]
    names = {"brier": "Brier score", "slope": "slope", "intercept": "intercept", "ece": "ECE"}

    def exists(key: str) -> bool:
        values = (stage[key] for stage in found)
        return any((value["value"] if isinstance(value, Mapping) else value) is not None for value in values)

    return [text for key, text in names.items() if exists(key)]


def _crosstab(report: Report) -> Statement:
    if report["asked"]["kind"] == "multiclass":
        figures = report["evaluation"]
        found = figures["models"][figures["main"]][report["split"]].get("confusion")
        return Statement("See Results: confusion matrix.") if found else Statement("", False)
    if report["asked"]["kind"] == "regression":
        return Statement("", False)
    shown, without = statements.cross_tabulated(report)
    if not shown:
        return Statement(f"There are no thresholds and so no counts. {statements.thresholds(report).text}", False)
    text = "See Thresholds: true and false positives and negatives."
    return Statement(f"{text} None for {', '.join(without)}." if without else text, not without)


def _limits(report: Report) -> str:
    asked, labels = report["asked"], statements.main_labels(report)
    text = f"The results are of one set of recordings ({asked['judged_on'] or asked['set']})."
    few = {name: found.get("undefined") or found.get("caution") for name, found in labels.items()}
    text += "".join(f" {name}: {reason}." for name, reason in few.items() if reason)
    uncalibrated = statements.calibration(report)
    return text if uncalibrated.complete else f"{text} {uncalibrated.text}"


def _of_cohort(report: Report) -> dict[str, str | Statement]:
    asked, cohort, contract = report["asked"], report.get("cohort"), report["contract"]
    missing = "Unknown labels are masked in training and in all metrics; they are not counted as negative. "
    overlap = f"Overlap with {_trained(report)}: {in_words(asked['overlap'])}." if asked.get("overlap") else ""
    found: dict[str, str | Statement] = {
        "outcome": f"Predicted: {', '.join(asked['labels'])}. Unknown labels are ignored.",
        "others": "See Cohort: prevalence of every label." if len(asked["labels"]) > 1 else "",
        "missing": missing + _MASKED[contract.get("missing_leads", "mask")],
    }
    if cohort is None:
        events = Statement("See Cohort: events of the evaluated recordings only, because no store was given.", False)
        return found | {"events": events, "partition": Statement(overlap, False)}
    by_split = ", ".join(f"{row['split']} {row['recordings']:,}" for row in cohort["splits"])
    reasons = "; ".join(REASON_TEXTS.get(r["reason"], r["reason"]) for r in cohort["reasons"][:6])
    people = report.get("people") or {}
    known = [name for name in ("age", "sex", "site", "device") if name in people]
    return found | {
        "events": "See Cohort: events by split.",
        "source": f"Set {asked['judged_on'] or asked['set']}: {cohort['stored']:,} recordings of "
        f"{cohort['patients']:,} patients.",
        "eligibility": f"Of {cohort['counted']:,} recordings {cohort['rejected']:,} were rejected"
        + (f" ({reasons})." if reasons else "."),
        "size": f"Stored recordings: {by_split}.{_used(report)}",
        "partition": f"{statements.division(report).text} Recordings: {by_split}. "
        f"{statements.use_of_recordings(report).text} {overlap}",
        "flow": "See Cohort.",
        "people": f"See Cohort: {', '.join(known)} by split." if known else "",
        "sites": f"{cohort['sites']} sites are named in the data." if cohort["sites"] else "",
        "licence": f"Licence of the data: {report['licence']}." if report.get("licence") else "",
    }


def _trained(report: Report) -> str:
    return "the training data" if statements.is_external(report) else "pretraining"


def _used(report: Report) -> str:
    """Return a sentence on the number of training recordings in ``choices.json``; an empty string if it is not recorded."""
    rows: dict[str, Any] = report["choices"].get("rows") or {}
    if "train" not in rows:
        return ""
    share = report["asked"]["share"]
    note = f" (labels of {100 * share:g} % of the training patients)" if share not in (None, 1.0) else ""
    return f" The model was fitted on {rows['train']:,} recordings{note}."
