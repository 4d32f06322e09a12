"""Stage pretrain: CoRe-ECG on the train split; resumable under runs/ until the encoder is published. Also by torchrun."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.pretraining.diagnostics.online_probe import EpochMonitor
from ecgssl.pretraining.diagnostics.publish import publish_pretraining
from ecgssl.pretraining.loop import pretrain
from ecgssl.pretraining.run_identity import run_name
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track
from ecgssl.training.device import resolve_device
from ecgssl.training.ranks import process_group


def main() -> None:
    """Write models/pretrained, metrics/pretrain.json, and plots/pretrain: losses and epochs as CSV, figures as PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--max-time", type=float, help="minutes after which it saves and stops; the same command resumes"
    )
    limit = parser.parse_args().max_time
    params = load_params(overrides=[] if limit is None else [f"pretrain.max_time={limit}"])
    store = Store("data/processed")
    with (
        process_group(resolve_device(params.pretrain.device)) as ranks,
        track("pretrain", params, enabled=ranks.first) as run,
    ):
        run.log_params(
            {s: getattr(params, s).model_dump(mode="json") for s in ("model", "fda", "stdm", "objective", "pretrain")}
        )
        result = pretrain(
            store,
            params,
            Path("runs") / run_name(params, store),
            ranks=ranks,
            on_log=lambda row: run.log_metrics(row, step=int(row["samples"])),
            on_epoch=EpochMonitor(store, params),
        )
        if not ranks.first:
            return
        figures = publish_pretraining(
            result, store, params, Path("models/pretrained"), Path("metrics/pretrain.json"), Path("plots/pretrain")
        )
        shares = {"seconds": result.seconds, "data_wait_share": result.waited, "watch_share": result.monitored}
        run.log_metrics({f"val_{k}": v for k, v in figures.items()} | shares, step=result.seen)
        run.set_tags({"collapse": result.collapse or "none"})
        for path in ("models/pretrained", "plots/pretrain"):
            run.log_artifact(path)
        result.discard()


if __name__ == "__main__":
    exit_with(main)
