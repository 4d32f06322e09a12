"""Summary of a cohort check: counts, distributions and warnings, without patient ids and file names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ecgssl.config import Target
from ecgssl.datasets.cohort import EXTERNAL, SPLITS, counted
from ecgssl.inspection.check import Checked
from ecgssl.preprocessing.enforce_splits import Policy
from ecgssl.signal.set_voltage import unusual_voltage
from ecgssl.signal.windows import short_text
from ecgssl.version import __version__

SHARED_BY = 5
"""Minimum number of patients for the name of a site or device to be shown. Rarer names could identify a patient."""

SMALL = 10
"""Minimum number of recordings in a split, and of positives and negatives of a target; smaller numbers cause a warning."""

_NAMED = 12
_NAMED_TARGETS = 8
_YEARS = 2.0
_SAME = (("waveform", "waveform"), ("patient_id", "patient"))
NOT_STATED = "not stated"
"""Name of the group of recordings without a value."""
AGES = np.arange(0, 100, 10)
"""Lowest ages in years of the bins of the age histogram."""
_RATES = np.arange(20, 260, 10)


def summarise(checked: Checked) -> dict[str, Any]:
    """Return the summary that ``ecgssl check --json`` prints and that the HTML report shows.

    Returns:
        JSON-compatible mapping with ``verdict`` (``table``, ``rejected`` or ``sound``), ``counts``, ``issues``,
        ``warnings``, ``notes``, ``rejected`` and ``flags`` (row numbers by reason code), ``splits``, ``targets``,
        ``unused`` (columns that are not targets) and ``contract`` (preprocessing settings). It also contains the
        distributions ``ages``, ``sexes``, ``heart_rates``, ``sampling_rates``, ``durations``, ``leads_in_file``,
        ``formats``, ``sites`` and ``devices``. Row numbers refer to the manifest.
    """
    cohort = checked.cohort
    kept, out, read = (checked.described(part) for part in (checked.kept, checked.rejected, checked.recordings))
    stated = {"age", "sex"} & set(kept.columns)
    kept = with_people(kept)
    known = read[read["rate"].notna()]
    short = int((kept["recorded"] < checked.chosen.params.signal.samples).sum())
    return {
        "ecgssl": __version__,
        "verdict": {0: "sound", 2: "table", 3: "rejected"}[checked.exit_code],
        "counts": {
            "rows": len(cohort),
            "without_file": int((~checked.there).sum()),
            "read": len(read),
            "rejected": len(out),
            "kept": len(kept),
            "short": short,
            "windows": int(kept["windows"].sum()),
            "patients": int(cohort.table["patient_id"].nunique()),
            "patients_kept": int(kept["patient_id"].nunique()),
        },
        "would_stop": checked.would_stop,
        "max_rejected_fraction": checked.chosen.params.store.max_rejected_fraction,
        "issues": [
            {"column": i.column, "what": i.what, "remedy": i.remedy, "rows": list(i.rows)} for i in checked.issues
        ],
        "warnings": [{"what": warning.what, "rows": list(warning.rows)} for warning in warnings_of(checked)],
        "notes": [*cohort.notes, *([short_text(short, checked.chosen.params.signal)] if short else [])],
        "unused": list(cohort.not_binary),
        "rejected": _reasons(out, "reason"),
        "flags": _reasons(kept, "reasons"),
        "splits": _splits(checked, kept),
        "targets": [_target(cohort.kind(name), name, kept) for name in cohort.targets],
        "people_from": "table" if stated else "recorded in the files, because the table has neither",
        "ages": _ages(kept),
        "sexes": _sexes(kept),
        "heart_rates": _histogram(kept["heart_rate"], _RATES),
        "sampling_rates": _numbers(known["rate"], "Hz"),
        "durations": _numbers(known["duration"], "s"),
        "leads_in_file": _numbers(known["leads_in_file"], "leads"),
        "formats": _words(known["format"]),
        "sites": _words(kept["site"], kept["patient_id"]) if "site" in kept else [],
        "devices": _words(kept["device"], kept["patient_id"]) if "device" in kept else [],
        "contract": checked.chosen.params.signal.to_dict() | {"fingerprint": checked.chosen.params.signal.fingerprint},
    }


def with_people(kept: pd.DataFrame) -> pd.DataFrame:
    """Return rows of ``Checked.described`` with age and sex of the files if the table of the cohort has neither."""
    if {"age", "sex"} & set(kept.columns):
        return kept
    return kept.assign(age=kept["file_age"].astype(float), sex=kept["file_sex"].fillna(""))


def age_names(low: int, high: int) -> str:
    """Return the name of the age group from bin ``low`` to bin ``high`` of ``AGES``, such as ``20-39`` or ``80+``."""
    return f"{AGES[low]}+" if high == len(AGES) - 1 else f"{AGES[low]}-{AGES[high] + 9}"


@dataclass(frozen=True)
class CohortWarning:
    """Non-fatal warning about a cohort. Its text may contain column names, but no cell values or file paths.

    Args:
        what: text of the warning.
        rows: row numbers of the affected recordings in the manifest; empty if the warning concerns the whole cohort.
    """

    what: str
    rows: tuple[int, ...] = ()


def warnings_of(checked: Checked) -> list[CohortWarning]:
    """Return all warnings about a checked cohort, the most severe first."""
    kept = checked.described(checked.kept)
    return [
        *_stop(checked),
        *_twice(kept, checked.chosen.data.overlap),
        *_contradictions(kept),
        *_voltage(kept),
        *_small(checked, kept),
    ]


def _stop(checked: Checked) -> list[CohortWarning]:
    if not checked.would_stop:
        return []
    out, count = len(checked.rejected), len(checked.cohort)
    allowed = checked.chosen.params.store.max_rejected_fraction
    return [
        CohortWarning(f"preprocessing would stop: {out} of {count} recordings are left out; the limit is {allowed:.0%}")
    ]


def _twice(kept: pd.DataFrame, policy: Policy) -> list[CohortWarning]:
    """Return warnings about copies of recordings, and about patients in several splits.

    Copies or patients in different splits are leakage. Copies with different patient ids indicate a wrong id.
    """
    leak = "of a recording in another split: leakage between training and test data"
    # with policy "error", copies and patients in different splits are issues instead of warnings
    found = [(column, "split", f"have the {said} {leak}") for column, said in _SAME if policy != "error"]
    found.append(("waveform", "patient_id", "have the waveform of a recording of another patient"))
    found_warnings = []
    for column, other, what in found:
        stated = kept[kept[other] != ""]
        shared = stated[stated.groupby(column)[other].transform("nunique") > 1]
        if len(shared):
            found_warnings.append(CohortWarning(f"{len(shared)} recordings {what}", _rows(shared)))
    same = kept[kept.duplicated(["waveform", "patient_id", "split"], keep=False)]
    if len(same):
        found_warnings.append(
            CohortWarning(f"{len(same)} recordings occur more than once under different names", _rows(same))
        )
    return found_warnings


def _contradictions(kept: pd.DataFrame) -> list[CohortWarning]:
    found_warnings = []
    if "sex" in kept:
        other = kept["file_sex"].notna() & kept["sex"].isin(["male", "female"]) & (kept["file_sex"] != kept["sex"])
        if other.any():
            what = (
                f"{counted(int(other.sum()), 'file')} and the table differ in sex: they may belong to another patient"
            )
            found_warnings.append(CohortWarning(what, _rows(kept[other])))
    if "age" in kept:
        apart = (kept["file_age"].astype(float) - kept["age"].astype(float)).abs() > _YEARS
        if apart.any():
            what = f"{counted(int(apart.sum()), 'file')} and the table differ in age by more than {_YEARS:g} years"
            found_warnings.append(CohortWarning(what, _rows(kept[apart])))
    overridden = kept["overridden"].fillna("") != ""
    if overridden.any():
        fields = sorted({name for cell in kept.loc[overridden, "overridden"] for name in cell.split(";")})
        what = (
            f"{counted(int(overridden.sum()), 'file')} and the table differ in {', '.join(fields)}; the table is used"
        )
        found_warnings.append(CohortWarning(what, _rows(kept[overridden])))
    return found_warnings


def _voltage(kept: pd.DataFrame) -> list[CohortWarning]:
    what = unusual_voltage(kept["span"])
    return [CohortWarning(what)] if what else []


def _small(checked: Checked, kept: pd.DataFrame) -> list[CohortWarning]:
    cohort = checked.cohort
    if not (cohort.table["split"] != "").any():
        return []
    found_warnings = []
    for split in SPLITS:
        count = int((kept["split"] == split).sum())
        if count < SMALL:
            found_warnings.append(CohortWarning(f"split {split} has {count} usable recordings"))
    asked = [target for target in cohort.targets if target in checked.asked] if checked.asked else cohort.targets
    few = [target for target in asked if cohort.kind(target).kind == "binary" and _is_small(kept, target)]
    if few:
        shown = ", ".join(few[:_NAMED_TARGETS]) + (
            f" and {len(few) - _NAMED_TARGETS} more" if len(few) > _NAMED_TARGETS else ""
        )
        found_warnings.append(
            CohortWarning(f"fewer than {SMALL} positives or negatives in train, val or test: {shown}")
        )
    return found_warnings


def _is_small(kept: pd.DataFrame, target: str) -> bool:
    by_split = kept.groupby("split")[f"target {target}"].value_counts()
    return any(by_split.get((split, value), 0) < SMALL for split in SPLITS for value in (0.0, 1.0))


def _rows(part: pd.DataFrame) -> tuple[int, ...]:
    return tuple(int(row) for row in np.sort(part["row"].to_numpy()))


def _reasons(part: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Return each reason code with its row numbers, the most frequent code first."""
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
    """Return a description of a target in total, by split and by sex.

    A binary target has counts of known and positive values, a multiclass target counts of classes, and a regression
    target the 5 %, 50 % and 95 % quantiles.
    """
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
    return _words(kept["sex"])


def _ages(kept: pd.DataFrame) -> dict[str, Any]:
    if "age" not in kept or not kept["age"].notna().any():
        return {}
    sexes = kept["sex"] if "sex" in kept else pd.Series("", index=kept.index)
    groups = {
        "female": sexes == "female",
        "male": sexes == "male",
        NOT_STATED: ~sexes.isin(["female", "male"]),
    }
    edges = [age_names(place, place) for place in range(len(AGES))]
    counts = {name: _binned(kept.loc[where, "age"], AGES) for name, where in groups.items() if where.any()}
    known = kept["age"].dropna()
    about = {"known": len(known), "unknown": int(kept["age"].isna().sum()), "median": round(float(known.median()), 1)}
    return {"bins": edges, "counts": counts} | about


def _histogram(cells: pd.Series, edges: np.ndarray) -> dict[str, Any]:
    known = cells.astype(float).dropna()
    if known.empty:
        return {}
    return {"bins": [str(edge) for edge in edges], "counts": {"recordings": _binned(known, edges)}, "known": len(known)}


def _binned(values: pd.Series, edges: np.ndarray) -> list[int]:
    """Return the histogram counts for bin edges. The first and last bins are unbounded."""
    places = np.clip(np.searchsorted(edges, values.dropna().to_numpy(dtype=float), side="right") - 1, 0, None)
    return [int(count) for count in np.bincount(places, minlength=len(edges))]


def _numbers(values: pd.Series, unit: str) -> list[dict[str, Any]]:
    rounded = values.astype(float).round(1)
    return _named_counts((f"{value:g} {unit}", int(count)) for value, count in rounded.value_counts().items())


def _words(values: pd.Series, patients: pd.Series | None = None) -> list[dict[str, Any]]:
    """Return the number of recordings of each word. With ``patients``, words of few patients are counted together."""
    words = values.fillna("").replace("", NOT_STATED)
    counts = words.value_counts()
    sharing = {} if patients is None else patients.groupby(words).nunique().to_dict()
    common = [(str(w), int(n)) for w, n in counts.items() if sharing.get(w, SHARED_BY) >= SHARED_BY or w == NOT_STATED]
    rare = counts[[str(word) not in dict(common) for word in counts.index]]
    if len(rare):
        common.append((f"{len(rare)} others with fewer than {SHARED_BY} patients each", int(rare.sum())))
    return _named_counts(common)


def _named_counts(pairs: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    out = [{"value": value, "count": count} for value, count in ordered[:_NAMED]]
    if len(ordered) > _NAMED:
        rest = ordered[_NAMED:]
        out.append({"value": f"{len(rest)} others", "count": sum(count for _, count in rest)})
    return out
