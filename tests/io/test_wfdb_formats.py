"""Tests of all WFDB storage formats, layouts and calibrations against the package wfdb and hand-written bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from wfdb_files import noise, write_record
from wfdb_formats import RANGE, write_by_hand, write_by_wfdb

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.wfdb.reader import read_wfdb
from ecgssl.signal.leads import LEADS

BY_HAND = (8, 16, 24, 32, 61, 80, 160, 212, 310, 311)
BY_WFDB = (16, 24, 32, 80, 212, 508, 516, 524)


def digital(storage: int, leads: int = 3, samples: int = 400, seed: int = 0) -> list[np.ndarray]:
    """Return values over the whole range of the format, including its extremes."""
    low, high = RANGE[storage]
    rows = np.random.default_rng(seed).integers(low, high, (leads, samples), endpoint=True)
    rows[0, 1:4] = high, low, low + 1
    return list(rows)


def expected(path: Path) -> np.ndarray:
    """Return (leads, samples) in mV, read by wfdb."""
    record = wfdb.rdrecord(str(path), smooth_frames=False)
    return np.stack(record.e_p_signal)


def reason(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path)
    return caught.value.reason


@pytest.mark.parametrize("samples", [5, 6, 7, 400])
@pytest.mark.parametrize("storage", BY_HAND)
def test_formats_packed_by_hand(tmp_path, storage, samples):
    """Three channels of 5 to 7 samples end at every position of a packed group."""
    for leads in (1, 2, 3):
        channels = digital(storage, leads, samples, seed=samples)
        path = write_by_hand(tmp_path, f"r{leads}", storage, channels, LEADS[:leads])
        got = read_wfdb(path)
        np.testing.assert_allclose(got.signal, expected(path), rtol=4e-7)
        missing = np.stack(channels) == RANGE[storage][0]
        if storage == 8:
            missing[...] = False
        np.testing.assert_array_equal(np.isnan(got.signal), missing)
        np.testing.assert_allclose(got.signal[~missing], np.stack(channels)[~missing] / 200, rtol=4e-7)


@pytest.mark.parametrize("per_frame", [1, 4])
@pytest.mark.parametrize("storage", BY_WFDB)
def test_formats_written_by_wfdb(tmp_path, storage, per_frame):
    channels = digital(storage)
    path = write_by_wfdb(tmp_path, "r", [storage] * 3, channels, ("I", "II", "V1"), per_frame=per_frame)
    got = read_wfdb(path)
    np.testing.assert_allclose(got.signal, expected(path), rtol=4e-7)
    assert got.sampling_rate == 250 * per_frame
    assert np.isnan(got.signal[0, 2])
    np.testing.assert_allclose(got.signal[2, :5], channels[2][:5] / 200, rtol=4e-7)


@pytest.mark.parametrize("storage", BY_HAND)
def test_several_samples_per_frame_by_hand(tmp_path, storage):
    path = write_by_hand(tmp_path, "r", storage, digital(storage, 2, 60), ("I", "V6"), per_frame=5)
    np.testing.assert_allclose(read_wfdb(path).signal, expected(path), rtol=4e-7)


def test_leads_of_another_rate_than_the_rest(tmp_path):
    """A channel with another rate is left out; leads with two rates are refused."""
    slow, fast = digital(80, 1, 50)[0], list(noise(2, 200).astype(int))
    path = write_by_wfdb(tmp_path, "r", [16] * 2, fast, ("I", "II"), per_frame=4, files=["r.dat"] * 2)
    hea = path.with_suffix(".hea")
    stored = np.concatenate(
        [np.stack(fast, axis=1).reshape(50, 4, 2).transpose(0, 2, 1).reshape(50, 8), slow[:, None]], 1
    )
    stored.astype("<i2").tofile(path.with_suffix(".dat"))
    lines = hea.read_text().replace("r 2 ", "r 3 ").splitlines()
    hea.write_text("\n".join([*lines, "r.dat 16 100/bpm 16 0 0 0 0 resp"]) + "\n")
    got = read_wfdb(path)
    np.testing.assert_allclose(got.signal, np.stack(fast) / 200, rtol=4e-7)
    hea.write_text(hea.read_text().replace("100/bpm 16 0 0 0 0 resp", "100/mV 16 0 0 0 0 V1"))
    assert reason(path) == "rates"


@pytest.mark.parametrize("storage", [16, 212, 311, 516])
def test_skew_moves_a_channel_and_leaves_its_end_empty(tmp_path, storage):
    channels = digital(storage, 3, 90)
    writer = write_by_wfdb if storage in BY_WFDB else write_by_hand
    code = [storage] * 3 if writer is write_by_wfdb else storage
    # wfdb corrects a single skew value, and none in compressed files
    path = writer(tmp_path, "one", code, channels, ("I", "II", "V1"), skew=[0, 7, 7])
    if storage < 500:
        np.testing.assert_allclose(read_wfdb(path).signal, expected(path), rtol=4e-7)
    got = read_wfdb(writer(tmp_path, "two", code, channels, ("I", "II", "V1"), skew=[0, 7, 2])).signal
    for row, lag in ((1, 7), (2, 2)):
        np.testing.assert_allclose(got[row, :-lag], channels[row][lag:] / 200, rtol=4e-7)
        assert np.isnan(got[row, -lag:]).all()


def test_skew_counts_frames(tmp_path):
    channels = [np.arange(100, 160), np.arange(300, 360)]
    path = write_by_hand(tmp_path, "r", 16, channels, ("I", "II"), per_frame=3, skew=[0, 4])
    got = read_wfdb(path).signal
    np.testing.assert_allclose(got[1, :-12], channels[1][12:] / 200, rtol=4e-7)
    assert np.isnan(got[1, -12:]).all()
    path = write_by_hand(tmp_path, "all", 16, channels, ("I", "II"), skew=[0, 1000])
    assert np.isnan(read_wfdb(path).signal[1]).all()


@pytest.mark.parametrize("storage", BY_HAND)
def test_samples_may_start_after_a_prologue(tmp_path, storage):
    path = write_by_hand(tmp_path, "r", storage, digital(storage, 2, 31), ("I", "II"), prologue=bytes(range(24)))
    np.testing.assert_allclose(read_wfdb(path).signal, expected(path), rtol=4e-7)


def test_files_of_several_formats_make_one_record(tmp_path):
    channels = [*digital(16, 2, 50), *digital(212, 2, 50), *digital(80, 1, 50), *digital(516, 1, 50)]
    files = ["r1.dat", "r1.dat", "r2.dat", "r2.dat", "r3.dat", "r4.dat"]
    names = ("V1", "V2", "I", "resp", "aVF", "V6")
    path = write_by_wfdb(tmp_path, "r", [16, 16, 212, 212, 80, 516], channels, names, files=files)
    got = read_wfdb(path)
    assert got.leads == ("V1", "V2", "I", "aVF", "V6")
    np.testing.assert_allclose(got.signal, expected(path)[[0, 1, 2, 4, 5]], rtol=4e-7)
    hea = path.with_suffix(".hea")
    hea.write_text(hea.read_text().replace("r2.dat 212", "r1.dat 212"))
    assert reason(path) == "header"


def test_mat_file_of_the_challenges(tmp_path):
    """``16+24``: the first 24 bytes are the header of a MATLAB 4 file, as scipy writes it."""
    scipy_io = pytest.importorskip("scipy.io")
    values = noise(12, 100)
    path = write_record(tmp_path, "E00001", values, suffix="mat", gain="1000/mV")
    hea = path.with_suffix(".hea")
    hea.write_text(hea.read_text().replace(".mat 16 ", ".mat 16+24 "))
    scipy_io.savemat(path.with_suffix(".mat"), {"val": values}, format="4")
    for name in ("E00001", "E00001.mat", "E00001.hea"):
        got = read(tmp_path / name)
        assert got.meta["format"] == "wfdb"
        np.testing.assert_allclose(got.signal, values / 1000, rtol=4e-7)
    np.testing.assert_allclose(got.signal, expected(path), rtol=4e-7)


@pytest.mark.parametrize("storage", sorted({*BY_HAND, *BY_WFDB}))
def test_alterations_are_noticed_in_every_format(tmp_path, storage):
    channels = [np.clip(channel, -50, 50) for channel in digital(storage, 2, 99)]
    code = [storage] * 2 if storage > 500 else storage
    path = (write_by_wfdb if storage > 500 else write_by_hand)(tmp_path, "r", code, channels, ("I", "II"))
    dat = path.with_suffix(".dat")
    whole = dat.read_bytes()
    hea = path.with_suffix(".hea")
    text = hea.read_text()
    total = text.splitlines()[1].split()[-3]
    hea.write_text(text.replace(f" {total} 0 I\n", f" {int(total) + 1} 0 I\n"))
    assert reason(path) == "checksum"
    hea.write_text(text)
    dat.write_bytes(whole[:-12])
    assert reason(path) in ("truncated", "unreadable")
    if storage < 500:
        dat.write_bytes(whole[:40] + bytes([whole[40] ^ 4]) + whole[41:])
        assert reason(path) == "checksum"
        dat.write_bytes(whole + bytes(12))
        assert reason(path) == "length"
    else:
        hea.write_text(text.replace(" 250 99", " 250 120"))
        assert reason(path) in ("truncated", "unreadable")
        hea.write_text(text.replace(" 250 99", " 250"))
        assert reason(path) == "header"
        hea.write_text(text)
    dat.unlink()
    assert reason(path) == "missing_file"


def test_length_that_the_header_leaves_open(tmp_path):
    for storage in BY_HAND:
        path = write_by_hand(tmp_path, f"r{storage}", storage, digital(storage, 3, 35), LEADS[:3])
        hea = path.with_suffix(".hea")
        hea.write_text(hea.read_text().replace(" 3 250 35\n", " 3 250\n"))
        np.testing.assert_allclose(read_wfdb(path).signal, expected(path), rtol=4e-7)
        path.with_suffix(".dat").write_bytes(b"")
        assert reason(path) == "truncated"


def segments(folder: Path) -> None:
    write_by_wfdb(folder, "s1", [16] * 3, digital(16, 3, 40, 1), ("I", "resp", "V1"))
    write_by_wfdb(folder, "s2", [212] * 3, digital(212, 3, 30, 2), ("I", "resp", "V1"))


def test_segments_of_fixed_layout(tmp_path):
    segments(tmp_path)
    (tmp_path / "m.hea").write_text("m/2 3 250 70\ns1 40\ns2 30\n")
    got = read_wfdb(tmp_path / "m")
    assert got.leads == ("I", "V1")
    np.testing.assert_allclose(got.signal, expected(tmp_path / "m")[[0, 2]], rtol=4e-7)


def test_segments_of_variable_layout_with_gaps(tmp_path):
    """Segments have different leads; missing leads and gaps are NaN."""
    segments(tmp_path)
    write_by_wfdb(tmp_path, "s3", [16], digital(16, 1, 20, 3), ("V1",))
    write_by_wfdb(tmp_path, "s4", [16], digital(16, 1, 25, 4), ("resp",))
    layout = [f"~ 0 200(0)/mV 16 0 0 0 0 {name}" for name in ("I", "V1", "resp")]
    (tmp_path / "m_layout.hea").write_text("\n".join(["m_layout 3 250 0", *layout]) + "\n")
    (tmp_path / "m.hea").write_text("m/6 3 250 125\nm_layout 0\ns1 40\n~ 10\ns3 20\ns4 25\ns2 30\n# Age: 61\n")
    got = read_wfdb(tmp_path / "m")
    assert got.leads == ("I", "V1")
    assert got.meta == {"format": "wfdb", "age": 61.0, "left_out": ("resp",)}
    np.testing.assert_allclose(got.signal, expected(tmp_path / "m")[:2], rtol=4e-7)
    assert np.isnan(got.signal[:, 40:50]).all()
    assert np.isnan(got.signal[0, 50:95]).all()


def test_segments_with_several_samples_per_frame(tmp_path):
    for number, length in ((1, 40), (2, 60)):
        write_by_wfdb(tmp_path, f"s{number}", [16] * 2, digital(16, 2, length, number), ("I", "V1"), per_frame=2)
    (tmp_path / "m.hea").write_text("m/2 2 250 50\ns1 20\ns2 30\n")
    got = read_wfdb(tmp_path / "m")
    assert got.sampling_rate == 500
    np.testing.assert_allclose(got.signal, expected(tmp_path / "m"), rtol=4e-7)


def test_one_lead_spelled_in_two_ways_is_one_lead(tmp_path):
    write_by_wfdb(tmp_path, "s1", [16], digital(16, 1, 40), ("AVR",))
    write_by_wfdb(tmp_path, "s2", [16], digital(16, 1, 30), ("aVR",))
    (tmp_path / "m.hea").write_text("m/2 1 250 70\ns1 40\ns2 30\n")
    got = read_wfdb(tmp_path / "m")
    assert (got.leads, got.signal.shape) == (("AVR",), (1, 70))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m/2 3 250 71\ns1 40\ns2 30\n", "header"),
        ("m/2 3 250 60\ns1 30\ns2 30\n", "header"),
        ("m/2 3 500 70\ns1 40\ns2 30\n", "header"),
        ("m/2 3 250 80\nm 40\ns1 40\n", "header"),
        ("m/1 3 250 10\n~ 10\n", "no_leads"),
        ("m/1 3 250 10\nabsent 10\n", "missing_file"),
        ("m/1 3 250\n~ 99999999999\n", "too_large"),
        ("m/20000 3 250\n" + "~ 1\n" * 20_000, "header"),
    ],
)
def test_segments_that_do_not_fit(tmp_path, text, expected):
    segments(tmp_path)
    (tmp_path / "m.hea").write_text(text)
    assert reason(tmp_path / "m") == expected


def test_overrides_replace_the_header_and_are_reported(tmp_path):
    path = write_record(tmp_path, "r", noise(3, 50), ("I", "II", "bogus"), rate=500)
    got = read(path, overrides=MetadataOverrides(250.0, "uV", ("V1", "V2", "V3")))
    assert (got.sampling_rate, got.leads) == (250.0, ("V1", "V2", "V3"))
    np.testing.assert_allclose(got.signal, noise(3, 50) / 1e6, rtol=4e-7)
    assert got.meta["overridden"] == ("sampling_rate", "unit", "leads")
    same = read(path, overrides=MetadataOverrides(500.0, "mV"))
    assert "overridden" not in same.meta
    hea = path.with_suffix(".hea")
    hea.write_text(hea.read_text().replace("r 3 500 50", "r 3"))
    assert reason(path) == "rate"
    dat_rate = read(path, overrides=MetadataOverrides(sampling_rate=360.0))
    assert dat_rate.sampling_rate == 360
    assert "overridden" not in dat_rate.meta
    with pytest.raises(RecordingError) as caught:
        read(path, overrides=MetadataOverrides(360.0, leads=("I", "II")))
    assert caught.value.reason == "leads"


@pytest.mark.parametrize(
    ("frames", "storage"), [(10**15, "16"), (10**9, "516"), (0, "16x999999999"), (10**9, "8x1000000")]
)
def test_absurd_lengths_are_refused_before_anything_is_read(tmp_path, frames, storage):
    path = write_record(tmp_path, "r", noise(1, 50), ("I",))
    path.with_suffix(".hea").write_text(f"r 1 500 {frames}\nr.dat {storage} 1000/mV 16 0 0 0 0 I\n")
    assert reason(path) in ("truncated", "too_large", "rate")


def test_a_hostile_header_is_refused_quickly(tmp_path):
    digits = "1" * 500_000
    for line in (f"r 1 {digits}x 50\nr.dat 16", f"r 1 500 50\nr.dat 16 {digits}x", f"r 1 500 50\nr.dat {digits}"):
        (tmp_path / "r.hea").write_text(line)
        assert reason(tmp_path / "r") == "header"


@pytest.mark.real
def test_equals_wfdb_on_a_tenth_of_all_headers(real_data):
    """Compare values, names and rate for a seeded tenth of all records of every dataset.

    All 2,381 records were compared once in the same way; none differed.
    """
    paths = sorted(real_data.rglob("*.hea"))
    chosen = np.random.default_rng(0).choice(len(paths), -(-len(paths) // 10), replace=False)
    folders = {path.parts[len(real_data.parts)] for path in paths}
    assert {paths[i].parts[len(real_data.parts)] for i in chosen} >= folders - {"ptb"}
    for path in [paths[i] for i in chosen] + sorted((real_data / "ptb").glob("*.hea")):
        got = read(path)
        values, fields = wfdb.rdsamp(str(path.with_suffix("")))
        rows = [fields["sig_name"].index(name) for name in got.leads]
        assert len(rows) == 12
        assert got.sampling_rate == fields["fs"]
        np.testing.assert_array_equal(np.isnan(got.signal), np.isnan(values[:, rows].T))
        np.testing.assert_allclose(got.signal, values[:, rows].T, rtol=4e-7)


def test_segments_are_sized_by_their_own_leads(tmp_path, monkeypatch):
    """Four leads, other channels and several samples per frame: only the leads count for the size limit."""
    names = ("I", "II", "V1", "V5", "RESP", "PLETH")
    for part in ("s1", "s2"):
        write_record(tmp_path, part, noise(6, 500), names)
    (tmp_path / "long.hea").write_text("long/2 6 500 1000\ns1 500\ns2 500\n")
    monkeypatch.setattr("ecgssl.io.size_limits.LARGEST", 4 * 1000)
    got = read(tmp_path / "long.hea")
    assert got.signal.shape == (4, 1000)
    assert got.meta["left_out"] == ("RESP", "PLETH")
    monkeypatch.setattr("ecgssl.io.size_limits.LARGEST", 4 * 1000 - 1)
    assert reason(tmp_path / "long.hea") == "too_large"
