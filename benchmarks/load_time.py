"""Processor time to load a model and to score the first recording in a new process, and of both engines per recording.

    OMP_NUM_THREADS=1 python benchmarks/load_time.py --version before=FOLDER --version after=. --out FILE

A version is a checkout of this repository. Each round starts one process per case and version, in alternating order. Cases:

- ``import``: ``import ecgssl``;
- ``load`` and ``load_torch``: ``ecgssl.load("ptbxl-superclass")`` with the default engine and with torch;
- ``score`` and ``score_torch``: the same, and ``predict`` for one file of 10 s at 500 Hz, which the script simulates;
- ``help`` and ``predict``: the commands ``ecgssl --help`` and ``ecgssl predict FILE``.

Times include the start of Python and all imports. They are measured with byte code (``cached``, as in an installed package: the
first round is not counted) and without (``compiled``: Python compiles every module that it imports). ``shares`` is the
part of each library in the import time of the default engine, with byte code. ``engines`` compares torch and onnxruntime in one
process, in turn, for batches of 1 and 64 recordings. The output is JSON.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timing import write_result

MODEL = "ptbxl-superclass"
CASES = {
    "import": "import ecgssl",
    "load": f"import ecgssl; ecgssl.load({MODEL!r})",
    "load_torch": f"import ecgssl; ecgssl.load({MODEL!r}, engine='torch')",
    "score": f"import ecgssl, sys; ecgssl.load({MODEL!r}).predict(sys.argv[1])",
    "score_torch": f"import ecgssl, sys; ecgssl.load({MODEL!r}, engine='torch').predict(sys.argv[1])",
    "help": "import sys; from ecgssl.cli import main; sys.argv = ['ecgssl', '--help']; main()",
    "predict": "import sys; from ecgssl.cli import main\n"
    f"sys.argv = ['ecgssl', 'predict', sys.argv[1], '--bundle', {MODEL!r}, '--out', sys.argv[2]]; main()",
}
BATCHES = {1: 41, 64: 7}
"""Number of repetitions by number of recordings in a batch."""
SHOWN = 8


def cpu_seconds(code: str, folder: str, place: Path, options: dict[str, str], *flags: str) -> tuple[float, str]:
    """Run Python code in a new process, and return its CPU time in s and its standard error.

    Args:
        code: Python code; its arguments are the recording and a path for a table.
        folder: checkout of the version.
        place: folder with the recording ``r.hea``.
        options: environment variables.
        flags: options of the interpreter.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(Path(folder).resolve()), **options}
    command = [sys.executable, *flags, "-c", code, "r.hea", "scores.csv"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr


def shares(code: str, folder: str, place: Path, options: dict[str, str]) -> dict[str, float]:
    """Return the share of the largest libraries in the import time of a case (``-X importtime``)."""
    _, text = cpu_seconds(code, folder, place, options, "-X", "importtime")
    spent: Counter[str] = Counter()
    for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", text, flags=re.MULTILINE):
        library = name.partition(".")[0]
        spent["standard library" if library.lstrip("_") in sys.stdlib_module_names else library] += int(own)
    return {name: round(value / spent.total(), 3) for name, value in spent.most_common(SHOWN)}


def engines() -> dict[str, Any]:
    """Return the CPU time per recording in ms of both engines, and the ratio of onnxruntime to torch."""
    import numpy as np
    import torch

    from ecgssl.export.bundle import load_bundle

    torch.set_num_threads(1)
    bundles = {name: load_bundle(MODEL, name) for name in ("torch", "onnxruntime")}  # type: ignore[arg-type]
    spec, found = bundles["torch"].spec, {}
    for size, repeats in BATCHES.items():
        ecg = np.random.default_rng(0).normal(0, 0.3, (size, len(spec.leads), spec.samples)).astype(np.float32)
        mask = np.ones(ecg.shape[:2], dtype=bool)
        spent: dict[str, list[float]] = {name: [] for name in bundles}
        for number in range(repeats + 1):
            for name in sorted(bundles, reverse=number % 2 == 1):
                start = time.process_time()
                bundles[name].graph.run(ecg, mask)
                if number:
                    spent[name].append(1000 * (time.process_time() - start) / size)
        medians = {name: round(statistics.median(times), 2) for name, times in spent.items()}
        found[f"batch {size}"] = {"ms": medians, "ratio": round(medians["onnxruntime"] / medians["torch"], 2)}
    return found


def simulated_recording(place: Path) -> None:
    """Write a simulated recording ``r.hea`` of 12 leads, 10 s and 500 Hz."""
    import numpy as np
    import wfdb

    from ecgssl.datasets.synthetic.simulate import render
    from ecgssl.datasets.synthetic.synthetic_patients import draw_episode, draw_patient
    from ecgssl.signal.leads import LEADS

    generator = np.random.default_rng(0)
    signal, _, _ = render(draw_episode(draw_patient(generator), generator), 500.0, 10.0, generator)
    values = signal.T.astype(np.float64)
    wfdb.wrsamp("r", 500, ["mV"] * 12, list(LEADS), values, fmt=["16"] * 12, write_dir=str(place))


def main() -> None:
    """Measure all versions alternately, and print and write the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="append", default=[], metavar="NAME=FOLDER", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    from study import described_run

    versions = dict(text.split("=", 1) for text in args.version)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        simulated_recording(place)
        for condition in ("cached", "compiled"):
            spent: dict[str, dict[str, list[float]]] = {name: {case: [] for case in CASES} for name in versions}
            # compiling the modules of torch takes long, so one third of the rounds suffices
            warm, rounds = (1, args.rounds) if condition == "cached" else (0, max(1, args.rounds // 3))
            for number in range(warm + rounds):
                for name in sorted(versions, reverse=number % 2 == 1):
                    options = {"PYTHONPYCACHEPREFIX": str(place / f"{name}-{condition}")}
                    options |= {"PYTHONDONTWRITEBYTECODE": "1"} if condition == "compiled" else {}
                    for case, code in CASES.items():
                        seconds, _ = cpu_seconds(code, versions[name], place, options)
                        # the first round writes the byte code
                        if number >= warm:
                            spent[name][case].append(seconds)
            medians = {
                name: {c: round(statistics.median(t), 3) for c, t in each.items()} for name, each in spent.items()
            }
            first = medians[next(iter(versions))]
            ratios = {
                name: {case: round(first[case] / value, 2) for case, value in each.items()}
                for name, each in medians.items()
            }
            ranges = {
                name: {c: [round(min(t), 3), round(max(t), 3)] for c, t in each.items()} for name, each in spent.items()
            }
            result[condition] = {"seconds": medians, "range": ranges, "first_to_version": ratios}
        result["shares"] = {
            name: {
                case: shares(CASES[case], folder, place, {"PYTHONPYCACHEPREFIX": str(place / f"{name}-cached")})
                for case in ("load", "score")
            }
            for name, folder in versions.items()
        }
    result["engines"] = engines()
    libraries = ("numpy", "scipy", "pydantic", "onnxruntime", "torch", "neurokit2")
    result |= {"rounds": args.rounds, "versions": {name: version(name) for name in libraries}, **described_run()}
    write_result(result, args.out)


if __name__ == "__main__":
    main()
