"""DVC stage evaluate: metrics of each fine-tuned model on its own set, with other leads and on other sets; leaderboard."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ecgssl.config import Params, load_params
from ecgssl.datasets.cohort import EXTERNAL
from ecgssl.errors import exit_with
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.leaderboard import Entry, entry
from ecgssl.evaluation.leaderboard_file import Leaderboard
from ecgssl.evaluation.method_plot import draw_methods
from ecgssl.evaluation.method_table import MethodTable, method_table
from ecgssl.evaluation.predictions import baselines_of, kind_of, read_predictions
from ecgssl.evaluation.protocol_plots import draw_fractions, draw_leads
from ecgssl.evaluation.quoted import read_quoted
from ecgssl.evaluation.repetitions import score_repetitions
from ecgssl.evaluation.scoring_log import log_scorings
from ecgssl.files import write_atomic, write_json
from ecgssl.finetuning.settings import Setting, reference, settings
from ecgssl.signal.figure_file import png_bytes
from ecgssl.stages.evaluate import draw_curves, evaluate_predictions, write_curves
from ecgssl.store.store import Store, store_folder
from ecgssl.tracking.runs import track

PLOTS, FIGURES = Path("plots/evaluate"), Path("metrics/evaluate")
LOG = Path("metrics")
"""Folder of the log of scorings. It is not an output of DVC, which would remove the lines of earlier runs."""
MEASUREMENTS = Path("runs/finetune/clinical")
"""Cache of the inputs of the clinical baseline, which stage finetune fills as well."""
PUBLISHED = Path(__file__).with_name("published.csv")


def main() -> None:
    """Write metrics/evaluate.json (main metrics), metrics/evaluate (all), metrics/leaderboard.{json,md}, plots/evaluate."""
    params = load_params()
    for folder in (PLOTS, FIGURES):
        shutil.rmtree(folder, ignore_errors=True)
    stores = {name: Store(store_folder(name)) for name in params.sets}
    entries = []
    for setting in settings(params):
        with track(f"evaluate@{setting.key}", params, tags=setting.about()) as run:
            run.log_params(setting.about())
            found = _evaluate(setting, params, stores[params.tasks[setting.task].set])
            entries.append(found)
            run.log_metrics({f"test_{name}": value for name, value in found.metrics().items()})
    write_json("metrics/evaluate.json", {s.key: e.metrics() for s, e in zip(settings(params), entries, strict=True)})
    for setting in settings(params):
        if setting == reference(params, setting.task, setting.mode):
            entries += _fewer_leads(setting, params, stores[params.tasks[setting.task].set])
            entries += _other_sets(setting, params, stores)
    board = Leaderboard(_methods(entries, params), entries)
    write_json("metrics/leaderboard.json", board.as_json())
    write_atomic("metrics/leaderboard.md", board.as_markdown())
    with track("evaluate", params) as run:
        write_atomic(PLOTS / "leaderboard.png", png_bytes(draw_methods(board.table)))
        if len(params.finetune.fractions) > 1:
            write_atomic(PLOTS / "fractions.png", png_bytes(draw_fractions(entries)))
        if len(params.finetune.lead_sets) > 1:
            write_atomic(PLOTS / "leads.png", png_bytes(draw_leads(entries)))
        for path in (FIGURES, PLOTS, Path("metrics/leaderboard.md"), Path("metrics/leaderboard.json")):
            run.log_artifact(path)


def _evaluate(setting: Setting, params: Params, store: Store) -> Entry:
    """Evaluate a fine-tuned model. For reference settings, include subgroups and, except for regression, curves."""
    folder = _model(setting)
    predictions = read_predictions(folder / "predictions.csv")
    full = setting == reference(params, setting.task, setting.mode)
    figures = evaluate_predictions(
        predictions, params, FIGURES / f"{setting.key}.json", main=setting.mode, store=store if full else None, log=LOG
    )
    if full and kind_of(predictions) != "regression":
        draw_curves(predictions, setting.mode, PLOTS, params, f"-{setting.key}")
        write_curves(predictions, PLOTS, f"-{setting.key}")
    draws = [read_predictions(path) for path in sorted(folder.glob("draw-*.csv"))]
    repetitions = None
    if draws:
        repetitions = score_repetitions(
            [predictions, *draws],
            setting.mode,
            params.evaluate,
            params.seed,
            against=baselines_of(predictions),
        )
    own = params.tasks[setting.task].set
    return _entry(setting, params, figures, own, repetitions=repetitions)


def _fewer_leads(setting: Setting, params: Params, store: Store) -> list[Entry]:
    """Evaluate a model that was trained with the first lead set on recordings with each of the other lead sets."""
    from ecgssl.finetuning.fewer_leads import predict_with_leads

    task, entries = params.tasks[setting.task], []
    for leads in params.finetune.lead_sets[1:]:
        predictions = predict_with_leads(_model(setting), store, task.targets, setting.mode, leads)
        figures = evaluate(predictions, params.evaluate, params.seed, None, setting.mode)
        write_json(FIGURES / f"{setting.key}-tested-with-{leads}.json", figures)
        log_scorings(LOG, figures, f"evaluate/{setting.key}-tested-with-{leads}.json")
        entries.append(_entry(setting, params, figures, task.set, tested_on=leads))
    return entries


def _other_sets(setting: Setting, params: Params, stores: dict[str, Store]) -> list[Entry]:
    """Evaluate a model, unchanged, on every other set that has its targets and known values of them."""
    from ecgssl.finetuning.across_sets import held_out_split, known_values, sets_with_targets
    from ecgssl.finetuning.evaluate_external import evaluate_frozen
    from ecgssl.finetuning.frozen_run import load_frozen

    task, entries = params.tasks[setting.task], []
    for name in sets_with_targets(stores, task.targets, task.set):
        split = held_out_split(stores[name])
        if not known_values(stores[name], task.targets, split):
            where = "set" if split is None else f"split {split} of set"
            print(f"task {setting.task} is not tested on set {name}: {where} {name} has no known value of its targets")
            continue
        frozen = load_frozen(_model(setting))
        found = evaluate_frozen(
            frozen, stores[name], params, overlap=params.finetune.overlap, split=split, cache=MEASUREMENTS
        )
        write_json(FIGURES / f"{setting.key}-tested-on-{name}.json", found.figures)
        log_scorings(LOG, found.figures, f"evaluate/{setting.key}-tested-on-{name}.json")
        entries.append(_entry(setting, params, found.figures, name, split=EXTERNAL))
    return entries


def _methods(entries: list[Entry], params: Params) -> MethodTable:
    """Arrange the results by method and test set, with published results on the same public sets."""
    readers = {name: one.reader for name, one in params.sets.items()}
    targets = {name: len(task.targets) for name, task in params.tasks.items()}
    return method_table(entries, read_quoted(PUBLISHED), readers, targets)


def _model(setting: Setting) -> Path:
    return Path("models/finetuned") / setting.key


def _entry(setting: Setting, params: Params, figures: dict[str, Any], tested: str, **more: Any) -> Entry:
    sets = (params.tasks[setting.task].set, tested)
    objective = params.objective.kind
    return entry(
        figures, setting.task, setting.mode, setting.share, setting.leads, objective=objective, sets=sets,
        baseline_probe=params.finetune.baseline_probe(setting.mode), **more,
    )  # fmt: skip


if __name__ == "__main__":
    exit_with(main)
