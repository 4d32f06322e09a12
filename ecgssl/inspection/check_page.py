"""The page of a check: who is in, who is out and why, what is known of whom; rows of the table instead of names."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ecgssl.html.charts import histogram, legend
from ecgssl.html.page import STYLE, page
from ecgssl.inspection.check_examples import Example
from ecgssl.inspection.check_labels import labels
from ecgssl.signal.reasons import REASON_TEXTS

_ROWS = 40
_REASONS = 6


def render(summary: Mapping[str, Any], examples: Sequence[Example]) -> str:
    """The page as text.

    Args:
        summary: of ``ecgssl.inspection.check_summary.summarise``. It is all that the page knows of the cohort, besides
        examples: the drawings.
    """
    sections = (
        _head(summary),
        _flow(summary),
        _issues(summary["issues"]),
        _told(summary),
        _reasons("Left out", summary["rejected"], "Preprocessing leaves these recordings out, for these reasons."),
        labels(summary["targets"]),
        _people(summary),
        _recordings(summary),
        _reasons("Kept with a remark", summary["flags"], "These recordings are used; a lead of theirs may be masked."),
        _examples(examples),
        _foot(summary),
    )
    return page("Cohort check", STYLE, "\n".join(filter(None, sections)))


def _head(summary: Mapping[str, Any]) -> str:
    counts, verdict = summary["counts"], summary["verdict"]
    usable = f"{counts['kept']:,} of {counts['rows']:,} recordings can be used"
    issues = len(summary["issues"])
    said = {
        "table": f"{issues} problem{'s' if issues > 1 else ''} in the table to mend first; nothing is preprocessed before",
        "rejected": "The table is in order; some recordings are left out",
        "sound": "The table is in order, and so is every recording",
    }[verdict]
    tiles = (
        ("rows in the table", counts["rows"]),
        ("recordings usable", counts["kept"]),
        ("left out", counts["rejected"]),
        ("without file", counts["without_file"]),
        ("patients with a usable recording", counts["patients_kept"]),
    )
    boxes = "".join(f"<div><b>{number:,}</b>{name}</div>" for name, number in tiles)
    return (
        "<h1>Cohort check</h1><p class='soft'>Recordings and what is known of them, before a model is made. Numbers of "
        "rows are those of the table in a spreadsheet (the header is row 1). The page names no patient, file or "
        "recording; it shows waveforms and counts of real people, so keep it where the data may be.</p>"
        f"<div class='verdict {verdict}'><b>{usable}</b>{escape(said)}.</div><div class='tiles'>{boxes}</div>"
    )


def _flow(summary: Mapping[str, Any]) -> str:
    counts = summary["counts"]
    reasons = summary["rejected"]
    items = [f"{escape(REASON_TEXTS.get(r['reason'], r['reason']))}: {r['count']:,}" for r in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        items.append(f"{len(reasons) - _REASONS} more reasons")
    if sum(r["count"] for r in reasons) > counts["rejected"]:
        items.append("some for several reasons")
    out = "".join(f"<li>{item}</li>" for item in items)
    absent, rejected = counts["without_file"], counts["rejected"]
    parts = "".join(
        f"<div class='step'><b>{escape(s['split'] or 'in no split')}</b>{s['kept']:,} recordings<br>"
        f"{s['patients']:,} patients</div>"
        for s in summary["splits"]
        if s["recordings"]
    )
    return (
        "<h2>Who is in, who is out, and why</h2><div class='flow'>"
        f"<div class='step'><b>{counts['rows']:,}</b> rows in the table<br>{counts['patients']:,} patients</div>"
        f"<div class='line aside'></div><div class='out {'' if absent else 'none'}'><b>{absent:,}</b> without a file</div>"
        f"<div class='step'><b>{counts['read']:,}</b> files read</div>"
        f"<div class='line aside'></div><div class='out {'' if rejected else 'none'}'><b>{rejected:,}</b> left out"
        f"<ul>{out}</ul></div>"
        f"<div class='step'><b>{counts['kept']:,}</b> recordings usable<br>{counts['patients_kept']:,} patients</div>"
        f"<div class='line'></div><div class='parts'>{parts}</div></div>"
    )


def _issues(issues: Sequence[Mapping[str, Any]]) -> str:
    if not issues:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(i['column'])}</code></td><td>{escape(i['what'])}</td>"
        f"<td class='rows' data-name='rows'>{rows_text(i['rows']) or 'the whole table'}</td><td>{escape(i['remedy'])}</td></tr>"
        for i in issues
    )
    return (
        "<h2>To mend in the table</h2><div class='scroll'><table class='cards'><thead><tr><th>column</th><th>what is wrong</th>"
        f"<th>rows</th><th>remedy</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _told(summary: Mapping[str, Any]) -> str:
    parts = []
    if summary["warnings"]:
        items = "".join(f"<li>{escape(w['what'])}{_in_rows(w['rows'])}</li>" for w in summary["warnings"])
        parts.append(f"<h3>Warnings</h3><ul class='told'>{items}</ul>")
    if summary["notes"]:
        items = "".join(f"<li>{escape(note)}</li>" for note in summary["notes"])
        parts.append(f"<h3>How the table was read</h3><ul class='told'>{items}</ul>")
    if summary["unused"]:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in summary["unused"])
        parts.append(f"<h3>Columns that are not used</h3><p>{names}</p>")
    return "<h2>To know</h2>" + "".join(parts) if parts else ""


def _reasons(title: str, reasons: Sequence[Mapping[str, Any]], lead: str) -> str:
    if not reasons:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(r['reason'])}</code></td><td>{escape(REASON_TEXTS.get(r['reason'], ''))}</td>"
        f"<td class='n' data-name='recordings'>{r['count']:,}</td>"
        f"<td class='rows' data-name='rows'>{rows_text(r['rows'])}</td></tr>"
        for r in reasons
    )
    return (
        f"<h2>{title}</h2><p>{lead}</p><div class='scroll'><table class='cards'><thead><tr><th>code</th><th>meaning</th>"
        f"<th class='n'>recordings</th><th>rows</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _people(summary: Mapping[str, Any]) -> str:
    ages, rates = summary["ages"], summary["heart_rates"]
    boxes = []
    if ages:
        chart = legend(list(ages["counts"])) + histogram(ages["bins"], ages["counts"], "years")
        told = f"median {ages['median']:.0f}; known of {ages['known']:,}, not known of {ages['unknown']:,} recordings"
        boxes.append(f"<div><h3>Age</h3>{chart}<p class='soft'>{told}</p></div>")
    if rates:
        chart = histogram(rates["bins"], rates["counts"], "beats per minute", every=3)
        boxes.append(f"<div><h3>Heart rate</h3>{chart}<p class='soft'>as found in the recordings</p></div>")
    if not boxes:
        return ""
    origin = summary["people_from"]
    lead = "" if origin == "table" or not ages else f"<p class='soft'>Age and sex as {escape(origin)}.</p>"
    return f"<h2>People</h2>{lead}<div class='charts two'>{''.join(boxes)}</div>"


def _recordings(summary: Mapping[str, Any]) -> str:
    named = (
        ("Sex", "sexes"),
        ("Site", "sites"),
        ("Device", "devices"),
        ("Format of the file", "formats"),
        ("Sampling rate of the file", "sampling_rates"),
        ("Duration of the file", "durations"),
        ("Leads of the twelve in the file", "leads_in_file"),
    )
    boxes = [f"<div><h3>{title}</h3>{_counts(summary[key])}</div>" for title, key in named if summary[key]]
    lead = "Sex, site and device of the usable recordings; the others of all files that could be read."
    return f"<h2>Recordings</h2><p class='soft'>{lead}</p><div class='charts'>{''.join(boxes)}</div>" if boxes else ""


def _counts(values: Iterable[Mapping[str, Any]]) -> str:
    values = list(values)
    total = max(sum(v["count"] for v in values), 1)
    lines = "".join(
        f"<tr><td>{escape(v['value'])}</td><td class='n'>{v['count']:,}</td>"
        f"<td class='n'>{100 * v['count'] / total:.1f} %</td></tr>"
        for v in values
    )
    return f"<table><tbody>{lines}</tbody></table>"


def _examples(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    figures = "".join(map(_figure, examples))
    lead = (
        "As a model would see them: filtered, resampled and cut to the contract's length, 25 mm/s and 10 mm/mV. "
        "A lead that is masked is drawn as not recorded."
    )
    return f"<h2>Examples</h2><p>{lead}</p>{figures}"


def _figure(example: Example) -> str:
    image = f"data:image/png;base64,{base64.b64encode(example.png).decode()}"
    why = "chosen by chance"
    if example.finding:
        why = f"chosen for <code>{escape(example.finding)}</code>: {escape(REASON_TEXTS.get(example.finding, ''))}"
    alt = f"12-lead drawing of the recording in row {example.row}"
    return f'<figure><img alt="{alt}" src="{image}"><figcaption>Row {example.row}, {why}</figcaption></figure>'


def _foot(summary: Mapping[str, Any]) -> str:
    c = summary["contract"]
    low, high = c["clean"]["band"]
    return (
        f"<footer>Signal contract: {len(c['leads'])} leads, {c['sampling_rate']:g} Hz, {c['duration']:g} s, "
        f"{low:g} to {high:g} Hz, fingerprint <code>{escape(c['fingerprint'][:12])}</code>. "
        "What is left out here is what <code>ecgssl preprocess</code> leaves out with the same parameters. "
        f"ecgssl {escape(summary['ecgssl'])}. Research use only. Not a medical device.</footer>"
    )


def _in_rows(rows: Sequence[int]) -> str:
    return f" <span class='rows'>(rows {rows_text(rows)})</span>" if rows else ""


def rows_text(rows: Sequence[int]) -> str:
    """Row numbers, neighbours joined, cut where there are many."""
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][1] + 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    told = [str(low) if low == high else f"{low}-{high}" for low, high in runs[:_ROWS]]
    left = sum(high - low + 1 for low, high in runs[_ROWS:])
    return ", ".join(told) + (f" and {left:,} more" if left else "")
