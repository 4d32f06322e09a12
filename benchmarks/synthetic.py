"""Benchmark of the simulation of synthetic recordings: recordings per second by number of processes.

Usage: python benchmarks/synthetic.py [--patients 400] [--workers 1 2]

The output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from ecgssl.config import SyntheticParams
from ecgssl.datasets.synthetic.simulate import simulate


def measure(patients: int, workers: int) -> dict[str, float]:
    """Simulate a dataset, and return the recordings per second and the time in s, including files and manifest."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        manifest = simulate(Path(folder) / "set", SyntheticParams(patients=patients), seed=0, workers=workers)
        seconds, busy = time.perf_counter() - wall, time.process_time() - cpu
        recordings = len(manifest.read_text().splitlines()) - 1
    return {
        "workers": workers,
        "recordings": recordings,
        "seconds": round(seconds, 3),
        "cpu_seconds_of_this_process": round(busy, 3),
        "recordings_per_second": round(recordings / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    measure(20, 1)
    runs = [measure(arguments.patients, workers) for workers in arguments.workers]
    shape = {"leads": 12, "samples": 5000, "sampling_rate": 500}
    print(
        json.dumps(
            {
                "benchmark": "synthetic",
                "numpy": np.__version__,
                "python": platform.python_version(),
                **shape,
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
