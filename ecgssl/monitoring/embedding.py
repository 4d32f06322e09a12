"""Drift of embeddings: Frechet distance to the reference, its distribution without drift, and outliers.

The reference recordings are split at random into halves. The principal directions are computed from the first half. The
distribution of the embeddings along these directions is computed from the second half. If both steps used the same
recordings, every new batch would seem to differ, because the principal directions are fitted to these recordings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.monitoring.cells import SMALLEST, number_histogram

FEWEST = 6 * SMALLEST
"""Smallest number of recordings from which a reference of embeddings is computed."""
_MOST_DIRECTIONS = 8
_DRAWS = 500
_BATCHES = (50, 100, 200, 500, 1000, 2000)

Matrix = NDArray[np.float64]


def embedding_reference(values: Matrix, seed: int = 0) -> dict[str, Any] | None:
    """Return reference statistics of embeddings, or ``None`` for fewer than ``FEWEST`` recordings.

    Args:
        values: (n, E) embeddings, one recording per patient.
        seed: random seed of the split into halves and of the bootstrap.

    Returns:
        Mapping with ``center`` (E,) and principal ``directions`` (d, E) of the first half; ``recordings`` (number),
        ``mean`` (d,) and ``covariance`` (d, d) of the second half in the coordinates of these directions; and
        histograms of ``distance`` and ``residual`` of the second half (see ``outlying``). ``chance`` contains, for each
        of several batch sizes, the median and the 99th percentile of the Frechet distance (see ``frechet``) without
        drift. For these, both reference and batch are bootstrap samples of the second half.
    """
    if len(values) < FEWEST:
        return None
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(values))
    first, second = values[order[: len(order) // 2]], values[order[len(order) // 2 :]]
    center = first.mean(axis=0)
    count = min(_MOST_DIRECTIONS, len(first) // SMALLEST, values.shape[1])
    directions = np.linalg.svd(first - center, full_matrices=False)[2][:count]
    # fix the sign of each direction, so that the same embeddings always give the same file
    signs = np.sign(directions[np.arange(count), np.abs(directions).argmax(axis=1)])
    directions = directions * signs[:, None]
    along = (second - center) @ directions.T
    kept: dict[str, Any] = {
        "center": center.tolist(),
        "directions": directions.tolist(),
        "recordings": len(second),
        "mean": along.mean(axis=0).tolist(),
        "covariance": np.atleast_2d(np.cov(along, rowvar=False)).tolist(),
    }
    kept |= {name: number_histogram(own) for name, own in outlying(second, kept).items()}
    kept["chance"] = {str(size): _chance(along, size, generator) for size in _BATCHES}
    return kept


def outlying(values: Matrix, kept: dict[str, Any]) -> dict[str, Matrix]:
    """Return two outlier measures of embeddings by name, each (n,).

    ``distance`` is the Mahalanobis distance in the subspace of the principal directions. ``residual`` is the norm of
    the component orthogonal to this subspace.
    """
    centered = values - np.asarray(kept["center"])
    along = centered @ np.asarray(kept["directions"]).T
    inverse = np.linalg.pinv(np.asarray(kept["covariance"]))
    off = along - np.asarray(kept["mean"])
    # squared Mahalanobis distance: (n, d), (d, d), (n, d) -> (n,)
    squared = np.einsum("nd,de,ne->n", off, inverse, off)
    rest = centered - along @ np.asarray(kept["directions"])
    return {"distance": np.sqrt(np.maximum(squared, 0)), "residual": np.linalg.norm(rest, axis=1)}


def embedding_distance(values: Matrix, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the squared Frechet distance of a batch to the reference, divided by the reference's total variance.

    Both are computed in the subspace of the principal directions.

    Args:
        values: (n, E) embeddings; n must be at least the smallest batch size in ``chance``.
        kept: result of ``embedding_reference``.

    Returns:
        Mapping with ``distance``, and its median (``expected``) and 99th percentile (``limit``) without drift.
        ``batch`` is the batch size for which ``expected`` and ``limit`` were computed: the largest size in ``chance``
        that does not exceed n.
    """
    along = (values - np.asarray(kept["center"])) @ np.asarray(kept["directions"]).T
    mean, covariance = np.asarray(kept["mean"]), np.asarray(kept["covariance"])
    distance = float(frechet(mean, covariance, along.mean(axis=0), np.atleast_2d(np.cov(along, rowvar=False))))
    size = max(int(size) for size in kept["chance"] if int(size) <= len(values))
    expected, limit = kept["chance"][str(size)]
    return {"distance": distance, "expected": expected, "limit": limit, "batch": size}


def frechet(mean: Matrix, covariance: Matrix, other_mean: Matrix, other_covariance: Matrix) -> Matrix:
    """Return the squared Frechet distance of two normal distributions, divided by the total variance of the first.

    Source: Dowson & Landau 1982.

    Args:
        mean, other_mean: (..., d) means.
        covariance, other_covariance: (..., d, d) covariance matrices.

    Returns:
        Distances (...); 0 if the first distribution has no variance.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    # use tr((AB)^1/2) = tr((A^1/2 B A^1/2)^1/2), because A^1/2 B A^1/2 is symmetric
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0)).sum(axis=-1)
    total, other = (np.trace(c, axis1=-2, axis2=-1) for c in (covariance, other_covariance))
    squared = ((mean - other_mean) ** 2).sum(axis=-1) + total + other - 2 * cross
    return np.divide(np.maximum(squared, 0), total, out=np.zeros_like(total), where=total > 0)


def _chance(along: Matrix, size: int, generator: np.random.Generator) -> list[float]:
    (mean, covariance), other = (_resampled(along, n, generator) for n in (len(along), size))
    return [float(value) for value in np.quantile(frechet(mean, covariance, *other), (0.5, 0.99))]


def _resampled(along: Matrix, size: int, generator: np.random.Generator) -> tuple[Matrix, Matrix]:
    """Return means (draws, d) and covariances (draws, d, d) of bootstrap samples with ``size`` recordings each."""
    count, width = along.shape
    weights = generator.multinomial(size, np.full(count, 1 / count), size=_DRAWS) / size
    means = weights @ along
    products = np.einsum("nd,ne->nde", along, along).reshape(count, width * width)  # (n, d), (n, d) -> (n, d * d)
    second = (weights @ products).reshape(_DRAWS, width, width)  # (draws, d * d) -> (draws, d, d)
    return means, (second - means[:, :, None] * means[:, None, :]) * size / (size - 1)
