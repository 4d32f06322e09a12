"""DVC stage finetune@task-mode-share-leads: fine-tuning with one setting, and a probe on a random encoder."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.finetuning.settings import settings
from ecgssl.output_lock import exclusive
from ecgssl.store.store import Store, store_folder
from ecgssl.tracking.runs import track


def main() -> None:
    """Write the folder models/finetuned/KEY with classifier, predictions and chosen hyperparameters."""
    # import inside main, so that exit_with can report a missing optional dependency
    from ecgssl.stages.finetune import finetune_encoder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", required=True, help="key of the setting, as in the matrix of dvc.yaml")
    args = parser.parse_args()
    params = load_params()
    setting = {s.key: s for s in settings(params)}[args.setting]
    task = params.tasks[setting.task]
    out = Path("models/finetuned") / setting.key
    with (
        exclusive(out) as lock,
        track(f"finetune@{setting.key}", params, tags=setting.about(), lock=lock) as run,
    ):
        finetune_encoder(
            params,
            Store(store_folder(task.set)),
            "models/pretrained",
            task.targets,
            setting.mode,
            out,
            Path("runs/finetune"),
            run,
            task=setting.task,
            share=setting.share,
            recorded=setting.leads,
        )


if __name__ == "__main__":
    exit_with(main)
