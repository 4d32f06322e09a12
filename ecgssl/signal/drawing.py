"""Drawing of 12-lead ECGs on millimetre paper at 25 mm/s and 10 mm/mV, or at half gain if the waves are tall.

Layout and scale follow Kligfield et al. 2007 (AHA/ACC/HRS, doi:10.1161/CIRCULATIONAHA.106.180200): three rows of four
segments of 2.5 s, and a rhythm strip of ten seconds below. The segments of a recording shorter than nine seconds are
simultaneous: each shows the first 2.5 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ecgssl.signal.drawing_layout import GAINS, MOST_HEIGHT, NARROW_HEIGHT, ROW, Label, Layout, lay_out
from ecgssl.signal.heart_rate import PageChecks, rate_text
from ecgssl.signal.leads import LEADS
from ecgssl.signal.spec import CleanSpec

SPEED = 25.0
"""Paper speed in mm/s."""
UNFILTERED = "unfiltered, median of each lead at 0 mV"
"""Text of the page for a signal from ``centred`` to which no filter was applied."""

_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_RHYTHM = ("II", "V1", "V5", "I")
_SEGMENT = 2.5
_LEFT, _RIGHT = 15.0, 5.0
_NARROW = 5.0
"""Duration of a lead on a narrow page in s."""
_ABSENT, _ABSENT_WIDTH = 0.3, 20.0
"""Half height in mV and width in mm of the space for the words "not recorded"."""
_SEQUENTIAL = 9.0
"""Shortest recording in s whose segments follow each other in time. In a shorter one, leads would have no trace."""
_THIN, _THICK, _INK, _OVERLAY, _HIDDEN = "#f7d6d4", "#eaa5a1", "#101010", "#0b5fb3", "#5d7190"
_PAPER = "#fffafa"
_FAINT = 0.05
_TOWARDS, _AWAY = "#2f6fde", "#f08a1d"
_TOWARDS_TEXT, _AWAY_TEXT = "#1d4fae", "#9a4f00"
_MM_PER_INCH = 25.4
_LONGEST_TITLE = 120
_WARNING = "#a01010"


def draw_12_lead(
    signal: NDArray[np.floating],
    sampling_rate: float,
    leads: Sequence[str] = LEADS,
    lead_mask: NDArray[np.bool_] | None = None,
    *,
    title: str = "",
    filters: str = "",
    hidden: NDArray[np.bool_] | None = None,
    overlay: NDArray[np.floating] | None = None,
    relevance: NDArray[np.floating] | None = None,
    narrow: bool = False,
    duration: float | None = None,
    checks: PageChecks | None = None,
) -> Figure:
    """Return a figure of the first ten seconds of a recording, or of the first five on a narrow page.

    The page states paper speed, gain, filter, sampling rate and heart rate, which part of the recording it shows, and
    whether the recording fails the quality checks. The gain is 10 mm/mV, or 5 mm/mV (half gain)
    if the page would be too high for A4 paper, see ``ecgssl.signal.drawing_layout``.

    Args:
        signal: (leads, samples) in mV; NaN samples are drawn as gaps.
        sampling_rate: sampling rate in Hz.
        leads: canonical name of each row.
        lead_mask: (leads,) bool, false for absent leads, which are labelled "not recorded".
        title: title of the figure; it must not contain patient data.
        filters: filters applied to the signal, from ``filter_text``, or ``UNFILTERED``; empty to state none.
        hidden: (leads, samples) bool, true for samples to shade, for example masked samples.
        overlay: (leads, samples) second signal in mV, drawn over ``signal`` in another colour, for example a
            reconstruction.
        relevance: (leads, samples) positive or negative contribution of each sample to the model output. It is drawn as
            a highlight under the trace, relative to the largest absolute value. Absent leads are ignored.
        narrow: whether each lead has a separate row, five seconds long, for the screen of a phone.
        duration: duration of the recording in s, if ``signal`` is a part of it.
        checks: results of the quality checks, for the heart rate and the note of a failed check.

    Returns:
        Matplotlib figure; ``figure.savefig(path)`` preserves the scale for printing.

    Raises:
        ValueError: the shapes do not match.
    """
    signal = np.asarray(signal, dtype=np.float64)
    mask = np.ones(len(leads), dtype=bool) if lead_mask is None else np.asarray(lead_mask, dtype=bool)
    if signal.ndim != 2 or signal.shape[0] != len(leads) or mask.shape != (len(leads),):
        raise ValueError(f"signal {signal.shape} and lead_mask {mask.shape} do not match {len(leads)} leads")
    for name, other in (("hidden", hidden), ("overlay", overlay), ("relevance", relevance)):
        if other is not None and np.shape(other) != signal.shape:
            raise ValueError(f"{name} has shape {np.shape(other)}, but the signal has shape {signal.shape}")
    page = _Page(signal, sampling_rate, list(leads), mask, hidden, overlay, _relative(relevance, mask), narrow)
    layout, width = page.layout, _LEFT + page.width + _RIGHT
    axes = _paper(width, layout.height, layout.middles[0])
    for middle in layout.middles:
        _calibration(axes, middle, layout.gain)
    for row, column, lead, seconds in page.cells:
        page.draw(axes, row, column, lead, seconds)
        if column:
            _separator(axes, _LEFT + column * _SEGMENT * SPEED, layout.middles[row])
    facts = [f"{SPEED:g} mm/s", f"{layout.gain:g} mm/mV" + (f" ({GAINS[layout.gain]})" if GAINS[layout.gain] else "")]
    facts += [filters] if filters else []
    facts += [f"sampled at {sampling_rate:g} Hz", rate_text(page.shown(signal)[mask], sampling_rate, checks)]
    lines = [facts[:-2], facts[-2:]] if narrow else [facts]
    for height, line in zip((6.5, 2.8) if narrow else (5.0,), lines, strict=True):
        axes.text(_LEFT, height, "    ".join(line), fontsize=8, va="center", color=_INK)
    notes = [(_OVERLAY, "blue: overlay")] if overlay is not None else []
    notes += [(_HIDDEN, "shaded: hidden")] if hidden is not None else []
    notes += [(_INK, f"cut at {layout.cut:g} mV")] if layout.cut is not None else []
    if relevance is not None and np.any(np.asarray(relevance) < 0):
        notes += [(_AWAY_TEXT, "orange: against"), (_TOWARDS_TEXT, "blue: for")]
    elif relevance is not None:
        notes += [(_TOWARDS_TEXT, "blue: looked at")]
    for i, (colour, text) in enumerate(notes):
        place = width - _RIGHT - 25.0 * i
        axes.text(place, 2.8 if narrow else 5.0, text, fontsize=8, ha="right", va="center", color=colour)
    shown = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 3] + "..."
    axes.text(_LEFT, layout.height - 3.0, shown, fontsize=9, va="top", color=_INK)
    failed = f"fails the quality checks: {checks.rejected.replace(';', ', ')}" if checks and checks.rejected else ""
    about = "    ".join(filter(None, (failed, page.part_text(duration))))
    axes.text(_LEFT, layout.height - 6.4, about, fontsize=7, va="top", color=_WARNING if failed else _INK)
    return axes.figure  # type: ignore[return-value]


def filter_text(clean: CleanSpec) -> str:
    """Return the filters of preprocessing settings as text for a page, such as ``filter 0.5 to 40 Hz``."""
    if clean.method != "fir":
        return f"filter {clean.method} of neurokit2"
    notch = f", notch at {clean.mains} Hz" if clean.mains else ""
    return f"filter {clean.band[0]:g} to {clean.band[1]:g} Hz{notch}"


def centred(signal: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the leads (leads, samples) minus their medians, so that the offset of an electrode is not drawn."""
    signal = np.asarray(signal, dtype=np.float64)
    middles = [np.median(row[there]) if there.any() else 0.0 for row in signal for there in [np.isfinite(row)]]
    return signal - np.array(middles)[:, None]


class _Page:
    """Drawing of lead segments of one recording, in mm from the lower left corner of the page."""

    def __init__(
        self,
        signal: NDArray[np.floating],
        sampling_rate: float,
        leads: list[str],
        mask: NDArray[np.bool_],
        hidden: NDArray[np.bool_] | None,
        overlay: NDArray[np.floating] | None,
        relevance: NDArray[np.float64] | None,
        narrow: bool,
    ) -> None:
        self.signal, self.rate, self.leads, self.mask = signal, sampling_rate, leads, mask
        self.hidden, self.overlay, self.relevance = hidden, overlay, relevance
        strip = next((lead for lead in _RHYTHM if self.present(lead)), _RHYTHM[0])
        columns = [(row, c, names[row], _SEGMENT) for row in range(3) for c, names in enumerate(_COLUMNS)]
        strips = [(row, 0, lead, _NARROW) for row, lead in enumerate(LEADS)]
        self.cells = strips if narrow else [*columns, (3, 0, strip, 4 * _SEGMENT)]
        """Row, column, lead and duration in s of each segment; on a wide page, the rhythm strip is the last."""
        self.seconds = _NARROW if narrow else 4 * _SEGMENT
        self.width = round(self.seconds * SPEED)
        recorded = np.flatnonzero(np.isfinite(signal[mask]).any(axis=0))
        self.recorded = (recorded[-1] + 1) / sampling_rate if recorded.size else 0.0
        self.simultaneous = not narrow and 0 < self.recorded < _SEQUENTIAL
        self.layout = self._lay_out(NARROW_HEIGHT if narrow else MOST_HEIGHT)

    def shown(self, signal: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the samples that the page shows."""
        return signal[:, : round(self.seconds * self.rate) + 1]

    def part_text(self, duration: float | None) -> str:
        """Return which part of the recording the page shows; empty for all of a recording of the usual length."""
        duration = self.signal.shape[1] / self.rate if duration is None else duration
        if self.simultaneous:
            cut = f", first {_SEGMENT:g} s of each" if self.recorded > _SEGMENT else ""
            return f"recording of {self.recorded:.3g} s: all leads simultaneous{cut}"
        if duration < self.seconds + 0.05:
            return ""
        return f"first {self.seconds:g} s of {duration:.{0 if duration >= 100 else 1}f} s".replace(".0 s", " s")

    def _start(self, column: int) -> float:
        """Return the time in s at which the segments of a column start."""
        return 0.0 if self.simultaneous else column * _SEGMENT

    def _places(self, column: int, first: int, last: int) -> NDArray[np.float64]:
        """Return the distances in mm of samples of a segment from the left end of the traces."""
        return np.arange(first, last) / self.rate * SPEED + (column * _SEGMENT - self._start(column)) * SPEED

    def _lay_out(self, most_height: float) -> Layout:
        high, low = np.zeros((2, self.cells[-1][0] + 1, self.width))
        for row, column, lead, seconds in self.cells:
            left = column * _SEGMENT * SPEED
            if not self.present(lead):
                centre = left + seconds * SPEED / 2
                across = slice(int(centre - _ABSENT_WIDTH / 2), int(centre + _ABSENT_WIDTH / 2))
                high[row, across], low[row, across] = _ABSENT, -_ABSENT
            for signal in (self.signal, self.overlay):
                if signal is None or not self.present(lead):
                    continue
                first, last = self._samples(self._start(column), seconds)
                values = np.nan_to_num(np.asarray(signal)[self.leads.index(lead), first:last])
                places = np.minimum(self._places(column, first, last).astype(int), self.width - 1)
                np.maximum.at(high[row], places, values)
                np.minimum.at(low[row], places, values)
        labels = [self._label(row, column, lead) for row, column, lead, _ in self.cells]
        return lay_out(high, low, labels, most_height)

    def _label(self, row: int, column: int, lead: str) -> Label:
        return row, column * _SEGMENT * SPEED + 1.5, lead

    def _samples(self, start: float, seconds: float) -> tuple[int, int]:
        """Return start and end (exclusive) of a segment, with one more sample, so that there is no gap before the next."""
        return round(start * self.rate), min(round((start + seconds) * self.rate) + 1, self.signal.shape[1])

    def present(self, lead: str) -> bool:
        return lead in self.leads and bool(self.mask[self.leads.index(lead)])

    def draw(self, axes: Axes, row: int, column: int, lead: str, seconds: float) -> None:
        middle, left = self.layout.middles[row], _LEFT + column * _SEGMENT * SPEED
        text: dict[str, Any] = {"va": "center", "color": _INK, "clip_on": True, "zorder": 6}
        # a halo keeps the label readable over shaded samples and relevance marks
        halo = [withStroke(linewidth=2.5, foreground=_PAPER)]
        label = self._label(row, column, lead)
        height = middle + self.layout.labels[label]
        axes.text(_LEFT + label[1], height, lead, fontsize=9, fontweight="bold", path_effects=halo, **text)
        if not self.present(lead):
            centre = left + seconds * SPEED / 2
            axes.text(centre, middle, "not recorded", fontsize=8, ha="center", style="italic", **text)
            return
        number = self.leads.index(lead)
        first, last = self._samples(self._start(column), seconds)
        x = _LEFT + self._places(column, first, last)
        if self.hidden is not None:
            self._shade(axes, self.hidden[number, first:last], x, middle)
        y = self._paper_height(self.signal[number, first:last], middle)
        if self.relevance is not None:
            _mark(axes, x, y, self.relevance[number, first:last])
        axes.plot(x, y, color=_INK, linewidth=0.75, zorder=4, gid=lead)
        if self.overlay is not None:
            over = self._paper_height(np.asarray(self.overlay)[number, first:last], middle)
            axes.plot(x, over, color=_OVERLAY, linewidth=0.75, alpha=0.9, zorder=5)

    def _paper_height(self, values: NDArray[np.floating], middle: float) -> NDArray[np.float64]:
        most = np.inf if self.layout.cut is None else self.layout.cut
        return middle + self.layout.gain * np.clip(np.asarray(values, dtype=np.float64), -most, most)

    def _shade(self, axes: Axes, hidden: NDArray[np.bool_], x: NDArray[np.float64], middle: float) -> None:
        step = SPEED / self.rate
        edges = np.flatnonzero(np.diff(np.concatenate([[False], hidden.astype(bool), [False]]).astype(int)))
        for begin, end in edges.reshape(-1, 2):
            begin_x, end_x = x[begin], min(x[end - 1] + step, x[-1])
            axes.fill_between(
                [begin_x, end_x], middle - ROW / 2, middle + ROW / 2, color=_HIDDEN, alpha=0.22, linewidth=0, zorder=3
            )


def _relative(relevance: NDArray[np.floating] | None, mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return the relevance scaled to a largest absolute value of 1, with absent leads set to 0."""
    if relevance is None:
        return None
    found = np.where(mask[:, None], np.nan_to_num(np.asarray(relevance, dtype=np.float64)), 0.0)
    return found / max(float(np.abs(found).max()), np.finfo(float).tiny)


def _mark(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], relevance: NDArray[np.float64]) -> None:
    """Draw the relevance as wide opaque strokes under a trace, with the strongest on top."""
    between = (relevance[1:] + relevance[:-1]) / 2
    order = np.argsort(np.abs(between))
    order = order[np.abs(between[order]) > _FAINT]
    points = np.column_stack([x, y])
    strokes = np.stack([points[:-1], points[1:]], axis=1)[order]  # (S, 2, 2)
    hue = np.where(between[order, None] > 0, to_rgb(_TOWARDS), to_rgb(_AWAY))
    depth = np.abs(between[order, None]) ** 0.7
    colours = depth * hue + (1 - depth) * np.array(to_rgb(_PAPER))
    marks = LineCollection(list(strokes), colors=colours, linewidths=6.0, capstyle="round", zorder=3.5, gid="relevance")
    axes.add_collection(marks, autolim=False)


def _paper(width: float, height: float, middle: float) -> Axes:
    """Return axes in mm with the grid of ECG paper, aligned with the start of the traces."""
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=200)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, height)
    axes.set_axis_off()
    figure.patch.set_facecolor(_PAPER)
    for pitch, colour, thickness in ((1.0, _THIN, 0.3), (5.0, _THICK, 0.5)):
        upright = np.arange(_LEFT % pitch, width + 1e-9, pitch)
        level = np.arange(middle % pitch, height + 1e-9, pitch)
        lines = [[(x, 0.0), (x, height)] for x in upright] + [[(0.0, y), (width, y)] for y in level]
        grid = LineCollection(lines, colors=colour, linewidths=thickness, zorder=1 + pitch / 10, gid=f"{pitch:g} mm")
        axes.add_collection(grid, autolim=False)
    return axes


def _calibration(axes: Axes, middle: float, gain: float) -> None:
    """Draw the calibration pulse of 1 mV and 0.2 s."""
    x = 5.0 + np.array([0.0, 1.0, 1.0, 6.0, 6.0, 7.0])
    y = middle + gain * np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    axes.plot(x, y, color=_INK, linewidth=0.75, zorder=4, gid="calibration")


def _separator(axes: Axes, x: float, middle: float) -> None:
    for side in (-1.0, 1.0):
        axes.plot([x, x], [middle + side * 5.0, middle + side * 7.5], color=_INK, linewidth=0.9, zorder=4)
