"""Section of a report about who is in it: the flow of recordings, labels and people by split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ecgssl.evaluation.subgroups import SMALLEST
from ecgssl.report.text import absent, number, share, table
from ecgssl.signal.reasons import REASON_TEXTS

_REASONS = 8
_FEW = f"<span class='soft'>under {SMALLEST}</span>"


def cohort(report: Mapping[str, Any]) -> str:
    """Flow, prevalence, people."""
    head = "<h2 id='cohort'>Who is in it</h2>"
    flow = report["cohort"]
    if flow is None:
        missing = absent("the flow of recordings, labels in train, and people; name the store to have them (--store).")
        return head + missing + _prevalence(report)
    return head + _flow(flow) + _prevalence(report) + _people(report["people"])


def _flow(flow: Mapping[str, Any]) -> str:
    reasons = flow["reasons"]
    items = [
        f"<li>{escape(REASON_TEXTS.get(r['reason'], r['reason']))}: {r['recordings']:,}</li>"
        for r in reasons[:_REASONS]
    ]
    if len(reasons) > _REASONS:
        items.append(f"<li>{len(reasons) - _REASONS} more reasons</li>")
    parts = "".join(
        f"<div class='step'><b>{escape(s['split'])}</b>{s['recordings']:,} recordings<br>{s['patients']:,} patients<br>"
        f"{s['labelled']:,} labelled{_scored(s)}</div>"
        for s in flow["splits"]
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in flow["notes"])
    return (
        "<div class='flow'>"
        f"<div class='step'><b>{flow['counted']:,}</b> recordings</div>"
        f"<div class='line aside'></div><div class='out {'' if flow['rejected'] else 'none'}'>"
        f"<b>{flow['rejected']:,}</b> refused<ul>{''.join(items)}</ul></div>"
        f"<div class='step'><b>{flow['stored']:,}</b> recordings used<br>{flow['patients']:,} patients</div>"
        f"<div class='line'></div><div class='parts'>{parts}</div></div>"
        "<p class='soft'>Patients are in one split alone. Labelled: at least one of the outputs is known.</p>"
        + (f"<ul class='told'>{notes}</ul>" if notes else "")
    )


def _scored(split: Mapping[str, Any]) -> str:
    return f"<br>{split['scored']:,} scored" if split["split"] != "train" else ""


def _prevalence(report: Mapping[str, Any]) -> str:
    rows_of = report["prevalence"]
    splits = list(dict.fromkeys(row["split"] for row in rows_of))
    by = {(row["label"], row["split"]): row for row in rows_of}
    cell = _numbers if report["asked"]["kind"] == "regression" else _positives
    rows = [
        [escape(name), *(cell(by[name, s]) if (name, s) in by else "" for s in splits)]
        for name in report["asked"]["labels"]
    ]
    title = "Targets by split" if report["asked"]["kind"] == "regression" else "Prevalence by split"
    told = (
        "mean (SD); 5th to 95th percentile; known recordings"
        if report["asked"]["kind"] == "regression"
        else "positive among the known; unknown ones beside"
    )
    return f"<h3>{title}</h3><p class='soft'>{told}</p>" + table(["output", *splits], rows)


def _positives(row: Mapping[str, Any]) -> str:
    unknown = f"<br><small>{row['unknown']:,} unknown</small>" if row["unknown"] else ""
    return share(row["positives"], row["recordings"]) + unknown


def _numbers(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return _FEW
    spread = f"{number(row['mean'], 1)} ({number(row['sd'], 1)}); {number(row['low'], 1)} to {number(row['high'], 1)}"
    return f"{spread}<br><small>{row['recordings']:,} known</small>"


def _people(people: Mapping[str, Any]) -> str:
    splits = people["splits"]
    rows: list[list[str]] = []
    if "age" in people:
        rows.append(["age, median (quartiles)", *(_age(people["age"][s]) for s in splits)])
    for column in ("sex", "site", "device"):
        for entry in people.get(column, []):
            rows.append(
                [f"{column}: {escape(entry['value'])}", *(_FEW if n is None else f"{n:,}" for n in entry["counts"])]
            )
    if not rows:
        return "<h3>People and machines</h3>" + absent("age, sex, site and device, as no recording states them.")
    told = f"Recordings; counts under {SMALLEST} are withheld."
    return f"<h3>People and machines</h3><p class='soft'>{told}</p>" + table(["", *splits], rows)


def _age(found: Mapping[str, Any]) -> str:
    if found["median"] is None:
        return _FEW
    quartiles = f"{found['low']:.0f} to {found['high']:.0f}"
    return f"{found['median']:.0f} <span class='ci'>({quartiles})</span><br><small>{found['known']:,} known</small>"


def recordings(report: Mapping[str, Any], images: Sequence[str]) -> str:
    """The best and the worst recordings, drawn.

    Args:
        report: with ``recordings``.
        images: one per recording, as ``data:`` addresses.
    """
    drawn = report.get("recordings") or []
    head = "<h2 id='recordings'>Best and worst recordings</h2>"
    if not drawn:
        return head + absent("drawings of recordings; they were left out, or no store was named.")
    method = (drawn[0].get("attribution") or {}).get("method")
    told = {
        "integrated_gradients": "Marked is where the model looked (integrated gradients from 0 mV, averaged over 80 ms): blue "
        "spoke for the output named below the drawing, orange against it. That is what moved this model, not what is wrong "
        "with the heart.",
        "rollout": "Marked is from where the model gathered what it used (attention rollout), whatever the output.",
        None: "",
    }[method]
    parts = []
    for how, title in (("worst", "Most wrong"), ("best", "Most right")):
        figures = [_figure(one, image) for one, image in zip(drawn, images, strict=True) if one["how"] == how]
        parts.append(f"<h3>{title}</h3>{''.join(figures)}" if figures else "")
    warning = "<p class='absent warn'>These are waveforms of real people: keep this page where the data may be.</p>"
    return f"{head}<p>{told}</p>{warning}{''.join(parts)}"


def _figure(one: Mapping[str, Any], image: str) -> str:
    said = ", ".join(
        f"{_emphasised(o['label'], o['label'] == one['looked_for'])} {_truth(o['true'])} "
        f"<span class='ci'>(model: {number(o['predicted'], 2)})</span>"
        for o in one["outputs"]
    )
    looked = one.get("attribution")
    where = ""
    if looked:
        leads = sorted(looked["share_by_lead"].items(), key=lambda pair: -pair[1])[:3]
        gathered = ", ".join(f"{lead} {100 * share_of:.0f} %" for lead, share_of in leads)
        where = f" Looked at for <b>{escape(one['looked_for'])}</b>: most in {gathered}."
        if looked["gap"] is not None:
            change = looked["output"] - looked["baseline"]
            where += f" The map adds up to {number(change, 2, '+')} (completeness gap {looked['gap']:.1g})."
    alt = f"12-lead drawing of recording {one['number']}"
    return f"<figure><img alt='{alt}' src='{image}'><figcaption>Recording {one['number']}. {said}.{where}</figcaption></figure>"


def _emphasised(name: str, strong: bool) -> str:
    return f"<b>{escape(name)}</b>" if strong else escape(name)


def _truth(value: float | None) -> str:
    if value is None:
        return "unknown"
    return {1.0: "yes", 0.0: "no"}.get(value, f"{value:g}")
