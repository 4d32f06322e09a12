"""Charts of the page of a check: what they draw is what was counted."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.html.charts import bar, histogram, legend

COUNTS = st.lists(st.integers(0, 3000), min_size=3, max_size=3)


@given(COUNTS, COUNTS)
def test_bars_are_as_high_as_their_counts_and_stand_on_each_other(first, second):
    svg = ET.fromstring(histogram(["a", "b", "<c>"], {"one": first, "two": second}, "of & for"))
    bars = {(r.get("class"), r.findtext("title")): r for r in svg.iter("rect")}
    assert len(bars) == sum(count > 0 for count in first + second)
    heights, tops, bottoms = {}, {}, {}
    for (series, title), rect in bars.items():
        count = int(title.split(": ")[1].split()[0].replace(",", ""))
        heights[series, title.split(":")[0]] = (float(rect.get("height")), count)
        tops[series, title.split(":")[0]] = float(rect.get("y"))
        bottoms[series, title.split(":")[0]] = float(rect.get("y")) + float(rect.get("height"))
    if heights:
        tallest, most = max(heights.values(), key=lambda pair: pair[1])
        for height, count in heights.values():
            assert height == pytest.approx(tallest * count / most, abs=0.11)
    for _, label in tops:
        if ("s0", label) in tops and ("s1", label) in tops:
            assert bottoms["s1", label] == pytest.approx(tops["s0", label], abs=0.11)
    assert all(top >= 0 for top in tops.values()), "nothing is drawn above the chart"


def test_axis_labels_are_round_and_few():
    for most in (0, 1, 7, 60, 999, 123456):
        numbers = [
            int(n.replace(",", ""))
            for n in re.findall(r'class="num"[^>]*>([\d,]+)<', histogram("x", {"s": [most]}, ""))
        ]
        assert 2 <= len(numbers) <= 5
        assert numbers[0] == 0
        assert numbers[-1] >= most
        assert len({b - a for a, b in itertools.pairwise(numbers)}) == 1


def test_what_a_screen_reader_is_told_and_names():
    svg = histogram(["<20", "20+"], {"n": [3, 0]}, "years")
    assert 'aria-label="years. &lt;20: 3"' in svg
    assert legend(["one"]) == ""
    assert legend(["a<b", "c"]).count("<span>") == 2
    assert "a&lt;b" in legend(["a<b", "c"])
    assert "width:100.0%" in bar(7.0)
    assert "width:0.0%" in bar(-1.0)
