"""HTML report of a cohort check, with plots of example recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import PackageLoader

from ecgssl.html import charts
from ecgssl.html.environment import render
from ecgssl.inspection.check import Checked
from ecgssl.inspection.check_summary import SMALL
from ecgssl.inspection.worst_examples import RAW_CODES
from ecgssl.preprocessing.prepare import read_or_reject, run_steps
from ecgssl.preprocessing.request import recording_requests
from ecgssl.preprocessing.window_steps import window_steps
from ecgssl.signal.drawing import UNFILTERED, centred, draw_12_lead, filter_text
from ecgssl.signal.figure_file import png_bytes
from ecgssl.signal.leads import arrange
from ecgssl.signal.quality import kept_part
from ecgssl.signal.reasons import REASON_TEXTS

_DPI = 100
_ROWS = 40
_REASONS = 6
_FITTED = ("train", "val", "test")
_GROUPS = (*_FITTED, "external", "female", "male", "other")
_DISTRIBUTIONS = (
    ("Sex", "sexes"),
    ("Site", "sites"),
    ("Device", "devices"),
    ("File format", "formats"),
    ("Sampling rate of the file", "sampling_rates"),
    ("Duration of the file", "durations"),
    ("Standard leads in the file", "leads_in_file"),
)

_KINDS = ("s0", "s1", "s2")
"""CSS classes of the series in a histogram."""


@dataclass(frozen=True)
class Example:
    """Plot of an example recording.

    Args:
        row: row of the recording in the manifest.
        finding: reason code of the finding that is shown; empty for a randomly chosen recording.
        png: 12-lead plot of the recording, preprocessed or unfiltered.
        unfiltered: whether the plot shows the raw signal, because filtering would remove the finding.
    """

    row: int
    finding: str
    png: bytes
    unfiltered: bool


def draw_examples(checked: Checked, count: int = 3, findings: int = 3) -> list[Example]:
    """Return 12-lead plots of recordings that preprocessing accepts.

    Args:
        checked: result of the check.
        count: number of recordings without findings. They are chosen at random with the seed in the parameters.
        findings: number of most frequent findings for which an example is plotted.
    """
    generator = np.random.default_rng(checked.chosen.params.seed)
    kept = checked.kept
    codes = kept["reasons"].fillna("").str.split(";")
    plain = kept["place"][[found == [""] for found in codes]].to_numpy()
    chosen = [(place, "") for place in _sample(generator, plain, count)]
    single = codes.explode()
    common = single[single != ""].value_counts()
    for code in sorted(common.index, key=lambda code: (-common[code], code))[:findings]:
        places = kept["place"][[code in found for found in codes]].to_numpy()
        chosen += [(place, str(code)) for place in _sample(generator, places, 1)]
    examples = []
    for place, finding in chosen:
        # high-frequency noise is measured after the filter, but most of it is visible only before
        raw = finding in (*RAW_CODES, "hf_noise")
        examples.append(Example(int(checked.rows[place]), finding, _draw(checked, place, raw), raw))
    return examples


def render_check(summary: Mapping[str, Any], examples: Sequence[Example]) -> str:
    """Return the HTML report of a cohort check.

    Args:
        summary: result of ``ecgssl.inspection.check_summary.summarise``. All results in the report are from this summary.
        examples: plots of recordings, from ``draw_examples``.
    """
    values = {
        "summary": summary,
        "examples": examples,
        "steps": _steps(summary),
        "parts": [
            {
                "name": split["split"] or "no split",
                "lines": [f"{split['kept']:,} recordings", f"{split['patients']:,} patients"],
            }
            for split in summary["splits"]
            if split["recordings"]
        ],
        "charts": _charts(summary),
        "distributions": [(title, summary[key]) for title, key in _DISTRIBUTIONS if summary[key]],
        "reason_texts": REASON_TEXTS,
        "rows_text": rows_text,
        "groups_of": _groups_of,
        "fitted": _FITTED,
        "small": SMALL,
    }
    return render(PackageLoader("ecgssl.inspection"), "check.html", **values)


def rows_text(rows: Sequence[int], most: int = _ROWS) -> str:
    """Format row numbers, such as ``2-4, 9 and 5 more``. Only the first ``most`` ranges are listed."""
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][1] + 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    shown = [str(low) if low == high else f"{low}-{high}" for low, high in runs[:most]]
    rest = sum(high - low + 1 for low, high in runs[most:])
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _steps(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return counts and texts of the boxes of the flow chart from table rows to usable recordings."""
    counts, reasons = summary["counts"], summary["rejected"]
    items = [f"{REASON_TEXTS.get(r['reason'], r['reason'])}: {r['count']:,}" for r in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        items.append(f"{len(reasons) - _REASONS} more reasons")
    if sum(r["count"] for r in reasons) > counts["rejected"]:
        items.append("some have several reasons")
    absent = {"count": counts["without_file"], "text": "without a file", "items": []}
    rejected = {"count": counts["rejected"], "text": "left out", "items": items}
    return [
        _step(counts["rows"], "rows in the table", [f"{counts['patients']:,} patients"]) | {"out": absent},
        _step(counts["read"], "files read", []) | {"out": rejected},
        _step(counts["kept"], "recordings usable", [f"{counts['patients_kept']:,} patients", *_lengths(counts)]),
    ]


def _lengths(counts: Mapping[str, int]) -> list[str]:
    """Return the numbers of short recordings and of windows, if there are short or long recordings."""
    short = [f"{counts['short']:,} short"] if counts["short"] else []
    return short + ([f"{counts['windows']:,} windows"] if counts["windows"] > counts["kept"] else [])


def _step(count: int, text: str, lines: list[str]) -> dict[str, Any]:
    return {"count": count, "text": text, "lines": lines}


def _charts(summary: Mapping[str, Any]) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Return title, chart, note and legend of the distributions of age and heart rate, if known.

    A legend lists the CSS class and the name of each series.
    """
    ages, rates = summary["ages"], summary["heart_rates"]
    found: list[tuple[str, str, str, list[tuple[str, str]]]] = []
    if ages:
        chart = charts.histogram(ages["bins"], ages["counts"], "years", kinds=_KINDS)
        note = f"median {ages['median']:.0f}; known for {ages['known']:,}, unknown for {ages['unknown']:,} recordings"
        found.append(("Age", chart, note, list(zip(_KINDS, ages["counts"], strict=False))))
    if rates:
        chart = charts.histogram(rates["bins"], rates["counts"], "beats per minute", every=3)
        found.append(("Heart rate", chart, "measured in the recordings", []))
    return found


def _groups_of(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the splits and sexes by which at least one target is described, in display order."""
    return [group for group in _GROUPS if any(group in target["groups"] for target in targets)]


def _sample(generator: np.random.Generator, places: np.ndarray, count: int) -> list[int]:
    return [int(place) for place in np.sort(generator.permutation(places)[:count])]


def _draw(checked: Checked, place: int, unfiltered: bool) -> bytes:
    params = checked.chosen.params
    spec, lsb = params.signal, params.store.lsb
    request = recording_requests(checked.cohort, place, place + 1)[0]
    title = f"row {checked.rows[place]}"
    if unfiltered:
        recording = read_or_reject(request.path, request.overrides)
        raw, present = arrange(recording.signal, recording.leads, spec.leads)
        window = 0 if spec.windows == "all" else None
        part = raw[:, kept_part(raw.shape[1], recording.sampling_rate, spec, window)[0]]
        figure = draw_12_lead(
            centred(part), recording.sampling_rate, spec.leads, present, title=title, filters=UNFILTERED
        )
        return png_bytes(figure, _DPI)
    # draw the first stored window
    made = run_steps(window_steps(request, spec, params.quality, lsb))
    found, digital = next(row for row in made["windows"] if "stage" not in row), made["digital"][0]
    mask = np.array([bool(found["lead_mask"] >> i & 1) for i in range(len(spec.leads))])
    signal = digital[:, : found["recorded"]] * np.float32(lsb)
    filters = filter_text(spec.clean)
    return png_bytes(draw_12_lead(signal, spec.sampling_rate, spec.leads, mask, title=title, filters=filters), _DPI)
