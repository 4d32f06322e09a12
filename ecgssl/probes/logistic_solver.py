"""Solver for L2-regularised logistic regression of many labels at the same time, accurate to 1e-5.

The solver uses Newton's method with preconditioned conjugate gradients (Lin, Weng & Keerthi, JMLR 2008). One matrix
product serves all labels. The features are first rotated to their principal axes, where X'X is diagonal. The rotation
does not change an L2 penalty. The diagonal preconditioner is X'X times the mean curvature, plus the penalty (as in the
bound of Boehning & Lindsay 1988, but with the mean curvature instead of 1/4). With it, a few steps are sufficient,
although the eigenvalues of embeddings differ by orders of magnitude. ``benchmarks/probe.py`` compares time and
objective with scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PrincipalAxes:
    """Standardised features rotated to their principal axes.

    Args:
        scores: coordinates (N, R) of the features along the axes.
        axes: principal axes (E, R) as orthonormal columns; R < E if features are linearly dependent.
        spread: diagonal (R,) of the Gram matrix of ``scores``.
    """

    scores: Array
    axes: Array
    spread: Array


def principal_axes(features: Array) -> PrincipalAxes:
    """Rotate features (N, E) so that their Gram matrix is diagonal. Axes with an eigenvalue of about 0 are omitted."""
    records, width = features.shape
    if records < width:
        _, singular, rows = np.linalg.svd(features, full_matrices=False)
        spread, axes = singular**2, rows.T
    else:
        spread, axes = np.linalg.eigh(features.T @ features)
    keep = spread > 1e-12 * max(float(spread.max()), np.finfo(float).tiny)
    axes = np.ascontiguousarray(axes[:, keep])
    return PrincipalAxes(features @ axes, axes, spread[keep])


def solve(
    basis: PrincipalAxes, targets: Array, weights: Array, penalty: float, start: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Minimise ``sum_i weights_i log(1 + exp(-y_i (z_i u + b))) + penalty / 2 |u|^2`` for every column of ``targets``.

    y_i is 1 for target 1 and -1 for target 0, and z_i are the rotated features.

    Args:
        basis: result of ``principal_axes``.
        targets: targets (N, M), 0 or 1; ignored where the weight is 0.
        weights: non-negative weights (N, M). In every column, the total weight of each class must be positive.
        penalty: 1 / C of scikit-learn, above 0. The intercept is not penalised.
        start: starting values u (R, M) and b (M,), such as the solution for another penalty; zeros by default.

    Returns:
        Coefficients u (R, M) for the rotated features, and intercepts b (M,). The Euclidean distance of u from the
        minimum is at most 1e-5, except where rounding errors prevent further progress.

    Raises:
        RuntimeError: the solver has not converged after 100 Newton steps. This indicates a bug, because the problem is
            strictly convex.
    """
    z = basis.scores
    columns = targets.shape[1]
    u, b = (np.zeros((z.shape[1], columns)), np.zeros(columns)) if start is None else (start[0].copy(), start[1].copy())
    margin = z @ u + b
    active = np.arange(columns)
    first: Array = np.full(columns, np.nan)
    for _ in range(100):
        y, w, m, ua = targets[:, active], weights[:, active], margin[:, active], u[:, active]
        p = expit(m)
        slope = w * (p - y)
        gradient = np.vstack([z.T @ slope + penalty * ua, slope.sum(0)])
        curvature = w * p * (1 - p)
        total = np.maximum(curvature.sum(0), 1e-12)
        diagonal = np.vstack([np.outer(basis.spread, total / len(z)) + penalty, total])
        size = np.sqrt((gradient**2 / diagonal).sum(0))
        first[active] = np.where(np.isnan(first[active]), size, first[active])
        forcing = np.minimum(0.25, np.sqrt(size / np.maximum(first[active], 1e-300)))
        step = _newton_step(z, curvature, penalty, gradient, diagonal, forcing * size)

        # stop by the Newton decrement, which bounds the distance to the minimum u*: penalty |u - u*|^2 <= decrement
        decrement = -(gradient * step).sum(0)
        along = z @ step[:-1] + step[-1]
        length, stuck = _line_search(y, w, m, along, ua, step[:-1], penalty, decrement)
        u[:, active] += length * step[:-1]
        b[active] += length * step[-1]
        margin[:, active] += length * along
        active = active[(decrement > 1e-10 * penalty) & ~stuck]
        if not len(active):
            return u, b
    raise RuntimeError(
        f"logistic regression: {len(active)} of {columns} columns have no minimum after 100 Newton steps"
    )


def _newton_step(z: Array, curvature: Array, penalty: float, gradient: Array, diagonal: Array, enough: Array) -> Array:
    step = np.zeros_like(gradient)
    residual = -gradient
    scaled = residual / diagonal
    search = scaled
    product = (residual * scaled).sum(0)
    for _ in range(200):
        image = curvature * (z @ search[:-1] + search[-1])
        curved = np.vstack([z.T @ image + penalty * search[:-1], image.sum(0)])
        bend = (search * curved).sum(0)
        length = np.divide(product, bend, out=np.zeros_like(product), where=bend > 0)
        step += length * search
        residual = residual - length * curved
        scaled = residual / diagonal
        previous, product = product, (residual * scaled).sum(0)
        if np.all(product <= enough**2):
            break
        search = scaled + np.divide(product, previous, out=np.zeros_like(product), where=previous > 0) * search
    return step


def _line_search(
    y: Array, w: Array, margin: Array, along: Array, u: Array, step: Array, penalty: float, decrement: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Halve the step length of each column until it satisfies the Armijo condition.

    Return the step lengths, and a mask of the columns in which rounding errors prevent further progress.
    """

    def objective(length: Array) -> Array:
        m = margin + length * along
        return np.asarray((w * (np.logaddexp(0, m) - y * m)).sum(0) + 0.5 * penalty * ((u + length * step) ** 2).sum(0))

    length = np.ones(len(decrement))
    before = objective(np.zeros(len(decrement)))
    rounding = 1e-13 * np.abs(before)
    for _ in range(40):
        high = objective(length) > before - 1e-4 * length * decrement + rounding
        if not high.any():
            break
        length = np.where(high, length / 2, length)
    else:
        length = np.where(high, 0.0, length)
    return length, (length == 0) | (decrement <= rounding)
