"""Tests of the reader for electrocardiograms of the Apple Watch, in the languages of the Health app."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.preprocessing.inputs import list_recordings

ENGLISH = (
    "Name", "Date of Birth", "Recorded Date", "Classification,Sinus Rhythm", "Symptoms", "Software Version", "Device",
    "Sample Rate,512.414 hertz", "Lead,Lead I", "Unit,µV",
)  # fmt: skip
GERMAN = (
    "Name", "Geburtsdatum", "Aufnahmedatum", "Klassifizierung,Sinusrhythmus", "Symptome", "Softwareversion", "Gerät",
    "Messrate,512,414 Hertz", "Ableitung,Ableitung I", "Einheit,µV",
)  # fmt: skip
CHINESE = (
    "姓名", "出生日期", "记录日期", "分类,窦性心律", "症状", "软件版本", "设备",
    "采样率,512.414 赫兹", "导联,导联 I", "单位,µV",
)  # fmt: skip
VALUES = np.random.default_rng(0).normal(0, 300, 400).round(3)


def export(words: tuple[str, ...], comma: bool = False, quoted: bool = False) -> str:
    name, birth, date, label, symptoms, version, device, rate, lead, unit = words
    head = [
        f'{name},"Quetzalcoatlus"', f'{birth},"Apr 15, 1931"', f"{date},2023-06-28 13:03:46 +0200", label, f"{symptoms},",
        f"{version},1.90", f'{device},"Watch6,2"', rate, "", "", lead, unit, "",
    ]  # fmt: skip
    numbers = [f"{value:.3f}".replace(".", "," if comma else ".") for value in VALUES]
    return "\n".join([*head, *(f'"{number}"' if quoted else number for number in numbers), ""])


def save(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "ecg_2023-06-28.csv").write_bytes(text.encode(encoding))
    return folder / "ecg_2023-06-28.csv"


def reason(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path)
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (export(ENGLISH), "utf-8"),
        (export(ENGLISH).replace("\n", "\r\n"), "utf-8-sig"),
        (export(ENGLISH), "latin-1"),
        (export(GERMAN, comma=True), "utf-8"),
        (export(GERMAN, comma=True, quoted=True), "utf-8"),
        (export(CHINESE), "utf-8"),
    ],
)
def test_languages(tmp_path: Path, text: str, encoding: str) -> None:
    path = save(tmp_path, text, encoding)
    got = read(path)
    assert got.leads == ("I",)
    assert got.sampling_rate == pytest.approx(512.414)
    np.testing.assert_allclose(got.signal[0], VALUES / 1000, rtol=1e-6)
    assert got.meta == {"format": "apple_health", "device": "Watch6,2"}
    assert "Quetzalcoatlus" not in repr(got)
    # it is a recording, not a manifest
    assert [item.path for item in list_recordings([path]).items] == [str(path)]


def test_damaged_exports(tmp_path: Path) -> None:
    text = export(ENGLISH)
    assert reason(save(tmp_path, text.replace("Unit,µV\n", ""))) == "format"
    assert reason(save(tmp_path, text.replace("512.414 hertz", "many hertz"))) == "format"
    assert reason(save(tmp_path, text + "12.x\n")) == "content"
    assert read(save(tmp_path, text), overrides=MetadataOverrides(500.0)).meta["overridden"] == ("sampling_rate",)
