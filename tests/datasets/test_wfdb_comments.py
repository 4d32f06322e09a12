"""Codes, age and sex in comments of WFDB headers, with the spellings of real headers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.datasets.public.wfdb_comments import HeaderComments, list_headers, parse_comments, read_texts
from ecgssl.io.wfdb.header import read_header

HEAD = "JS00001 12 500 5000 23-Mar-2021 20:20:47\nJS00001.mat 16+24 1000/mV 16 0 -254 21756 0 I\n"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("#Dx: 164889003,59118001", ("164889003", "59118001")),
        ("# Dx: 164889003, 59118001 ,", ("164889003", "59118001")),
        ("#Dx: 164889003,,59118001,", ("164889003", "59118001")),
        ("#DX:164889003,164889003", ("164889003",)),
        ("#Dx: 164889003\r\n#Dx: 59118001", ("164889003", "59118001")),
        ("#Dx: NaN", None),
        ("#Dx: Unknown", None),
        ("#Dx: ,,", None),
        ("#Dx:", None),
        ("#Hx: 164889003", None),
    ],
)
def test_codes(line, codes):
    assert parse_comments(HEAD + line + "\n").codes == codes


@pytest.mark.parametrize(
    ("cell", "age"),
    [("74", 74), ("74.5", 74.5), (" 0 ", 0), ("89", 89), ("92", 90), (">89", 90), ("300", 90)]
    + [(cell, math.nan) for cell in ("NaN", "Unknown", "-1", "", "131", "-0.5", "1e9", "inf", "74 years")],
)
def test_age(cell, age):
    assert parse_comments(f"{HEAD}#Age: {cell}\n").age == pytest.approx(age, nan_ok=True)


@pytest.mark.parametrize(
    ("cell", "sex"),
    [("Male", "male"), ("MALE", "male"), ("m", "male"), ("F", "female"), ("female ", "female")]
    + [(cell, "") for cell in ("Unknown", "NaN", "?", "", "femalee")],
)
def test_sex(cell, sex):
    assert parse_comments(f"{HEAD}#Sex: {cell}\n").sex == sex


@given(st.text(max_size=200))
def test_any_text_gives_comments(text):
    found = parse_comments("#Age: " + text + "\n#Sex: " + text + "\n#Dx: " + text)
    assert found.codes is None or all(code.strip() == code and "," not in code for code in found.codes)
    assert math.isnan(found.age) or 0 <= found.age <= 90
    assert found.sex in ("", "male", "female")


def test_many_files_keep_their_order(tmp_path):
    paths = [tmp_path / f"r{number:04d}.hea" for number in range(600)]
    for number, path in enumerate(paths):
        path.write_text(f"{HEAD}#Age: {number % 80}\n#Sex: Female\n#Dx: {number}\n")
    paths[7].unlink()
    names = [path.stem for path in paths]
    texts = list(read_texts(tmp_path, names, workers=3))
    assert texts[7] is None
    found = [parse_comments(text or "") for text in texts]
    assert found[:7] + found[8:] == [HeaderComments((str(n),), float(n % 80), "female") for n in range(600) if n != 7]
    assert list(read_texts(tmp_path, [])) == []


def test_records_are_found_below_a_folder(tmp_path):
    for name in ("b/02/B2", "b/01/B1", "A0001", "c/C1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.hea").touch()
        (tmp_path / f"{name}.mat").touch()
    assert list(list_headers(tmp_path)) == ["A0001", "b/01/B1", "b/02/B2", "c/C1"]
    assert list(list_headers(tmp_path, "b")) == ["b/01/B1", "b/02/B2"]
    assert list_headers(tmp_path)["b/01/B1"] == {"B1.hea", "B1.mat"}
    assert list_headers(tmp_path, "d") == {}


@pytest.mark.real
def test_agrees_with_the_reader_of_recordings(real_data):
    names = list(list_headers(real_data / "cinc2021"))
    assert len(names) == 70
    for name, text in zip(names, read_texts(real_data / "cinc2021", names), strict=True):
        meta = read_header(real_data / "cinc2021" / f"{name}.hea").meta
        assert text is not None
        found = parse_comments(text)
        assert found.codes
        assert all(code.isdigit() for code in found.codes)
        assert found.age == pytest.approx(meta.get("age", math.nan), nan_ok=True)
        assert found.sex == meta.get("sex", "")
