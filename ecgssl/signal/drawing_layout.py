"""Layout of a 12-lead page: gain, distance of the rows, and height of the lead labels.

No trace crosses a label or the trace of a neighbouring row, and none reaches the edge of the page. The rows move apart
for tall waves. If the page would then be too high for A4 paper in landscape format, the gain is halved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GAINS = {10.0: "", 5.0: "half gain", 2.5: "quarter gain"}
"""Gains in mm/mV, in the order of preference, with the name that the page prints."""
ROW = 30.0
"""Smallest distance between two rows in mm."""
MOST_HEIGHT = 190.0
"""Largest height of a page at which the gain is kept, in mm: A4 in landscape format with margins of 10 mm."""
NARROW_HEIGHT = 500.0
"""Largest height of a narrow page with one lead per row at which the gain is kept, in mm."""
MOST_DEFLECTION = 30.0
"""Largest deflection in mm at the smallest gain. The page reports larger ones as cut."""

_EDGE, _STEP, _TEXT, _GAP = 25.0, 5.0, 9.0, 1.0
_LABEL, _LABEL_WIDTH, _LABEL_HALF, _CLEAR = 10.5, 11.0, 1.7, 3.2
_SMEAR = 1

Label = tuple[int, float, str]
"""Row of the page, distance of the label from the left end of the traces in mm, and its text."""


@dataclass(frozen=True)
class Layout:
    """Positions on a page, in mm from its lower edge.

    Args:
        gain: gain in mm/mV, one of ``GAINS``.
        height: height of the page.
        middles: zero line of each row.
        labels: height of each label above the zero line of its row.
        cut: largest deflection in mV that is drawn; ``None`` if every deflection is drawn.
    """

    gain: float
    height: float
    middles: tuple[float, ...]
    labels: Mapping[Label, float]
    cut: float | None


def lay_out(
    high: NDArray[np.floating], low: NDArray[np.floating], labels: Sequence[Label], most_height: float = MOST_HEIGHT
) -> Layout:
    """Return the layout of a page.

    Args:
        high, low: (rows, M) largest and smallest voltage in mV in each millimetre of the width of the traces.
        labels: labels of the page.
        most_height: largest height at which the gain is kept, in mm.
    """
    for gain in GAINS:
        cut = MOST_DEFLECTION / gain if gain == min(GAINS) else np.inf
        found = _at_gain(gain, np.clip(high, -cut, cut), np.clip(low, -cut, cut), labels)
        if found.height <= most_height:
            break
    beyond = bool(max(high.max(initial=0.0), -low.min(initial=0.0)) > cut)
    return Layout(found.gain, found.height, found.middles, found.labels, float(cut) if beyond else None)


def _at_gain(gain: float, high: NDArray[np.floating], low: NDArray[np.floating], labels: Sequence[Label]) -> Layout:
    up, down = _widen(gain * high), _widen(-gain * low)
    heights = {}
    for label in labels:
        row, left, _ = label
        across = slice(int(left), int(left + _LABEL_WIDTH))
        heights[label] = max(_LABEL, float(up[row, across].max(initial=0.0)) + _CLEAR)
        up[row, across] = np.maximum(up[row, across], heights[label] + _LABEL_HALF)
    between = (down[:-1] + up[1:]).max(axis=1, initial=0.0) + _GAP
    steps = [max(ROW, _rounded(float(distance))) for distance in between]
    top = max(_EDGE, _rounded(float(up[0].max(initial=0.0)) + _TEXT))
    bottom = max(_EDGE, _rounded(float(down[-1].max(initial=0.0)) + _TEXT))
    height = top + sum(steps) + bottom
    middles = height - top - np.concatenate([[0.0], np.cumsum(steps)])
    return Layout(gain, height, tuple(middles.tolist()), heights, None)


def _widen(deflection: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest deflection within ``_SMEAR`` mm of each place, at least 0."""
    places = np.pad(np.maximum(deflection, 0.0), ((0, 0), (_SMEAR, _SMEAR)))
    return np.lib.stride_tricks.sliding_window_view(places, 2 * _SMEAR + 1, axis=1).max(axis=2)


def _rounded(distance: float) -> float:
    """Return the distance rounded up to whole large boxes, so that all zero lines lie on the grid."""
    return _STEP * float(np.ceil(distance / _STEP - 1e-9))
