"""Stage finetune@task-mode-share-leads: one setting of the protocol, with the random encoder's probe beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.evaluation.calibration.decision import fit_from_predictions
from ecgssl.evaluation.predictions import write_predictions
from ecgssl.finetuning.finetune import publish_finetuning
from ecgssl.finetuning.protocol import run_setting, settings
from ecgssl.signal.lead_sets import LEAD_SETS
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track


def main() -> None:
    """Write models/finetuned/KEY: classifier, predictions.csv, choices.json, and draw-N.csv of further draws of a share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", required=True, help="key of the setting, as dvc.yaml spells it")
    args = parser.parse_args()
    params = load_params()
    store = Store("data/processed")
    setting = {s.key: s for s in settings(params)}[args.setting]
    with track(f"finetune@{setting.key}", params, tags=setting.about()) as run:
        run.log_params(setting.about() | params.finetune.model_dump(mode="json"))
        drawn = run_setting(
            store,
            "models/pretrained",
            params.tasks[setting.task],
            setting,
            params.finetune,
            params.seed,
            Path("runs/finetune"),
        )
        out = Path("models/finetuned") / setting.key
        decision = fit_from_predictions(drawn.result.predictions, setting.mode, params.evaluate)
        publish_finetuning(
            drawn.result, store, out, setting.task, setting.mode,
            decision=decision, more={"share": setting.share, "recorded_leads": LEAD_SETS[setting.leads]},
        )  # fmt: skip
        for number, predictions in enumerate(drawn.others, 1):
            write_predictions(predictions, out / f"draw-{number}.csv")
        for row in drawn.result.history:
            run.log_metrics({k: v for k, v in row.items() if v == v}, step=int(row["epoch"]))


if __name__ == "__main__":
    exit_with(main)
