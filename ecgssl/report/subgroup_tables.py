"""Tables of subgroups in a report: results and counts of each group, or the reason why they are withheld."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecgssl.evaluation.subgroups import UNKNOWN
from ecgssl.report.statements import Report


def subgroup_tables(report: Report) -> list[dict[str, Any]]:
    """Return one table for each column of subgroups, except columns whose groups are all unknown.

    Args:
        report: content of ``report.json``.
    """
    entries = report["evaluation"].get("subgroups", {}).get(report["split"]) or []
    known = dict.fromkeys(str(entry["column"]) for entry in entries if entry.get("group") != UNKNOWN)
    return [_subgroup([entry for entry in entries if str(entry["column"]) == column], column) for column in known]


def _subgroup(entries: Sequence[Mapping[str, Any]], column: str) -> dict[str, Any]:
    if entries[0].get("group") is None:
        return {"name": column, "withheld": entries[0].get("withheld", "")}
    labels = list(dict.fromkeys(str(entry["label"]) for entry in entries))
    if not any(entry.get("metrics") for entry in entries):
        groups = dict.fromkeys(str(entry["group"]) for entry in entries)
        reasons = dict.fromkeys(entry.get("withheld") or "undefined" for entry in entries)
        return {"name": column, "withheld": f"No result of the groups {', '.join(groups)}: {'; '.join(reasons)}."}
    rows = []
    for group in dict.fromkeys(str(entry["group"]) for entry in entries):
        cells = {str(entry["label"]): entry for entry in entries if str(entry["group"]) == group}
        records, patients = (_range(cells.values(), key) for key in ("records", "patients"))
        own = [cells[label] for label in labels]
        rows.append((group, records, patients, own, _one_reason(own)))
    measured = set().union(*(entry.get("metrics") or {} for entry in entries))
    metric = "AUROC" if "auroc" in measured else "Mean absolute error" if "mae" in measured else ""
    return {"name": column, "labels": labels, "rows": rows, "metric": metric}


def _range(entries: Iterable[Mapping[str, Any]], key: str) -> str:
    """Return a count of all outputs, or the smallest and the largest one; empty if none is stated."""
    counts = sorted({entry[key] for entry in entries if entry.get(key) is not None})
    return " to ".join(f"{count:,}" for count in dict.fromkeys([*counts[:1], *counts[-1:]]))


def _one_reason(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return the reason why no result of a group is shown, if it is the same for all outputs; otherwise an empty text."""
    reasons = {str(entry.get("withheld") or "undefined") for entry in cells}
    return reasons.pop() if len(reasons) == 1 and not any(entry.get("metrics") for entry in cells) else ""
