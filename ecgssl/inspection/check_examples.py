"""Recordings drawn for the page of a check: some chosen by chance, and one for each of the commonest findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgssl.inspection.check import Checked
from ecgssl.preprocessing.prepare import prepare_request
from ecgssl.preprocessing.request import recording_requests
from ecgssl.signal.drawing import draw_12_lead, png_bytes

_DPI = 100


@dataclass(frozen=True)
class Example:
    """A drawing.

    Args:
        row: of the recording in the manifest.
        finding: for which it was chosen; empty where chance chose it.
        png: 12-lead paper, as a model would see the recording.
    """

    row: int
    finding: str
    png: bytes


def draw_examples(checked: Checked, count: int = 3, findings: int = 3) -> list[Example]:
    """Draw recordings that are kept.

    Args:
        checked: the cohort.
        count: how many are chosen by chance, by the seed of the parameters.
        findings: for how many of the commonest findings one is drawn.
    """
    generator = np.random.default_rng(checked.params.seed)
    kept = checked.kept
    codes = kept["reasons"].fillna("").str.split(";")
    plain = kept["place"][[found == [""] for found in codes]].to_numpy()
    chosen = [(int(place), "") for place in _some(generator, plain, count)]
    common = codes.explode().replace("", np.nan).dropna().value_counts()
    for code in sorted(common.index, key=lambda code: (-common[code], code))[:findings]:
        places = kept["place"][[code in found for found in codes]].to_numpy()
        chosen += [(int(place), str(code)) for place in _some(generator, places, 1)]
    return [Example(int(checked.rows[place]), finding, _draw(checked, place)) for place, finding in chosen]


def _some(generator: np.random.Generator, places: np.ndarray, count: int) -> list[int]:
    return [int(place) for place in np.sort(generator.permutation(places)[:count])]


def _draw(checked: Checked, place: int) -> bytes:
    spec, lsb = checked.params.signal, checked.params.store.lsb
    digital = np.empty((len(spec.leads), spec.samples), dtype=np.int16)
    item = recording_requests(checked.cohort, place, place + 1)[0]
    found = prepare_request(item, spec, checked.params.quality, lsb, digital)
    mask = np.array([bool(found["lead_mask"] >> i & 1) for i in range(len(spec.leads))])
    title = f"row {checked.rows[place]}"
    return png_bytes(draw_12_lead(digital * np.float32(lsb), spec.sampling_rate, spec.leads, mask, title=title), _DPI)
