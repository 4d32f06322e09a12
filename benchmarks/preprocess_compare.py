"""Preprocessing of this checkout compared with an earlier one: CPU time, and identity of the stores.

    git clone . EARLIER && git -C EARLIER checkout be90185
    OMP_NUM_THREADS=1 python benchmarks/preprocess_compare.py --before EARLIER
    OMP_NUM_THREADS=1 python benchmarks/preprocess_compare.py --before EARLIER --set ptbxl --root FOLDER --rate 100

One process per checkout prepares the same recordings without beats (``quality.beats: none``), in turns, so that both
meet the same load of the machine. The times are CPU time of one thread. ``--stores`` recordings are preprocessed into a
complete store by both, and the files of the stores are compared by SHA-256. The exit code is 1 if a file differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from preprocess import machine, make_shard, settings, stages
from study import described_run

from ecgssl.config import SyntheticParams, parse_params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.load import load
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.preprocessing.request import recording_requests

COMPARED = ("shard-*.npy", "index.parquet", "rejected.csv")


def cohort_of(arguments: argparse.Namespace, count: int) -> Cohort:
    """Return the first recordings of the set."""
    source = {"root": str(arguments.root)} if arguments.root else {}
    source |= {"sampling_rate": arguments.rate} if arguments.rate else {}
    sets = {arguments.set: {"reader": arguments.set, **source}}
    params = parse_params({"tasks": {"none": {"targets": ["none"]}}, "sets": sets})
    cohort = load(params.one_set().data, arguments.folder)
    return replace(cohort, table=cohort.table.head(count).reset_index(drop=True), rows=())


def work(arguments: argparse.Namespace) -> None:
    """Answer requests on the standard input with one line of JSON each: a timed shard, the stages, or a store."""
    cohort = cohort_of(arguments, max(arguments.count, arguments.stores))
    items = recording_requests(cohort, 0, arguments.count)
    params = settings("none")
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            if line.strip() == "shard":
                start = time.process_time()
                make_shard(items, params, Path(folder))
                answer: Any = 1000 * (time.process_time() - start) / len(items)
            elif line.strip() == "stages":
                answer = stages(items, params, Path(folder))
            else:
                store = Path(folder) / "store"
                some = replace(cohort, table=cohort.table.head(arguments.stores))
                report = preprocess(some, settings("none", workers=1), store, bytes(32), progress=False)
                files = sorted(path for pattern in COMPARED for path in store.glob(pattern))
                answer = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
                answer["recordings"] = report.counted
        print(json.dumps(answer), file=sys.__stdout__, flush=True)


@contextmanager
def worker(checkout: Path, argv: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that works with the package of a checkout."""
    command = [sys.executable, str(Path(__file__).resolve()), *argv, "--worker", "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.stdin.close()


def ask(process: subprocess.Popen[str], request: str) -> Any:
    """Return the answer of a worker."""
    print(request, file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def reference() -> float:
    """Return the CPU time in ms of a fixed computation: the FFT of 12 x 7200 single-precision samples, 200 times."""
    signal = np.random.default_rng(0).standard_normal((12, 7200)).astype(np.float32)
    start = time.process_time()
    for _ in range(200):
        scipy.fft.rfft(signal, axis=1)
    return 1000 * (time.process_time() - start) / 200


def main() -> int:
    """Run the comparison and print or write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="folder of the earlier checkout")
    parser.add_argument("--set", default="synthetic", help="generated recordings by default, or a public set")
    parser.add_argument("--root", type=Path, help="folder of the public set")
    parser.add_argument("--rate", type=int, help="sampling rate of the files of the public set, in Hz")
    parser.add_argument("--count", type=int, default=128, help="recordings per timed run")
    parser.add_argument("--stores", type=int, default=1000, help="recordings of the stores that are compared")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="add the results to this JSON file, under the name of the set")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return 0
    here = Path(__file__).resolve().parent.parent
    sides = {"before": arguments.before, "after": here}
    times: dict[str, list[Any]] = {name: [] for name in (*sides, "before_stages", "after_stages", "reference")}
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "set"
        if arguments.set == "synthetic":
            patients = (max(arguments.count, arguments.stores) + 1) // 2
            simulate(folder, SyntheticParams(patients=patients, recordings_per_patient=(2, 2)), seed=0)
        with (
            worker(sides["before"], sys.argv[1:], folder) as before,
            worker(sides["after"], sys.argv[1:], folder) as after,
        ):
            processes = {"before": before, "after": after}
            for process in processes.values():  # warm up imports, FFT plans and page cache
                ask(process, "shard")
            for _ in range(arguments.rounds):
                times["reference"].append(reference())
                for side, process in processes.items():
                    times[side].append(ask(process, "shard"))
                for side, process in processes.items():
                    times[f"{side}_stages"].append(ask(process, "stages"))
            loads.append(os.getloadavg()[0])
            stores = {side: ask(process, "store") for side, process in processes.items()}
    identical = stores["before"] == stores["after"]
    milliseconds = {side: statistics.median(times[side]) for side in sides}
    results = {
        **described_run(),
        "before_commit": subprocess.run(
            ["git", "-C", str(arguments.before), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip(),
        "machine": machine(),
        "load": [round(load, 1) for load in loads],
        "rounds": arguments.rounds,
        "recordings": arguments.count,
        "reference_fft_ms": round(statistics.median(times["reference"]), 4),
        "ms": {side: round(value, 3) for side, value in milliseconds.items()},
        "best_ms": {side: round(min(times[side]), 3) for side in sides},
        "per_cpu_second": {side: round(1000 / value) for side, value in milliseconds.items()},
        "ratio": round(statistics.median(b / a for b, a in zip(times["before"], times["after"], strict=True)), 3),
        "stages_ms": {
            side: {
                stage: round(statistics.median(row[stage] for row in times[f"{side}_stages"]), 3)
                for stage in times[f"{side}_stages"][0]
            }
            for side in sides
        },
        "stores": {"identical": identical, "files": stores["after"]},
    }
    text = json.dumps(results, indent=2)
    print(text)
    if arguments.out:
        earlier = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(earlier | {arguments.set: results}, indent=2) + "\n")
    return 0 if identical else 1


if __name__ == "__main__":
    sys.exit(main())
