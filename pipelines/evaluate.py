"""DVC stage evaluate: metrics of each fine-tuned model on the validation and test splits, and the leaderboard."""

from __future__ import annotations

import shutil
from pathlib import Path

from ecgssl.config import Params, load_params
from ecgssl.errors import exit_with
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.leaderboard import Entry, entry, leaderboard, leaderboard_rows
from ecgssl.evaluation.predictions import BASELINE, kind_of, read_predictions
from ecgssl.evaluation.protocol_plots import draw_fractions, draw_leads
from ecgssl.evaluation.repetitions import score_repetitions
from ecgssl.files import write_atomic, write_json
from ecgssl.finetuning.settings import Setting, reference, settings
from ecgssl.signal.drawing import png_bytes
from ecgssl.stages.evaluate import draw_curves, evaluate_predictions, write_curves
from ecgssl.store.store import Store, store_folder
from ecgssl.tracking.runs import track

PLOTS, FIGURES = Path("plots/evaluate"), Path("metrics/evaluate")


def main() -> None:
    """Write metrics/evaluate.json (main metrics), metrics/evaluate (all), metrics/leaderboard.{json,md}, plots/evaluate."""
    params = load_params()
    for folder in (PLOTS, FIGURES):
        shutil.rmtree(folder, ignore_errors=True)
    stores = {name: Store(store_folder(name)) for name in dict.fromkeys(task.set for task in params.tasks.values())}
    entries = []
    for setting in settings(params):
        with track(f"evaluate@{setting.key}", params, tags=setting.about()) as run:
            run.log_params(setting.about())
            found = _evaluate(setting, params, stores[params.tasks[setting.task].set])
            entries.append(found)
            run.log_metrics({f"test_{name}": value for name, value in found.metrics().items()})
    write_json("metrics/evaluate.json", {s.key: e.metrics() for s, e in zip(settings(params), entries, strict=True)})
    entries += [_fewer_leads(task, mode, leads, params) for task, mode, leads in _other_leads(params)]
    write_json("metrics/leaderboard.json", leaderboard_rows(entries))
    write_atomic("metrics/leaderboard.md", leaderboard(entries))
    with track("evaluate", params) as run:
        if len(params.finetune.fractions) > 1:
            write_atomic(PLOTS / "fractions.png", png_bytes(draw_fractions(entries)))
        if len(params.finetune.lead_sets) > 1:
            write_atomic(PLOTS / "leads.png", png_bytes(draw_leads(entries)))
        for path in (FIGURES, PLOTS, Path("metrics/leaderboard.md"), Path("metrics/leaderboard.json")):
            run.log_artifact(path)


def _evaluate(setting: Setting, params: Params, store: Store) -> Entry:
    """Evaluate a fine-tuned model. For reference settings, include subgroups and, except for regression, curves."""
    folder = Path("models/finetuned") / setting.key
    predictions = read_predictions(folder / "predictions.csv")
    full = setting == reference(params, setting.task, setting.mode)
    figures = evaluate_predictions(
        predictions, params, FIGURES / f"{setting.key}.json", main=setting.mode, store=store if full else None
    )
    if full and kind_of(predictions) != "regression":
        draw_curves(predictions, setting.mode, PLOTS, params.seed, f"-{setting.key}")
        write_curves(predictions, PLOTS, f"-{setting.key}")
    draws = [read_predictions(path) for path in sorted(folder.glob("draw-*.csv"))]
    repetitions = None
    if draws:
        repetitions = score_repetitions(
            [predictions, *draws], setting.mode, params.evaluate, params.seed, against=BASELINE
        )
    return entry(figures, setting.task, setting.mode, setting.share, setting.leads, repetitions=repetitions)


def _other_leads(params: Params) -> list[tuple[str, str, str]]:
    return [
        (task, mode, leads)
        for task in params.tasks
        for mode in params.finetune.modes
        for leads in params.finetune.lead_sets[1:]
    ]


def _fewer_leads(task: str, mode: str, leads: str, params: Params) -> Entry:
    predictions = read_predictions(Path("models/fewer_leads") / f"{task}-{mode}" / f"{leads}.csv")
    figures = evaluate(predictions, params.evaluate, params.seed, None, mode)
    first = params.finetune
    return entry(figures, task, mode, first.fractions[0], first.lead_sets[0], tested_on=leads)


if __name__ == "__main__":
    exit_with(main)
