"""WFDB records whose gains scale each lead to 1 mV peak to peak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from wfdb_files import write_record
from wfdb_formats import write_by_hand

from ecgssl.config import QualityParams
from ecgssl.inspection.inspect import LSB
from ecgssl.io import read
from ecgssl.io.wfdb.normalised_gain import undo_normalised_gains
from ecgssl.preprocessing.prepare import prepare
from ecgssl.signal.leads import LEADS
from ecgssl.signal.spec import SignalSpec

NAMES = ("I", "II", "V1", "V2")


def scale_header(path: Path, digital: np.ndarray) -> Path:
    """Give each lead the gain that makes it span 1 mV."""
    header = path.with_name(path.name + ".hea")
    lines = header.read_text().splitlines()
    for place, row in enumerate(digital, 1):
        words = lines[place].split(" ")
        words[2] = f"{int(np.ptp(row.astype(int)))}(3)/mV"
        lines[place] = " ".join(words)
    header.write_text("\n".join(lines) + "\n")
    return path


def digital(samples: int = 600) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(4, samples)) * [[100], [300], [200], [500]]
    return np.rint(rows).clip(-1000, 1000).astype(np.int16)


def test_any_storage_format(tmp_path: Path) -> None:
    rows = digital()
    write_by_hand(tmp_path, "packed", 212, list(rows), NAMES)
    got = read(scale_header(tmp_path / "packed", rows))
    np.testing.assert_allclose(got.signal, (rows - 3.0) / 1000, rtol=1e-5, atol=1e-6)
    assert got.meta["flags"] == ("unit_inferred",)


def test_flat_leads_and_missing_values_are_kept(tmp_path: Path) -> None:
    rows = digital()
    rows[0] = 50
    rows[1, 100:120] = -32768
    path = write_record(tmp_path, "gaps", rows, NAMES)
    lines = scale_header(path, np.where(rows == -32768, rows[1, 0], rows)).with_name("gaps.hea").read_text()
    path.with_name("gaps.hea").write_text(lines.replace(" 0(3)/mV ", " 700(3)/mV "))
    got = read(path)
    assert np.isnan(got.signal[1, 100:120]).all()
    np.testing.assert_allclose(got.signal[2:], (rows[2:] - 3.0) / 1000, rtol=1e-5, atol=1e-6)


def test_other_records_are_not_changed() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(4, 500)).astype(np.float32)
    spans = np.ptp(signal, axis=1, keepdims=True)
    for other, gains in (
        (signal, [100, 200, 300, 400]),
        (signal / spans, [200] * 4),
        (signal / spans * 1.001, [1, 2, 3, 4]),
    ):
        copy = other.copy()
        assert not undo_normalised_gains(copy, gains)
        np.testing.assert_array_equal(copy, other)


def test_preprocessing_flags_the_inferred_unit(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(12, 5000)) * np.linspace(100, 400, 12)[:, None]
    rows = np.rint(rows).astype(np.int16)
    recording = read(scale_header(write_record(tmp_path, "a", rows, LEADS), rows))
    spec = SignalSpec()
    found = prepare(recording, spec, QualityParams(), LSB, np.empty((12, spec.samples), np.int16))
    assert "unit_inferred" in found["reasons"].split(";")
