"""CPU time of calls, rate of matrix products, and output of the benchmarks that compare programs in alternating processes.

It imports nothing of ecgssl, so that it can be used with any version of it, or without it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def cpu_ms(function: Callable[[], Any], recordings: int, repeats: int = 3) -> float:
    """Return the median CPU time of a call in ms per recording, after one warm-up call."""
    function()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return 1000 * statistics.median(spent) / recordings


def peak_rates() -> dict[str, float]:
    """Return the rates of square matrix products (1024) in fp32 and bf16 in GFLOP/s, as ``peak_fp32`` and ``peak_bf16``."""
    import torch

    squares = {
        name: torch.randn(1024, 1024).to(kind) for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    return {f"peak_{name}": 2 * 1024**3 / cpu_ms(lambda a=a: a @ a, 1, 9) / 1e6 for name, a in squares.items()}


def medians_of(rounds: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of every measurement over the rounds, for every program."""
    return {
        name: {part: statistics.median(each[part] for each in found) for part in found[0]}
        for name, found in rounds.items()
    }


def write_result(result: dict[str, Any], out: Path | None) -> None:
    """Print a result as JSON, and write it to a file if one is given."""
    text = json.dumps(result, indent=1) + "\n"
    if out is not None:
        out.write_text(text)
    print(text, end="")
