"""Stage evaluate: every fine-tuned model on validation and test, with intervals, beside the random encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.evaluation.curves import reliability_rows, roc_rows, write_rows
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.plots import draw_reliability, draw_roc
from ecgssl.evaluation.predictions import read_predictions
from ecgssl.evaluation.summary import headline, leaderboard
from ecgssl.files import write_atomic, write_json
from ecgssl.signal.drawing import png_bytes
from ecgssl.tracking import track

PLOTS = Path("plots/evaluate")


def main() -> None:
    """Write metrics/evaluate.json (headline), metrics/evaluate/*.json (all), metrics/leaderboard.md and plots/evaluate."""
    params = load_params()
    shutil.rmtree(PLOTS, ignore_errors=True)
    shutil.rmtree("metrics/evaluate", ignore_errors=True)
    rows = []
    with track("evaluate", params) as run:
        for task in params.tasks:
            for mode in params.finetune.modes:
                name = f"{task}-{mode}"
                predictions = read_predictions(Path("models/finetuned") / name / "predictions.csv")
                figures = evaluate(predictions, params.evaluate, params.seed, main=mode)
                write_json(Path("metrics/evaluate") / f"{name}.json", figures)
                rows.append(headline(task, mode, figures))
                roc = draw_roc(predictions, main=mode, bootstrap=200, seed=params.seed)
                for kind, figure in (("roc", roc), ("reliability", draw_reliability(predictions, model=mode))):
                    write_atomic(PLOTS / f"{kind}-{name}.png", png_bytes(figure))
                    run.log_artifact(PLOTS / f"{kind}-{name}.png")
                write_rows(roc_rows(predictions), PLOTS / f"roc-{name}.json")
                write_rows(reliability_rows(predictions), PLOTS / f"reliability-{name}.json")
        write_json("metrics/evaluate.json", {f"{r.task}-{r.mode}": r.metrics() for r in rows})
        write_atomic("metrics/leaderboard.md", leaderboard(rows))
        for r in rows:
            run.log_metrics({f"{r.task}-{r.mode}/{k}": v for k, v in r.metrics().items()})
        run.log_artifact("metrics/evaluate")
        run.log_artifact("metrics/leaderboard.md")


if __name__ == "__main__":
    exit_with(main)
