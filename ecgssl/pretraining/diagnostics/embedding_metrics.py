"""Figures of an embedding space that need no labels and tell a collapsed encoder from a working one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ecgssl.evaluation.statistics.metrics import Array


def alignment(first: ArrayLike, second: ArrayLike, alpha: float = 2.0) -> float:
    """Mean distance, to the power ``alpha``, of the unit vectors of positive pairs (Wang & Isola, ICML 2020); best 0.

    Args:
        first, second: (N, E) embeddings; row i of both belongs together.

    Raises:
        ValueError: shapes differ, or a row is zero or not finite.
    """
    a, b = _unit(first), _unit(second)
    if a.shape != b.shape:
        raise ValueError(f"pairs need equal shapes, got {a.shape} and {b.shape}")
    return float(np.mean(np.linalg.norm(a - b, axis=1) ** alpha))


def uniformity(embeddings: ArrayLike, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential of all pairs of unit vectors (Wang & Isola, ICML 2020).

    0 when all vectors coincide; the lower, the more evenly they cover the sphere (about -4 at best for ``t`` 2).

    Args:
        embeddings: (N, E) with N at least 2.

    Raises:
        ValueError: fewer than two rows, or a row is zero or not finite.
    """
    x = _unit(embeddings)
    count = len(x)
    if count < 2:
        raise ValueError("uniformity needs at least two embeddings")
    total = 0.0
    for start in range(0, count, 1024):
        block = x[start : start + 1024]
        squared = np.maximum(2.0 - 2.0 * (block @ x.T), 0.0)
        potential = np.exp(-t * squared)
        potential[np.arange(len(block)), start + np.arange(len(block))] = 0.0
        total += float(potential.sum())
    return float(np.log(total / (count * (count - 1))))


def effective_rank(embeddings: ArrayLike, centre: bool = True) -> float:
    """Exponential of the entropy of the normalised singular values (Roy & Vetterli, EUSIPCO 2007).

    Between 1 (one direction) and min(N, E); 0 when nothing varies at all.

    Args:
        embeddings: (N, E).
        centre: subtract the mean first, so that a common offset is no direction.
    """
    x = np.asarray(embeddings, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError("embeddings must be a finite (N, E) array")
    size = np.abs(x).max(initial=0.0)
    if centre:
        x = x - x.mean(0)
    singular = np.linalg.svd(x, compute_uv=False)
    if not len(singular) or singular[0] <= 1e-12 * size * np.sqrt(x.size):
        return 0.0
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _unit(embeddings: ArrayLike) -> Array:
    x = np.asarray(embeddings, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError("embeddings must be a finite (N, E) array")
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if (length == 0).any():
        raise ValueError(f"{int((length == 0).sum())} embeddings are zero and have no direction")
    return np.asarray(x / length)
