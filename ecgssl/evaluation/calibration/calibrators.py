"""Calibrators, which map a logit to a calibrated probability and are fitted on the validation split.

Temperature scaling (Guo et al., ICML 2017) and Platt scaling (Platt 1999) are linear in logit space. Isotonic
regression (Zadrozny & Elkan, KDD 2002) fits any non-decreasing curve and needs far more events. For a binary label,
temperature and Platt scaling do not change the ranking of the recordings; isotonic regression adds ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Method = Literal["none", "temperature", "platt", "isotonic", "linear"]
METHODS: tuple[str, ...] = get_args(Method)

MIN_EVENTS = 10
"""Minimum number of recordings for fitting a calibrator. With fewer, the slope is too uncertain.

A binary label needs this number of positive and of negative recordings. Other tasks need this number in total.
"""
MIN_ISOTONIC = 100
"""Minimum number of positive and of negative recordings for isotonic regression.

Isotonic regression overfits small data sets (Niculescu-Mizil & Caruana, ICML 2005). The number is the one recommended
for the validation of a risk model (Collins et al., Stat Med 2016).
"""

_FEW = 10_000
"""Largest number of values for which ``logistic`` does not import scipy."""


@dataclass(frozen=True)
class Calibrator:
    """Calibrator of one label. It maps logits to probabilities, or predicted to calibrated values of a regression.

    Args:
        method: calibration method. ``none``, ``temperature`` and ``platt`` are the logistic function of
            ``slope * logit + intercept``. ``isotonic`` interpolates linearly between ``knots`` and is constant beyond
            them. ``linear`` (regression) is ``slope * x + intercept``.
        slope: slope, above 0; the temperature is 1 / slope.
        intercept: intercept in logits (for ``linear``, in the unit of the target).
        knots: strictly increasing logits (J,) of ``isotonic``.
        levels: non-decreasing probabilities (J,) at the knots.
        reason: reason why the requested method was not used; empty if it was used.
    """

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is unknown; use one of {', '.join(METHODS)}")
        if not (np.isfinite(self.slope) and np.isfinite(self.intercept) and self.slope > 0):
            raise ValueError(f"slope {self.slope} must be finite and above 0, and intercept {self.intercept} finite")
        knots, levels = np.asarray(self.knots, dtype=float), np.asarray(self.levels, dtype=float)
        if len(knots) != len(levels) or (self.method == "isotonic") != bool(len(knots)):
            raise ValueError("isotonic requires equal numbers of knots and levels; other methods must have none")
        if not (np.isfinite(knots).all() and (np.diff(knots) > 0).all()):
            raise ValueError("knots must be finite and strictly increasing")
        if not (((levels >= 0) & (levels <= 1)).all() and (np.diff(levels) >= 0).all()):
            raise ValueError("levels must be non-decreasing probabilities")

    def __call__(self, logits: ArrayLike) -> Array:
        """Return the calibrated probabilities (values for ``linear``) as float64, in the shape of the input."""
        z = np.asarray(logits, dtype=np.float64)
        if self.method == "isotonic":
            return np.asarray(np.interp(z, self.knots, self.levels))
        line = self.slope * z + self.intercept
        if self.method == "linear":
            return line
        return logistic(line)


def logistic(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))`` as float64, in the shape of the input.

    The values are those of ``scipy.special.expit``, which is used for many values only: scoring calls this function for a few
    values at a time, and the import of ``scipy.special`` takes as long as half of the loading of a model.
    """
    if x.size > _FEW:
        from scipy.special import expit

        return np.asarray(expit(x))
    return np.array([_logistic(value) for value in x.ravel().tolist()], dtype=np.float64).reshape(x.shape)


def _logistic(x: float) -> float:
    try:
        return 1.0 / (1.0 + math.exp(-x))
    except OverflowError:
        return 0.0


def softmax(x: Array) -> Array:
    """Return the softmax over the last axis, with the values of ``scipy.special.softmax``."""
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def fit_calibrator(logits: ArrayLike, targets: ArrayLike, method: Method) -> Calibrator:
    """Fit the calibrator of one binary label.

    If there are too few recordings of a class, or the scores do not increase with the target, the result is ``none``
    with a ``reason``. If there are too few recordings for ``isotonic``, ``platt`` is used instead. For ``temperature`` and
    ``platt``, targets are smoothed as proposed by Platt: (N+ + 1) / (N+ + 2) for 1 and 1 / (N- + 2) for 0. Without
    smoothing, separable data drive the slope to infinity.

    Args:
        logits: logits (N,), finite where the target is known.
        targets: targets (N,): 1, 0 or NaN (unknown; ignored).
        method: ``none``, ``temperature``, ``platt`` or ``isotonic``.
    """
    z, y = _known(logits, targets)
    positives = int(y.sum())
    fewest = min(positives, len(y) - positives)
    if method == "none":
        return Calibrator()
    if fewest < MIN_EVENTS:
        return Calibrator(reason=f"{positives} positive and {len(y) - positives} negative, {MIN_EVENTS} of each needed")
    if method == "isotonic" and fewest >= MIN_ISOTONIC:
        return _isotonic(z, y)
    reason = ""
    if method == "isotonic":
        counts = f"{positives} positive and {len(y) - positives} negative"
        reason = f"isotonic needs {MIN_ISOTONIC} of each class, there are {counts}"
    if method == "temperature":
        soft = _smoothed(y)
        slope, intercept = _minimum(lambda t: _loss(t[:1], z[:, None], soft), 1)[0], 0.0
    else:
        slope, intercept = platt_line(z, y)
    if slope <= 0:
        return Calibrator(reason="scores do not increase with the target")
    return Calibrator(
        "temperature" if method == "temperature" else "platt", float(slope), float(intercept), (), (), reason
    )


def fit_temperature(logits: ArrayLike, classes: ArrayLike, method: Method = "temperature") -> Calibrator:
    """Fit one temperature for the softmax over K classes. It minimises the mean log loss of smoothed targets.

    With fewer than ten known recordings or only one class, or if the scores do not increase with the true class, the
    result is ``none`` with a ``reason``.

    Args:
        logits: logits (N, K).
        classes: code (N,) of the true class, 0..K-1; NaN if unknown.
        method: ``none`` for no calibration. All other values fit a temperature.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(classes, dtype=np.float64)
    known = ~np.isnan(y)
    z, codes = z[known], y[known].astype(int)
    if method == "none":
        return Calibrator()
    if len(codes) < MIN_EVENTS or len(np.unique(codes)) < 2:
        return Calibrator(reason=f"{len(codes)} known recordings of {len(np.unique(codes))} classes")
    # smooth the targets, because separable data would drive the temperature to 0
    soft = np.full(z.shape, 1 / (len(codes) + z.shape[1]))
    soft[np.arange(len(codes)), codes] += len(codes) / (len(codes) + z.shape[1])

    from scipy.special import log_softmax

    def loss(t: Array) -> tuple[float, Array]:
        p = softmax(t[0] * z)
        return -float((soft * log_softmax(t[0] * z, axis=1)).sum(1).mean()), np.array([((p - soft) * z).sum(1).mean()])

    slope = _minimum(loss, 1)[0]
    if slope <= 0:
        return Calibrator(reason="scores do not increase with the class")
    return Calibrator("temperature", float(slope))


def fit_linear(predicted: ArrayLike, targets: ArrayLike) -> Calibrator:
    """Fit a linear calibrator of a regression by least squares.

    With fewer than ten known values, or if the slope is not above 0, the result is the identity with a ``reason``.

    Args:
        predicted: predictions (N,) in the unit of the target.
        targets: target values (N,); NaN if unknown.
    """
    x, y = _known(predicted, targets)
    if len(y) < MIN_EVENTS:
        return Calibrator("linear", reason=f"{len(y)} known recordings, {MIN_EVENTS} needed")
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
    if slope <= 0:
        return Calibrator("linear", reason="predictions do not increase with the target")
    return Calibrator("linear", slope, float(y.mean() - slope * x.mean()))


def _known(scores: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
    z, y = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    known = ~np.isnan(y)
    return z[known], y[known]


def platt_line(scores: ArrayLike, targets: ArrayLike) -> tuple[float, float]:
    """Return slope and intercept of Platt's line, which maps scores of a binary label to logits, from any number of recordings.

    The targets are smoothed as in ``fit_calibrator``. Both are 0 if all scores are equal.

    Args:
        scores: scores (N,), finite where the target is known.
        targets: targets (N,): 1, 0 or NaN (unknown; ignored).
    """
    z, y = _known(scores, targets)
    soft = _smoothed(y)
    centre, spread = float(z.mean()), float(z.std())
    if spread <= 1e-12 * max(abs(centre), 1e-12):  # equal up to rounding
        return 0.0, 0.0
    design = np.column_stack([(z - centre) / spread, np.ones(len(z))])
    slope, intercept = _minimum(lambda t: _loss(t, design, soft), 2)
    return slope / spread, intercept - slope * centre / spread


def _smoothed(y: Array) -> Array:
    positives = y.sum()
    return np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))


def _loss(t: Array, design: Array, soft: Array) -> tuple[float, Array]:
    from scipy.special import expit

    line = design @ t
    return float((np.logaddexp(0, line) - soft * line).mean()), design.T @ (expit(line) - soft) / len(soft)


def _minimum(loss: Callable[[Array], tuple[float, Array]], size: int) -> Array:
    from scipy.optimize import minimize

    start = np.zeros(size)
    start[0] = 1.0
    return np.asarray(minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 500}).x)


def _isotonic(z: Array, y: Array) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(z, y)
    # use the rule of succession to avoid probabilities of exactly 0 or 1
    lowest = 1 / (len(y) + 2)
    levels = np.clip(fitted.y_thresholds_, lowest, 1 - lowest)
    if levels[0] == levels[-1]:
        return Calibrator(reason="scores do not increase with the target")
    return Calibrator("isotonic", knots=tuple(fitted.X_thresholds_.tolist()), levels=tuple(levels.tolist()))
