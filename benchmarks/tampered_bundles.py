"""Tampering test of bundles. A changed bundle must be refused, or load with equal outputs, without high memory use.

    python benchmarks/tampered_bundles.py [--number 300] [--seed 0] [--all] [--only TEXT]

The script changes the fields and the binary files of a small bundle with ``tests/helpers/tampering.py``. Fingerprint and
checksums are rewritten to match. Each changed bundle is loaded with torch and with onnxruntime, scores and embeds one
recording, and is used by ``monitor``. Address space is limited to ``--memory`` MiB more than the unchanged bundle needs.
The output is JSON: number of changes, refused, equal, and failures by exception. The exit code is 1 if there are failures.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/helpers"))

from tampering import Outputs, Tampering, outcome, seed_bundle, tamperings


def chosen(everything: list[Tampering], number: int, seed: int) -> list[Tampering]:
    """Return changes drawn at random, with the same number of each file and kind as far as possible."""
    generator = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[Tampering]] = {}
    for place in generator.permutation(len(everything)):
        one = everything[place]
        groups.setdefault((one.file, one.kind), []).append(one)
    order = [one for turn in range(len(everything)) for group in groups.values() for one in group[turn : turn + 1]]
    return order[:number]


class TooSlow(Exception):
    """A change took longer than the limit. Not an ``OSError``, which readers of files handle."""


def _too_slow(*_: object) -> None:
    raise TooSlow


def main() -> None:
    """Run the test and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=300, help="number of changes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="make every change")
    parser.add_argument("--only", default="", help="make only changes whose description contains this text")
    parser.add_argument("--memory", type=int, default=512, help="MiB of address space for a change")
    parser.add_argument("--seconds", type=int, default=10, help="time limit of a change in s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seed = seed_bundle(folder)
        expected = Outputs(seed, folder)
        everything = [one for one in tamperings(seed) if arguments.only in str(one)]
        number = len(everything) if arguments.all or arguments.only else arguments.number
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + (arguments.memory << 20), hard))
        signal.signal(signal.SIGALRM, _too_slow)
        found: Counter[str] = Counter()
        failures, slowest = {}, (0.0, "")
        for one in chosen(everything, number, arguments.seed):
            bundle = Path(shutil.copytree(seed, folder / "bundle"))
            start = time.perf_counter()
            # repeat the alarm, because a change is used several times
            signal.setitimer(signal.ITIMER_REAL, arguments.seconds, arguments.seconds)
            result = outcome(bundle, one, expected, folder)
            signal.setitimer(signal.ITIMER_REAL, 0)
            slowest = max(slowest, (time.perf_counter() - start, str(one)))
            found["failed" if result not in ("equal", "refused") else result] += 1
            if result not in ("equal", "refused"):
                failures[str(one)] = result
                print(f"{one}: {result}", file=sys.stderr, flush=True)
            shutil.rmtree(bundle)
    kinds = Counter(text.split(":")[0] for text in failures.values())
    print(json.dumps({"changes": found.total(), **found, "failures": kinds, "slowest": slowest}, indent=2))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
