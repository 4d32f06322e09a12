"""DVC stage preprocess@set: reading, quality checks, filtering and storage of the recordings of a set."""

from __future__ import annotations

import argparse

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.stages.preprocess import preprocess_set
from ecgssl.store.store import store_folder


def main() -> None:
    """Write data/processed/SET, metrics/preprocess/SET.json and plots/preprocess/SET/worst.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", help="name of the set; may be left out if there is only one")
    chosen = load_params().one_set(parser.parse_args().dataset)
    report = preprocess_set(
        chosen,
        store_folder(chosen.name),
        metrics=f"metrics/preprocess/{chosen.name}.json",
        figure=f"plots/preprocess/{chosen.name}/worst.png",
    )
    for warning in report.warnings:
        print(f"note: {warning}")


if __name__ == "__main__":
    exit_with(main)
