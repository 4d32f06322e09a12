"""Charts, macros and escaping of the HTML pages."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, UndefinedError

from ecgssl.html.charts import density, forest, histogram, panel
from ecgssl.html.environment import render

COUNTS = st.lists(st.integers(0, 3000), min_size=3, max_size=3)


@given(COUNTS, COUNTS)
def test_stacked_bars_have_the_height_of_their_counts(first, second):
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
    assert all(top >= 0 for top in tops.values()), "no bar extends above the chart"


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


def page(main: str, **values: object) -> str:
    frame = (
        '{% extends "base.html" %}{% import "macros.html" as kit %}{% block title %}{{ title }}{% endblock %}'
        "{% block main %}MAIN{% endblock %}"
    )
    return render(DictLoader({"page.html": frame.replace("MAIN", main)}), "page.html", **{"title": "t"} | values)


def test_grouped_bars_stand_next_to_each_other():
    svg = histogram(["a", "b"], {"x": [20.0, 80.0], "y": [50.0, 50.0]}, "of", grouped=True, unit=" %", edges=["3"])
    bars = {r.findtext("title"): r for r in ET.fromstring(svg).iter("rect")}
    assert set(bars) == {"a: 20.0 % x", "a: 50.0 % y", "b: 80.0 % x", "b: 50.0 % y"}
    bottoms = {float(r.get("y")) + float(r.get("height")) for r in bars.values()}
    assert max(bottoms) - min(bottoms) <= 0.11
    first, second = bars["a: 20.0 % x"], bars["a: 50.0 % y"]
    assert float(first.get("x")) + float(first.get("width")) == pytest.approx(float(second.get("x")), abs=0.11)
    assert 'aria-label="of. a: 20.0 % and 50.0 %, b: 80.0 % and 50.0 %"' in svg


def test_the_area_of_a_bar_is_its_share():
    edges, counts = [50.0, 60.0, 62.0, 70.0, 100.0], {"reference": [10, 30, 40, 20], "batch": [0, 5, 5, 90]}
    svg = ET.fromstring(density(edges, list(counts.items()), "beats & more"))
    areas, places = {}, {}
    for bar in svg.iter("rect"):
        name = bar.findtext("title").rsplit(" ", 1)[1]
        areas.setdefault(name, []).append(float(bar.get("width")) * float(bar.get("height")))
        places.setdefault(name, []).append((float(bar.get("x")), float(bar.get("width"))))
    for name, values in counts.items():
        for area, count in zip(areas[name], values, strict=True):
            assert area / sum(areas[name]) == pytest.approx(count / sum(values), abs=0.01)
    assert places["reference"] == places["batch"]
    widths = [width for _, width in places["batch"]]
    assert np.divide(widths, sum(widths)) == pytest.approx(np.diff(edges) / 50, abs=0.001)
    assert "60 to 62: 30.0 % reference" in {bar.findtext("title") for bar in svg.iter("rect")}


def test_charts_have_text_for_screen_readers_and_escape_names():
    assert 'aria-label="years. &lt;20: 3"' in histogram(["<20", "20+"], {"n": [3, 0]}, "years")
    assert 'aria-label="AUROC: &lt;i&gt; 0.900"' in forest([("<i>", "&", [("main", 0.9, 0.8, None)])], "AUROC")
    assert forest([("af", "", [("main", None, None, None)])], "AUROC") == ""
    chart = panel((0, 1), (0, 1), ("<x>", "y"))
    chart.dot(0.5, 0.5, "main", "<b>")
    assert not {"<x>", "<b>", "<t>"} & set(re.findall(r"<\w+>", chart.svg("<t>")))


def test_legends_and_bars():
    text = page(
        "{{ kit.legend([('s0', 'one')]) }}{{ kit.legend([('s0', 'a<b'), ('s1', 'c')]) }}{{ kit.bar(7) }}{{ kit.bar(-1) }}"
    )
    assert text.count("<span><i") == 2
    assert "a&lt;b" in text
    assert "width:100.0%" in text
    assert "width:0.0%" in text


def test_pages_escape_values_and_load_nothing():
    hostile = '<script>alert(1)</script>&"'
    main = (
        "{{ v }}{{ kit.facts([(v, v)]) }}{{ kit.notes([v]) }}{{ kit.tiles([(v, v)]) }}{{ kit.absent(v) }}"
        "{% call kit.table([v], caption=v) %}{{ v }}{% endcall %}{% call kit.figure(png, v) %}{{ v }}{% endcall %}"
    )
    text = page(main, title=hostile, v=hostile, png=b"1")
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;") == 14
    assert "<script" not in text
    assert not re.findall(r"(?:src|href)=.(?!data:)|url\(|@import", text)


def test_undefined_values_are_errors():
    with pytest.raises(UndefinedError, match="missing"):
        page("{{ missing }}")
    with pytest.raises(UndefinedError, match="key"):
        page("{{ report.key }}", report={})


def test_numbers_are_written_alike():
    main = "{{ a|estimate(2, '+') }}|{{ b|estimate }}|{{ 0.0001|p_value }}|{{ 12345|thousands }}|{{ 0.123|percent }}"
    text = page(main, a={"value": -0.5, "low": -1.0, "high": 0.25}, b={"value": None})
    assert '−0.50 <span class="ci">(−1.00 to +0.25)</span>|<span class="soft">undefined</span>' in text
    assert "|&lt; 0.001|12,345|12.3 %" in text
