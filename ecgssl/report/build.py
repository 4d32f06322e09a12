"""The report of a fine-tuning run: everything that it knows of itself, as one page and as JSON.

No patient, path or name of a recording enters either: only counts, figures, curves of groups, and numbered drawings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.predictions import kind_of, labels_of, read_predictions
from ecgssl.files import write_atomic, write_json
from ecgssl.finetuning.evaluate_external import classifier_of
from ecgssl.model.classifier import Classifier
from ecgssl.report.checklists import CARD, CHECKLISTS, answerable, answers, fill
from ecgssl.report.cohort import FOLDS, cohort_flow, people, prevalence, task_of
from ecgssl.report.curves import curves
from ecgssl.report.recordings import Drawn, Looked, draw_recordings
from ecgssl.report.sections import render_report
from ecgssl.signal.lead_sets import shown_leads
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier, load_signal, read_json

FORMAT, VERSION = "ecgssl-report", 1
HTML, JSON = "report.html", "report.json"
RECORDINGS = 2
"""Best, and as many worst recordings, that are drawn where nothing else is asked for."""
CHEAP = 5_000_000
"""Parameters up to which a model's attribution takes seconds a recording on one core; of larger ones it is asked for."""
_ORDER = ("external", "test", "val")


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds.

    Args:
        config, choices: of its classifier, as JSON.
        evaluation: of ``ecgssl.evaluation.evaluate``; also of older versions, which hold less.
        predictions: checked table.
        classifier: the model.
        contract: signal contract and fingerprint, for JSON.
    """

    config: dict[str, Any]
    choices: dict[str, Any]
    evaluation: dict[str, Any]
    predictions: pd.DataFrame
    classifier: Classifier
    contract: dict[str, Any]


def read_run(run: Path | str, judged: Path | str | None = None) -> RunFiles:
    """Read a folder of ``ecgssl finetune``.

    Args:
        run: the folder, or with ``judged`` also that of its classifier.
        judged: folder of an external evaluation of the run: figures and predictions are taken from there.

    Raises:
        InputError: it lacks one of its files, or one is not what it should be.
    """
    run = Path(run)
    folder = classifier_of(run)
    classifier, _ = load_classifier(folder)
    spec = load_signal(folder)
    contract = {**spec.to_dict(), "fingerprint": spec.fingerprint, "short": spec.fingerprint[:12]}
    evaluation = read_json((run if judged is None else Path(judged)) / "evaluation.json")
    choices = read_json(folder / "choices.json").get("choices", {})
    predictions = read_predictions((folder if judged is None else Path(judged)) / "predictions.csv")
    return RunFiles(read_json(folder / "config.json"), choices, evaluation, predictions, classifier, contract)


def write_report(
    run: Path | str,
    store: Store | None = None,
    *,
    judged: Path | str | None = None,
    out: Path | str | None = None,
    given: Mapping[str, str] | None = None,
    recordings: int = RECORDINGS,
    looked: Looked | None = None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Write ``report.html`` and ``report.json`` of a run.

    Args:
        run: folder of ``ecgssl finetune``.
        store: that it was made from; without it the report has no cohort, no prevalence in train and no drawings, and says so.
        judged: folder of an external evaluation of the run, which the report then is of; ``store`` is that cohort's.
        out: folder for both files; where not given ``judged``, or the run's own.
        given: what people say, by key of the model card or by item of a checklist (``tripod_ai.17``).
        recordings: best and worst recordings to draw, of each; 0 for none.
        looked: how to attribute what is drawn; ``none`` for not at all. Where not given: integrated gradients, and none for
            a model of more than ``CHEAP`` parameters.
        show_progress: draw progress bars on a terminal.

    Returns:
        What ``report.json`` holds.

    Raises:
        InputError: an unusable run, a key that nothing asks for.
        ContractMismatch: run and store are of different contracts.
    """
    files = read_run(run, judged)
    if store is not None:
        store.require_contract(load_signal(classifier_of(Path(run))), "the run")
    report = gather(files, store, given or {})
    drawn: list[Drawn] = []
    if store is not None and recordings:
        own = _of(files, report["split"])
        recorded = files.config.get("recorded_leads")
        seen = np.isin(store.spec.leads, shown_leads(recorded, store.spec.leads)) if recorded else None
        size = sum(p.numel() for p in files.classifier.parameters())
        looked = looked or ("integrated_gradients" if size <= CHEAP else "none")
        drawn = draw_recordings(
            store, files.classifier, own, _decision(files), count=recordings, looked=looked, leads=seen,
            show_progress=show_progress,
        )  # fmt: skip
    report["recordings"] = [one.facts for one in drawn]
    folder = Path(next(place for place in (out, judged, run) if place is not None))
    write_json(folder / JSON, report)
    write_atomic(folder / HTML, render_report(report, [one.png for one in drawn]))
    return report


def gather(files: RunFiles, store: Store | None, given: Mapping[str, str]) -> dict[str, Any]:
    """All of a report but the drawings, ready for JSON.

    Raises:
        InputError: ``given`` answers what nothing asks.
    """
    unknown = sorted(set(given) - answerable())
    if unknown:
        remedy = f"Keys are {', '.join(CARD)}, and items such as tripod_ai.17 or stard_ai.28"
        raise InputError(Problem("answers", key, "is no question of the report", remedy) for key in unknown)
    figures, names = files.evaluation, labels_of(files.predictions)
    folded, abroad = figures.get("cross_validation"), figures.get("external")
    as_one = FOLDS if folded else "external" if abroad else None
    split = next(s for s in _ORDER if s in figures["splits"])
    data = files.config.get("data")
    parameters = sum(p.numel() for p in files.classifier.parameters())
    width, depth, heads = files.classifier.encoder.params.shape
    report: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "asked": {
            "task": str(files.config.get("task") or ", ".join(names)),
            "kind": kind_of(files.predictions),
            "labels": names,
            "units": files.config.get("units") or {},
            "mode": str(files.config.get("mode", figures["main"])),
            "share": files.config.get("share", 1.0),
            "recorded_leads": files.config.get("recorded_leads"),
            "folds": {key: folded[key] for key in ("folds", "repeats")} if folded else None,
            "set": data.get("set", "cohort") if isinstance(data, dict) else str(data or "cohort"),
            "judged_on": abroad["set"] if abroad else None,
            "ecgssl": str(files.config.get("ecgssl", "unknown")),
            "seed": figures.get("method", {}).get("seed"),
            "parameters": f"width {width}, depth {depth}, {heads} heads, {parameters:,} parameters",
            "overlap": abroad["overlap"] if abroad else files.config.get("overlap"),
        },
        "contract": files.contract,
        "choices": files.choices,
        "split": split,
        "evaluation": figures,
        "curves": curves(files.predictions, split, _decision(files), figures["main"]),
        "cohort": None,
        "people": None,
        "licence": "",
    }
    task = None
    if store is not None:
        task = task_of(store, files.config, names)
        report["cohort"] = cohort_flow(store, files.predictions, task, as_one=as_one)
        report["people"] = people(store, as_one="external" if abroad else None)
        report["licence"] = str(store.about.get("cohort", {}).get("licence", ""))
    report["prevalence"] = prevalence(files.predictions, store, task, as_one=as_one)
    known = answers(report)
    report["card"] = {key: str(given.get(key, "")) for key in CARD}
    report["checklists"] = {name: fill(name, known, given) for name in CHECKLISTS}
    report["gaps"] = [key for key, said in report["card"].items() if not said] + [
        f"{name}.{row['item']}"
        for name, rows in report["checklists"].items()
        for row in rows
        if row["status"] == "open"
    ]
    return report


def _decision(files: RunFiles) -> Decision | None:
    found = files.evaluation.get("decision")
    return Decision.from_dict(found, "evaluation.json") if found else None


def _of(files: RunFiles, split: str) -> pd.DataFrame:
    table = files.predictions
    return table[(table["split"] == split) & (table["model"] == files.evaluation["main"])]
