"""TRIPOD+AI and STARD-AI checklists and model card, with answers from the run and from the user.

The items follow Collins et al. 2024 (BMJ 385:e078378, 27 items in 52 parts) and Sounderajah et al. 2025 (Nat Med
31:3283-3289, doi:10.1038/s41591-025-03953-8, 40 items in 48 parts). They are paraphrased and shortened. Use the official
text for a submission.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from ecgssl.evaluation.subgroups import UNKNOWN
from ecgssl.leakage.overlap import in_words
from ecgssl.signal.reasons import REASON_TEXTS

CHECKLISTS = {
    "tripod_ai": "TRIPOD+AI (2024)",
    "stard_ai": "STARD-AI (2025)",
}
SOURCES = {
    "tripod_ai": "Collins et al., BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378: 27 items in 52 parts",
    "stard_ai": "Sounderajah et al., Nat Med 2025;31:3283-3289, doi:10.1038/s41591-025-03953-8: 40 items in 48 parts",
}
CARD = {
    "intended_use": "What is the model for, and what is it not for?",
    "users": "Who will use it, and with what training?",
    "population": "For which patients, in which setting, with which devices?",
    "reference": "How were the labels established, by whom, and how certain are they?",
    "inclusion": "When and where were patients included, and who was excluded?",
    "harms": "What are the consequences of a false negative and of a false positive?",
    "ethics": "Which committee approved the study, and how was consent handled?",
    "contact": "Who is responsible for the model?",
}
"""Questions of the model card, by key. The user answers them."""
ITEM_KEYS = {"5b": "inclusion", "8a": "reference", "17": "ethics", "27b": "users", "3b": "intended_use"}
"""Model card question that answers each of these TRIPOD+AI items."""

_KINDS = {
    "multilabel": "findings, independently of each other",
    "multiclass": "one of several classes",
    "regression": "a number",
}
_MODES = {
    "linear": "a linear head on the frozen pretrained encoder; penalty and class weight of each output chosen on validation",
    "attentive": "learned queries that pool the tokens of the frozen pretrained encoder, and a linear head; early stopping",
    "full": "pretrained encoder and head trained together, with lower learning rates for lower layers; early stopping",
    "scratch": "encoder and head trained together from random weights; early stopping",
}
_SCALES = {
    "recording": "Voltages are divided by the root mean square of the whole recording, which keeps the ratios between leads.",
    "lead": "Voltages are divided by the root mean square of their lead.",
    "none": "Voltages are not scaled; they remain in mV.",
}
_MEASURES = {
    "multilabel": "AUROC and AUPRC with support by finding and their means, calibration (Brier, slope, intercept, ECE), "
    "sensitivity, specificity and predictive values at thresholds chosen on validation, net benefit",
    "multiclass": "AUROC and AUPRC of each class against the rest, accuracy, balanced accuracy, log loss, confusion",
    "regression": "mean absolute and root mean squared error, R2, bias and limits of agreement",
}


def items(name: str) -> list[dict[str, str]]:
    """Return the rows of a checklist, with the columns ``item, section, topic, asks, covers, answers``.

    ``answers`` lists keys of the result of ``answers()``. ``covers`` states whether these answer the ``whole`` item or a
    ``part`` of it; it is empty for items that only the user can answer.

    Args:
        name: one of ``CHECKLISTS``.
    """
    text = (files("ecgssl.report") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def fill(name: str, known: Mapping[str, str], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a checklist filled with the answers of the run and of the user.

    Args:
        name: one of ``CHECKLISTS``.
        known: result of ``answers``.
        given: answers of the user by ``name.item`` (``tripod_ai.17``), or by key of ``CARD``.

    Returns:
        One dictionary per item: ``{"item", "section", "topic", "asks", "status", "said", "given"}``. ``status`` is
        ``filled``, ``part`` (the user should complete the answer) or ``open``.
    """
    found = []
    for row in items(name):
        said = [known[key] for key in row["answers"].split() if known.get(key)]
        own = given.get(f"{name}.{row['item']}") or (
            given.get(ITEM_KEYS.get(row["item"], "")) if name == "tripod_ai" else None
        )
        whole = bool(own) or (bool(said) and row["covers"] == "whole")
        status = "filled" if whole else "part" if said else "open"
        entry = {key: row[key] for key in ("item", "section", "topic", "asks")}
        found.append({**entry, "status": status, "said": " ".join(said), "given": own or ""})
    return found


def answerable() -> set[str]:
    """Return the keys of all questions and checklist items that the user can answer."""
    return set(CARD) | {f"{name}.{row['item']}" for name in CHECKLISTS for row in items(name)}


def answers(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers that can be derived from a run, by key (column ``answers`` of the checklists).

    Args:
        report: result of ``ecgssl.report.build.gather`` without checklists.
    """
    found = {**_of_model(report), **_of_figures(report), **_of_cohort(report)}
    return {key: " ".join(text.split()) for key, text in found.items() if text}


def _of_model(report: Mapping[str, Any]) -> dict[str, str]:
    asked, contract = report["asked"], report["contract"]
    low, high = contract["clean"]["band"]
    clean = f"{contract['clean']['method']} band-pass {low:g} to {high:g} Hz"
    names = ", ".join(asked["labels"])
    choices = report["choices"]
    return {
        "title": f"Development and evaluation of a model of {names} from the 12-lead ECG.",
        "objective": f"Development and evaluation on held-out patients; the model predicts {_KINDS[asked['kind']]}: {names}.",
        "preparation": f"Every recording is cleaned ({clean}), resampled to {contract['sampling_rate']:g} Hz, cut to "
        f"{contract['duration']:g} s and checked by fixed rules without labels; fingerprint {contract['short']}.",
        "predictors": f"The voltage of {len(contract['leads'])} leads over {contract['duration']:g} s, in mV. "
        "There are no other predictors.",
        "predictors_chosen": "The recording is the only predictor; no variables were selected.",
        "predictors_assessed": "The predictors need no human assessment or measurement.",
        "scaling": _SCALES[contract["normalise"]["method"]],
        "model": f"Vision transformer over patches of leads and time ({asked['parameters']}); "
        f"{_MODES.get(asked['mode'], asked['mode'])}.",
        "calculation": f"Computed by ecgssl {asked['ecgssl']} from the stored recordings; the same code scores new files.",
        "specification": "Weights, preprocessing settings and hyperparameters are in the classifier folder of the run.",
        "software": f"Software: ecgssl {asked['ecgssl']}.",
        "imbalance": f"Class weights chosen on validation: {_weights(choices)}." if _weights(choices) else "",
        "blinding": "The model receives the recording only; it receives neither clinical information nor the reference.",
        "input_quality": "Unreadable, short, flat, saturated or implausible recordings are rejected with a reason. Absent "
        "or unusable leads are masked, and the mask is an input of the model.",
        "code": f"ecgssl {asked['ecgssl']}, Apache-2.0.",
        "audit": "Every validation and test prediction is kept in predictions.csv; all results can be recomputed from it.",
    }


def _of_figures(report: Mapping[str, Any]) -> dict[str, str]:
    asked, figures, split = report["asked"], report["evaluation"], report["split"]
    method = figures.get("method", {})
    interval = method.get("interval", "")
    decision = figures.get("decision")
    groups = figures.get("subgroups", {}).get(split) or []
    compared = dict.fromkeys(str(entry["column"]) for entry in groups if entry.get("group") not in (None, UNKNOWN))
    columns, sites = ", ".join(compared), bool({"site", "device"} & set(compared))
    found = {
        "measures": f"{_MEASURES[asked['kind']]}. Intervals: {interval}. Paired: {method.get('paired', '')}.",
        "performance": "See Results: metrics with intervals and support, compared with a randomly initialised encoder.",
        "fairness": f"Performance is reported for groups of {columns}; it was not corrected." if columns else "",
        "clusters": "Performance by site or device is in Subgroups." if sites else "",
        "cluster_results": "See Subgroups." if sites else "",
        "limits": "Single data source unless stated otherwise; see support and width of the intervals.",
        "differences": "Evaluated on an external set; see Cohort." if "external" in figures["splits"] else "",
    }
    if decision:
        fitted = method.get("calibration", "on validation")
        found["updating"] = f"Calibration: {fitted}."
        found["updated"] = "See Calibration: before and after."
        found["output"] = {
            "multilabel": "A probability for each finding. Thresholds by Youden's index and by required sensitivity "
            "or specificity, chosen on validation before the test.",
            "multiclass": "A probability for each class; the most probable class is the prediction.",
            "regression": "A number in the unit of the target; no threshold.",
        }[asked["kind"]]
    if asked["kind"] == "multilabel" and decision:
        found["crosstab"] = "See Thresholds: true and false positives and negatives."
    if asked["kind"] == "multiclass":
        found["crosstab"] = "See Results: confusion matrix."
    return found


def _of_cohort(report: Mapping[str, Any]) -> dict[str, str]:
    asked, cohort = report["asked"], report.get("cohort")
    found = {
        "outcome": f"Predicted: {', '.join(asked['labels'])}. Unknown labels are ignored.",
        "events": "See Cohort: events by split.",
        "others": "See Cohort: prevalence of every label." if len(asked["labels"]) > 1 else "",
        "missing": "Unknown labels are masked in training and in all metrics; they are not counted as negative. "
        "Absent leads are masked.",
    }
    overlap = asked.get("overlap")
    if cohort is None:
        return found | {"partition": f"Overlap with pretraining: {in_words(overlap)}." if overlap else ""}
    by_split = ", ".join(f"{row['split']} {row['recordings']:,}" for row in cohort["splits"])
    reasons = "; ".join(REASON_TEXTS.get(r["reason"], r["reason"]) for r in cohort["reasons"][:6])
    people = report.get("people") or {}
    known = [name for name in ("age", "sex", "site", "device") if name in people]
    sites = len([row for row in people.get("site", []) if row["value"] != "unknown"])
    return found | {
        "source": f"Set {asked['judged_on'] or asked['set']}: {cohort['stored']:,} recordings of "
        f"{cohort['patients']:,} patients.",
        "eligibility": f"Of {cohort['counted']:,} recordings {cohort['rejected']:,} were rejected"
        + (f" ({reasons})." if reasons else "."),
        "size": f"All available recordings: {by_split}.",
        "partition": f"Each patient is in one split only: {by_split}. "
        + (f"Overlap with pretraining: {in_words(overlap)}." if overlap else ""),
        "flow": "See Cohort.",
        "people": f"See Cohort: {', '.join(known)} by split." if known else "",
        "sites": f"{sites} sites are named in the data." if sites else "",
        "licence": f"Licence of the data: {report['licence']}." if report.get("licence") else "",
    }


def _weights(choices: Mapping[str, Any]) -> str:
    chosen = choices.get("class_weight") or (choices.get("started_from") or {}).get("class_weight")
    return ", ".join(f"{name} {weight}" for name, weight in chosen.items()) if isinstance(chosen, Mapping) else ""
