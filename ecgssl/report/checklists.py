"""TRIPOD+AI and STARD-AI item by item: what the run can say itself, and what people have to add.

Items after Collins et al. 2024 (BMJ 385:e078378, 27 items in 52 parts) and Sounderajah et al. 2025 (Nat Med 31:3283-3289,
doi:10.1038/s41591-025-03953-8, 40 items in 48 parts). What an item asks for is said here in our own words and in short; the
official text is what counts for a submission.
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
    "intended_use": "What is it for, and what is it not for?",
    "users": "Who is to use it, with what training?",
    "population": "For which patients, in which setting, on which machines?",
    "reference": "How were the labels established, by whom, and how sure are they?",
    "inclusion": "When and where were the patients included, and who was not?",
    "harms": "What happens to a patient whom it misses, and to one whom it calls in vain?",
    "ethics": "Which committee approved it, and what of consent?",
    "contact": "Who answers for it?",
}
"""Questions of the model card that a run cannot answer."""
ITEM_KEYS = {"5b": "inclusion", "8a": "reference", "17": "ethics", "27b": "users", "3b": "intended_use"}
"""Items of TRIPOD+AI that a question of the card answers as well."""

_KINDS = {"multilabel": "findings, each by itself", "multiclass": "one of several classes", "regression": "a number"}
_MODES = {
    "linear": "a linear head on the frozen pretrained encoder; penalty and class weight of each output chosen on validation",
    "attentive": "learned queries that pool the frozen pretrained encoder's tokens, and a linear head; stopped on validation",
    "full": "pretrained encoder and head trained together, with lower rates for lower layers; stopped on validation",
    "scratch": "encoder and head trained together from random weights; stopped on validation",
}
_SCALES = {
    "recording": "the root mean square of the whole recording, so that ratios between leads survive",
    "lead": "the root mean square of their lead",
    "none": "nothing: mV as they are",
}
_MEASURES = {
    "multilabel": "AUROC and AUPRC with support by finding and their means, calibration (Brier, slope, intercept, ECE), "
    "sensitivity, specificity and predictive values at thresholds frozen on validation, net benefit",
    "multiclass": "AUROC and AUPRC of each class against the rest, accuracy, balanced accuracy, log loss, confusion",
    "regression": "mean absolute and root mean squared error, R2, bias and limits of agreement",
}


def items(name: str) -> list[dict[str, str]]:
    """Rows of a checklist: ``item, section, topic, asks, covers, answers``.

    ``covers`` says whether ``answers``, keys of what a run knows, are the ``whole`` of the item or a ``part``; empty where
    only people can answer.

    Args:
        name: one of ``CHECKLISTS``.
    """
    text = (files("ecgssl.report") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def fill(name: str, known: Mapping[str, str], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """A checklist with what is known.

    Args:
        name: one of ``CHECKLISTS``.
        known: by key, what the run says (``ecgssl.report.answers``).
        given: by ``name.item`` (``tripod_ai.17``), or by key of ``CARD`` for the items that it answers, what people say.

    Returns:
        ``{"item", "section", "topic", "asks", "status", "said", "given"}`` each; ``status`` is ``filled``, ``part`` (people
        should add to it) or ``open``.
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
    """All keys under which people may answer."""
    return set(CARD) | {f"{name}.{row['item']}" for name in CHECKLISTS for row in items(name)}


def answers(report: Mapping[str, Any]) -> dict[str, str]:
    """Sentences by key (the column ``answers`` of the checklists); keys that the run knows nothing of are left out.

    Args:
        report: of ``ecgssl.report.build.gather``, without its checklists.
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
        "objective": f"Development and evaluation on held-out patients; the model gives {_KINDS[asked['kind']]}: {names}.",
        "preparation": f"Every recording is cleaned ({clean}), resampled to {contract['sampling_rate']:g} Hz, cut to "
        f"{contract['duration']:g} s and checked by fixed rules before labels are looked at; contract {contract['short']}.",
        "predictors": f"The voltage of {len(contract['leads'])} leads over {contract['duration']:g} s, in mV; nothing else.",
        "predictors_chosen": "The recording alone; no variable was chosen or left out.",
        "predictors_judged": "No person reads or measures anything that the model is given.",
        "scaling": f"Voltages are divided by {_SCALES[contract['normalise']['method']]}.",
        "model": f"Vision transformer over patches of leads and time ({asked['parameters']}); "
        f"{_MODES.get(asked['mode'], asked['mode'])}.",
        "calculation": f"By ecgssl {asked['ecgssl']} from the stored recordings; the same code scores new files.",
        "specification": "Weights, signal contract and the choices made are in the run's classifier folder.",
        "software": f"Software: ecgssl {asked['ecgssl']}.",
        "imbalance": f"Class weights chosen on validation: {_weights(choices)}." if _weights(choices) else "",
        "blinding": "The model is given the recording alone; neither clinical facts nor the reference reach it.",
        "input_quality": "Unreadable, short, flat, saturated or implausible recordings are refused with a reason; a lead "
        "that is absent or unusable is masked and the model told so.",
        "code": f"ecgssl {asked['ecgssl']}, Apache-2.0.",
        "audit": "Every validation and test prediction is kept in predictions.csv; all figures can be computed again from it.",
    }


def _of_figures(report: Mapping[str, Any]) -> dict[str, str]:
    asked, figures, split = report["asked"], report["evaluation"], report["split"]
    method = figures.get("method", {})
    interval = method.get("interval", "")
    decision = figures.get("decision")
    groups = figures.get("subgroups", {}).get(split) or []
    told = dict.fromkeys(str(entry["column"]) for entry in groups if entry.get("group") not in (None, UNKNOWN))
    columns, sites = ", ".join(told), bool({"site", "device"} & set(told))
    found = {
        "measures": f"{_MEASURES[asked['kind']]}. Intervals: {interval}. Paired: {method.get('paired', '')}.",
        "performance": "See Results: every figure with its interval and support, beside the random encoder.",
        "fairness": f"Performance was compared between groups of {columns}; no correction was made." if columns else "",
        "clusters": "Performance by site or device is in Subgroups." if sites else "",
        "cluster_results": "See Subgroups." if sites else "",
        "limits": "Single source of data unless stated; see support and widths of the intervals.",
        "differences": "Evaluated on an external set; see Who is in it." if "external" in figures["splits"] else "",
    }
    if decision:
        fitted = method.get("calibration", "on validation")
        found["updating"] = f"Calibration: {fitted}."
        found["updated"] = "See Calibration: before and after."
        found["output"] = {
            "multilabel": "A probability for each finding. Thresholds by Youden's index and by wanted sensitivity or "
            "specificity, chosen on validation and frozen before test.",
            "multiclass": "A probability for each class; the likeliest is the answer.",
            "regression": "A number in the unit of the target; no threshold.",
        }[asked["kind"]]
    if asked["kind"] == "multilabel" and decision:
        found["crosstab"] = "See Thresholds: true and false positives and negatives."
    if asked["kind"] == "multiclass":
        found["crosstab"] = "See Results: confusion of classes."
    return found


def _of_cohort(report: Mapping[str, Any]) -> dict[str, str]:
    asked, cohort = report["asked"], report.get("cohort")
    found = {
        "outcome": f"Predicted: {', '.join(asked['labels'])}. Unknown labels take no part.",
        "events": "See Who is in it: events by split.",
        "others": "See Who is in it: prevalence of every label." if len(asked["labels"]) > 1 else "",
        "missing": "Unknown labels are masked in training and in every figure, never counted as absent; absent leads are "
        "masked.",
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
        "eligibility": f"Of {cohort['counted']:,} recordings {cohort['rejected']:,} were refused"
        + (f" ({reasons})." if reasons else "."),
        "size": f"All recordings that were there: {by_split}.",
        "partition": f"Patients are in one split alone: {by_split}. "
        + (f"Overlap with pretraining: {in_words(overlap)}." if overlap else ""),
        "flow": "See Who is in it.",
        "people": f"See Who is in it: {', '.join(known)} by split." if known else "",
        "sites": f"{sites} sites are named in the data." if sites else "",
        "licence": f"Licence of the data: {report['licence']}." if report.get("licence") else "",
    }


def _weights(choices: Mapping[str, Any]) -> str:
    chosen = choices.get("class_weight") or (choices.get("started_from") or {}).get("class_weight")
    return ", ".join(f"{name} {weight}" for name, weight in chosen.items()) if isinstance(chosen, Mapping) else ""
