"""Targets of a checked cohort as tables: how often each is known and positive, by split and by sex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ecgssl.html.charts import bar
from ecgssl.inspection.check_warnings import SMALL

_GROUPS = ("train", "val", "test", "external", "female", "male", "other")
_FITTED = ("train", "val", "test")


def labels(targets: Sequence[Mapping[str, Any]]) -> str:
    """Section of the page: a table of the binary targets, one of each multiclass, one of the numbers."""
    if not targets:
        return "<h2>Labels</h2><p>No column is a target.</p>"
    parts = [_binary([t for t in targets if t["kind"] == "binary"])]
    parts += [_multiclass(t) for t in targets if t["kind"] == "multiclass"]
    parts.append(_regression([t for t in targets if t["kind"] == "regression"]))
    lead = (
        "Of the usable recordings. Shares are positives among the cells that are known; an empty cell is unknown and no "
        f"0. <span class='few'>Marked</span>: fewer than {SMALL} positives or negatives."
    )
    return f"<h2>Labels</h2><p>{lead}</p>{''.join(parts)}"


def _binary(targets: Sequence[Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    groups = _present(targets)
    lines = "".join(
        f"<tr><td><code>{escape(t['name'])}</code></td><td class='n'>{t['known']:,}</td>"
        f"<td class='n'>{t['unknown']:,}</td><td class='n'>{_share(t, marked=False)}</td><td>{bar(_fraction(t))}</td>"
        + "".join(f"<td class='n'>{_share(t['groups'].get(g, {}), marked=g in _FITTED)}</td>" for g in groups)
        + "</tr>"
        for t in targets
    )
    return _table(["target", "known", "unknown", "positive", "", *groups], lines)


def _multiclass(target: Mapping[str, Any]) -> str:
    groups = _present([target])
    total = max(target["known"], 1)
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td class='n'>{count:,}</td><td class='n'>{100 * count / total:.1f} %</td>"
        f"<td>{bar(count / total)}</td>"
        + "".join(f"<td class='n'>{_marked(target['groups'][g][name], g)}</td>" for g in groups)
        + "</tr>"
        for name, count in target["by_class"].items()
    )
    told = f"<code>{escape(target['name'])}</code>, one of several classes: {target['unknown']:,} unknown"
    return f"<h3>{told}</h3>" + _table(["class", "recordings", "share", "", *groups], lines)


def _regression(targets: Sequence[Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    groups = _present(targets)
    lines = "".join(
        f"<tr><td><code>{escape(t['name'])}</code></td><td>{escape(t.get('unit') or '')}</td>"
        f"<td class='n'>{t['known']:,}</td><td class='n'>{t['unknown']:,}</td><td class='n'>{_spread(t)}</td>"
        + "".join(f"<td class='n'>{_spread(t['groups'].get(g, {}))}</td>" for g in groups)
        + "</tr>"
        for t in targets
    )
    head = ["number", "unit", "known", "unknown", "all", *groups]
    return "<h3>Numbers: median (5 % to 95 %)</h3>" + _table(head, lines)


def _table(head: Sequence[str], lines: str) -> str:
    plain = {"target", "class", "number", "unit", ""}
    cells = "".join(f"<th{'' if name in plain else ' class=n'}>{escape(name)}</th>" for name in head)
    return f"<div class='scroll'><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>"


def _present(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    return [group for group in _GROUPS if any(group in target["groups"] for target in targets)]


def _fraction(counts: Mapping[str, Any]) -> float:
    return float(counts["positive"] / counts["known"]) if counts.get("known") else 0.0


def _share(counts: Mapping[str, Any], marked: bool) -> str:
    if not counts or not counts["known"]:
        return "<span class='few'>0</span>" if marked else "-"
    told = f"{counts['positive']:,} ({100 * _fraction(counts):.1f} %)"
    few = min(counts["positive"], counts["known"] - counts["positive"]) < SMALL
    return f"<span class='few'>{told}</span>" if marked and few else told


def _marked(count: int, group: str) -> str:
    return f"<span class='few'>{count:,}</span>" if group in _FITTED and count < SMALL else f"{count:,}"


def _spread(values: Mapping[str, Any]) -> str:
    if not values.get("known"):
        return "-"
    return f"{values['median']:.3g}<br><small>{values['p5']:.3g} to {values['p95']:.3g}</small>"
