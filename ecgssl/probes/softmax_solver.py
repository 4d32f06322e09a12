"""L2-regularised multinomial logistic regression (softmax) of scikit-learn's objective.

Solved by L-BFGS (Liu & Nocedal 1989) on principal axes (``ecgssl.probes.logistic_solver``), each axis scaled by the curvature
that it has where all classes are alike: embeddings, whose spectrum falls steeply, then need tens of steps and not hundreds.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from ecgssl.probes.logistic_solver import Array, PrincipalAxes


def solve_multinomial(
    basis: PrincipalAxes, targets: Array, weights: Array, penalty: float, start: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Minimise ``sum_i weights_i (log sum_c exp(m_ic) - m_i,class) + penalty / 2 |u|^2`` with ``m = z u + b``.

    Args:
        basis: of ``principal_axes``.
        targets: (N, C), 1 in the column of the class.
        weights: (N,), not negative; every class must have some.
        penalty: 1 / C in the terms of scikit-learn; above 0. Intercepts are not penalised.
        start: (u (R, C), b (C,)) of a nearby problem.

    Returns:
        u (R, C) in the rotated space and intercepts b (C,), which add up to 0 where those of ``start`` do.

    Raises:
        RuntimeError: no minimum after 5,000 steps (a bug, as the problem is convex).
    """
    used = weights > 0
    z, y, w = basis.scores[used], targets[used], weights[used]
    axes, classes = z.shape[1], y.shape[1]
    curvature = (1 - 1 / classes) / classes
    diagonal = curvature * (w @ z**2) + penalty
    # one scale for all classes, so that steps leave the sum of the intercepts as it is
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
    # the gradient is in units in which the curvature is about 1, so that it bounds the distance to the minimum
    enough = 1e-6 * np.sqrt(penalty)
    options = {"maxiter": 5000, "maxfun": 10000, "maxcor": 30, "ftol": 1e-15, "gtol": enough}
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    if found.nit >= 5000:
        raise RuntimeError("multinomial logistic regression: no minimum after 5,000 steps")
    both = found.x.reshape(axes + 1, classes) / scale
    return both[:-1], both[-1]
