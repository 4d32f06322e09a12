"""Stage preprocess: recordings in, a store of contract signals out, everything counted."""

from __future__ import annotations

from ecgssl.config import load_params
from ecgssl.datasets import load
from ecgssl.errors import exit_with
from ecgssl.files import write_json
from ecgssl.inspection.worst_figure import write_worst
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.store.patient_key import load_or_make_key
from ecgssl.tracking.runs import track


def main() -> None:
    """Write data/processed, metrics/preprocess.json and plots/preprocess/worst.png."""
    params = load_params()
    with track("preprocess", params) as run:
        cohort = load(params.data, "data/raw", params.seed)
        report = preprocess(cohort, params, "data/processed", load_or_make_key(params.data.patient_key))
        counts = {"recordings": report.counted, "stored": report.stored, "rejected": report.rejected}
        found = {"rejected_for": report.reasons, "flagged_for": report.flags, "overlap": report.overlap}
        write_json("metrics/preprocess.json", {**counts, **found})
        run.log_metrics({**counts, "seconds": report.seconds})
        run.log_artifact("metrics/preprocess.json")
        run.log_artifact(write_worst("plots/preprocess/worst.png", cohort, "data/processed", params))
        for warning in report.warnings:
            print(f"note: {warning}")


if __name__ == "__main__":
    exit_with(main)
