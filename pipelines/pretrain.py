"""Stage pretrain: CoRe-ECG on the train split; resumable under runs/ until the encoder is published."""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.evaluation.pretraining import publish_pretraining
from ecgssl.store.store import Store
from ecgssl.tracking import track
from ecgssl.training.pretrain import pretrain
from ecgssl.training.run import run_name


def main() -> None:
    """Write models/pretrained, metrics/pretrain.json, plots/pretrain.csv and plots/pretrain/*.png."""
    params = load_params()
    store = Store("data/processed")
    with track("pretrain", params) as run:
        run.log_params(
            {s: getattr(params, s).model_dump(mode="json") for s in ("model", "fda", "stdm", "objective", "pretrain")}
        )
        folder = Path("runs") / run_name(params, store)
        result = pretrain(store, params, folder, on_log=lambda row: run.log_metrics(row, step=int(row["samples"])))
        figures = publish_pretraining(
            result, store, params, Path("models/pretrained"), Path("metrics/pretrain.json"), Path("plots/pretrain")
        )
        run.log_metrics({f"val_{k}": v for k, v in figures.items()} | {"seconds": result.seconds}, step=result.seen)
        for path in ("models/pretrained", "plots/pretrain"):
            run.log_artifact(path)
        result.discard()


if __name__ == "__main__":
    exit_with(main)
