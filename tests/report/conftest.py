"""Reports of small runs, shared by the tests of this folder."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from report_runs import TASKS, make_run, make_store

from ecgssl.report.build import write_report


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a store, a run for every kind of task, one run of an old version, and their reports."""
    folder = tmp_path_factory.mktemp("report")
    store = make_store(folder)
    runs = {name: make_run(store, folder / name, targets) for name, targets in TASKS.items()}
    runs["old"] = make_run(store, folder / "old", TASKS["findings"], old=True)
    kept = {}
    for name, run in runs.items():
        drawn = 1 if name != "old" else 0
        kept[name] = write_report(run, store if name != "old" else None, recordings=drawn, show_progress=False)
    pages = {name: (run / "report.html").read_text() for name, run in runs.items()}
    return SimpleNamespace(folder=folder, store=store, runs=runs, reports=kept, pages=pages)
