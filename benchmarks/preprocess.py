"""Preprocessing speed: ours against a plain loop of wfdb and neurokit2 over the same recordings, in the same run.

    python benchmarks/preprocess.py --root PTBXL_FOLDER --sampling-rate 500 --count 200
    python benchmarks/preprocess.py --manifest cohort.csv --count 200

Prints JSON: recordings per second of each, and the ratio. The plain loop reads a record with ``wfdb.rdsamp`` and cleans
each lead with ``neurokit2.ecg_clean``; it neither resamples nor checks nor stores anything, which ours does.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from ecgssl.config import parse_params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.manifest import load_manifest
from ecgssl.datasets.ptbxl import PTBXL
from ecgssl.io import read
from ecgssl.io.wfdb_reader import header_path
from ecgssl.store.preprocess import preprocess


def plain_loop(paths: list[Path]) -> float:
    """Seconds that wfdb and neurokit2 take, after one recording to warm up."""
    import neurokit2
    import wfdb

    def one(path: Path) -> None:
        signal, fields = wfdb.rdsamp(str(header_path(path).with_suffix("")))
        for lead in signal.T:
            neurokit2.ecg_clean(lead, sampling_rate=int(fields["fs"]))

    one(paths[0])
    start = time.perf_counter()
    for path in paths:
        one(path)
    return time.perf_counter() - start


def ours(cohort: Cohort, workers: int, warm_up: int) -> float:
    """Seconds that ``preprocess`` takes from files to a finished store, its processes already started."""
    params = parse_params({"tasks": {"none": ["none"]}, "store": {"workers": workers, "max_rejected_fraction": 1.0}})
    with tempfile.TemporaryDirectory() as folder:
        first = replace(cohort, table=cohort.table.head(warm_up))
        preprocess(first, params, Path(folder) / "warm", bytes(32), progress=False)
        start = time.perf_counter()
        preprocess(cohort, params, Path(folder) / "store", bytes(32), progress=False)
        return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="PTB-XL in its official layout, or the root of the manifest")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--sampling-rate", type=int, choices=(100, 500), default=500)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    if arguments.manifest:
        cohort = load_manifest(arguments.manifest, arguments.root)
    elif arguments.root:
        cohort = PTBXL(arguments.root, sampling_rate=arguments.sampling_rate).cohort()
    else:
        parser.error("--root or --manifest is needed")
    cohort = replace(cohort, table=cohort.table.head(arguments.count))
    paths = [cohort.root / path for path in cohort.table["path"]]
    for path in paths:
        read(path)  # both from the page cache
    plain = len(cohort) / plain_loop(paths)
    result: dict[str, object] = {
        "recordings": len(cohort),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "plain_loop_per_second": round(plain, 1),
    }
    for workers in arguments.workers:
        rate = len(cohort) / ours(cohort, workers, warm_up=min(128, len(cohort)))
        result[f"ours_{workers}_workers_per_second"] = round(rate, 1)
        result[f"ratio_{workers}_workers"] = round(rate / plain, 2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
