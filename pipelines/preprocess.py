"""DVC stage preprocess: reading, quality checks, filtering and storage of recordings."""

from __future__ import annotations

from ecgssl.config import load_params
from ecgssl.errors import exit_with
from ecgssl.stages.preprocess import preprocess_set


def main() -> None:
    """Write data/processed, metrics/preprocess.json and plots/preprocess/worst.png."""
    report = preprocess_set(
        load_params(),
        "data/processed",
        metrics="metrics/preprocess.json",
        figure="plots/preprocess/worst.png",
    )
    for warning in report.warnings:
        print(f"note: {warning}")


if __name__ == "__main__":
    exit_with(main)
