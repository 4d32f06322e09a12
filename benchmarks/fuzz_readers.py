"""Fuzz test of all readers. A damaged file must give a recording or a reason code, without hang, crash or high memory use.

    python benchmarks/fuzz_readers.py [--mutations 2000] [--seed 0] [--formats dicom scp] [--bombs] [--markdown]

The script damages the small valid files of ``tests/helpers/fuzz_seeds.py`` with ``tests/helpers/mutations.py``, ``--mutations``
times per format. With ``--bombs``, it also reads the resource-exhausting files of ``tests/helpers/fuzz_bombs.py``. If the
environment variable ECGSSL_REAL_DATA is set, it also damages real files. A worker process with limited memory reads the
files of each format one after the other with ``ecgssl.io.read`` and ``ecgssl.io.listing.find_recordings``. A file that takes
10 s of CPU time counts as a hang. The output is JSON or a table. The exit code is 1 if a file fails. Failures are listed by
seed file and mutation number; the mutation numbers start at ``--seed``.
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
    """Run the fuzz test and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000, help="mutations per format")
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
