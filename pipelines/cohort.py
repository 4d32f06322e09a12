"""DVC stage cohort: generation of the simulated dataset (if selected), and checks of recordings, splits and targets."""

from __future__ import annotations

import shutil
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.datasets.cohort import describe, require_one_kind, require_targets
from ecgssl.datasets.load import load
from ecgssl.datasets.synthetic.published_key import private_keys
from ecgssl.errors import InputError, Problem, exit_with
from ecgssl.files import write_json
from ecgssl.store.choose_key import default_key_file
from ecgssl.tracking.runs import track

RAW = Path("data/raw")


def main() -> None:
    """Write metrics/cohort.json and, for the simulated dataset, data/raw."""
    params = load_params()
    with track("cohort", params) as run:
        if params.data.set == "synthetic":
            from ecgssl.datasets.synthetic.simulate import simulate

            simulate(RAW, params.data.synthetic, params.seed, workers=params.store.workers)
        else:
            _remove_simulated()
        cohort = load(params.data, RAW, params.seed)
        require_one_kind(cohort, params.tasks)
        require_targets(cohort, sorted({t for targets in params.tasks.values() for t in targets}))
        figures = describe(cohort)
        write_json("metrics/cohort.json", figures)
        run.log_metrics({k: v for k, v in figures.items() if isinstance(v, int | float)})


def _remove_simulated() -> None:
    """Remove the contents of data/raw, which is reserved for the simulated dataset.

    Raises:
        InputError: the folder contains a private key for patient ids; nothing is removed.
    """
    remedy = f"Move the file to {default_key_file()}, or to a folder that is never replaced and set data.patient_key"
    what = "is the key of real patients, and this folder is replaced"
    problems = [Problem(str(path), "patient key", what, remedy) for path in private_keys([RAW])]
    if problems:
        raise InputError(problems)
    shutil.rmtree(RAW, ignore_errors=True)
    RAW.mkdir(parents=True)


if __name__ == "__main__":
    exit_with(main)
