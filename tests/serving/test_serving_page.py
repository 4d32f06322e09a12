"""The page in a browser at two widths: drawing, findings, scores and attributions of a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from browser import Page
from deploy_models import beats
from served import listening
from wfdb_files import write_record

from ecgssl.serving.app import create_app
from ecgssl.serving.request_limits import RequestLimits

SHOWN = "(!document.getElementById('{}').hidden)"


def text(page: Page, name: str) -> str:
    return page.run(f"document.getElementById('{name}').innerText")


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    flat = beats(3)
    flat[8] = 0
    write_record(folder, "flat", flat, rate=250)
    write_record(folder, "short", beats(2, seconds=4), rate=250)
    return folder


@pytest.mark.parametrize("width", [1280, 375])
def test_from_a_file_to_its_attribution(served, records, width):
    page = Page(width)
    try:
        page.open(served.address)
        page.until("document.getElementById('model').textContent")
        assert "For research only. Not a medical device" in text(page, "notice")
        page.choose("#files", records / "flat.hea", records / "flat.dat")
        page.until(SHOWN.format("result"))
        assert "A lead is flat" in text(page, "findings")
        assert "V3" in text(page, "findings")
        assert "calibrated (platt" in text(page, "calibration")
        scores = text(page, "scores")
        assert all(word in scores for word in ("MI", "NORM", "%", "above", "Explain"))
        page.run("document.querySelector('#scores button').click()")
        page.until(SHOWN.format("looked") + " && document.getElementById('looked-drawing').complete")
        assert "Largest attributions for MI" in text(page, "looked-words")
        for name in ("drawing", "looked-drawing"):
            drawn, high = (page.run(f"document.getElementById('{name}').natural{side}") for side in ("Width", "Height"))
            # a phone gets all leads below each other, within its width
            assert (high > drawn) == (width < 640)
            assert drawn > 600
            if width < 640:
                assert page.run(f"document.getElementById('{name}').clientWidth") < width
        # the page fits its width, loads nothing from elsewhere, and the browser reports no errors
        assert page.run("document.documentElement.scrollWidth") <= width
        assert all(url.startswith((served.address, "data:")) for url in page.requested)
        assert page.complaints == []
        page.choose("#files", records / "short.hea", records / "short.dat")
        page.until(SHOWN.format("refusal"))
        assert "shorter than the shortest accepted duration" in text(page, "refusal").lower()
        assert page.run("document.getElementById('result').hidden")
    finally:
        page.close()


NAMELESS = """
[...document.querySelectorAll('button, input, img, meter, table, [role=region]')].filter(e => e.offsetParent !== null && !(
  e.getAttribute('aria-label') || e.getAttribute('alt') || e.innerText || (e.labels && e.labels.length)
  || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML)
"""
CONTRAST = """
(() => { const lum = c => { const v = c.map(x => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4 });
  return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2] };
  const parse = s => (s.match(/[\\d.]+/g) || []).map(Number);
  const back = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c.slice(0, 3) } return [255, 255, 255] };
  return [...document.querySelectorAll('body *')].filter(e => e.offsetParent !== null &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(back(e));
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + ': ' + e.textContent.slice(0, 30)] })
    .filter(([ratio]) => ratio < 4.5) })()
"""


def test_names_and_contrast(served, records):
    """Every control, image and region has a name; all text has the contrast of WCAG 2 AA (4.5 to 1)."""
    page = Page(1280)
    try:
        page.open(served.address)
        page.choose("#files", records / "flat.hea", records / "flat.dat")
        page.until(SHOWN.format("result"))
        assert page.run(NAMELESS) == []
        assert page.run(CONTRAST) == []
        assert page.run("document.documentElement.lang") == "en"
    finally:
        page.close()


def test_a_token_is_asked_for(served, records):
    guarded = create_app(served.service, RequestLimits(seconds=300), "a-token-of-this-test")
    with listening(guarded) as address:
        served = SimpleNamespace(address=address)
        page = Page(800)
        try:
            page.open(served.address)
            page.until(SHOWN.format("token-form"))
            page.run("document.getElementById('token').value = 'a-token-of-this-test'")
            page.run("document.querySelector('#token-form button').click()")
            page.until("document.getElementById('model').textContent")
            page.choose("#files", records / "flat.hea", records / "flat.dat")
            page.until(SHOWN.format("result"))
        finally:
            page.close()


@pytest.mark.real
def test_a_real_recording(served, real_data):
    page = Page(1280)
    try:
        page.open(served.address)
        page.choose("#files", real_data / "vendor/ge_muse.xml")
        page.until(SHOWN.format("result"))
        assert "500 Hz" in text(page, "facts")
        assert page.complaints == []
    finally:
        page.close()
