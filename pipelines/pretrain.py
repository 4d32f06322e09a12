"""DVC stage pretrain: CoRe-ECG pretraining on the train split. Start it with ``torchrun`` for several processes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.store.store import Store, store_folder


def main() -> None:
    """Write models/pretrained, metrics/pretrain.json and plots/pretrain."""
    # import inside main, so that exit_with can report a missing optional dependency
    from ecgssl.stages.pretrain import pretrain_encoder, read_selection

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-time", type=float, help="time limit in minutes: save and stop; the same command resumes")
    limit = parser.parse_args().max_time
    params = load_params(overrides=[] if limit is None else [f"pretrain.max_time={limit}"])
    stores = {name: Store(store_folder(name)) for name in params.pretrain.sets}
    pretrain_encoder(
        params,
        stores,
        selection=read_selection(params, stores, Path("data/selection")),
        state=Path("runs"),
        model=Path("models/pretrained"),
        metrics=Path("metrics/pretrain.json"),
        plots=Path("plots/pretrain"),
    )


if __name__ == "__main__":
    exit_with(main)
