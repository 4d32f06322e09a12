"""Report of a fine-tuning run as one HTML page and as JSON.

Both contain counts, metrics and curves, and the page also contains numbered drawings of recordings. They contain no
patient IDs, paths or recording names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import FILE as DECISION
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.evaluate import FORMAT as EVALUATION_FORMAT
from ecgssl.evaluation.evaluate import VERSION as EVALUATION_VERSION
from ecgssl.evaluation.predictions import kind_of, labels_of, read_predictions
from ecgssl.evaluation.scoring_log import count_scorings
from ecgssl.files import write_atomic, write_json
from ecgssl.finetuning.frozen_run import classifier_of
from ecgssl.model.classifier import Classifier
from ecgssl.output_lock import exclusive
from ecgssl.report.answers import answers
from ecgssl.report.checklists import CARD, CHECKLISTS, answerable, fill
from ecgssl.report.cohort import FOLDS, cohort_flow, prevalence, target_values
from ecgssl.report.curves import curves
from ecgssl.report.people import people
from ecgssl.report.recordings import AttributionChoice, Drawn, draw_recordings
from ecgssl.report.sections import render_report
from ecgssl.signal.lead_sets import shown_leads
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import load_classifier
from ecgssl.training.model_folder import load_signal, read_json
from ecgssl.training.origin import encoder_text, is_synthetic_only, started_from

FORMAT, VERSION = "ecgssl-report", 1
HTML, JSON = "report.html", "report.json"
RECORDINGS = 2
"""Default number of best recordings to draw, and of worst recordings."""
CHEAP = 5_000_000
"""Maximum size of a model, in parameters, for which attributions are computed by default.

At this size, attribution takes seconds per recording on one core.
"""
_ORDER = ("external", "test", "val")


@dataclass(frozen=True)
class RunFiles:
    """Content of a run folder.

    Args:
        config: content of ``config.json`` of the classifier.
        choices: entry ``choices`` of ``choices.json``; empty if it is missing.
        decision: content of ``decision.json`` of the classifier; ``None`` if the file does not exist.
        evaluation: result of ``ecgssl.evaluation.evaluate``; older versions contain fewer entries.
        predictions: validated table of predictions.
        classifier: fine-tuned classifier.
        contract: preprocessing settings (the signal contract) and their fingerprint, as a JSON object.
    """

    config: dict[str, Any]
    choices: dict[str, Any]
    decision: dict[str, Any] | None
    evaluation: dict[str, Any]
    predictions: pd.DataFrame
    classifier: Classifier
    contract: dict[str, Any]


def read_run(run: Path | str, external: Path | str | None = None) -> RunFiles:
    """Load an output folder of ``ecgssl finetune``.

    Args:
        run: the output folder. If ``external`` is given, its classifier folder is also accepted.
        external: folder of an external evaluation of the run, the source of metrics and predictions.

    Raises:
        InputError: a file is missing or invalid.
    """
    run = Path(run)
    folder = classifier_of(run)
    classifier, _ = load_classifier(folder)
    spec = load_signal(folder)
    contract = {**spec.to_dict(), "fingerprint": spec.fingerprint, "short": spec.fingerprint[:12]}
    evaluation = _evaluation((run if external is None else Path(external)) / "evaluation.json")
    choices = read_json(folder / "choices.json").get("choices", {})
    predictions = read_predictions((folder if external is None else Path(external)) / "predictions.csv")
    decision = Decision.load(folder).to_dict() if (folder / DECISION).is_file() else None
    return RunFiles(read_json(folder / "config.json"), choices, decision, evaluation, predictions, classifier, contract)


def write_report(
    run: Path | str,
    store: Store | None = None,
    *,
    external: Path | str | None = None,
    out: Path | str | None = None,
    given: Mapping[str, str] | None = None,
    recordings: int = RECORDINGS,
    attribution: AttributionChoice | None = None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Write ``report.html`` and ``report.json`` of a run.

    Args:
        run: folder of ``ecgssl finetune``.
        store: store of the recordings. Without a store, the report has no cohort, no training prevalence and no drawings.
        external: folder of an external evaluation to report instead; ``store`` is then the store of the external cohort.
        out: folder for both files; the default is ``external`` if given, otherwise the run folder.
        given: answers of the user. Keys are questions of the model card or checklist items such as ``tripod_ai.17``.
        recordings: number of best recordings, and of worst recordings, to draw; 0 for none.
        attribution: attribution method for the drawings. The default is integrated gradients for models with up to
            ``CHEAP`` parameters, and ``none`` for larger models.
        show_progress: draw progress bars on a terminal.

    Returns:
        The content of ``report.json``.

    Raises:
        InputError: a file of the run is missing or invalid, ``given`` contains an unknown key, or another process uses the
            output folder.
        ContractMismatch: run and store have different preprocessing settings.
    """
    folder = Path(next(place for place in (out, external, run) if place is not None))
    with exclusive(folder):
        files = read_run(run, external)
        if store is not None:
            store.require_contract(load_signal(classifier_of(Path(run))), "the run")
        results = Path(run if external is None else external).resolve()
        report = gather(files, store, given or {}, results.parent)
        report["written"] = datetime.now(UTC).date().isoformat()
        drawn: list[Drawn] = []
        if store is not None and recordings:
            own = _of(files, report["split"])
            recorded = files.config.get("recorded_leads")
            seen = np.isin(store.spec.leads, shown_leads(recorded, store.spec.leads)) if recorded else None
            size = sum(p.numel() for p in files.classifier.parameters())
            attribution = attribution or ("integrated_gradients" if size <= CHEAP else "none")
            drawn = draw_recordings(
                store, files.classifier, own, _decision(files), count=recordings, attribution=attribution, leads=seen,
                show_progress=show_progress,
            )  # fmt: skip
        report["recordings"] = [one.facts for one in drawn]
        write_json(folder / JSON, report)
        write_atomic(folder / HTML, render_report(report, [one.png for one in drawn]))
        return report


def gather(files: RunFiles, store: Store | None, given: Mapping[str, str], log: Path | None = None) -> dict[str, Any]:
    """Return the content of ``report.json`` without the entries of drawn recordings.

    ``log`` is the folder of the log of scorings, if there is one.

    Raises:
        InputError: ``given`` contains an unknown key.
    """
    unknown = sorted(set(given) - answerable())
    if unknown:
        remedy = f"Use {', '.join(CARD)}, or items such as tripod_ai.17 or stard_ai.28"
        raise InputError(
            Problem("answers", key, "is not a question of the model card or a checklist item", remedy)
            for key in unknown
        )
    figures, names = files.evaluation, labels_of(files.predictions)
    folded, elsewhere = figures.get("cross_validation"), figures.get("external")
    as_one = FOLDS if folded else "external" if elsewhere else None
    split = next(s for s in _ORDER if s in figures["splits"])
    data = files.config.get("data")
    model, encoder = (sum(p.numel() for p in m.parameters()) for m in (files.classifier, files.classifier.encoder))
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
            "judged_on": elsewhere["set"] if elsewhere else None,
            "absent_targets": elsewhere.get("absent_targets", []) if elsewhere else [],
            "ecgssl": str(files.config.get("ecgssl", "unknown")),
            "seed": figures.get("method", {}).get("seed"),
            "parameters": f"width {width}, depth {depth}, {heads} heads, {encoder:,} parameters ({model:,} with the head)",
            "encoder": encoder_text(files.config),
            "synthetic_only": is_synthetic_only(started_from(files.config)),
            "overlap": elsewhere["overlap"] if elsewhere else files.config.get("overlap"),
        },
        "contract": files.contract,
        "choices": files.choices,
        "decision": files.decision,
        "split": split,
        "evaluation": figures,
        "curves": curves(files.predictions, split, _decision(files), figures["main"]),
        "cohort": None,
        "people": None,
        "licence": "",
        "scorings": None,
    }
    if log is not None and (scorings := count_scorings(log, figures["splits"][split].get("digest", ""))):
        report["scorings"] = asdict(scorings)
    values = None
    if store is not None:
        values = target_values(store, files.config, names)
        report["cohort"] = cohort_flow(store, files.predictions, values, as_one=as_one)
        report["people"] = people(store, figures.get("subgroups"), as_one=as_one)
        report["licence"] = str(store.about.get("cohort", {}).get("licence", ""))
    report["prevalence"] = prevalence(files.predictions, store, values, as_one=as_one)
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


def _evaluation(path: Path) -> dict[str, Any]:
    """Return the content of ``evaluation.json``. Files of earlier versions contain fewer entries.

    Raises:
        InputError: the file is unreadable, is not an evaluation, or was written by a later release.
    """
    found = read_json(path)
    kind, version = found.get("format", EVALUATION_FORMAT), found.get("version", 1)
    if kind != EVALUATION_FORMAT or version not in range(1, EVALUATION_VERSION + 1) or "splits" not in found:
        what = f"is {kind} version {version}; this release reads {EVALUATION_FORMAT} up to version {EVALUATION_VERSION}"
        raise InputError(
            Problem(str(path), "version", what, "Create it again with 'ecgssl finetune' or 'ecgssl evaluate'")
        )
    return found


def _decision(files: RunFiles) -> Decision | None:
    found = files.evaluation.get("decision")
    return Decision.from_dict(found, "evaluation.json") if found else None


def _of(files: RunFiles, split: str) -> pd.DataFrame:
    table = files.predictions
    return table[(table["split"] == split) & (table["model"] == files.evaluation["main"])]
