"""Comparison of a batch with reference statistics: tests, effect sizes and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.monitoring.cells import SMALLEST, Count, category_counts, merged, nearest, number_counts, protected_count
from ecgssl.monitoring.drift_tests import (
    category_test,
    holm,
    kolmogorov_smirnov,
    level,
    share_test,
    stability_index,
    worst,
)
from ecgssl.monitoring.embedding import embedding_distance, outlying
from ecgssl.monitoring.features import Features

_FREE = 0.1
"""Minimum excess of the embedding distance over its median without drift, for the level ``drift``.

The distance is relative to the total variance, see ``embedding_distance``.
"""
_SHAPE = ("shares", "categories", "numbers")


@dataclass(frozen=True)
class _Compared:
    """Result of one comparison: entry for publication, uncorrected p-value, and effect size."""

    entry: dict[str, Any]
    p: float
    size: float


def compare(reference: dict[str, Any], batch: Features, vectors: NDArray[np.float64] | None) -> dict[str, Any]:
    """Compare the features of a batch with reference statistics.

    Args:
        reference: result of ``ecgssl.monitoring.reference.reference_statistics``.
        batch: features of the score files.
        vectors: embeddings (n, E) of the batch; ``None`` for no comparison of embeddings. The share of rows with
            missing values is compared separately; these rows are excluded from the distance.

    Returns:
        Mapping with ``verdict``, ``comparisons`` (their number), numbers of recordings of ``reference`` and ``batch``,
        and lists of comparisons ``shares``, ``categories`` and ``numbers``. Each of these comparisons has ``name``,
        ``level``, ``p`` (corrected p-value), ``size`` (effect size) and the values of reference and batch.
        ``embedding`` is the result of ``embedding_distance`` with ``level``, or ``None``. ``not_compared`` lists
        numeric features and embeddings with too few values, with the reason. Small counts of features of the batch are
        not disclosed, see ``ecgssl.monitoring.cells``.
    """
    missing = _missing(reference, batch) + ([] if vectors is None else _missing_embeddings(reference, vectors))
    shares = _shares(reference, batch) + missing
    found: dict[str, list[_Compared]] = {"shares": shares, "categories": [], "numbers": []}
    refused: list[dict[str, str]] = []
    for name, published in reference["categories"].items():
        if name in batch.categories:
            found["categories"].append(_category(name, published, category_counts(batch.categories[name], published)))
    for name, published in reference["numbers"].items():
        if name in batch.numbers:
            _number(name, published, batch.numbers[name], found["numbers"].append, refused)
    embedding = None
    if vectors is not None:
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
    if vectors is not None and reference["embedding"] is None:
        refused.append({"name": "embedding", "why": "the reference had too few recordings"})
    elif vectors is not None and len(vectors) < (fewest := min(map(int, reference["embedding"]["chance"]))):
        refused.append({"name": "embedding", "why": f"fewer than {fewest} recordings have an embedding"})
    elif vectors is not None:
        embedding = embedding_distance(vectors, reference["embedding"])
        for name, values in outlying(vectors, reference["embedding"]).items():
            published = reference["embedding"][name]
            _number(f"embedding {name}", published, values, found["numbers"].append, refused)
        beyond = embedding["distance"] > embedding["limit"]
        far = embedding["distance"] - embedding["expected"] >= _FREE
        embedding["level"] = ("drift" if far else "watch") if beyond else "steady"
    everything = [one for shape in _SHAPE for one in found[shape]]
    corrected = iter(holm([one.p for one in everything]))
    for one in everything:
        p = next(corrected)
        one.entry.update(p=p, size=one.size, level=level(p, one.size))
    levels = [one.entry["level"] for one in everything] + ([embedding["level"]] if embedding else [])
    return {
        "verdict": worst(levels),
        "comparisons": len(levels),
        "reference": {"recordings": reference["recordings"], "tried": reference["rejected"]["recordings"]},
        "batch": {"recordings": batch.recordings, "tried": batch.tried},
        **{shape: [one.entry for one in found[shape]] for shape in _SHAPE},
        "embedding": embedding,
        "not_compared": refused,
    }


def _shares(reference: dict[str, Any], batch: Features) -> list[_Compared]:
    rejected = reference["rejected"]
    counts: dict[str, Count] = rejected["counts"]
    n, tried = rejected["recordings"], batch.tried
    codes = ["", *sorted({*counts, *batch.rejected} - {""})]
    found = [
        _share(
            f"rejected for {code}" if code else "rejected",
            (counts.get(code, 0), n),
            (batch.rejected.get(code, 0), tried),
        )
        for code in codes
    ]
    for name, published in reference["shares"].items():
        if name in batch.shares and len(batch.shares[name]):
            own = (int(batch.shares[name].sum()), len(batch.shares[name]))
            found.append(_share(name, (published, reference["recordings"]), own))
    return found


def _missing(reference: dict[str, Any], batch: Features) -> list[_Compared]:
    """Compare the share of missing values of each numeric feature between reference and batch.

    A feature without missing values in both is omitted, because its p-value is always 1. The test would only make the
    correction for multiple comparisons stricter (Tarone, Biometrics 1990).
    """
    n, found = reference["recordings"], []
    for name, published in reference["numbers"].items():
        if name not in batch.numbers:
            continue
        known = published["known"]
        low, high = known if isinstance(known, list | tuple) else (known, known)
        lost = (n - high, n - low) if low != high else n - high
        own = int((~np.isfinite(batch.numbers[name])).sum())
        if high < n or own:
            found.append(_share(f"{name} missing", (lost, n), (own, batch.recordings)))
    return found


def _missing_embeddings(reference: dict[str, Any], vectors: NDArray[np.float64]) -> list[_Compared]:
    lost = int((~np.isfinite(vectors).all(axis=1)).sum())
    return [_share("embedding missing", (0, reference["recordings"]), (lost, len(vectors)))] if lost else []


def _share(name: str, reference: tuple[Any, int], batch: tuple[int, int]) -> _Compared:
    published = tuple(reference[0]) if isinstance(reference[0], list) else reference[0]
    supposed = nearest(published, reference[1], batch[0] / batch[1])
    p, size = share_test((supposed, reference[1]), batch)
    sides = {
        "reference": _share_entry(published, reference[1]),
        "batch": _share_entry(protected_count(*batch), batch[1]),
    }
    return _Compared({"name": name, **sides}, p, size)


def _share_entry(count: Count, total: int) -> dict[str, Any]:
    low, high = (count, count) if isinstance(count, int) else count
    return {"count": count, "of": total, "share": [low / total, high / total] if total else None}


def _category(name: str, published: dict[str, int], counts: list[int]) -> _Compared:
    names = [*(one for one in published if one != "other"), "other"]
    known = [published.get(one, 0) for one in names]
    p, size = category_test(known, counts)
    total = sum(counts)
    rows = [
        {"value": one, "reference": a, "batch": protected_count(b, total)}
        for one, a, b in zip(names, known, counts, strict=True)
    ]
    return _Compared({"name": name, "counts": [row for row in rows if row["reference"] or row["batch"]]}, p, size)


def _number(
    name: str,
    published: dict[str, Any],
    values: NDArray[np.float64],
    add: Callable[[_Compared], None],
    refused: list[dict[str, str]],
) -> None:
    known = values[np.isfinite(values)]
    if "edges" not in published:
        refused.append({"name": name, "why": "the reference has too few known values"})
        return
    if len(known) < 2 * SMALLEST:
        refused.append({"name": name, "why": f"fewer than {2 * SMALLEST} recordings have a known value"})
        return
    counts = number_counts(known, published["edges"])
    p, d = kolmogorov_smirnov(published["counts"], counts)
    index, expected = stability_index(published["counts"], counts)
    mean = float(known.mean())
    edges, reference_counts, batch_counts = merged(published["edges"], published["counts"], counts)
    entry = {
        "name": name,
        "edges": edges,
        "reference": {
            "known": published["known"],
            "mean": published["mean"],
            "sd": published["sd"],
            "counts": reference_counts,
        },
        "batch": {
            "known": protected_count(len(known), len(values)),
            "mean": mean,
            "sd": float(known.std(ddof=1)),
            "counts": batch_counts,
        },
        "shift": (mean - published["mean"]) / published["sd"] if published["sd"] else None,
        "psi": index,
        "psi_by_chance": expected,
    }
    add(_Compared(entry, p, d))
