"""A batch beside the reference, comparison by comparison, and one verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.monitoring.cells import SMALLEST, Count, category_counts, count_told, merged, nearest, number_counts
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
"""Share of the reference's variance beyond what chance explains, from which a distance of embeddings is drift."""
_SHAPE = ("shares", "categories", "numbers")


@dataclass(frozen=True)
class _Compared:
    """What is told of a comparison, with the p-value and the size of its test."""

    entry: dict[str, Any]
    p: float
    size: float


def compare(reference: dict[str, Any], batch: Features, vectors: NDArray[np.float64] | None) -> dict[str, Any]:
    """All comparisons.

    Args:
        reference: of ``ecgssl.monitoring.reference.reference_statistics``.
        batch: of the score files.
        vectors: (n, E) embeddings; ``None`` where there are none.

    Returns:
        ``verdict``, counts of both sides, lists ``shares``, ``categories`` and ``numbers`` of comparisons, and ``embedding``.
        A comparison has ``name``, ``level``, ``p`` (corrected), ``size`` and what was found on both sides; what could not be
        compared is in ``not_compared``, with the reason. Counts of the batch under ten are ranges, too.
    """
    found: dict[str, list[_Compared]] = {"shares": _shares(reference, batch), "categories": [], "numbers": []}
    refused: list[dict[str, str]] = []
    for name, told in reference["categories"].items():
        if name in batch.categories:
            found["categories"].append(_category(name, told, category_counts(batch.categories[name], told)))
    for name, told in reference["numbers"].items():
        if name in batch.numbers:
            _number(name, told, batch.numbers[name], found["numbers"].append, refused)
    embedding = None
    if vectors is not None and reference["embedding"] is None:
        refused.append({"name": "embedding", "why": "the reference had too few recordings"})
    elif vectors is not None:
        embedding = embedding_distance(vectors, reference["embedding"])
        for name, values in outlying(vectors, reference["embedding"]).items():
            told = reference["embedding"][name]
            _number(f"embedding {name}", told, values, found["numbers"].append, refused)
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
    for name, told in reference["shares"].items():
        if name in batch.shares:
            own = (int(batch.shares[name].sum()), batch.recordings)
            found.append(_share(name, (told, reference["recordings"]), own))
    return found


def _share(name: str, reference: tuple[Any, int], batch: tuple[int, int]) -> _Compared:
    told = tuple(reference[0]) if isinstance(reference[0], list) else reference[0]
    supposed = nearest(told, reference[1], batch[0] / batch[1])
    p, size = share_test((supposed, reference[1]), batch)
    sides = {"reference": _told(told, reference[1]), "batch": _told(count_told(*batch), batch[1])}
    return _Compared({"name": name, **sides}, p, size)


def _told(count: Count, total: int) -> dict[str, Any]:
    low, high = (count, count) if isinstance(count, int) else count
    return {"count": count, "of": total, "share": [low / total, high / total] if total else None}


def _category(name: str, told: dict[str, int], counts: list[int]) -> _Compared:
    names = [*(one for one in told if one != "other"), "other"]
    known = [told.get(one, 0) for one in names]
    p, size = category_test(known, counts)
    total = sum(counts)
    rows = [
        {"value": one, "reference": a, "batch": count_told(b, total)}
        for one, a, b in zip(names, known, counts, strict=True)
    ]
    return _Compared({"name": name, "counts": [row for row in rows if row["reference"] or row["batch"]]}, p, size)


def _number(
    name: str,
    told: dict[str, Any],
    values: NDArray[np.float64],
    add: Callable[[_Compared], None],
    refused: list[dict[str, str]],
) -> None:
    known = values[np.isfinite(values)]
    if "edges" not in told:
        refused.append({"name": name, "why": "the reference knows it of too few recordings"})
        return
    if len(known) < 2 * SMALLEST:
        refused.append({"name": name, "why": f"known of fewer than {2 * SMALLEST} recordings"})
        return
    counts = number_counts(known, told["edges"])
    p, d = kolmogorov_smirnov(told["counts"], counts)
    index, expected = stability_index(told["counts"], counts)
    mean = float(known.mean())
    edges, reference_counts, batch_counts = merged(told["edges"], told["counts"], counts)
    entry = {
        "name": name,
        "edges": edges,
        "reference": {"known": told["known"], "mean": told["mean"], "sd": told["sd"], "counts": reference_counts},
        "batch": {
            "known": count_told(len(known), len(values)),
            "mean": mean,
            "sd": float(known.std(ddof=1)),
            "counts": batch_counts,
        },
        "shift": (mean - told["mean"]) / told["sd"] if told["sd"] else None,
        "psi": index,
        "psi_by_chance": expected,
    }
    add(_Compared(entry, p, d))
