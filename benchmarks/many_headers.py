"""Time until the first recordings of a public set with many headers are preprocessed.

The script writes releases with the layout and the number of headers of ecg-arrhythmia (45,152) and of the PhysioNet/CinC
Challenge 2021 (88,253), less one recording each, because the label counts of a complete release are compared with the
published ones. Only the recordings of the first shard have a signal. Each set is loaded and preprocessed in a separate process
until the first shard (256 recordings) is stored, by one process. Set ``TMPDIR`` to a file system in memory to exclude the disk.

    OMP_NUM_THREADS=1 python benchmarks/many_headers.py [--profile] [--out benchmarks/results/many-headers.json]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from study import described_run

from ecgssl.config import parse_params
from ecgssl.datasets.load import load
from ecgssl.datasets.public.label_map import package_table
from ecgssl.io.wfdb.writer import write_wfdb
from ecgssl.preprocessing import preprocess as preprocessing
from ecgssl.preprocessing.shards import ShardResult, make_shard

SETS = ("ecg_arrhythmia", "cinc2021")
PATIENTS = 45_152
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SHARD = 256


class _FirstShardStored(Exception):
    """Ends preprocessing after the first shard."""


def write_release(root: Path, name: str) -> int:
    """Write the headers of a release, with signals for the first shard, and return the number of headers."""
    rng = np.random.default_rng(0)
    codes = [row["code"] for row in package_table("snomed_cinc2021.csv")]
    if name == "ecg_arrhythmia":
        places = (f"WFDBRecords/{n // 1000 + 1:02d}/{n // 100 + 1:03d}/JS{n + 1:05d}" for n in range(PATIENTS - 1))
        rows = "".join(f"{row['label']},{row['label']},{row['code']}\n" for row in package_table("snomed_cinc2021.csv"))
        (root / "ConditionNames_SNOMED-CT.csv").write_text(f"Acronym Name,Full Name,Snomed_CT\n{rows}")
    else:
        sizes = {row["subset"]: int(row["recordings"]) for row in package_table("cinc_subsets.csv")}
        sizes["ningbo"] -= 1
        prefixes = {
            "ptb-xl": "HR",
            "ningbo": "JS",
            "chapman_shaoxing": "JS",
            "georgia": "E",
            "st_petersburg_incart": "I",
        }
        first = {"ningbo": 10_647}
        places = (
            f"training/{subset}/g{n // 1000 + 1}/{prefixes.get(subset, 'A')}{n + first.get(subset, 1):05d}"
            for subset, size in sizes.items()
            for n in range(size)
        )
    with tempfile.TemporaryDirectory() as folder:
        time_axis = np.arange(5000) / 500
        beat = np.exp(-(((time_axis % 0.8) - 0.4) ** 2) / 2e-4)
        signal = beat * np.linspace(0.4, 1.2, 12)[:, None] + rng.normal(scale=0.02, size=(12, 5000))
        write_wfdb(Path(folder), "one", signal.astype(np.float32), 500, LEADS)
        header = (
            Path(folder, "one.hea").read_text().replace("one.dat 16 ", "NAME.mat 16+24 ").replace(".0(0)/mV", "/mV")
        )
        samples = bytes(24) + Path(folder, "one.dat").read_bytes()
    header = header.replace("one ", "NAME ", 1)
    count = 0
    for count, place in enumerate(places, 1):
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        found = ",".join(rng.choice(codes, rng.integers(1, 4), replace=False))
        comments = f"#Age: {rng.integers(18, 95)}\n#Sex: Male\n#Dx: {found}\n#Rx: Unknown\n#Hx: Unknown\n#Sx: Unknown\n"
        path.with_suffix(".hea").write_text(header.replace("NAME", path.name) + comments)
        path.with_suffix(".mat").write_bytes(samples if count <= 2 * SHARD else b"")
    return count


def measure(root: Path, name: str, out: Path) -> dict[str, float]:
    """Load and preprocess a set until its first shard is stored, and return the wall and CPU time (s) of both steps."""

    def first(*task: Any) -> ShardResult:
        found = make_shard(*task)
        raise _FirstShardStored(str(found.stored))

    preprocessing.make_shard = first  # type: ignore[attr-defined]
    wall, cpu = time.perf_counter(), time.process_time()
    section = {"reader": name, "root": str(root)}
    tasks = {"none": {"targets": ["none"]}}
    params = parse_params({"tasks": tasks, "sets": {name: section}, "store": {"workers": 1}})
    cohort = load(params.one_set().data, root)
    seconds = {"load_seconds": time.perf_counter() - wall, "load_cpu_seconds": time.process_time() - cpu}
    try:
        preprocessing.preprocess(cohort, params, out, bytes(32), progress=False)
    except _FirstShardStored as error:
        stored = int(str(error))
    total = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    rounded = {key: round(value, 2) for key, value in (seconds | total).items()}
    return {"recordings": len(cohort), "stored_in_first_shard": stored, **rounded}


def main() -> None:
    """Measure both sets, each in a separate process, and print or write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file; by default the result is printed")
    parser.add_argument("--profile", action="store_true", help="print the functions that take most time")
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        folder, name = Path(given.here[0]), given.here[1]
        profile = cProfile.Profile(time.process_time)
        found = profile.runcall(measure, folder, name, folder / "store") if given.profile else None
        if found is None:
            found = measure(folder, name, folder / "store")
        else:
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(22)
        print(json.dumps(found))
        return
    results = {}
    for name in SETS:
        with tempfile.TemporaryDirectory() as place:
            write_release(Path(place), name)
            command = [sys.executable, __file__, "--here", place, name, *["--profile"][: given.profile]]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            results[name] = json.loads(answer)
    text = json.dumps({"run": described_run(), "shard": SHARD, "sets": results}, indent=1)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
