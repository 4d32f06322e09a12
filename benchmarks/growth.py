"""Time and memory of each stage against the number of recordings, from 1,000 to 800,000.

Each cell (stage and size) runs in a separate process. Preparing the input is not measured, but it can raise the peak memory:
``before_mb`` is the peak at the start of the measured work. Finished cells are kept, so a stopped run resumes. The exponent of
the time is the slope of a straight line through the logarithms of size and CPU time. It is 1 if time is proportional to size.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [--stages evaluate monitor] [--sizes 1000 10000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from growth_stages import STAGES
from preprocess_memory import cpu_seconds, held

from ecgssl.files import write_atomic

SIZES = (1_000, 10_000, 100_000, 800_000)
TOO_LONG = {("preprocess", 800_000)}
"""Cells that are not measured, because they would take much longer than six minutes of CPU time."""
RESULTS = Path(__file__).parent / "results" / "growth.json"


def measure(stage: str, count: int) -> dict[str, Any]:
    """Prepare and run a stage in this process, and return CPU time (s) and peak resident memory (MB)."""
    with tempfile.TemporaryDirectory() as folder:
        work = STAGES[stage](count, Path(folder))
        before, cpu = held()["rss"], cpu_seconds()
        found = work()
        seconds = cpu_seconds() - cpu
    return {"cpu_seconds": round(seconds, 4), "before_mb": round(before), "peak_mb": round(held()["rss"]), **found}


def exponents(cells: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the exponent of the CPU time against the size over all sizes and between the two largest ones."""
    sizes, seconds = (
        np.log(values) for values in zip(*((int(n), c["cpu_seconds"]) for n, c in cells.items()), strict=True)
    )
    order = np.argsort(sizes)
    sizes, seconds = sizes[order], seconds[order]
    last = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    return {"all": round(float(np.polyfit(sizes, seconds, 1)[0]), 2), "last": round(float(last), 2)}


def main() -> None:
    """Measure missing cells one after the other, and write all results after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=[*STAGES], default=[*STAGES])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.stages[0], given.sizes[0])))
        return
    # import here, because it imports torch, which would add to the memory of the stages
    from study import described_run

    results = json.loads(given.out.read_text()) if given.out.exists() else {"cells": {}}
    for stage in given.stages:
        cells = results["cells"].setdefault(stage, {})
        for count in given.sizes:
            if str(count) in cells or (stage, count) in TOO_LONG:
                continue
            command = [sys.executable, __file__, "--here", "--stages", stage, "--sizes", str(count)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            run = {key: value for key, value in described_run().items() if key in ("date", "commit")}
            cells[str(count)] = json.loads(answer.splitlines()[-1]) | run
            results["run"] = described_run()
            results["exponents"] = {name: exponents(own) for name, own in results["cells"].items() if len(own) > 1}
            results["not_measured"] = [
                [name, size] for name in STAGES for size in SIZES if str(size) not in results["cells"].get(name, {})
            ]
            write_atomic(given.out, json.dumps(results, indent=1) + "\n")
            print(stage, count, cells[str(count)], flush=True)


if __name__ == "__main__":
    main()
