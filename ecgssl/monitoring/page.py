"""The page of a comparison: verdict, what has changed, and every figure. Aggregated only, one file, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ecgssl.html.page import STYLE, page

_SAID = {
    "steady": ("Like the reference", "Nothing differs by more than chance and by enough to matter"),
    "watch": ("To be watched", "There are differences that chance does not explain, none of them large"),
    "drift": ("Drift", "This batch differs from the recordings that the model was validated on"),
}
_TONE = {"steady": "sound", "watch": "rejected", "drift": "table"}
_MORE = """
.level { font-weight: 600; white-space: nowrap; } .level.drift { color: var(--red); } .level.watch { color: var(--amber); }
.level.steady { color: var(--green); font-weight: 400; }
"""
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 420, 170, 36, 10, 36


def render(summary: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        summary: of ``ecgssl.monitoring.monitor.monitor``; it is all that the page knows.
    """
    sections = (
        _head(summary),
        _changed(summary),
        _embedding(summary["embedding"]),
        _numbers(summary["numbers"]),
        _categories(summary["categories"]),
        _shares(summary["shares"]),
        _not_compared(summary["not_compared"]),
        _how(summary),
    )
    return page("Drift of a batch", STYLE + _MORE, "\n".join(filter(None, sections)), images=False)


def _head(summary: Mapping[str, Any]) -> str:
    title, said = _SAID[summary["verdict"]]
    sides = summary["batch"], summary["reference"]
    tiles = (
        ("recordings scored in this batch", sides[0]["recordings"]),
        ("recordings tried", sides[0]["tried"]),
        ("patients in the reference", sides[1]["recordings"]),
        ("comparisons", summary["comparisons"]),
    )
    boxes = "".join(f"<div><b>{number:,}</b>{name}</div>" for name, number in tiles)
    notes = "".join(f"<p>{escape(note)}</p>" for note in summary["notes"])
    return (
        "<h1>Drift of a batch</h1><p class='soft'>Recordings that were scored, beside those that the model was validated on. "
        "The page shows counts and shares only: no recording, patient or file, and no cell of one to nine.</p>"
        f"<div class='verdict {_TONE[summary['verdict']]}'><b>{title}</b>{said}.</div><div class='tiles'>{boxes}</div>{notes}"
    )


def _changed(summary: Mapping[str, Any]) -> str:
    everything = [one for shape in ("shares", "categories", "numbers") for one in summary[shape]]
    loud = sorted((one for one in everything if one["level"] != "steady"), key=lambda one: (one["level"], -one["size"]))
    lines = [f"<li>{_level(one['level'])} {escape(one['name'])}: {_in_words(one)}</li>" for one in loud]
    embedding = summary["embedding"]
    if embedding and embedding["level"] != "steady":
        what = f"distance {embedding['distance']:.3g}, by chance up to {embedding['limit']:.3g}"
        lines.append(f"<li>{_level(embedding['level'])} embeddings: {what}</li>")
    return f"<h2>What has changed</h2><ul class='told'>{''.join(lines)}</ul>" if lines else ""


def _in_words(one: Mapping[str, Any]) -> str:
    if "psi" in one:
        return f"mean {one['batch']['mean']:.4g} instead of {one['reference']['mean']:.4g}"
    if "counts" in one:
        totals = [sum(_middle(row[side]) for row in one["counts"]) for side in ("reference", "batch")]
        moved = max(
            one["counts"],
            key=lambda row: abs(_middle(row["batch"]) / totals[1] - _middle(row["reference"]) / totals[0]),
        )
        return (
            f"{escape(moved['value'])} {_percent(_middle(moved['batch']) / totals[1])} "
            f"instead of {_percent(_middle(moved['reference']) / totals[0])}"
        )
    return f"{_share(one['batch'])} instead of {_share(one['reference'])}"


def _embedding(embedding: Mapping[str, Any] | None) -> str:
    if embedding is None:
        return ""
    return (
        "<h2>Embeddings</h2><p>Frechet distance between the embeddings of this batch and of the reference, as a share of "
        f"the reference's variance: <b>{embedding['distance']:.3g}</b>. Batches of {embedding['batch']:,} recordings drawn "
        f"from the reference itself have {embedding['expected']:.3g} in the middle and {embedding['limit']:.3g} in 99 of 100 "
        f"at most. {_level(embedding['level'])}</p>"
    )


def _numbers(numbers: Sequence[Mapping[str, Any]]) -> str:
    if not numbers:
        return ""
    lines = "".join(
        f"<tr><td>{escape(one['name'])}</td><td class='n' data-name='reference'>{one['reference']['mean']:.4g}</td>"
        f"<td class='n' data-name='batch'>{one['batch']['mean']:.4g}</td>"
        f"<td class='n' data-name='shift'>{'' if one['shift'] is None else format(one['shift'], '+.2f')}</td>"
        f"<td class='n' data-name='D'>{one['size']:.2f}</td>"
        f"<td class='n' data-name='PSI'>{one['psi']:.2f} <small>({one['psi_by_chance']:.2f})</small></td>"
        f"<td class='n' data-name='p'>{_p(one['p'])}</td><td>{_level(one['level'])}</td></tr>"
        for one in numbers
    )
    boxes = "".join(f"<div><h3>{escape(one['name'])}</h3>{_chart(one)}</div>" for one in numbers)
    return (
        "<h2>Numbers</h2><p class='soft'>Shift of the mean in standard deviations of the reference; D of Kolmogorov and "
        "Smirnov; population stability index, with what chance alone makes of it.</p>"
        "<div class='scroll'><table class='cards'><thead><tr><th>number</th><th class='n'>mean, reference</th>"
        "<th class='n'>batch</th><th class='n'>shift</th><th class='n'>D</th><th class='n'>PSI</th><th class='n'>p</th>"
        f"<th></th></tr></thead><tbody>{lines}</tbody></table></div>"
        "<p class='legend'><span><i class='s2'></i>reference</span><span><i class='s0'></i>batch</span></p>"
        f"<div class='charts'>{boxes}</div>"
    )


def _chart(one: Mapping[str, Any]) -> str:
    """Shares by bin, reference and batch side by side."""
    sides = [one[side]["counts"] for side in ("reference", "batch")]
    shares = [[count / max(sum(side), 1) for count in side] for side in sides]
    top = max(max(side) for side in shares) or 1.0
    wide = (_WIDTH - _LEFT) / len(shares[0])
    tall = _HEIGHT - _TOP - _BOTTOM
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{_TOP + tall}" y2="{_TOP + tall}"/>',
        f'<text class="num" x="{_LEFT - 5}" y="{_TOP + 9}">{100 * top:.0f} %</text>',
        f'<text class="num" x="{_LEFT - 5}" y="{_TOP + tall}">0</text>',
    ]
    for side, (series, place) in enumerate((("s2", 0.08), ("s0", 0.52))):
        for i, share in enumerate(shares[side]):
            high = tall * share / top
            x, y = _LEFT + wide * (i + place), _TOP + tall - high
            parts.append(
                f'<rect class="{series}" x="{x:.1f}" y="{y:.1f}" width="{0.4 * wide:.1f}" height="{high:.1f}">'
                f"<title>{_bin(one['edges'], i)}: {_percent(share)}</title></rect>"
            )
    # as many as there is room for
    every = -(-len(one["edges"]) // 6) or 1
    for i in range(0, len(one["edges"]), every):
        x = _LEFT + wide * (i + 1)
        parts.append(f'<text class="bin" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}">{one["edges"][i]:.3g}</text>')
    told = ", ".join(
        f"{_bin(one['edges'], i)}: {_percent(a)} and {_percent(b)}"
        for i, (a, b) in enumerate(zip(*shares, strict=True))
    )
    label = escape(f"{one['name']}, share of recordings in the reference and in the batch. {told}")
    return f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _bin(edges: Sequence[float], place: int) -> str:
    if not edges:
        return "all"
    if place == 0:
        return f"below {edges[0]:.3g}"
    return f"from {edges[place - 1]:.3g}" + (f" to {edges[place]:.3g}" if place < len(edges) else "")


def _categories(categories: Sequence[Mapping[str, Any]]) -> str:
    boxes = []
    for one in categories:
        totals = [sum(_middle(row[side]) for row in one["counts"]) for side in ("reference", "batch")]
        lines = "".join(
            f"<tr><td>{escape(row['value'])}</td>"
            + "".join(
                f"<td class='n'>{_count(row[side])}<br><small>{_percent(_middle(row[side]) / max(total, 1))}</small></td>"
                for side, total in zip(("reference", "batch"), totals, strict=True)
            )
            + "</tr>"
            for row in one["counts"]
        )
        boxes.append(
            f"<div><h3>{escape(one['name'])}</h3><table><thead><tr><th></th><th class='n'>reference</th>"
            f"<th class='n'>batch</th></tr></thead><tbody>{lines}</tbody></table>"
            f"<p>{_level(one['level'])} <small>V {one['size']:.2f}, p {_p(one['p'])}"
            "</small></p></div>"
        )
    return f"<h2>Categories</h2><div class='charts'>{''.join(boxes)}</div>" if boxes else ""


def _shares(shares: Sequence[Mapping[str, Any]]) -> str:
    seen = [one for one in shares if one["reference"]["count"] or one["batch"]["count"]]
    never = len(shares) - len(seen)
    lines = "".join(
        f"<tr><td>{escape(one['name'])}</td><td class='n' data-name='reference'>{_share(one['reference'])}</td>"
        f"<td class='n' data-name='batch'>{_share(one['batch'])}</td><td class='n' data-name='V'>{one['size']:.2f}</td>"
        f"<td class='n' data-name='p'>{_p(one['p'])}</td><td>{_level(one['level'])}</td></tr>"
        for one in seen
    )
    rest = f"<p class='soft'>{never} more shares are 0 on both sides.</p>" if never else ""
    return (
        "<h2>Shares</h2><p class='soft'>Rejections are of all recordings that were tried, in the reference of its whole store; "
        "the others of those scored. Cramer's V of two equally large groups.</p>"
        "<div class='scroll'><table class='cards'><thead><tr><th>share of</th><th class='n'>reference</th>"
        f"<th class='n'>batch</th><th class='n'>V</th><th class='n'>p</th>"
        f"<th></th></tr></thead><tbody>{lines}</tbody></table></div>{rest}"
    )


def _not_compared(refused: Sequence[Mapping[str, str]]) -> str:
    if not refused:
        return ""
    items = "".join(f"<li>{escape(one['name'])}: {escape(one['why'])}</li>" for one in refused)
    return f"<h2>Not compared</h2><ul class='told'>{items}</ul>"


def _how(summary: Mapping[str, Any]) -> str:
    return (
        "<h2>How to read it</h2><p>Drift: the p-value, corrected over all comparisons (Holm), is under 0.01 and the difference "
        "large (V or D from 0.2). To be watched: under 0.05 and from 0.1. Embeddings are to be watched beyond what 99 of 100 "
        "resampled batches have, and drift where they are further off by a tenth of the reference's variance. A change of "
        "scores without one of leads, noise or rates often means other patients: count the true findings before you trust "
        "thresholds. Recordings of few patients differ from the reference by chance more than these tests suppose. A batch has "
        f"{summary['smallest_batch']} scored recordings at least.</p>"
        f"<footer>Bundle <code>{escape(summary['bundle'])}</code>. ecgssl {escape(summary['ecgssl'])}. "
        "Research use only. Not a medical device.</footer>"
    )


def _middle(count: Any) -> float:
    return float(count) if isinstance(count, int) else sum(count) / 2


def _count(count: Any) -> str:
    return f"{count:,}" if isinstance(count, int) else f"{count[0]:,} to {count[1]:,}"


def _share(side: Mapping[str, Any]) -> str:
    low, high = side["share"] or (0.0, 0.0)
    return _percent(low) if low == high else f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _p(value: float) -> str:
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _level(level: str) -> str:
    return f"<span class='level {level}'>{'to be watched' if level == 'watch' else level}</span>"
