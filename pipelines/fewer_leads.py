"""DVC stage fewer_leads@task-mode: predictions of the model for the first lead set from the other lead sets."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.evaluation.predictions import write_predictions
from ecgssl.files import atomic_directory
from ecgssl.finetuning.settings import reference
from ecgssl.store.store import Store, store_folder


def main() -> None:
    """Write models/fewer_leads/TASK-MODE: one prediction table LEADS.csv per additional lead set."""
    # import inside main, so that exit_with can report a missing optional dependency
    from ecgssl.finetuning.fewer_leads import predict_with_leads

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", required=True)
    parser.add_argument("--mode", required=True)
    args = parser.parse_args()
    params = load_params()
    task = params.tasks[args.task]
    store = Store(store_folder(task.set))
    model = Path("models/finetuned") / reference(params, args.task, args.mode).key
    with atomic_directory(Path("models/fewer_leads") / f"{args.task}-{args.mode}") as folder:
        for leads in params.finetune.lead_sets[1:]:
            predictions = predict_with_leads(model, store, task.targets, args.mode, leads)
            write_predictions(predictions, folder / f"{leads}.csv")


if __name__ == "__main__":
    exit_with(main)
