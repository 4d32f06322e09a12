"""Solver for L2-regularised multinomial logistic regression, with the same objective as scikit-learn.

The features are rotated to their principal axes (``ecgssl.probes.logistic_solver``), and the objective is minimised
with L-BFGS (Liu & Nocedal 1989). Each axis is scaled by the curvature of the objective at equal class probabilities.
This scaling reduces the number of steps from hundreds to tens, because the eigenvalues of embeddings differ by orders
of magnitude.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from ecgssl.probes.logistic_solver import Array, PrincipalAxes


def solve_multinomial(
    basis: PrincipalAxes, targets: Array, weights: Array, penalty: float, start: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Minimise ``sum_i weights_i (log sum_k exp(m_ik) - m_i,class) + penalty / 2 |u|^2`` with ``m = z u + b``.

    z are the rotated features, and ``m_i,class`` is the logit of the true class of recording i.

    Args:
        basis: result of ``principal_axes``.
        targets: one-hot targets (N, K).
        weights: non-negative weights (N,). The total weight of every class must be positive.
        penalty: 1 / C of scikit-learn, above 0. Intercepts are not penalised.
        start: starting values u (R, K) and b (K,), such as the solution for another penalty; zeros by default.

    Returns:
        Coefficients u (R, K) for the rotated features, and intercepts b (K,). The sum of the intercepts is equal to
        that of ``start`` (0 by default).

    Raises:
        RuntimeError: the solver has not converged after 5,000 steps. This indicates a bug, because the problem is
            convex.
    """
    used = weights > 0
    z, y, w = basis.scores[used], targets[used], weights[used]
    axes, classes = z.shape[1], y.shape[1]
    curvature = (1 - 1 / classes) / classes
    diagonal = curvature * (w @ z**2) + penalty
    # scale all classes equally, so that the steps do not change the sum of the intercepts
    scale = np.sqrt(np.append(diagonal, curvature * w.sum()))[:, None]

    def objective(flat: Array) -> tuple[float, Array]:
        both = flat.reshape(axes + 1, classes) / scale
        u, b = both[:-1], both[-1]
        margin = z @ u + b
        top = margin.max(axis=1, keepdims=True)
        grown = np.exp(margin - top)
        total = grown.sum(axis=1, keepdims=True)
        slope = w[:, None] * (grown / total - y)
        loss = w @ (np.log(total[:, 0]) + top[:, 0] - (margin * y).sum(axis=1)) + 0.5 * penalty * (u**2).sum()
        gradient = np.vstack([z.T @ slope + penalty * u, slope.sum(axis=0)]) / scale
        return float(loss), gradient.ravel()

    zero = np.zeros((axes + 1, classes))
    first = zero if start is None else np.vstack([start[0], start[1]]) * scale
    # the variables are scaled to a curvature of about 1, so the gradient bounds the distance to the minimum
    enough = 1e-6 * np.sqrt(penalty)
    options = {"maxiter": 5000, "maxfun": 10000, "maxcor": 30, "ftol": 1e-15, "gtol": enough}
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    if found.nit >= 5000:
        raise RuntimeError("multinomial logistic regression: no minimum after 5,000 steps")
    both = found.x.reshape(axes + 1, classes) / scale
    return both[:-1], both[-1]
