"""Every reader against damaged files: recordings or named errors, and never a hang, a crash or a blow-up of memory.

    python benchmarks/fuzz_readers.py [--mutations 2000] [--seed 0] [--formats dicom scp] [--bombs] [--markdown]

Damages the small valid files of ``tests/helpers/fuzz_seeds.py`` with ``mutations.py`` next to it: ``--mutations`` files of each
format, and with ``--bombs`` reads the files of ``tests/helpers/fuzz_bombs.py``, which are made to exhaust a reader. With the
environment's ECGSSL_REAL_DATA, real files are damaged as well. A worker process of limited memory reads them, those of a
format one after another, by ``ecgssl.io.read`` and ``ecgssl.io.listing.find_recordings``; a file that takes 10 seconds of the
CPU hangs. Prints JSON, or a table; exits with 1 where anything failed. A failure names its seed and number: ``--seed``
shifts the numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/helpers"))

from fuzz_bombs import BOMBS
from fuzz_runner import Tally, Worker, run
from fuzz_seeds import make_seeds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000, help="of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+")
    parser.add_argument("--bombs", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    names: dict[str, list[str]] = {}
    for seed in make_seeds():
        names.setdefault(seed.format, []).append(seed.name)
    results: dict[str, Tally] = {}
    for form in arguments.formats or names:
        cases = [(names[form][i % len(names[form])], arguments.seed + i) for i in range(arguments.mutations)]
        bombs = [(name, 0) for name, bomb in BOMBS.items() if bomb.seed.format == form] if arguments.bombs else []
        with Worker() as worker:
            for row, chosen in ((form, cases), (f"{form}, hostile", bombs)):
                if chosen:
                    results[row] = run(worker, form, chosen)
                    print(row, *results[row].failures, sep="\n  ", file=sys.stderr)
    if arguments.markdown:
        print("| Format | Files | Recordings | Refused | Slowest, s | Memory, MiB |\n|---|--:|--:|---|--:|--:|")
        for form, tally in results.items():
            refused = ", ".join(f"{code} {n}" for code, n in tally.outcomes.most_common() if code != "recording")
            numbers = f"{tally.outcomes.total()} | {tally.outcomes['recording']} | {refused}"
            print(f"| {form} | {numbers} | {tally.slowest[0]:.2f} | {tally.largest[0]:.0f} |")
    else:
        print(json.dumps({form: vars(tally) for form, tally in results.items()}, indent=2))
    sys.exit(any(tally.failures for tally in results.values()))


if __name__ == "__main__":
    main()
