"""Runner for fuzz tests: damaged files are read in a worker process, whose crashes and hangs are recorded."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

HELPERS = Path(__file__).parent
SECONDS = 10.0
"""CPU seconds for one file; longer reads count as hangs."""

PATIENCE = 60.0
"""Wall-clock seconds until a worker without answer is killed; longer, because the CPU is shared and files are generated."""


@dataclass
class Tally:
    """Results for the files of one format.

    Args:
        outcomes: number of recordings, and of refused files by reason code.
        failures: errors, with the seed file and the mutation number that reproduce them.
        slowest: (CPU seconds, case).
        largest: (MiB of memory used by the worker, case).
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")


class Worker:
    """A worker process, which is restarted after a crash or hang."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int | None:
        """Stop the process and return its exit code."""
        if self.process is None:
            return None
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process = None
        return code

    def ask(self, form: str, name: str, number: int, seconds: float = SECONDS) -> dict[str, object]:
        """Return the result of a case; ``failure`` is set if the process crashed or did not answer in time."""
        if self.process is None:
            folders = os.pathsep.join([str(HELPERS), str(HELPERS.parents[1])])
            environment = {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(HELPERS / "fuzz_worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        answer = self._exchange([form, name, number], PATIENCE)
        if answer is None:
            code = self.end()
            return {"outcome": "FAILED crash or hang", "failure": f"no answer, exit code {code}"}
        if isinstance(answer.get("seconds"), float) and float(str(answer["seconds"])) > seconds:
            answer["failure"] = answer["failure"] or f"took {answer['seconds']} s"
        return answer

    def _exchange(self, request: list[object], seconds: float) -> dict[str, object] | None:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None


def run(worker: Worker, form: str, cases: Iterable[tuple[str, int]]) -> Tally:
    """Read the cases (seed name, mutation number) of a format."""
    tally = Tally()
    for name, number in cases:
        answer = worker.ask(form, name, number)
        case = f"{name}/{number}"
        tally.outcomes[str(answer["outcome"])] += 1
        if answer["failure"]:
            tally.failures.append(f"{case}: {answer['outcome']}: {answer['failure']}")
        tally.slowest = max(tally.slowest, (float(str(answer.get("seconds", SECONDS))), case))
        tally.largest = max(tally.largest, (float(str(answer.get("taken", 0.0))), case))
    return tally
