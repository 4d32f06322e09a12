"""DVC stage cohort@set: generation of a simulated set, and checks of recordings, splits and targets of a set."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ecgssl.config import load_params
from ecgssl.config.public_sets import SYNTHETIC
from ecgssl.datasets.cohort import describe, require_tasks
from ecgssl.datasets.load import load_set, raw_folder
from ecgssl.datasets.synthetic.published_key import private_keys
from ecgssl.errors import InputError, Problem, exit_with
from ecgssl.files import write_atomic, write_json
from ecgssl.store.choose_key import default_key_file
from ecgssl.tracking.runs import track

NOTE = """This folder is for simulated recordings and has none.
The recordings of this set are read where they are: see its section under "sets" in params.yaml.
"""


def main() -> None:
    """Write metrics/cohort/SET.json and, for a simulated set, data/raw/SET."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", help="name of the set; may be left out if there is only one")
    params = load_params()
    chosen = params.one_set(parser.parse_args().dataset)
    raw = raw_folder(chosen.name)
    tasks = {name: task.targets for name, task in params.tasks.items() if task.set == chosen.name}
    with track(f"cohort@{chosen.name}", params, tags={"set": chosen.name}) as run, chosen.messages():
        if chosen.data.reader == SYNTHETIC:
            from ecgssl.datasets.synthetic.simulate import simulate

            simulate(raw, chosen.data.synthetic, params.seed, workers=params.store.workers)
        cohort = load_set(chosen)
        require_tasks(cohort, tasks, chosen.name)
        if chosen.data.reader != SYNTHETIC:
            _write_note(raw)
        figures = describe(cohort)
        write_json(f"metrics/cohort/{chosen.name}.json", figures)
        run.log_metrics({k: v for k, v in figures.items() if isinstance(v, int | float)})


def _write_note(raw: Path) -> None:
    """Replace the contents of data/raw/SET, which is reserved for a simulated set, by a note.

    DVC needs an output that preprocessing depends on, and prints a warning for an empty folder.

    Raises:
        InputError: the folder contains a private key for patient ids; nothing is removed.
    """
    remedy = (
        f"Move the file to {default_key_file()}, or to a folder that is never replaced and set sets.NAME.patient_key"
    )
    what = "is the key of real patients, and this folder is replaced"
    problems = [Problem(str(path), "patient key", what, remedy) for path in private_keys([raw])]
    if problems:
        raise InputError(problems)
    shutil.rmtree(raw, ignore_errors=True)
    write_atomic(raw / "README.txt", NOTE)


if __name__ == "__main__":
    exit_with(main)
