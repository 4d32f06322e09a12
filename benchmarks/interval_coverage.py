"""Simulation of the coverage of bootstrap intervals when few patients have a finding.

    python benchmarks/interval_coverage.py [--samples 500] [--resamples 400] [--negatives 200] [--seed 0]

Scores are drawn from two normal distributions with equal variance, whose AUROC is known. Each sample has one recording per
patient and a fixed number of positives. The interval of each sample is that of ``ecgssl.evaluation.statistics.bootstrap``.
Coverage is the share of the samples whose interval contains the true value. The true average precision is that of the two
distributions at the prevalence of the sample. The output is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from ecgssl.evaluation.statistics.bootstrap import bootstrap, interval
from ecgssl.evaluation.statistics.metrics import metric_named

POSITIVES = (5, 10, 20, 50)
AUROCS = (0.75, 0.9)
METRICS = ("auroc", "auprc")


def true_values(auroc: float, prevalence: float) -> dict[str, float]:
    """Return AUROC and average precision of two normal distributions, by numerical integration over the threshold."""
    threshold = np.linspace(-12, 12, 200_001)
    hits, false = norm.sf(threshold - _shift(auroc)), norm.sf(threshold)
    positives, negatives = prevalence * hits, (1 - prevalence) * false
    precision = positives / np.maximum(positives + negatives, 1e-300)
    return {"auroc": auroc, "auprc": float(np.trapezoid(precision[::-1], hits[::-1]))}


def coverage(
    positives: int, negatives: int, auroc: float, samples: int, resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the coverage of 95 % intervals for AUROC and average precision.

    Args:
        positives, negatives: number of patients of each class in a sample.
        auroc: true AUROC.
        samples: number of simulated samples.
        resamples: number of bootstrap resamples of each sample.
        rng: generator of the scores and of the seeds of the bootstrap.
    """
    truth = true_values(auroc, positives / (positives + negatives))
    target = np.r_[np.ones(positives), np.zeros(negatives)][:, None]
    bounds: dict[str, list[tuple[float, float]]] = {name: [] for name in METRICS}
    for _ in range(samples):
        scores = rng.normal(size=target.shape) + target * _shift(auroc)
        seed = int(rng.integers(1 << 31))
        found = bootstrap(target, scores, np.arange(len(target)), resamples, seed, [metric_named(m) for m in METRICS])
        for name in METRICS:
            made = interval(found.values[name][:, 0])
            bounds[name].append((made.low, made.high))
    row: dict[str, Any] = {"positives": positives, "negatives": negatives, "true": truth}
    for name in METRICS:
        low, high = np.array(bounds[name]).T
        row[name] = {
            "coverage": float(((low <= truth[name]) & (truth[name] <= high)).mean()),
            "below": float((high < truth[name]).mean()),
            "above": float((low > truth[name]).mean()),
            "mean_width": float((high - low).mean()),
        }
    return row


def _shift(auroc: float) -> float:
    return float(np.sqrt(2) * norm.ppf(auroc))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the coverage for each number of positives and each AUROC as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--negatives", type=int, default=200)
    parser.add_argument("--positives", type=int, nargs="+", default=list(POSITIVES))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(given.seed)
    rows = [
        coverage(positives, given.negatives, auroc, given.samples, given.resamples, rng)
        for positives in given.positives
        for auroc in AUROCS
    ]
    print(json.dumps({"confidence": 0.95, **vars(given), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
