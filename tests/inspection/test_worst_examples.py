"""Gallery of the worst recordings for each reason: selection, order, and no identifiers in the figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import ecgssl, refused
from matplotlib.figure import Figure
from planted_faults import FAULTS
from sound_cohort import PROFILE
from wfdb_files import write_record

from ecgssl.config import Params, parse_params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.synthetic.simulate import render
from ecgssl.datasets.synthetic.synthetic_patients import draw_episode, draw_patient
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.inspection.worst_examples import BY_LAW, Examples, worst_examples
from ecgssl.inspection.worst_figure import draw_worst, write_worst
from ecgssl.preprocessing.preprocess import preprocess

RATE = 250.0
PLANTED = {
    # row of the manifest, whose header is row 1: group and name of the fault
    3: ("baseline wander", "4 mV"),
    4: ("baseline wander", "8 mV"),
    6: ("flat lead", "whole"),
    7: ("names", "-aVR (Cabrera)"),
    9: ("unit", "V read as mV"),
    10: ("limb electrodes", "left and right arm"),
    12: ("chest electrodes", "V1 and V6"),
    13: ("baseline wander", "8 mV"),
    14: ("baseline wander", "8 mV"),
    15: ("NaN", "whole lead"),
}
BROKEN = 17


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Write 17 simulated recordings, most with a planted fault, one with an invalid header."""
    folder = tmp_path_factory.mktemp("faulty")
    lines = ["record_id,path,patient_id,split,x"]
    for row in range(2, 19):
        rng = np.random.default_rng(row - 1)
        signal = render(draw_episode(draw_patient(rng), rng), RATE, 10.0, rng)[0]
        for fault in FAULTS:
            if (fault.group, fault.name) == PLANTED.get(row):
                signal, _ = fault.plant(signal, RATE, rng)
        digital = np.rint(np.where(np.isnan(signal), -32.768, signal) * 1000).astype(np.int16)
        write_record(folder, f"r{row}", digital, rate=RATE)
        if row == BROKEN:
            (folder / f"r{row}.hea").write_text("r17 12 fast 2500\n")
        lines.append(f"SECRET{row},r{row},p{row},train,0")
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return load_manifest(folder / "m.csv")


@pytest.fixture(scope="module")
def params() -> Params:
    return parse_params({"tasks": {"t": {"targets": ["x"]}}, "store": {"workers": 1, "max_rejected_fraction": 0.9}})


@pytest.fixture(scope="module")
def store(cohort: Cohort, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "store"
    preprocess(cohort, params, out, bytes(32), progress=False)
    return out


def groups_of(cohort: Cohort, store: Path, params: Params) -> dict[str, Examples]:
    found, _ = worst_examples(cohort, store, params.quality, params.signal)
    return {group.code: group for group in found}


def test_the_worst_of_each_come_first(cohort: Cohort, store: Path, params: Params) -> None:
    found, unseen = worst_examples(cohort, store, params.quality, params.signal)
    groups = {group.code: group for group in found}
    assert unseen == {"header": 1}
    assert {"wander", "flat", "limb_law", "unit_suspect", "limb_swap", "chest_swap", "nan"} <= set(groups)
    wander = groups["wander"]
    assert (wander.flagged, wander.rejected, len(wander.worst)) == (4, 0, 3)
    assert {example.row for example in wander.worst} == {4, 13, 14}
    values = [example.finding.value for example in wander.worst]
    assert values == sorted(values, reverse=True)
    assert (groups["unit_suspect"].flagged, groups["unit_suspect"].rejected) == (0, 1)
    assert [(e.row, e.rejected) for e in groups["unit_suspect"].worst] == [(9, True)]
    assert [e.row for e in groups["nan"].worst] == [15]
    assert not [row for group in found for e in group.worst if (row := e.row) == BROKEN]


def test_what_is_shown_is_what_the_finding_is_about(cohort: Cohort, store: Path, params: Params) -> None:
    groups = groups_of(cohort, store, params)
    flat = next(example for example in groups["flat"].worst if example.row == 6)
    assert flat.leads == (flat.finding.lead,)
    assert np.ptp(flat.traces) < 0.002
    assert (flat.sampling_rate, flat.cleaned) == (RATE, False)
    swap = groups["chest_swap"].worst[0]
    assert (swap.row, set(swap.leads), swap.cleaned, swap.others) == (12, {"V1", "V6"}, True, 0)
    assert swap.traces.shape == (2, 1000)
    gap = groups["nan"].worst[0]
    assert np.isnan(gap.traces).all()


def test_a_lead_against_the_law_is_shown_beside_what_it_should_be(cohort: Cohort, store: Path, params: Params) -> None:
    example = groups_of(cohort, store, params)["limb_law"].worst[0]
    assert example.row == 7
    assert example.leads == ("aVR", "aVR" + BY_LAW)
    recorded, expected = example.traces
    np.testing.assert_allclose(recorded, -expected, atol=0.003)


def test_files_that_have_gone_are_passed_over(cohort: Cohort, store: Path, params: Params) -> None:
    table = cohort.table.copy()
    worst = groups_of(cohort, store, params)["wander"].worst[0].row
    table.loc[worst - 2, "path"] = "gone"
    rows = [e.row for e in groups_of(replace(cohort, table=table), store, params)["wander"].worst]
    assert worst not in rows
    assert len(rows) == 3


def test_rows_of_a_table_with_gaps_are_those_of_its_file(cohort: Cohort, store: Path, params: Params) -> None:
    shifted = replace(cohort, rows=tuple(row + 10 for row in cohort.rows))
    assert groups_of(shifted, store, params)["chest_swap"].worst[0].row == 22
    # a public set records no rows of its table
    assert groups_of(replace(cohort, rows=()), store, params)["chest_swap"].worst[0].row == 12


def texts(figure: Figure) -> str:
    pieces = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        pieces += [text.get_text() for text in axes.texts] + [axes.get_title(loc) for loc in ("left", "right")]
    return "\n".join(pieces)


def test_the_page_says_code_value_limit_and_row_but_no_name(
    cohort: Cohort, store: Path, params: Params, tmp_path: Path
) -> None:
    found, unseen = worst_examples(cohort, store, params.quality, params.signal)
    shown = texts(draw_worst(found, unseen, params.quality, "a set"))
    for group in found:
        assert group.code in shown
    for piece in ("allowed: up to 3 mV", "allowed: between 0.1 and 20 mV", "row 9 · left out", "header 1", "by law"):
        assert piece in shown
    assert "SECRET" not in shown
    assert str(cohort.root) not in shown
    first = write_worst(tmp_path / "new" / "worst.png", cohort, store, params).read_bytes()
    assert first.startswith(b"\x89PNG")
    assert write_worst(tmp_path / "again.png", cohort, store, params).read_bytes() == first


def test_a_page_without_findings() -> None:
    params = parse_params({"tasks": {"t": {"targets": ["x"]}}})
    assert "No recording has a finding." in texts(draw_worst([], {}, params.quality, "a set"))


def test_preprocess_draws_it_and_stops_at_the_rejected_fraction(cohort: Cohort, tmp_path: Path) -> None:
    mine = f"{{reader: cohort, manifest: m.csv, patient_key: '{tmp_path}/k'}}"
    text = f"tasks: {{t: {{targets: [x]}}}}\nstore: {{workers: 1}}\nsets: {{mine: {mine}}}\n"
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    line = ["preprocess", "--manifest", cohort.source, "--params", tmp_path / "p.yaml", "--out", tmp_path / "store"]
    done = ecgssl(*line, "--figure", tmp_path / "worst.png", "--max-rejected-fraction", "0.2")
    assert done.code == 3, done.err
    assert f"wrote {tmp_path / 'worst.png'}" in done.out
    assert (tmp_path / "worst.png").stat().st_size > 10_000
    assert (tmp_path / "worst.png").read_bytes().startswith(b"\x89PNG")
    done = ecgssl(*line[:-1], tmp_path / "other", "--max-rejected-fraction", "0.05")
    assert done.code == 2
    assert "store.max_rejected_fraction" in done.err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("name", "start"), [("a.pdf", b"%PDF-"), ("b.SVG", b"<?xml")])
def test_the_suffix_selects_the_format_of_the_figure(
    cohort: Cohort, store: Path, params: Params, tmp_path: Path, name: str, start: bytes
) -> None:
    assert write_worst(tmp_path / name, cohort, store, params).read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a.jpg", "findings"])
def test_another_suffix_is_refused_before_recordings_are_read(cohort: Cohort, tmp_path: Path, name: str) -> None:
    given = ("preprocess", "--manifest", cohort.source, "--params", PROFILE, "--out", tmp_path / "store")
    refused(ecgssl(*given, "--figure", tmp_path / name), f"{name}: suffix", ".png, .pdf, .svg")
    assert list(tmp_path.iterdir()) == []
