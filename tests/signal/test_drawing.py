"""ECG drawing to scale, measured in inches on the figure and in pixels of the saved image."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from ecgssl.signal.drawing import draw_12_lead, figure_bytes
from ecgssl.signal.leads import LEADS

RATE = 500.0


def square_wave() -> np.ndarray:
    """Return (12, 10 s) with 1 mV in the first half of every second."""
    return np.tile((np.arange(5000) % 500 < 250).astype(np.float64), (12, 1))


def traces(figure: Figure, lead: str) -> list[Line2D]:
    return [line for line in figure.axes[0].lines if line.get_gid() == lead]


def in_mm(figure: Figure, points: np.ndarray) -> np.ndarray:
    """Return millimetres on paper for data coordinates, computed from pixels."""
    return figure.axes[0].transData.transform(points) / figure.dpi * 25.4


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_millivolt_is_ten_and_a_second_twenty_five_millimetres() -> None:
    figure = draw_12_lead(square_wave(), RATE)
    for lead in LEADS:
        paper = in_mm(figure, np.column_stack(traces(figure, lead)[0].get_data()))
        assert np.ptp(paper[:, 1]) == pytest.approx(10, abs=1e-6)
        # the last segment has no sample at 10 s
        assert np.ptp(paper[:, 0]) == pytest.approx(62.5 if lead not in LEADS[9:] else 62.45, abs=1e-6)
        rises = paper[1:, 0][np.diff(paper[:, 1]) > 5]
        assert np.diff(rises) == pytest.approx(25, abs=1e-6)
    strip = in_mm(figure, np.column_stack(traces(figure, "II")[-1].get_data()))
    assert np.ptp(strip[:, 0]) == pytest.approx(250, abs=0.1)


@pytest.mark.parametrize("pitch", [1, 5])
def test_the_grid_has_its_pitch_and_the_isoelectric_line_lies_on_it(pitch: int) -> None:
    figure = draw_12_lead(np.zeros((12, 5000)), RATE)
    (grid,) = (c for c in figure.axes[0].collections if isinstance(c, LineCollection) and c.get_gid() == f"{pitch} mm")
    ends = [in_mm(figure, np.asarray(segment)) for segment in grid.get_segments()]
    for axis in (0, 1):
        places = np.sort([end[0, axis] for end in ends if np.ptp(end[:, axis]) < 1e-6])
        assert np.diff(places) == pytest.approx(pitch, abs=1e-6)
        trace = in_mm(figure, np.column_stack(traces(figure, "V3")[0].get_data()))
        assert np.abs(places - trace[0, axis]).min() == pytest.approx(0, abs=1e-6) or (axis == 0 and pitch == 5)


def test_calibration_pulses_are_one_millivolt_for_a_fifth_of_a_second() -> None:
    figure = draw_12_lead(square_wave(), RATE)
    pulses = traces(figure, "calibration")
    assert len(pulses) == 4
    for pulse in pulses:
        paper = in_mm(figure, np.column_stack(pulse.get_data()))
        top = paper[np.isclose(paper[:, 1], paper[:, 1].max())]
        assert np.ptp(paper[:, 1]) == pytest.approx(10)
        assert np.ptp(top[:, 0]) == pytest.approx(5)


def test_segments_follow_each_other_in_time_and_the_strip_shows_all() -> None:
    ramp = np.tile(np.arange(5000) / 5000.0, (12, 1))
    figure = draw_12_lead(ramp, RATE)
    for column, names in enumerate((LEADS[0:3], LEADS[3:6], LEADS[6:9], LEADS[9:12])):
        for lead in names:
            line = traces(figure, lead)[0]
            level = np.diff(line.get_ydata())[0]
            assert level == pytest.approx(10 / 5000)
            assert line.get_xdata()[0] == pytest.approx(15 + column * 62.5)
    assert len(traces(figure, "II")) == 2


def test_absent_leads_are_empty_and_say_so() -> None:
    mask = np.ones(12, dtype=bool)
    mask[[1, 8]] = False
    figure = draw_12_lead(square_wave(), RATE, lead_mask=mask)
    assert traces(figure, "II") == []
    assert traces(figure, "V3") == []
    assert len(traces(figure, "V1")) == 2
    assert texts(figure).count("not recorded") == 2
    single = draw_12_lead(square_wave()[:1], RATE, ["I"])
    assert texts(single).count("not recorded") == 11
    assert len(traces(single, "I")) == 2


def test_captions() -> None:
    shown = texts(draw_12_lead(square_wave(), RATE, title="a title", hidden=square_wave() > 0, overlay=square_wave()))
    assert {"a title", "25 mm/s    10 mm/mV    500 Hz", "blue: overlay", "shaded: hidden", *LEADS} <= set(shown)


def test_the_saved_picture_is_true_to_scale_and_shades_what_was_hidden() -> None:
    hidden = np.zeros((12, 5000), dtype=bool)
    hidden[:, :500] = True
    pictures = []
    for kwargs in ({}, {"hidden": hidden}):
        buffer = io.BytesIO()
        draw_12_lead(np.zeros((12, 5000)), RATE, **kwargs).savefig(buffer, format="png")
        buffer.seek(0)
        pictures.append(imread(buffer)[..., :3])
    plain, shaded = pictures
    assert plain.shape[1] / 200 * 25.4 == pytest.approx(270, abs=0.2)
    changed = np.flatnonzero((np.abs(plain - shaded).max(axis=2) > 0.05)[100:-100].any(axis=0))
    # the shading of one second begins at the start of the traces
    assert changed[0] / 200 * 25.4 == pytest.approx(15, abs=0.3)
    first = changed[: np.flatnonzero(np.diff(np.append(changed, 10**6)) > 1)[0] + 1]
    assert np.ptp(first) / 200 * 25.4 == pytest.approx(25, abs=0.4)


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match 12 leads"):
        draw_12_lead(np.zeros((8, 100)), RATE)
    with pytest.raises(ValueError, match="overlay"):
        draw_12_lead(np.zeros((12, 100)), RATE, overlay=np.zeros((12, 99)))


def test_pyplot_stays_out() -> None:
    import subprocess

    code = "import sys, ecgssl.signal.drawing; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_relevance_is_marked_under_the_trace_by_sign_and_strength() -> None:
    relevance = np.zeros((12, 5000))
    relevance[0, 100:200], relevance[0, 300:400], relevance[7, :] = 2.0, -1.0, 2.0
    mask = np.ones(12, dtype=bool)
    mask[7] = False
    figure = draw_12_lead(square_wave(), RATE, lead_mask=mask, relevance=relevance)
    marks = [c for c in figure.axes[0].collections if c.get_gid() == "relevance"]
    strokes = np.concatenate([np.asarray(c.get_segments()).reshape(-1, 2, 2) for c in marks])  # type: ignore[attr-defined]
    colours = np.concatenate([c.get_colors()[: len(c.get_segments())] for c in marks])  # type: ignore[attr-defined]
    seconds = (strokes[:, :, 0].mean(axis=1) - 15) / 25
    blue = colours[:, 2] > colours[:, 0]
    assert ((seconds[blue] > 0.19) & (seconds[blue] < 0.41)).all()
    assert ((seconds[~blue] > 0.59) & (seconds[~blue] < 0.81)).all()
    assert blue.sum() > 90
    assert (~blue).sum() > 90
    # the weaker side is paler
    assert colours[blue, :3].mean() < colours[~blue, :3].mean()
    assert {"blue: for", "orange: against"} <= set(texts(figure))
    with pytest.raises(ValueError, match="relevance"):
        draw_12_lead(square_wave(), RATE, relevance=relevance[:3])


@pytest.mark.parametrize(("lead", "peak"), [("I", 2.69), ("V4", 3.4), ("II", -4.2), ("V6", -3.0)])
def test_tall_waves_stay_on_the_page_and_to_scale(lead: str, peak: float) -> None:
    signal = np.zeros((12, 5000))
    signal[LEADS.index(lead), 200::500] = peak
    figure = draw_12_lead(signal, RATE, title="a title")
    height = figure.get_size_inches()[1] * 25.4
    for line in traces(figure, lead):
        paper = in_mm(figure, np.column_stack(line.get_data()))
        assert np.ptp(paper[:, 1]) == pytest.approx(10 * abs(peak), abs=1e-6)
        assert paper[:, 1].min() > 0
        assert paper[:, 1].max() < height
    (title,) = (text for text in figure.axes[0].texts if text.get_text() == "a title")
    assert title.get_position()[1] - 3 > max(np.max(line.get_ydata()) for line in figure.axes[0].lines)
    assert not any("cut" in text for text in texts(figure))


def test_ordinary_pages_keep_their_size_and_extreme_ones_state_the_cut() -> None:
    assert draw_12_lead(square_wave(), RATE).get_size_inches()[1] * 25.4 == pytest.approx(140)
    figure = draw_12_lead(30 * square_wave(), RATE)
    assert figure.get_size_inches()[1] * 25.4 < 300
    assert "cut above 10 mV" in texts(figure)
    late = np.zeros((12, 10_000))
    late[:, 9000] = 30
    assert draw_12_lead(late, RATE).get_size_inches()[1] * 25.4 == pytest.approx(140)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF-"), (".svg", b"<?xml")])
def test_the_bytes_have_the_format_of_the_suffix(suffix: str, start: bytes) -> None:
    found = [figure_bytes(draw_12_lead(square_wave(), RATE), suffix) for _ in range(2)]
    assert found[0].startswith(start)
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="suffix"):
        figure_bytes(draw_12_lead(square_wave(), RATE), ".gif")
