"""The page of a report: one file, nothing loaded from anywhere, no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ecgssl.html.page import page
from ecgssl.leakage.overlap import in_words
from ecgssl.report.checklists import CARD, CHECKLISTS, SOURCES
from ecgssl.report.people import cohort, recordings
from ecgssl.report.results import results, split_words
from ecgssl.report.template import STYLE
from ecgssl.report.text import estimate, gap, model_name, plain_estimate, table
from ecgssl.report.use import calibration, net_benefit, subgroups, thresholds

_KINDS = {
    "multilabel": "findings, each there or not",
    "multiclass": "one class of several",
    "regression": "numbers",
}
_PRIMARY = {"auroc": "mean AUROC", "mae": "mean absolute error"}


def render(report: Mapping[str, Any], pngs: Sequence[bytes]) -> str:
    """The page as text.

    Args:
        report: all that the page knows, besides
        pngs: the drawings, one per entry of ``report["recordings"]``.
    """
    images = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in pngs]
    sections = (
        _head(report),
        _asked(report),
        cohort(report),
        results(report),
        calibration(report),
        thresholds(report),
        net_benefit(report),
        subgroups(report),
        recordings(report, images),
        _card(report),
        _checklists(report),
        _foot(report),
    )
    title = f"Report: {report['asked']['task']}"
    return page(escape(title), STYLE, "\n".join(filter(None, sections)))


def _head(report: Mapping[str, Any]) -> str:
    asked, figures, split = report["asked"], report["evaluation"], report["split"]
    main = figures["models"][figures["main"]][split]["macro"]
    primary = figures.get("primary") or next(metric for metric in ("auroc", "mae") if metric in main)
    counted = figures["splits"][split]
    verdict, tone = _verdict(report, primary)
    tiles = (
        (plain_estimate(main[primary]), _PRIMARY[primary]),
        (f"{counted['records']:,}", f"{split_words(split)[4:]} scored"),
        (f"{counted['patients']:,}", "patients among them"),
        (f"{len(asked['labels'])}", "outputs"),
        (f"{len(report['gaps'])}", "points to be filled by you"),
    )
    boxes = "".join(f"<div><b>{value}</b>{name}</div>" for value, name in tiles)
    links = "".join(f"<a href='#{key}'>{name}</a>" for key, name in _sections(report))
    return (
        f"<h1>{escape(asked['task'])}</h1><p class='soft'>A model of the 12-lead ECG, mode {escape(asked['mode'])}, set "
        f"{escape(asked['set'])}{_elsewhere(asked)}. The page names no patient, file or recording.</p>"
        f"<div class='verdict {tone}'><b>{escape(_PRIMARY[primary])} {estimate(main[primary])} on {split_words(split)}</b>"
        f"{verdict}</div><div class='tiles'>{boxes}</div><nav>{links}</nav>"
    )


def _sections(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [("cohort", "Who is in it"), ("results", "Results")]
    if report["asked"]["kind"] != "regression":
        found.append(("calibration", "Calibration"))
    if report["asked"]["kind"] == "multilabel":
        found += [("thresholds", "Thresholds"), ("benefit", "Decision curve")]
    return [
        *found,
        ("subgroups", "Subgroups"),
        ("recordings", "Recordings"),
        ("card", "Model card"),
        *((name, title) for name, title in CHECKLISTS.items()),
    ]


def _verdict(report: Mapping[str, Any], metric: str) -> tuple[str, str]:
    """Against the random encoder, in words, and the tone of the banner."""
    figures = report["evaluation"]
    found = figures.get("paired", {}).get(report["split"], {}).get(figures.get("baseline"), {}).get(metric)
    if not found or found.get("difference") is None or found.get("low") is None:
        return "There is no comparison with a random encoder.", "rejected"
    better = -1 if metric == "mae" else 1
    bounds = sorted(better * found[key] for key in ("low", "high"))
    against = model_name(str(figures["baseline"]))
    said = f"{estimate(found, sign='+')} next to the {escape(against)} on the same recordings: "
    if bounds[0] > 0:
        return said + "the pretrained encoder helps.", ""
    if bounds[1] < 0:
        return said + "the random encoder is better.", "table"
    return said + "no evidence that pretraining helps.", "rejected"


def _asked(report: Mapping[str, Any]) -> str:
    asked, contract = report["asked"], report["contract"]
    low, high = contract["clean"]["band"]
    facts = [
        ("Outputs", f"{escape(', '.join(asked['labels']))} ({_KINDS[asked['kind']]})"),
        ("Mode", escape(asked["mode"])),
        ("Encoder", escape(asked["parameters"])),
        (
            "Signal contract",
            f"{len(contract['leads'])} leads, {contract['sampling_rate']:g} Hz, {contract['duration']:g} s, "
            f"{low:g} to {high:g} Hz; <code>{escape(contract['short'])}</code>",
        ),
        ("Software", f"ecgssl {escape(asked['ecgssl'])}; seed {asked['seed']}"),
    ]
    if asked["share"] not in (None, 1.0):
        facts.append(("Labels used", f"{100 * asked['share']:g} % of the train patients"))
    if asked["recorded_leads"] and set(asked["recorded_leads"]) < set(contract["leads"]):
        facts.append(("Recorded leads", escape(", ".join(asked["recorded_leads"]))))
    if asked["folds"]:
        facts.append(("Folds", f"{asked['folds']['folds']} folds of patients, {asked['folds']['repeats']} times over"))
    if asked["overlap"]:
        what = "Overlap with what it has learned from" if asked["judged_on"] else "Overlap with pretraining"
        facts.append((what, escape(in_words(asked["overlap"]))))
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts)
    return f"<h2 id='asked'>What was asked</h2><table class='facts'><tbody>{body}</tbody></table>"


def _elsewhere(asked: Mapping[str, Any]) -> str:
    return f", frozen and judged on the external set {escape(asked['judged_on'])}" if asked["judged_on"] else ""


def _card(report: Mapping[str, Any]) -> str:
    asked = report["asked"]
    rows = "".join(
        f"<tr><th>{escape(question)}</th><td>{escape(report['card'][key]) or gap(question)}</td></tr>"
        for key, question in CARD.items()
    )
    return (
        "<h2 id='card'>Model card</h2><p><b>Research use only. Not a medical device.</b> The model puts out "
        f"{_KINDS[asked['kind']]}: {escape(', '.join(asked['labels']))}. Its figures hold for recordings like those it was "
        "trained and tested on; evaluate it on yours, and calibrate it again, before anyone relies on it. What only people can "
        "say is asked here; <code>ecgssl report RUN --answers answers.yaml</code> fills it in.</p>"
        f"<table class='facts card'><tbody>{rows}</tbody></table>"
    )


def _checklists(report: Mapping[str, Any]) -> str:
    parts = []
    for name, title in CHECKLISTS.items():
        rows = report["checklists"][name]
        counts = {status: sum(row["status"] == status for row in rows) for status in ("filled", "part", "open")}
        told = (
            f"{counts['filled']} of {len(rows)} points are filled, {counts['part']} in part, {counts['open']} are open. "
            f"{escape(SOURCES[name])}. Items are worded here in short and in our own words: the official list is what counts. "
            "Filling it says what is reported, not that the study is sound."
        )
        lines = [[row["item"], f"<b>{escape(row['topic'])}</b><br>{escape(row['asks'])}", _answer(row)] for row in rows]
        parts.append(
            f"<h2 id='{name}'>{title}</h2><p>{told}</p>{table(['item', 'asks for', 'in this report'], lines, text=3)}"
        )
    return "".join(parts)


def _answer(row: Mapping[str, Any]) -> str:
    said = " ".join(filter(None, (escape(row["said"]), escape(row["given"]))))
    if row["status"] == "filled":
        return said
    if row["status"] == "part":
        return f"{said} <span class='gap'>to be completed by you</span>"
    return "<span class='gap'>to be filled by you</span>"


def _foot(report: Mapping[str, Any]) -> str:
    method = report["evaluation"].get("method", {})
    told = "; ".join(f"{escape(str(name))}: {escape(str(said))}" for name, said in method.items())
    return (
        f"<footer><b>Method.</b> {told}. Signal contract <code>{escape(report['contract']['fingerprint'])}</code>. "
        "Every figure can be computed again from the run's predictions.csv. Research use only. Not a medical device.</footer>"
    )
