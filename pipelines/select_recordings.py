"""DVC stage select: recordings that are left out of pretraining, and the state of the set of each task.

A script named ``select.py`` would hide the module ``select`` of the standard library from all scripts in this folder.
"""

from __future__ import annotations

from pathlib import Path

from ecgssl.config import load_params
from ecgssl.errors import InputError, Problem, exit_with
from ecgssl.store.store import Store, store_folder


def main() -> None:
    """Write data/selection and metrics/selection.json."""
    # import inside main, so that exit_with can report a missing optional dependency
    from ecgssl.stages.select import select_sets

    params = load_params()
    stores: dict[str, Store] = {}
    problems: list[Problem] = []
    for name in params.sets:
        try:
            stores[name] = Store(store_folder(name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    for change in select_sets(params, stores, Path("data/selection"), metrics=Path("metrics/selection.json")):
        print(f"note: {change}")
    # DVC hashes the whole folder, so the stage would run again in a copy without it
    for path in sorted(Path("data/processed").iterdir()):
        if path.is_dir() and path.name not in params.sets:
            print(f"note: {path} is not a set of params.yaml. Remove it")


if __name__ == "__main__":
    exit_with(main)
