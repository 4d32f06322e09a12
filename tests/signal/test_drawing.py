"""ECG drawing to scale, measured in inches on the figure and in pixels of the saved image."""

from __future__ import annotations

import io
import itertools
import re
import sys

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from ecgssl.io import read
from ecgssl.signal.drawing import UNFILTERED, centred, draw_12_lead, filter_text
from ecgssl.signal.figure_file import figure_bytes
from ecgssl.signal.leads import LEADS, arrange
from ecgssl.signal.spec import CleanSpec

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


@pytest.mark.parametrize("seconds", [1.0, 2.5, 6.0])
def test_a_short_recording_is_drawn_completely(seconds: float) -> None:
    """The samples of each lead are its own constant, so that a trace can only come from its lead."""
    count = round(seconds * RATE)
    signal = np.full((12, 5000), np.nan)
    signal[:, :count] = np.linspace(0.1, 0.4, 12)[:, None]
    for given in (signal[:, :count], signal):
        figure = draw_12_lead(given, RATE)
        for number, lead in enumerate(LEADS):
            paper = in_mm(figure, np.column_stack(traces(figure, lead)[0].get_data()))
            drawn = paper[np.isfinite(paper[:, 1])]
            assert drawn[0, 0] == pytest.approx(15 + number // 3 * 62.5)
            assert np.ptp(drawn[:, 0]) == pytest.approx(25 * min(seconds, 2.5), abs=0.1)
        more = ", first 2.5 s of each" if seconds > 2.5 else ""
        assert f"recording of {seconds:g} s: all leads simultaneous{more}" in texts(figure)
        assert np.isfinite(traces(figure, "II")[1].get_ydata()).sum() == pytest.approx(count, abs=1)


def test_the_page_states_which_part_of_a_long_recording_it_shows() -> None:
    assert "first 10 s of 60 s" in texts(draw_12_lead(np.tile(square_wave(), (1, 6)), RATE))
    assert "first 10 s of 3600 s" in texts(draw_12_lead(square_wave(), RATE, duration=3600.0))
    assert "first 5 s of 10 s" in texts(draw_12_lead(square_wave(), RATE, narrow=True))
    assert not [text for text in texts(draw_12_lead(square_wave(), RATE)) if "first" in text]


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
    assert any(text.startswith("25 mm/s    10 mm/mV    sampled at 500 Hz    heart rate ") for text in shown)
    assert {"a title", "blue: overlay", "shaded: hidden", *LEADS} <= set(shown)


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


def gain(figure: Figure) -> float:
    """Return the gain in mm/mV that the page states."""
    return float(re.search(r"([0-9.]+) mm/mV", " ".join(texts(figure)))[1])


def boxes(figure: Figure) -> dict[str, list[np.ndarray]]:
    """Return the corners (x0, y0, x1, y1) in mm of each drawn lead label, measured from the rendered text."""
    found: dict[str, list[np.ndarray]] = {}
    for text in figure.axes[0].texts:
        if text.get_text() in (*LEADS, "not recorded"):
            box = text.get_window_extent()
            found.setdefault(text.get_text(), []).append(np.array(box.extents) / figure.dpi * 25.4)
    return found


def clashes(figure: Figure) -> list[tuple[str, str]]:
    """Return the labels that a trace crosses, as pairs of label and lead of the trace."""
    found = []
    for label, corners in boxes(figure).items():
        for x0, y0, x1, y1 in corners:
            for lead in LEADS:
                for line in traces(figure, lead):
                    x, y = in_mm(figure, np.column_stack(line.get_data())).T
                    fine = np.linspace(x[0], x[-1], 20_000)
                    height = np.interp(fine, x, y)
                    if ((fine > x0) & (fine < x1) & (height > y0) & (height < y1)).any():
                        found.append((label, lead))
    return found


def crossings(figure: Figure) -> int:
    """Return in how many columns of the page a trace is below the trace of the next row."""
    rows: dict[float, list[np.ndarray]] = {}
    axis = np.arange(15.5, 264.5, 0.05)
    for line in figure.axes[0].lines:
        if line.get_gid() in LEADS:
            x, y = in_mm(figure, np.column_stack(line.get_data())).T
            rows.setdefault(line.get_gid(), []).append(np.interp(axis, x, y, left=np.nan, right=np.nan))
    order = [LEADS[0:12:3], LEADS[1:12:3], LEADS[2:12:3]]
    levels = [np.nanmax([rows[lead][0] for lead in row], axis=0) for row in order] + [rows["II"][-1]]
    return sum(int((above <= below).sum()) for above, below in itertools.pairwise(levels))


@pytest.mark.parametrize(
    ("lead", "peak", "expected"),
    [
        ("I", 2.69, 10),
        ("V4", 2.69, 10),
        ("V4", 3.4, 10),
        ("II", -4.2, 5),
        ("V6", -3.0, 10),
        ("II", 9, 5),
        ("V1", -11.9, 5),
    ],
)
def test_tall_waves_stay_on_the_page_and_to_scale(lead: str, peak: float, expected: float) -> None:
    signal = np.zeros((12, 5000))
    signal[LEADS.index(lead), 200::500] = peak
    figure = draw_12_lead(signal, RATE, title="a title")
    height = figure.get_size_inches()[1] * 25.4
    assert gain(figure) == expected
    assert ("5 mm/mV (half gain)" in " ".join(texts(figure))) == (expected == 5)
    for line in traces(figure, lead):
        paper = in_mm(figure, np.column_stack(line.get_data()))
        assert np.ptp(paper[:, 1]) == pytest.approx(expected * abs(peak), abs=1e-6)
        assert paper[:, 1].min() > 0
        assert paper[:, 1].max() < height
    (title,) = (text for text in figure.axes[0].texts if text.get_text() == "a title")
    assert title.get_position()[1] - 3 > max(np.max(line.get_ydata()) for line in figure.axes[0].lines)
    assert not any("cut" in text for text in texts(figure))
    assert clashes(figure) == []
    assert crossings(figure) == 0


def test_waves_of_all_rows_cross_neither_labels_nor_other_rows() -> None:
    """Tall and deep waves in every lead, at a different time in each, also below the labels."""
    rng = np.random.default_rng(0)
    signal = np.zeros((12, 5000))
    for row in signal:
        row[rng.integers(0, 5000, 60)] = rng.uniform(-1.8, 1.8, 60)
        row[::1250] = row[120::1250] = 1.5
    for factor, expected in ((0.4, 10), (0.9, 10), (2.0, 5), (4.0, 2.5)):
        figure = draw_12_lead(factor * signal, RATE)
        assert gain(figure) == expected, factor
        assert clashes(figure) == []
        assert crossings(figure) == 0
        pulses = [in_mm(figure, np.column_stack(pulse.get_data())) for pulse in traces(figure, "calibration")]
        assert [np.ptp(pulse[:, 1]) for pulse in pulses] == pytest.approx([expected] * 4)
        assert len({round(pulse[0, 1] % 5, 6) for pulse in pulses}) == 1


def test_the_words_for_an_absent_lead_are_not_crossed() -> None:
    mask = np.ones(12, dtype=bool)
    mask[[1, 6]] = False
    signal = np.tile(np.where(np.arange(5000) % 100 < 3, -2.9, 0.0), (12, 1))
    assert clashes(draw_12_lead(signal, RATE, lead_mask=mask)) == []


def test_ordinary_pages_keep_their_size_and_extreme_ones_state_the_cut() -> None:
    assert draw_12_lead(square_wave(), RATE).get_size_inches()[1] * 25.4 == pytest.approx(140)
    figure = draw_12_lead(30 * square_wave(), RATE)
    assert figure.get_size_inches()[1] * 25.4 < 300
    assert {"cut at 12 mV", "2.5 mm/mV (quarter gain)"} <= set(re.split(" {4}", "    ".join(texts(figure))))
    assert max(np.max(line.get_ydata()) for line in figure.axes[0].lines) < figure.get_size_inches()[1] * 25.4
    late = np.zeros((12, 10_000))
    late[:, 9000] = 30
    assert draw_12_lead(late, RATE).get_size_inches()[1] * 25.4 == pytest.approx(140)


@pytest.mark.parametrize("rate", [40, 72, 110, 180])
def test_the_heart_rate_is_printed(rate: float) -> None:
    """Gaussian waves of 20 ms at known times, over an offset and a slow wander, in some leads inverted."""
    time = np.arange(5000) / RATE
    beats = np.arange(0.3, 10, 60 / rate)
    wave = np.exp(-0.5 * ((time[:, None] - beats) / 0.02) ** 2).sum(axis=1)
    signal = np.array([(1 if lead % 3 else -0.7) * wave + 2 * lead + 0.3 * np.sin(time) for lead in range(12)])
    cut = signal.copy()
    cut[3, 100:200] = np.nan
    cut[:, 4000:] = np.nan
    for shown in (signal, cut):
        printed = re.search(r"heart rate (\d+)/min", " ".join(texts(draw_12_lead(shown, RATE))))
        assert int(printed[1]) == pytest.approx(rate, abs=1)


def test_no_heart_rate_is_printed_without_beats() -> None:
    rng = np.random.default_rng(0)
    for signal in (
        np.zeros((12, 5000)),
        rng.normal(0, 0.1, (12, 5000)),
        np.full((12, 5000), np.nan),
        np.zeros((12, 9)),
    ):
        assert "heart rate not measured" in " ".join(texts(draw_12_lead(signal, RATE)))


def test_the_filter_is_printed() -> None:
    assert filter_text(CleanSpec()) == "filter 0.5 to 40 Hz"
    assert filter_text(CleanSpec(band=(0.05, 150), mains=50)) == "filter 0.05 to 150 Hz, notch at 50 Hz"
    assert filter_text(CleanSpec(method="neurokit")) == "filter neurokit of neurokit2"
    stated = texts(draw_12_lead(centred(square_wave() + 3), RATE, filters=UNFILTERED))
    assert any("unfiltered, median of each lead at 0 mV" in text for text in stated)


def test_centred_leads_have_a_median_of_zero() -> None:
    signal = np.array([[1.0, 2.0, np.nan, 9.0], [np.nan] * 4, [5.0, 5.0, 6.0, 6.0]])
    expected = [[-1.0, 0.0, np.nan, 7.0], [np.nan] * 4, [-0.5, -0.5, 0.5, 0.5]]
    np.testing.assert_allclose(centred(signal), expected)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["vendor/ge_muse.xml", "cinc2021/ChapmanShaoxing_Ningbo/JS00010.hea", "ptb/s0010_re.hea"]
)
def test_real_pages_have_no_crossings(real_data, name: str) -> None:
    recording = read(real_data / name)
    signal, mask = arrange(recording.signal[:, : round(11 * recording.sampling_rate)], recording.leads)
    figure = draw_12_lead(centred(signal), recording.sampling_rate, LEADS, mask)
    assert clashes(figure) == []
    assert crossings(figure) == 0


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF-"), (".svg", b"<?xml")])
def test_the_bytes_have_the_format_of_the_suffix(suffix: str, start: bytes) -> None:
    found = [figure_bytes(draw_12_lead(square_wave(), RATE), suffix) for _ in range(2)]
    assert found[0].startswith(start)
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="suffix"):
        figure_bytes(draw_12_lead(square_wave(), RATE), ".gif")


def test_a_narrow_page_has_a_row_of_five_seconds_for_each_lead() -> None:
    signal = 1.4 * square_wave()
    mask = np.ones(12, dtype=bool)
    mask[4] = False
    figure = draw_12_lead(signal, RATE, lead_mask=mask, title="a title", relevance=signal, narrow=True)
    width, height = figure.get_size_inches() * 25.4
    assert (width, height) == pytest.approx((145, 385))
    heights = []
    for lead in LEADS:
        assert len(traces(figure, lead)) == (lead != "aVL")
        for line in traces(figure, lead):
            paper = in_mm(figure, np.column_stack(line.get_data()))
            assert paper[:, 0].min() == pytest.approx(15)
            assert paper[:, 0].max() == pytest.approx(140)
            heights.append(paper[:, 1].min())
    assert heights == sorted(heights, reverse=True)
    assert texts(figure).count("not recorded") == 1
    assert clashes(figure) == []
    for text in figure.axes[0].texts:
        box = text.get_window_extent().extents / figure.dpi * 25.4
        assert box[0] > 0
        assert box[2] < width


@pytest.mark.parametrize("narrow", [False, True])
def test_captions_do_not_overlap(narrow: bool) -> None:
    figure = draw_12_lead(30 * square_wave(), RATE, filters=UNFILTERED, relevance=-square_wave(), narrow=narrow)
    foot = [t.get_window_extent() for t in figure.axes[0].texts if t.get_position()[1] < 7 and t.get_text()]
    assert len(foot) >= 4
    assert not [1 for a, b in itertools.combinations(foot, 2) if a.overlaps(b)]
