"""Structure of the report page, read with an HTML parser: title, origin, headings, checklists, tables and images."""

from __future__ import annotations

import copy
import datetime
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from browser import Page
from report_runs import TASKS

from ecgssl.report.sections import render_report

VOID = {"meta", "br", "img", "link", "input"}


class Tree(HTMLParser):
    """All elements of a page as (tag, attributes, tags of the ancestors, text)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...], list[str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.feed(page)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        text: list[str] = []
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(name for name, _ in self.open), text))
        if tag not in VOID:
            self.open.append((tag, text))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, text in self.open:
            text.append(data)

    def find(self, *tags: str) -> list[tuple[str, dict[str, str], tuple[str, ...], str]]:
        return [(t, a, up, " ".join("".join(text).split())) for t, a, up, text in self.elements if t in tags]


@pytest.fixture(scope="module")
def trees(made):
    return {name: Tree(page) for name, page in made.pages.items()}


def test_title_and_first_lines_name_task_date_encoder_and_training_data(made, trees):
    today = datetime.datetime.now(datetime.UTC).date()
    for name, targets in TASKS.items():
        task, report = ", ".join(targets), made.reports[name]
        assert abs((datetime.date.fromisoformat(report["written"]) - today).days) <= 1
        (title,) = [text for _, _, up, text in trees[name].find("title") if up[-1] == "head"]
        assert title == f"Report: {task}, {report['written']}"
        ((_, _, _, heading),) = trees[name].find("h1")
        assert heading == f"Report: {task}"
        (origin,) = [text for _, a, _, text in trees[name].find("p") if a.get("class") == "origin"]
        assert origin.startswith(f"Encoder: {report['asked']['encoder']}. Training: linear probe on the set ")
        assert origin.endswith(f"Report written: {report['written']}.")


def test_headings_descend_by_one_level(trees):
    for name, tree in trees.items():
        levels = [int(tag[1]) for tag, _, _, _ in tree.find("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert all(b <= a + 1 for a, b in pairwise(levels)), name


def test_checklists_are_a_collapsed_appendix(trees):
    for tree in trees.values():
        lists = tree.find("details")
        assert [a["id"] for _, a, _, _ in lists] == ["tripod_ai", "stard_ai"]
        assert not any("open" in a for _, a, _, _ in lists)
        items = [text for _, a, up, text in tree.find("tr") if "details" in up]
        assert len(items) == 52 + 48 + 2
        assert all("TRIPOD" not in text and "STARD" not in text for tag, a, up, text in tree.find("h2"))
        links = {a["href"] for _, a, _, _ in tree.find("a")}
        targets = {f"#{a['id']}" for _, a, _, _ in tree.find("h2", "details") if "id" in a}
        assert links <= targets


def test_wide_tables_say_that_they_scroll(trees):
    """A table of more than three columns is in a named, focusable box that is wider than a phone."""
    for tree in trees.values():
        boxes = [a for tag, a, _, _ in tree.find("div") if a.get("class", "").startswith("scroll")]
        assert all(a.get("tabindex") == "0" and a.get("role") == "region" and a.get("aria-label") for a in boxes)
        assert any("wide" in a["class"] for a in boxes)
        assert all(a.get("alt") for _, a, _, _ in tree.find("img"))
        assert all(a.get("aria-label") for _, a, _, _ in tree.find("svg"))


def test_a_subgroup_table_without_a_result_becomes_a_sentence(made):
    report = copy.deepcopy(made.reports["findings"])
    entries = report["evaluation"]["subgroups"]["test"]
    columns = {entry["column"] for entry in entries if entry.get("metrics")}
    assert "site" in columns
    for entry in entries:
        if entry["column"] == "site":
            entry |= {"metrics": None, "withheld": "withheld, with a small group", "records": None, "positives": None}
    page = render_report(report, [b"", b""])
    section = page[page.index('<h2 id="subgroups"') : page.index('<h2 id="recordings"')]
    parts = re.split("<h3>", section)[1:]
    (own,) = [part for part in parts if part.startswith("By site")]
    assert "<table" not in own
    assert re.search(r"No result of the groups [^:]*south[^:]*: withheld, with a small group\.", own)
    for part in parts:
        assert part.startswith("By site") or "<table" in part or "withheld" in part


def test_a_row_without_a_result_states_the_reason_once(made):
    report = copy.deepcopy(made.reports["findings"])
    entries = [entry for entry in report["evaluation"]["subgroups"]["test"] if entry["column"] == "site"]
    shown = next(entry["group"] for entry in entries if entry["metrics"])
    group = next(entry["group"] for entry in entries if entry["group"] != shown)
    for entry in entries:
        if entry["group"] == group:
            entry |= {"metrics": None, "withheld": "withheld, with a small group", "records": None, "positives": None}
    tree = Tree(render_report(report, [b"", b""]))
    rows = [text for _, _, up, text in tree.find("tr") if text.startswith(group) and "withheld" in text]
    assert [row.count("withheld, with a small group") for row in rows] == [1]
    assert "2" in {a.get("colspan") for _, a, _, text in tree.find("td") if text == "withheld, with a small group"}


HEADINGS = "[...document.querySelectorAll('h1, h2, h3, h4')].every(h => getComputedStyle(h).breakAfter === 'avoid')"
HINTS = """[...document.querySelectorAll('.scroll.wide, figure')].map(e =>
  [e.scrollWidth > e.clientWidth, getComputedStyle(e, '::before').content.includes('Scroll sideways')])"""


def test_in_a_browser(made):
    """Printed headings stay with their text; a scroll hint is visible where a box scrolls, and nowhere at 1280 px."""
    for width, scrolls in ((390, True), (1280, False)):
        tab = Page(width)
        try:
            tab.open((made.runs["findings"] / "report.html").as_uri())
            found = tab.run(HINTS)
            assert len(found) > 5
            assert all(overflow == hint == scrolls for overflow, hint in found)
            assert tab.run(HEADINGS.replace("h1, ", ""))
            assert tab.run("document.querySelector('#tripod_ai table').checkVisibility()") is False
            assert tab.complaints == []
        finally:
            tab.close()
