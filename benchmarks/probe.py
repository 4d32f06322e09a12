"""Benchmark of the logistic regression solver of the linear probe against scikit-learn.

    python benchmarks/probe.py --out probe.json

Each problem has binary labels, synthetic embeddings with a steep spectrum (as encoders produce), and a path of values of C.
All solvers fit the whole path on the same standardised features. The objective of scikit-learn is evaluated at all
solutions. A ratio above 1 means that this project's solver is faster.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ecgssl.probes.logistic_solver import principal_axes, solve

Array = NDArray[np.float64]
SOLVERS = ("newton-cholesky", "lbfgs")
PATH = (0.001, 0.01, 0.1, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every combination of number of recordings and width, print the results and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, nargs="+", default=[1400, 5000, 17000])
    parser.add_argument("--widths", type=int, nargs="+", default=[192, 384, 768])
    parser.add_argument("--labels", type=int, default=5, help="labels solved together by this project's solver")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    results = []
    for recordings in options.recordings:
        for width in options.widths:
            row = measure(recordings, width, options.labels)
            results.append(row)
            compared = ", ".join(
                f"{name} {other['ratio']:.1f} times as long (objective {other['relative_excess']:+.1e} relative)"
                for name, other in row["scikit_learn"].items()
            )
            print(f"N {recordings}, width {width}: {row['seconds']:.2f} s; {compared}", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps({"path": PATH, "results": results}, indent=1) + "\n")


def measure(recordings: int, width: int, labels: int, seed: int = 0) -> dict[str, Any]:
    """Return time in s and objective value of all solvers on one data set.

    Args:
        recordings, width: number N and dimension E of the embeddings.
        labels: number K of labels. scikit-learn fits them one after the other.
        seed: seed of the data.
    """
    x, y = problem(recordings, width, labels, seed)
    started = time.perf_counter()
    basis = principal_axes(x)
    found, start = [], None
    for C in PATH:
        start = solve(basis, y, np.ones_like(y), 1 / C, start)
        found.append((basis.axes @ start[0], start[1]))
    seconds = time.perf_counter() - started
    ours = sum(objective(x, y, u, b, C) for (u, b), C in zip(found, PATH, strict=True))
    others = {}
    for solver in SOLVERS:
        started = time.perf_counter()
        fits = [_scikit_learn(x, y, C, solver) for C in PATH]
        taken = time.perf_counter() - started
        theirs = sum(objective(x, y, u, b, C) for (u, b), C in zip(fits, PATH, strict=True))
        others[solver] = {"seconds": taken, "ratio": taken / seconds, "relative_excess": (theirs - ours) / ours}
    about = {"recordings": recordings, "width": width, "labels": labels}
    return {**about, "seconds": seconds, "objective": ours, "scikit_learn": others}


def problem(recordings: int, width: int, labels: int, seed: int) -> tuple[Array, Array]:
    """Return standardised embeddings (N, E) with a spectrum proportional to 1 / rank, and binary labels (N, K)."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    x = rng.normal(size=(recordings, width)) / np.arange(1, width + 1) @ rotation
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    margin = x @ rng.normal(size=(width, labels)) / np.sqrt(width) - 1.0
    return x, (rng.random(margin.shape) < 1 / (1 + np.exp(-margin))).astype(np.float64)


def objective(x: Array, y: Array, weight: Array, bias: Array, C: float) -> float:
    """Return scikit-learn's objective divided by C, summed over the labels: log loss plus L2 penalty."""
    margin = x @ weight + bias
    return float((np.logaddexp(0, margin) - y * margin).sum() + (weight**2).sum() / (2 * C))


def _scikit_learn(x: Array, y: Array, C: float, solver: str) -> tuple[Array, Array]:
    fits = [LogisticRegression(C=C, solver=solver, tol=1e-6, max_iter=1000).fit(x, column) for column in y.T]
    return np.column_stack([fit.coef_[0] for fit in fits]), np.array([fit.intercept_[0] for fit in fits])


if __name__ == "__main__":
    main()
