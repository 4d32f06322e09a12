"""Fixtures with a small preprocessed store and parameters for runs that take a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from heartbeats import heartbeats
from wfdb_files import write_record

from ecgssl.config import Params, parse_params
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store

SECTIONS: dict[str, Any] = {
    "seed": 3,
    "tasks": {"t": {"targets": ["AF"]}},
    "signal": {"duration": 5.0},
    "store": {"workers": 1, "shard_recordings": 10, "max_rejected_fraction": 0},
    "model": {
        "width": 32, "depth": 2, "heads": 2, "patch": 50,
        "decoder": {"width": 16, "depth": 1, "heads": 2},
    },
    "fda": {"knots": 8},
    "objective": {"projector": 8},
    "pretrain": {
        "samples": 64, "batch_size": 4, "checkpoint_every": 16, "warmup": 0.1, "precision": "fp32", "device": "cpu",
        "probe": {"every_epochs": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def make_params():
    """Return a function for parameters of a small run; its keyword arguments update whole sections."""

    def make(**changes: Any) -> Params:
        merged = {
            name: {**SECTIONS.get(name, {}), **changes[name]} if isinstance(changes.get(name), dict) else value
            for name, value in {**SECTIONS, **changes}.items()
        }
        return parse_params(merged)

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory, make_params) -> Store:
    """Return a store of 24 recordings of 12 patients, 16 of them for training; recording 5 lacks V2."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["record_id,path,patient_id,split,AF"]
    for number, signal in enumerate(heartbeats(24, rate=100.0)):
        digital = np.rint(1000 * signal).astype(np.int16)
        if number == 5:
            digital[LEADS.index("V2")] = 0
        write_record(folder, f"r{number}", digital, rate=100)
        split = ("train", "train", "val", "train", "test", "train")[number // 2 % 6]
        rows.append(f"rec{number},r{number},p{number // 2},{split},{number % 2}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path_factory.mktemp("store") / "processed"
    report = preprocess(load_manifest(folder / "m.csv"), make_params(), out, bytes(32), progress=False)
    assert report.stored == 24
    return Store(out)
