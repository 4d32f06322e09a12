"""Statements of a report, derived from ``decision.json``, ``choices.json`` and the evaluation of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.calibration.decision_text import calibration_text, has_calibrator, has_threshold, threshold_text
from ecgssl.evaluation.predictions import BASELINE, CLINICAL
from ecgssl.evaluation.statistics.metrics import headline_metrics
from ecgssl.evaluation.subgroups import UNKNOWN
from ecgssl.html.environment import number

Report = Mapping[str, Any]

EPOCH_MODES = ("mlp", "attentive", "full", "scratch")
_RULES = {
    "validation_auroc": "by AUROC on validation",
    "validation_r2": "by R2 on validation",
    "cross_validation_log_loss": "by log loss in a cross-validation on the training recordings",
    "cross_validation_squared_error": "by squared error in a cross-validation on the training recordings",
    "strongest_regularisation": "not chosen (strongest penalty), because there are too few recordings to choose",
    "only_candidate": "not chosen, because there is one candidate",
}
_SCORES = {"multilabel": "macro AUROC", "multiclass": "macro AUROC", "regression": "mean R2"}


@dataclass(frozen=True)
class Statement:
    """One or more sentences about the run.

    Args:
        text: the sentences; empty if there is nothing to report.
        complete: whether the sentences can complete a checklist item; False if information or a result is missing.
    """

    text: str
    complete: bool = True


def decision_of_results(report: Report) -> Decision | None:
    """Return the calibrators and thresholds that the results use; ``None`` for an evaluation that records none."""
    found = report["evaluation"].get("decision")
    return Decision.from_dict(found, "evaluation.json") if found else None


def is_external(report: Report) -> bool:
    """Return whether the report describes an external evaluation of the run."""
    return bool(report["split"] == "external")


def selection(report: Report) -> Statement:
    """Return a statement on how penalty and class weight, or the epoch, were chosen."""
    choices, mode = report["choices"], report["asked"]["mode"]
    start = choices.get("started_from") or choices
    rules, names = start.get("chosen_by"), list(start.get("C") or {})
    texts = []
    if mode in EPOCH_MODES and "epoch" in choices:
        score = _SCORES[report["asked"]["kind"]]
        before = start.get("epoch") if start is not choices else None
        texts.append(
            f"The weights are those of epoch {choices['epoch']}, chosen by {score} on validation"
            if choices["epoch"]
            else f"No epoch improved on the {'nonlinear' if before else 'linear'} probe by {score} on validation, "
            "so the probe was kept"
        )
        if before:
            texts.append(f"Training started from a nonlinear probe, whose epoch {before} was chosen in the same way")
        elif before == 0:
            texts.append("The nonlinear probe had no better epoch, so training started from the linear probe")
    baselines = {"randomly initialised encoder": choices.get("epoch_of_random")}
    baselines["clinical features"] = (choices.get("clinical_baseline") or {}).get("epoch")
    if chosen := [
        f"{name} {'linear probe kept' if not n else f'epoch {n}'}" for name, n in baselines.items() if n is not None
    ]:
        texts.append(f"Nonlinear probes of the baselines, chosen in the same way: {', '.join(chosen)}")
    if rules and len(rules) == len(names):
        what = "Penalty" if report["asked"]["kind"] == "regression" else "Penalty and class weight"
        if mode in EPOCH_MODES:
            what += _probe_text(mode, start)
        if report["asked"]["folds"]:
            what += " of the final model"
        by_rule: dict[str, list[str]] = {}
        for name, rule in zip(names, rules, strict=True):
            by_rule.setdefault(_RULES.get(rule, str(rule)), []).append(name)
        said = "; ".join(text + (f" ({', '.join(of)})" if len(by_rule) > 1 else "") for text, of in by_rule.items())
        texts.append(f"{what}: {said}")
    if report["asked"]["folds"]:
        texts.append("In each fold they were chosen on the other folds")
    if not texts:
        return Statement("The run does not record how hyperparameters were chosen.", False)
    return Statement(". ".join(texts) + ".")


def _probe_text(mode: str, start: Mapping[str, Any]) -> str:
    """Return whose penalty and class weight were chosen; ``start`` has the choices of the probe that training started from."""
    part = mode == "mlp" or start.get("epoch")
    return f" of the linear probe{'' if part else ' that training started from'}"


def class_weights(report: Report) -> Statement:
    """Return a statement on class weights, their selection and calibration; empty for a regression."""
    choices = report["choices"]
    chosen = choices.get("class_weight") or (choices.get("started_from") or {}).get("class_weight")
    if not isinstance(chosen, Mapping) or not chosen or report["asked"]["kind"] == "regression":
        return Statement("", False)
    weights = ", ".join(f"{name} {weight}" for name, weight in chosen.items())
    mode = report["asked"]["mode"]
    of = _probe_text(mode, choices.get("started_from") or {}) if mode in EPOCH_MODES else ""
    return Statement(f"Class weights{of}: {weights}. {selection(report).text} {calibration(report).text}")


def calibration(report: Report) -> Statement:
    """Return a statement on the calibrators of the results, and on those of ``decision.json`` if they differ."""
    decision = decision_of_results(report)
    if decision is None:
        return Statement("The evaluation does not record calibrators.", False)
    text, stored = f"Calibration: {calibration_text(decision)}.", report.get("decision")
    if stored:
        other = Decision.from_dict(stored)
        if calibration_text(other) != calibration_text(decision):
            text += f" New scores are calibrated with decision.json, which these results do not use: {calibration_text(other)}."
    again = report["evaluation"].get("recalibrated")
    if again:
        new = calibration_text(Decision.from_dict(again["decision"], "evaluation.json"))
        text += f" Results with new calibrators ({new}) are under recalibrated in evaluation.json."
    return Statement(text, has_calibrator(decision))


def thresholds(report: Report) -> Statement:
    """Return a statement on the thresholds of the results, and on those of ``decision.json`` if they differ."""
    decision = decision_of_results(report)
    if decision is None:
        return Statement("The evaluation does not record thresholds.", False)
    text, stored = f"Thresholds: {threshold_text(decision)}.", report.get("decision")
    if stored:
        other = Decision.from_dict(stored)
        if threshold_text(other) != threshold_text(decision):
            text += f" Thresholds in decision.json, which these results do not use: {threshold_text(other)}."
    return Statement(text, has_threshold(decision))


def use_of_recordings(report: Report) -> Statement:
    """Return a statement on whether the evaluated recordings were used for training or for choosing settings."""
    asked, split, overlap = report["asked"], report["split"], report["asked"].get("overlap") or {}
    shared = f"{overlap['found']:,} of them" if overlap.get("found") else ""
    if asked["folds"]:
        text = _use_across_folds(overlap.get("across_folds"))
    elif is_external(report):
        text = f"{shared} were used to train the model, so results are too optimistic." if shared else ""
        text = text or "The model was not trained, and nothing was chosen, on these recordings."
    elif split == "val":
        text = "These recordings may have been used to choose hyperparameters, calibrators and thresholds."
        text += " Results on them are optimistic."
    else:
        text = "These recordings were used neither for fine-tuning nor for choices."
    if shared and not is_external(report):
        text += f" {overlap['found']:,} held-out recordings were used in pretraining, so results may be too optimistic."
    if overlap.get("across_splits"):
        text += f" {overlap['across_splits']:,} recordings share a patient or waveform across splits."
    if counted := report.get("scorings"):
        times = "once" if counted["total"] == 1 else f"{counted['total']:,} times"
        text += f" They were scored {times} in the runs of this folder (test_scorings.jsonl)"
        distinct = (
            "the same result each time" if counted["different"] == 1 else f"{counted['different']:,} different results"
        )
        text += f", with {distinct}." if counted["total"] > 1 else "."
    return Statement(text)


def _use_across_folds(counts: Mapping[str, Any] | None) -> str:
    """Return a statement on recordings that were scored by a model trained on their patient or on a copy."""
    shared = {by: (counts or {}).get(f"by_{by}") for by in ("patient", "waveform")}
    text = "Each recording was scored by a model that was not trained on its patient."
    if shared["patient"]:
        text = f"{shared['patient']:,} recordings were scored by a model that was trained on their patient."
    if shared["waveform"] is None:
        return f"{text} Copies of recordings in other folds were not searched."
    if not shared["waveform"]:
        return f"{text} No recording has a copy in another fold."
    copies = f"{shared['waveform']:,} recordings have a copy in another fold"
    return f"{text} {copies}, so a model was trained on the copy and results may be too optimistic."


def repetitions(report: Report) -> Statement:
    """Return a statement on which repetition of a cross-validation the results are from; empty for other runs."""
    folds, macro = report["asked"]["folds"], report["evaluation"].get("cross_validation", {}).get("macro", {})
    if not folds or folds["repeats"] < 2:
        return Statement("")
    text = f"All results on this page are those of the first of {folds['repeats']} repetitions of the cross-validation."
    means = [
        f"{metric.title} {_interval_text(macro[metric.name])}"
        for metric in headline_metrics(report["asked"]["kind"])
        if macro.get(metric.name, {}).get("value") is not None
    ]
    return Statement(f"{text} Mean of the repetitions: {', '.join(means)}." if means else text)


def _interval_text(found: Mapping[str, Any]) -> str:
    """Return an estimate with its interval as text, if it has one."""
    interval = f" ({number(found['low'])} to {number(found['high'])})" if found.get("low") is not None else ""
    return f"{number(found['value'])}{interval}"


def division(report: Report) -> Statement:
    """Return a statement on how the recordings were split by patient; empty without a store."""
    cohort, folds = report.get("cohort"), report["asked"]["folds"]
    if cohort is None:
        return Statement("", False)
    if is_external(report):
        return Statement("All recordings form one external split.")
    if folds:
        text = (
            f"All recordings of a patient are in the same one of {folds['folds']} folds ({folds['repeats']} repeats)."
        )
        return Statement(text)
    shared = cohort["patients_in_two_splits"]
    text = f"{shared:,} patients are in more than one split." if shared else "Each patient is in one split only."
    return Statement(text)


def comparison(report: Report) -> Statement:
    """Return a statement on the models that the main model is compared with."""
    figures = report["evaluation"]
    found = [model for model in figures.get("paired", {}).get(report["split"], {}) if model != figures["main"]]
    if not found:
        return Statement("There is no comparison with another model.", False)
    base = figures.get("baseline")
    texts = {base: f"{baseline_probe(report, BASELINE)} on a randomly initialised encoder"}
    texts |= {name: f"{baseline_probe(report, name)} on {name}" for name in found if name.startswith(CLINICAL)}
    names = [texts.get(name, name) for name in found]
    return Statement(f"Compared with {', '.join(names)}.")


def baseline_probe(report: Report, model: str) -> str:
    """Return the probe of a baseline: nonlinear if ``choices.json`` has an epoch above 0 for it, otherwise linear.

    An external evaluation states whether the stored clinical baseline is nonlinear.

    Args:
        report: content of ``report.json``.
        model: name of the baseline in prediction tables.
    """
    choices = report["choices"]
    clinical = choices.get("clinical_baseline") or {}
    about = report["evaluation"].get("external", {}).get("clinical_baseline", {})
    epoch = clinical.get("epoch") if model.startswith(CLINICAL) else choices.get("epoch_of_random")
    if model.startswith(CLINICAL) and "nonlinear" in about:
        epoch = about["nonlinear"]
    return "a nonlinear probe" if epoch else "a linear probe"


def subgroup_columns(report: Report) -> list[str]:
    """Return the columns for which the metrics of at least one known group are shown."""
    groups = report["evaluation"].get("subgroups", {}).get(report["split"]) or []
    shown = [entry for entry in groups if entry.get("group") not in (None, UNKNOWN) and entry.get("metrics")]
    return list(dict.fromkeys(str(entry["column"]) for entry in shown))


def main_labels(report: Report) -> dict[str, Any]:
    """Return the evaluation results of the main model on the reported split, by output name."""
    figures = report["evaluation"]
    labels: dict[str, Any] = figures["models"][figures["main"]][report["split"]]["labels"]
    return labels


def cross_tabulated(report: Report) -> tuple[list[str], list[str]]:
    """Return the outputs that have at least one threshold with a value, and the other outputs."""
    found = main_labels(report)
    shown = [n for n, f in found.items() if any(p.get("value") is not None for p in f.get("thresholds", {}).values())]
    return shown, [name for name in found if name not in shown]
