"""Drawing of 12-lead ECGs on millimetre paper at 25 mm/s and 10 mm/mV.

Layout and scale follow Kligfield et al. 2007 (AHA/ACC/HRS, doi:10.1161/CIRCULATIONAHA.106.180200): three rows of four
segments of 2.5 s, and a rhythm strip of ten seconds below.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.signal.leads import LEADS

SPEED = 25.0
"""Paper speed in mm/s."""
GAIN = 10.0
"""Gain in mm/mV."""

_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_RHYTHM = ("II", "V1", "V5", "I")
_SEGMENT = 2.5
_ROW = 30.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 15.0, 5.0, 10.0, 10.0
_TITLE, _STEP = 7.0, 5.0
"""Height reserved for the title, and step in which the margins are enlarged for tall traces, in mm."""
_MOST = 100.0
"""Largest deflection for which the margins are enlarged, in mm. A note on the page reports larger ones as cut."""
_THIN, _THICK, _INK, _OVERLAY, _HIDDEN = "#f7d6d4", "#eaa5a1", "#101010", "#0b5fb3", "#5d7190"
_PAPER = "#fffafa"
_FAINT = 0.05
_TOWARDS, _AWAY = "#2f6fde", "#f08a1d"
_TOWARDS_TEXT, _AWAY_TEXT = "#1d4fae", "#9a4f00"
_MM_PER_INCH = 25.4


def draw_12_lead(
    signal: NDArray[np.floating],
    sampling_rate: float,
    leads: Sequence[str] = LEADS,
    lead_mask: NDArray[np.bool_] | None = None,
    *,
    title: str = "",
    hidden: NDArray[np.bool_] | None = None,
    overlay: NDArray[np.floating] | None = None,
    relevance: NDArray[np.floating] | None = None,
) -> Figure:
    """Return a figure of the first ten seconds of a recording.

    Args:
        signal: (leads, samples) in mV; NaN samples are drawn as gaps.
        sampling_rate: sampling rate in Hz.
        leads: canonical name of each row.
        lead_mask: (leads,) bool, false for absent leads, which are labelled "not recorded".
        title: title of the figure; it must not contain patient data.
        hidden: (leads, samples) bool, true for samples to shade, for example masked samples.
        overlay: (leads, samples) second signal in mV, drawn over ``signal`` in another colour, for example a
            reconstruction.
        relevance: (leads, samples) positive or negative contribution of each sample to the model output. It is drawn as
            a highlight under the trace, relative to the largest absolute value. Absent leads are ignored.

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
    page = _Page(signal, sampling_rate, list(leads), mask, hidden, overlay, _relative(relevance, mask))
    width = _LEFT + 4 * _SEGMENT * SPEED + _RIGHT
    above, below = page.margins()
    height = above + 4 * _ROW + below
    middles = [height - above - (row + 0.5) * _ROW for row in range(4)]
    axes = _paper(width, height, middles[0])
    for row, middle in enumerate(middles):
        _calibration(axes, middle)
        if row == 3:
            page.draw(axes, page.rhythm(), middle, 0.0, 4 * _SEGMENT)
            continue
        for column, names in enumerate(_COLUMNS):
            page.draw(axes, names[row], middle, column * _SEGMENT, _SEGMENT)
            if column:
                _separator(axes, _LEFT + column * _SEGMENT * SPEED, middle)
    scale = f"{SPEED:g} mm/s    {GAIN:g} mm/mV    {sampling_rate:g} Hz"
    axes.text(_LEFT, _BOTTOM / 2, scale, fontsize=8, va="center", color=_INK)
    notes = [(_OVERLAY, "blue: overlay")] if overlay is not None else []
    notes += [(_HIDDEN, "shaded: hidden")] if hidden is not None else []
    notes += [(_INK, f"cut above {_MOST / GAIN:g} mV")] if page.is_cut() else []
    if relevance is not None and np.any(np.asarray(relevance) < 0):
        notes += [(_AWAY_TEXT, "orange: against"), (_TOWARDS_TEXT, "blue: for")]
    elif relevance is not None:
        notes += [(_TOWARDS_TEXT, "blue: looked at")]
    for i, (colour, text) in enumerate(notes):
        place = width - _RIGHT - 35.0 * i
        axes.text(place, _BOTTOM / 2, text, fontsize=8, ha="right", va="center", color=colour)
    axes.text(_LEFT, height - 4.0, title, fontsize=9, va="top", color=_INK)
    return axes.figure  # type: ignore[return-value]


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
    ) -> None:
        self.signal, self.rate, self.leads, self.mask = signal, sampling_rate, leads, mask
        self.hidden, self.overlay, self.relevance = hidden, overlay, relevance

    def margins(self) -> tuple[float, float]:
        """Return the margins above and below the four rows in mm, enlarged so that deflections up to ``_MOST`` fit."""
        above, below = _TOP, _BOTTOM
        for row, leads in enumerate([*zip(*_COLUMNS, strict=True), (self.rhythm(),)]):
            up, down = self._extent([lead for lead in leads if self.present(lead)])
            over, under = up - (row + 0.5) * _ROW, down - (3.5 - row) * _ROW
            above = max(above, _STEP * np.ceil((over + _TITLE) / _STEP)) if over > 0 else above
            below = max(below, _STEP * np.ceil((under + _BOTTOM) / _STEP)) if under > 0 else below
        return above, below

    def rhythm(self) -> str:
        """Return the lead of the rhythm strip: the first present lead of ``_RHYTHM``, or lead II if none is present."""
        return next((lead for lead in _RHYTHM if self.present(lead)), _RHYTHM[0])

    def is_cut(self) -> bool:
        """Return whether the signal of a present lead exceeds ``_MOST``; the overlay is not considered."""
        shown = np.array([self.present(lead) for lead in self.leads])
        values = np.nan_to_num(self._page_of(self.signal)[shown])
        return float(np.abs(values).max(initial=0.0)) > _MOST / GAIN

    def _page_of(self, signal: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the samples of the first ten seconds, which the page shows."""
        return signal[:, : round(4 * _SEGMENT * self.rate) + 1]

    def _extent(self, leads: list[str]) -> tuple[float, float]:
        """Return the largest deflections of the leads above and below the zero line, in mm, at most ``_MOST``."""
        parts = [self._page_of(self.signal)[self.leads.index(lead)] for lead in leads]
        if self.overlay is not None:
            parts += [self._page_of(np.asarray(self.overlay))[self.leads.index(lead)] for lead in leads]
        values = np.nan_to_num(np.concatenate([np.zeros(1), *parts]))
        up, down = GAIN * values.max(), -GAIN * values.min()
        return min(float(up), _MOST), min(float(down), _MOST)

    def present(self, lead: str) -> bool:
        return lead in self.leads and bool(self.mask[self.leads.index(lead)])

    def draw(self, axes: Axes, lead: str, middle: float, start: float, seconds: float) -> None:
        left = _LEFT + start * SPEED
        text: dict[str, Any] = {"va": "center", "color": _INK, "clip_on": True, "zorder": 6}
        # a halo keeps the label readable if an R wave crosses it
        halo = [withStroke(linewidth=2.5, foreground=_PAPER)]
        axes.text(left + 1.5, middle + 10.5, lead, fontsize=9, fontweight="bold", path_effects=halo, **text)
        if not self.present(lead):
            centre = left + seconds * SPEED / 2
            axes.text(centre, middle, "not recorded", fontsize=8, ha="center", style="italic", **text)
            return
        row = self.leads.index(lead)
        # draw one more sample than the segment, so that there is no gap before the next segment
        first, last = round(start * self.rate), min(round((start + seconds) * self.rate) + 1, self.signal.shape[1])
        x = _LEFT + np.arange(first, last) / self.rate * SPEED
        if self.hidden is not None:
            self._shade(axes, self.hidden[row, first:last], x, middle)
        y = middle + GAIN * np.asarray(self.signal[row, first:last], dtype=np.float64)
        if self.relevance is not None:
            _mark(axes, x, y, self.relevance[row, first:last])
        axes.plot(x, y, color=_INK, linewidth=0.75, zorder=4, gid=lead)
        if self.overlay is not None:
            over = middle + GAIN * np.asarray(self.overlay[row, first:last], dtype=np.float64)
            axes.plot(x, over, color=_OVERLAY, linewidth=0.75, alpha=0.9, zorder=5)

    def _shade(self, axes: Axes, hidden: NDArray[np.bool_], x: NDArray[np.float64], middle: float) -> None:
        step = SPEED / self.rate
        edges = np.flatnonzero(np.diff(np.concatenate([[False], hidden.astype(bool), [False]]).astype(int)))
        for begin, end in edges.reshape(-1, 2):
            begin_x, end_x = x[begin], min(x[end - 1] + step, x[-1])
            axes.fill_between(
                [begin_x, end_x], middle - _ROW / 2, middle + _ROW / 2, color=_HIDDEN, alpha=0.22, linewidth=0, zorder=3
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


def _calibration(axes: Axes, middle: float) -> None:
    """Draw the calibration pulse of 1 mV and 0.2 s."""
    x = 5.0 + np.array([0.0, 1.0, 1.0, 6.0, 6.0, 7.0])
    y = middle + GAIN * np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    axes.plot(x, y, color=_INK, linewidth=0.75, zorder=4, gid="calibration")


def _separator(axes: Axes, x: float, middle: float) -> None:
    for side in (-1.0, 1.0):
        axes.plot([x, x], [middle + side * 5.0, middle + side * 7.5], color=_INK, linewidth=0.9, zorder=4)


SUFFIXES = (".png", ".pdf", ".svg")
"""Suffixes of the file formats of ``figure_bytes``."""


def figure_suffix(path: Path | str) -> str:
    """Return the suffix of a figure file in lower case.

    Raises:
        InputError: the suffix is not one of ``SUFFIXES``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        what = "is not one of " + ", ".join(SUFFIXES)
        raise InputError(Problem(str(path), "suffix", what, "Use a file name with one of these suffixes"))
    return suffix


def figure_bytes(figure: Figure, suffix: str, dpi: int = 120) -> bytes:
    """Return the figure in the format of a file suffix. The bytes are identical for identical figures.

    Args:
        figure: a figure.
        suffix: one of ``SUFFIXES``, in lower case.
        dpi: pixels per inch of a PNG.

    Raises:
        ValueError: the suffix is unknown.
    """
    if suffix == ".png":
        return png_bytes(figure, dpi)
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix {suffix!r} is unknown; use one of {', '.join(SUFFIXES)}")
    from matplotlib import rc_context

    undated: dict[str, Any] = {"CreationDate": None} if suffix == ".pdf" else {"Date": None}
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "ecgssl"}):
        figure.savefig(buffer, format=suffix[1:], metadata=undated)
    return buffer.getvalue()


def png_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """Return the bytes of the figure as a PNG file, without metadata that could differ between installations."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
