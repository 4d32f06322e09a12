"""HTML page of a drift comparison: verdict, detected changes, and the results of all comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import PackageLoader

from ecgssl.html.charts import density
from ecgssl.html.environment import percent, render

_VERDICTS = {
    "steady": ("No drift", "No difference is both significant and relevant in size", "sound"),
    "watch": ("Watch", "Some differences are significant, but none is large", "rejected"),
    "drift": ("Drift", "This batch differs from the recordings used to validate the model", "table"),
}
_SIDES = ("reference", "batch")


def render_drift(summary: Mapping[str, Any]) -> str:
    """Return the HTML page of a drift comparison as text.

    Args:
        summary: result of ``ecgssl.monitoring.monitor.monitor``.
    """
    title, explanation, tone = _VERDICTS[summary["verdict"]]
    return render(
        PackageLoader("ecgssl.monitoring"),
        "drift.html",
        summary=summary,
        title=title,
        explanation=explanation,
        tone=tone,
        changes=_changes(summary),
        shares=[one for one in summary["shares"] if one["reference"]["count"] or one["batch"]["count"]],
        chart=_chart,
        category_rows=_category_rows,
        share_text=_share_text,
    )


def _changes(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, level and description of each feature with level ``drift`` or ``watch``.

    Features with ``drift`` come first; the embedding distance is always last.
    """
    found = [one for shape in ("shares", "categories", "numbers") for one in summary[shape] if one["level"] != "steady"]
    found.sort(key=lambda one: (one["level"], -one["size"]))
    changes = [(one["name"], one["level"], _describe(one)) for one in found]
    embedding = summary["embedding"]
    if embedding and embedding["level"] != "steady":
        text = f"distance {embedding['distance']:.3g}, 99th percentile by chance {embedding['limit']:.3g}"
        changes.append(("embeddings", embedding["level"], text))
    return changes


def _describe(one: Mapping[str, Any]) -> str:
    if "psi" in one:
        return f"mean {one['batch']['mean']:.4g} instead of {one['reference']['mean']:.4g}"
    if "counts" in one:
        rows = [(value, cells[0][1], cells[1][1]) for value, cells in _category_rows(one)]
        value, reference, batch = max(rows, key=lambda row: abs(row[2] - row[1]))
        return f"{value} {percent(batch)} instead of {percent(reference)}"
    return f"{_share_text(one['batch'])} instead of {_share_text(one['reference'])}"


def _chart(one: Mapping[str, Any]) -> str:
    """Return a histogram of reference and batch as SVG.

    The first and the last bin have no outer boundary, because it would be the value of a patient. They are drawn one
    standard deviation of the reference wide. A single bin is drawn around the mean.
    """
    spread, inner = one["reference"]["sd"] or 1.0, one["edges"] or [one["reference"]["mean"]]
    edges = [inner[0] - spread, *one["edges"], inner[-1] + spread]
    return density(edges, [(side, one[side]["counts"]) for side in _SIDES], one["name"])


def _category_rows(one: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Yield each value of a text feature with the count as text and the share, for reference and batch.

    The share is computed from the middle of the range if a count is not published.
    """
    totals = {side: max(sum(_middle(row[side]) for row in one["counts"]), 1) for side in _SIDES}
    for row in one["counts"]:
        yield row["value"], [(_count(row[side]), _middle(row[side]) / totals[side]) for side in _SIDES]


def _middle(count: Any) -> float:
    return float(count) if isinstance(count, int) else sum(count) / 2


def _count(count: Any) -> str:
    return f"{count:,}" if isinstance(count, int) else f"{count[0]:,} to {count[1]:,}"


def _share_text(side: Mapping[str, Any]) -> str:
    low, high = side["share"] or (0.0, 0.0)
    return percent(low) if low == high else f"{percent(low)} to {percent(high)}"
