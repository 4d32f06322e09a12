"""Tests of the search for recordings: each recording is listed once, and other files are unknown."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from edfio import Edf, EdfSignal
from wfdb_files import noise, write_record

from ecgssl.errors import InputError, RecordingError
from ecgssl.io import read
from ecgssl.io.formats import identify
from ecgssl.io.listing import find_recordings
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.signal.leads import LEADS


def fill(folder: Path) -> None:
    """Write one recording in each format that ecgssl parses itself, under uninformative names."""
    values = noise(samples=500) / 1000
    write_record(folder, "rec.1", noise(samples=500))
    scipy.io.savemat(folder / "m.x", {"ECG": {"data": values}})
    with h5py.File(folder / "h.x", "w") as file:
        file["ecg"] = values.astype(np.float16)
    with h5py.File(folder / "e.x", "w") as file:
        file["exam_id"] = np.array([30, 20, 0])
        file["tracings"] = np.stack([values.T, values.T, 0 * values.T])
    for name, array in (("n.x", values), ("l.x", np.stack([values, values]))):
        with (folder / name).open("wb") as stream:
            np.save(stream, array)
    with (folder / "z.x").open("wb") as stream:
        np.savez(stream, signal=values, sampling_rate=500, leads=np.array(LEADS), unit="mV")
    Edf(
        [EdfSignal(row, 500, label=lead, physical_dimension="mV") for row, lead in zip(values, LEADS, strict=True)]
    ).write(folder / "d.x")
    rows = "\n".join(",".join(map(str, column)) for column in values.T)
    (folder / "c.x").write_text(f"{','.join(LEADS)}\n{rows}\n")


LISTED = ["c.x", "d.x", "e.x#30", "e.x#20", "h.x", "l.x#0", "l.x#1", "m.x", "n.x", "rec.1.hea", "z.x"]


def test_every_format_is_found_by_content_and_read(tmp_path):
    fill(tmp_path)
    found = find_recordings(tmp_path)
    assert [Path(name).name for name in found.recordings] == LISTED
    assert found.unknown == ()
    formats = {
        "c": "csv", "d": "edf", "e": "hdf5", "h": "hdf5", "l": "npy", "m": "matlab", "n": "npy", "r": "wfdb", "z": "npz"
    }  # fmt: skip
    for name in found.recordings:
        overrides = MetadataOverrides(500.0, "mV", LEADS)
        got = read(name, overrides=overrides)
        assert got.meta["format"] == formats[Path(name).name[0]]
        np.testing.assert_allclose(got.signal, noise(samples=500) / 1000, atol=0.002)


def test_a_wfdb_record_is_listed_once(tmp_path):
    """Signal files of any name, annotations and segments are parts of the record."""
    write_record(tmp_path / "a", "s23", noise(), suffix="mat")
    (tmp_path / "a/s23.mat").rename(tmp_path / "a/js23.mat")
    hea = tmp_path / "a/s23.hea"
    hea.write_text(hea.read_text().replace("s23.mat", "js23.mat"))
    write_record(tmp_path / "b", "p1", noise(), suffix="xyz")
    for suffix in ("atr", "avf", "qrs"):
        (tmp_path / f"b/p1.{suffix}").write_bytes(b"\x01\x02\x03")
    write_record(tmp_path / "c", "one", noise(samples=60))
    write_record(tmp_path / "c", "two", noise(samples=40))
    (tmp_path / "c/whole.hea").write_text("whole/2 12 500 100\none 60\ntwo 40\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/broken.hea").write_text("broken")
    (tmp_path / "d/broken.dat").write_bytes(bytes(100))
    (tmp_path / "d/RECORDS").write_text("broken\n")
    (tmp_path / "d/orphan.dat").write_bytes(bytes(100))
    found = find_recordings(tmp_path)
    names = ["a/s23.hea", "b/p1.hea", "c/whole.hea", "d/broken.hea"]
    assert [str(Path(name).relative_to(tmp_path)) for name in found.recordings] == names
    assert [path.name for path in found.unknown] == ["RECORDS", "orphan.dat"]
    assert read(found.recordings[2]).signal.shape == (12, 100)


def test_another_format_beside_a_header_of_its_name(tmp_path):
    """A file that the header does not name is not part of the record."""
    write_record(tmp_path, "r", noise())
    scipy.io.savemat(tmp_path / "r.mat", {"ECG": {"data": noise()[:, :50] / 1000}})
    assert [Path(name).name for name in find_recordings(tmp_path).recordings] == ["r.hea", "r.mat"]
    assert read(tmp_path / "r.mat", overrides=MetadataOverrides(500.0)).signal.shape == (12, 50)
    assert read(tmp_path / "r").signal.shape == (12, 5000)


def test_hidden_files_links_and_manifests(tmp_path):
    write_record(tmp_path / "in/.hidden", "a", noise())
    write_record(tmp_path / "in", ".b", noise())
    write_record(tmp_path / "elsewhere", "c", noise())
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/d.npy").symlink_to(tmp_path / "gone")
    (tmp_path / "in/manifest.csv").write_text("record_id,path,I,II\n1,2,3,4\n")
    os.mkfifo(tmp_path / "in/pipe")
    found = find_recordings(tmp_path / "in")
    assert [Path(name).name for name in found.recordings] == ["d.npy"], "reading reports it as missing"
    assert [path.name for path in found.unknown] == ["manifest.csv", "pipe"]
    with pytest.raises(RecordingError) as caught:
        identify(tmp_path / "in/pipe")
    assert caught.value.reason == "unreadable"


def test_damaged_lists_are_listed_by_themselves(tmp_path):
    fill(tmp_path)
    for name in ("e.x", "l.x"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    listed = [Path(name).name for name in find_recordings(tmp_path).recordings]
    assert listed == ["c.x", "d.x", "e.x", "h.x", "l.x", "m.x", "n.x", "rec.1.hea", "z.x"]


def test_folders_that_are_none(tmp_path):
    assert find_recordings(tmp_path).recordings == ()
    (tmp_path / "file").write_text("x")
    for name in ("file", "absent"):
        with pytest.raises(InputError, match="cannot be read"):
            find_recordings(tmp_path / name)


@pytest.mark.real
def test_all_real_recordings_are_found(real_data):
    for folder, count in (("cinc2021", 80), ("ptb", 1), ("code15", 10), ("cpsc2018_original", 10), ("vendor", 5)):
        assert len(find_recordings(real_data / folder).recordings) == count
