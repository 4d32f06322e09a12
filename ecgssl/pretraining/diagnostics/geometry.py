"""Detection of representation collapse: alignment, uniformity and effective rank of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ecgssl.config import CollapseParams
from ecgssl.errors import Diverged
from ecgssl.model.core_ecg import CoReECG

_COINCIDE = 1e-6
"""Maximum deviation from the mean, relative to the largest value, of vectors that count as equal (float32 rounding)."""


def geometry(
    model: CoReECG, global_: Sequence[Tensor], views: tuple[Sequence[Tensor], Sequence[Tensor]]
) -> dict[str, float]:
    """Return the metrics for ``detect_collapse``.

    Args:
        model: model that computed the vectors.
        global_: global representations of one view, in batches (B, D).
        views: projected vectors of both views, in the same batches (B, E).

    Returns:
        ``effective_rank`` of the global vectors. With a contrastive term and at least two recordings, also ``alignment``
        and ``uniformity`` of the vectors that the term compares. Both are 0 if all vectors are equal up to rounding
        errors, because standardising would amplify these errors.

    Raises:
        Diverged: a vector is not finite.
    """
    if not all(bool(torch.isfinite(part).all()) for part in (*global_, *views[0], *views[1])):
        raise Diverged(
            "pretraining diverged: embeddings are not finite. Nothing was published. Reduce pretrain.learning_rate"
        )
    out = {"effective_rank": effective_rank(torch.cat(list(global_)).float().cpu().numpy())}
    first, second = (torch.cat(list(view)).float() for view in views)
    if model.objective.kind == "reconstruction" or len(first) < 2:
        return out
    both = torch.cat([first, second])
    if float((both - both.mean(dim=0)).abs().max()) <= _COINCIDE * float(both.abs().max()):
        return out | {"alignment": 0.0, "uniformity": 0.0}
    first, second = model.compared(first, second)
    return out | {
        "alignment": alignment(first.cpu().numpy(), second.cpu().numpy()),
        "uniformity": uniformity(first.cpu().numpy()),
    }


def detect_collapse(figures: Mapping[str, float], limits: CollapseParams) -> str | None:
    """Return a description of the collapse of a representation, or ``None`` if it has not collapsed.

    Args:
        figures: metrics. A low ``effective_rank`` of the global vectors is a dimensional collapse (Jing et al. 2022). A
            ``uniformity`` of 0 means that all projected vectors are equal. Missing metrics are not checked.
        limits: limits of both metrics.
    """
    found = []
    rank, uniform = figures.get("effective_rank"), figures.get("uniformity")
    if uniform is not None and uniform > limits.max_uniformity:
        found.append(f"complete collapse: uniformity {uniform:.3g} is above {limits.max_uniformity:g}")
    if rank is not None and rank < limits.min_effective_rank:
        found.append(f"dimensional collapse: effective rank {rank:.3g} is below {limits.min_effective_rank:g}")
    return "; ".join(found) or None


def alignment(first: ArrayLike, second: ArrayLike, alpha: float = 2.0) -> float:
    """Return the mean of ``distance ** alpha`` between the unit vectors of positive pairs. The best value is 0.

    Method: Wang and Isola, ICML 2020.

    Args:
        first, second: (N, E) embeddings; row i of both is a positive pair.

    Raises:
        ValueError: the shapes differ, or a row is zero or not finite.
    """
    a, b = _unit(first), _unit(second)
    if a.shape != b.shape:
        raise ValueError(f"pairs need equal shapes, got {a.shape} and {b.shape}")
    return float(np.mean(np.linalg.norm(a - b, axis=1) ** alpha))


def uniformity(embeddings: ArrayLike, t: float = 2.0) -> float:
    """Return the logarithm of the mean Gaussian potential of all pairs of unit vectors (Wang and Isola, ICML 2020).

    The result is 0 if all vectors are equal and lower if they cover the sphere more evenly. For a uniform
    distribution on a sphere of high dimension, it is about -2 ``t``.

    Args:
        embeddings: (N, E) array with N at least 2.

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
    """Return the exponential of the entropy of the normalised singular values (Roy and Vetterli, EUSIPCO 2007).

    The result is between 1 (one direction) and min(N, E). It is 0 if all rows are equal, or zero without centring.

    Args:
        embeddings: (N, E) array.
        centre: whether to subtract the mean first, so that a common offset does not count as a direction.
    """
    x = _finite(embeddings)
    size = np.abs(x).max(initial=0.0)
    if centre:
        x = x - x.mean(0)
    singular = np.linalg.svd(x, compute_uv=False)
    if not len(singular) or singular[0] <= 1e-12 * size * np.sqrt(x.size):
        return 0.0
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _finite(embeddings: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(embeddings, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError("embeddings must be a finite (N, E) array")
    return x


def _unit(embeddings: ArrayLike) -> NDArray[np.float64]:
    x = _finite(embeddings)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if (length == 0).any():
        raise ValueError(f"{int((length == 0).sum())} embeddings are zero and have no direction")
    return np.asarray(x / length)
