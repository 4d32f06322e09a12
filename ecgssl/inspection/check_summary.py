"""A checked cohort in numbers: counts and row numbers, and nothing by which a person or a file could be found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import Target
from ecgssl.datasets.cohort import EXTERNAL, SPLITS
from ecgssl.inspection.check import Checked
from ecgssl.inspection.check_warnings import warnings_of
from ecgssl.version import __version__

SHARED_BY = 5
"""Recordings that must share a site, device or other word of the table before it is named: rarer ones identify."""

_NAMED = 12
_UNKNOWN = "not stated"
_AGES = np.arange(0, 100, 10)
_RATES = np.arange(20, 260, 10)


def summarise(checked: Checked) -> dict[str, Any]:
    """What ``ecgssl check --json`` prints and its page shows.

    Returns:
        Plain types: ``verdict`` (``table``, ``rejected`` or ``sound``), ``counts``, ``issues``, ``warnings``, ``notes``,
        ``rejected`` and ``flags`` by reason with row numbers, ``splits``, ``targets``, ``unused`` (columns that are no
        targets), distributions of ``ages``, ``sexes``, ``heart_rates``, ``sampling_rates``, ``durations``,
        ``leads_in_file``, ``formats``, ``sites``, ``devices``, and the ``contract``. Row numbers are those of the manifest.
    """
    cohort = checked.cohort
    kept, out, read = (checked.described(part) for part in (checked.kept, checked.rejected, checked.recordings))
    stated = {"age", "sex"} & set(kept.columns)
    if not stated:
        kept = kept.assign(age=kept["file_age"].astype(float), sex=kept["file_sex"].fillna(""))
    known = read[read["rate"].notna()]
    return {
        "ecgssl": __version__,
        "verdict": {0: "sound", 2: "table", 3: "rejected"}[checked.exit_code],
        "counts": {
            "rows": len(cohort),
            "without_file": int((~checked.there).sum()),
            "read": len(read),
            "rejected": len(out),
            "kept": len(kept),
            "patients": int(cohort.table["patient_id"].nunique()),
            "patients_kept": int(kept["patient_id"].nunique()),
        },
        "would_stop": checked.would_stop,
        "max_rejected_fraction": checked.params.store.max_rejected_fraction,
        "issues": [
            {"column": i.column, "what": i.what, "remedy": i.remedy, "rows": list(i.rows)} for i in checked.issues
        ],
        "warnings": [{"what": warned.what, "rows": list(warned.rows)} for warned in warnings_of(checked)],
        "notes": list(cohort.notes),
        "unused": list(cohort.not_binary),
        "rejected": _reasons(out, "reason"),
        "flags": _reasons(kept, "reasons"),
        "splits": _splits(checked, kept),
        "targets": [_target(cohort.kind(name), name, kept) for name in cohort.targets],
        "people_from": "table" if stated else "the files say, because the table does not",
        "ages": _ages(kept),
        "sexes": _sexes(kept),
        "heart_rates": _histogram(kept["heart_rate"], _RATES),
        "sampling_rates": _numbers(known["rate"], "Hz"),
        "durations": _numbers(known["duration"], "s"),
        "leads_in_file": _numbers(known["leads_in_file"], "leads"),
        "formats": _words(known["format"], least=1),
        "sites": _words(kept["site"]) if "site" in kept else [],
        "devices": _words(kept["device"]) if "device" in kept else [],
        "contract": checked.params.signal.to_dict() | {"fingerprint": checked.params.signal.fingerprint},
    }


def _reasons(part: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Codes with the rows in which they occur, the commonest first."""
    rows: dict[str, list[int]] = {}
    for cell, row in zip(part[column].fillna(""), part["row"], strict=True):
        for code in filter(None, str(cell).split(";")):
            rows.setdefault(code, []).append(int(row))
    return [
        {"reason": code, "count": len(found), "rows": sorted(found)}
        for code, found in sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _splits(checked: Checked, kept: pd.DataFrame) -> list[dict[str, Any]]:
    table = checked.cohort.table
    out = []
    for split in (*SPLITS, EXTERNAL, ""):
        listed, usable = table[table["split"] == split], kept[kept["split"] == split]
        if len(listed) or split in SPLITS:
            out.append(
                {
                    "split": split,
                    "recordings": len(listed),
                    "kept": len(usable),
                    "patients": int(usable["patient_id"].nunique()),
                }
            )
    return out


def _target(target: Target, name: str, kept: pd.DataFrame) -> dict[str, Any]:
    """Known and positive cells in all, by split and by sex; of other kinds the counts of classes, or quantiles."""
    cells = kept[f"target {name}"]
    about = {"name": name, **target.published(), "known": int(cells.notna().sum()), "unknown": int(cells.isna().sum())}
    groups: dict[str, Any] = {s: kept["split"] == s for s in (*SPLITS, EXTERNAL) if (kept["split"] == s).any()}
    if "sex" in kept:
        groups |= {sex: kept["sex"] == sex for sex in ("female", "male", "other") if (kept["sex"] == sex).any()}
    if target.kind == "binary":
        about |= _share(cells)
        about["groups"] = {group: _share(cells[where]) for group, where in groups.items()}
    elif target.kind == "regression":
        about |= _spread(cells)
        about["groups"] = {group: _spread(cells[where]) for group, where in groups.items()}
    else:
        names = list(target.classes or {})
        about["by_class"] = _classes(cells, names)
        about["groups"] = {group: _classes(cells[where], names) for group, where in groups.items()}
    return about


def _share(cells: pd.Series) -> dict[str, int]:
    return {"known": int(cells.notna().sum()), "positive": int((cells == 1).sum())}


def _classes(cells: pd.Series, names: list[str]) -> dict[str, int]:
    return {name: int((cells == code).sum()) for code, name in enumerate(names)}


def _spread(cells: pd.Series) -> dict[str, Any]:
    known = cells.dropna()
    if known.empty:
        return {"known": 0}
    low, middle, high = (round(float(v), 3) for v in known.quantile([0.05, 0.5, 0.95]))
    return {"known": len(known), "p5": low, "median": middle, "p95": high}


def _sexes(kept: pd.DataFrame) -> list[dict[str, Any]]:
    if "sex" not in kept or not (kept["sex"] != "").any():
        return []
    return _words(kept["sex"], least=1)


def _ages(kept: pd.DataFrame) -> dict[str, Any]:
    if "age" not in kept or not kept["age"].notna().any():
        return {}
    sexes = kept["sex"] if "sex" in kept else pd.Series("", index=kept.index)
    groups = {
        "female": sexes == "female",
        "male": sexes == "male",
        _UNKNOWN: ~sexes.isin(["female", "male"]),
    }
    edges = [*(f"{low}-{low + 9}" for low in _AGES[:-1]), "90+"]
    counts = {name: _binned(kept.loc[where, "age"], _AGES) for name, where in groups.items() if where.any()}
    known = kept["age"].dropna()
    about = {"known": len(known), "unknown": int(kept["age"].isna().sum()), "median": round(float(known.median()), 1)}
    return {"bins": edges, "counts": counts} | about


def _histogram(cells: pd.Series, edges: np.ndarray) -> dict[str, Any]:
    known = cells.astype(float).dropna()
    if known.empty:
        return {}
    return {"bins": [str(edge) for edge in edges], "counts": {"recordings": _binned(known, edges)}, "known": len(known)}


def _binned(values: pd.Series, edges: np.ndarray) -> list[int]:
    """Counts from each edge to the next; the last bin is open, and so is the first."""
    places = np.clip(np.searchsorted(edges, values.dropna().to_numpy(dtype=float), side="right") - 1, 0, None)
    return [int(count) for count in np.bincount(places, minlength=len(edges))]


def _numbers(values: pd.Series, unit: str) -> list[dict[str, Any]]:
    rounded = values.astype(float).round(1)
    return _named_counts((f"{value:g} {unit}", int(count)) for value, count in rounded.value_counts().items())


def _words(values: pd.Series, least: int = SHARED_BY) -> list[dict[str, Any]]:
    counts = values.fillna("").replace("", _UNKNOWN).value_counts()
    common = [(str(word), int(n)) for word, n in counts.items() if n >= least or word == _UNKNOWN]
    rare = counts[[str(word) not in dict(common) for word in counts.index]]
    if len(rare):
        common.append((f"{len(rare)} others with fewer than {least} recordings each", int(rare.sum())))
    return _named_counts(common)


def _named_counts(pairs: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    out = [{"value": value, "count": count} for value, count in ordered[:_NAMED]]
    if len(ordered) > _NAMED:
        rest = ordered[_NAMED:]
        out.append({"value": f"{len(rest)} others", "count": sum(count for _, count in rest)})
    return out
