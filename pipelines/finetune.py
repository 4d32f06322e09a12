"""Stage finetune@task-mode: one task in one mode, with the random encoder's probe beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.evaluation.finetune import finetune, publish_finetuning
from ecgssl.store.store import Store
from ecgssl.tracking import track


def main() -> None:
    """Write models/finetuned/TASK-MODE: classifier, predictions.csv, choices.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", required=True)
    parser.add_argument("--mode", required=True, choices=("linear", "full", "scratch"))
    args = parser.parse_args()
    params = load_params()
    store = Store("data/processed")
    name = f"{args.task}-{args.mode}"
    with track(f"finetune@{name}", params, tags={"task": args.task, "mode": args.mode}) as run:
        run.log_params(params.finetune.model_dump(mode="json"))
        result = finetune(
            store,
            "models/pretrained",
            params.tasks[args.task],
            args.mode,
            params.finetune,
            params.seed,
            Path("runs/finetune"),
        )
        publish_finetuning(result, store, Path("models/finetuned") / name, args.task, args.mode)
        for row in result.history:
            run.log_metrics({k: v for k, v in row.items() if v == v}, step=int(row["epoch"]))


if __name__ == "__main__":
    exit_with(main)
