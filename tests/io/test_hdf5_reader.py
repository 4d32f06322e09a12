"""Tests of the HDF5 reader: supported layouts, and untrusted content such as links and declared sizes."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.files.hdf5_samples import Samples
from ecgssl.io.formats import identify
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.signal.leads import LEADS, limb_residual

STATED = MetadataOverrides(500.0, "mV", LEADS)


def signal(samples: int = 300, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (12, samples)).astype(np.float32)


def reason(path: Path | str, overrides: MetadataOverrides = NO_OVERRIDES) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, overrides=overrides)
    assert caught.value.problems[0].remedy
    return caught.value.reason


def write(path: Path, **datasets) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
    return path


def test_layout_of_sph(tmp_path):
    """float16 is converted before arithmetic."""
    values = (signal() * 10).astype(np.float16)
    path = write(tmp_path / "A00001.h5", ecg=values)
    assert reason(path) == "rate"
    got = read(path, overrides=MetadataOverrides(500.0))
    np.testing.assert_array_equal(got.signal, values.astype(np.float32))
    assert (got.leads, got.record_id, got.meta) == (LEADS, "A00001", {"format": "hdf5"})
    # another type or shape is not this layout
    assert reason(write(tmp_path / "b.h5", ecg=signal()), MetadataOverrides(500.0)) == "no_leads"
    assert reason(write(tmp_path / "c.h5", ecg=values[:8]), MetadataOverrides(500.0)) == "no_leads"


@pytest.fixture
def exams(tmp_path) -> Path:
    """Write the CODE-15% layout: unordered ids, padding at both ends, and an empty last row with id 0."""
    tracings = np.zeros((5, 4096, 12), np.float32)
    for row, length in enumerate((2934, 4000, 4096, 3001)):
        start = (4096 - length) // 2
        tracings[row, start : start + length] = signal(length, row).T
    return write(tmp_path / "exams_part3.hdf5", exam_id=np.array([1169160, 77, 2873686, 5, 0]), tracings=tracings)


def test_layout_of_code_15(exams):
    assert identify(exams).list_members(exams) == ("1169160", "77", "2873686", "5")
    for row, (exam, length) in enumerate({"1169160": 2934, "77": 4000, "2873686": 4096, "5": 3001}.items()):
        got = read(f"{exams}#{exam}", overrides=MetadataOverrides(400.0))
        np.testing.assert_array_equal(got.signal, signal(length, row))
        assert (got.record_id, got.leads) == (exam, LEADS)
        before, after = got.meta["padding_stripped"]
        assert (before + after, abs(before - after) <= 1) == (4096 - length, True)
    assert reason(f"{exams}#77") == "rate"
    assert reason(exams, MetadataOverrides(400.0)) == "member"
    for absent in ("0", "78", "x", "-5", "9" * 30):
        assert reason(f"{exams}#{absent}", MetadataOverrides(400.0)) == "member"


def test_only_symmetric_zeros_are_padding(tmp_path):
    """Further zeros at one end belong to the recording."""
    tracings = np.zeros((3, 100, 12), np.float32)
    tracings[0, 10:60] = 1
    tracings[1, :80] = 1
    path = write(tmp_path / "e.hdf5", exam_id=np.array([1, 2, 3]), tracings=tracings)
    first = read(f"{path}#1", overrides=MetadataOverrides(400.0))
    assert (first.meta["padding_stripped"], first.signal.shape) == ((10, 11), (12, 79))
    assert not first.signal[:, 50:].any()
    assert read(f"{path}#2", overrides=MetadataOverrides(400.0)).meta["padding_stripped"] == (0, 1)
    assert reason(f"{path}#3", MetadataOverrides(400.0)) == "length"


def test_exams_that_do_not_fit(tmp_path):
    tracings = np.ones((2, 50, 12), np.float32)
    twice = write(tmp_path / "twice.hdf5", exam_id=np.array([4, 4]), tracings=tracings)
    assert reason(f"{twice}#4", MetadataOverrides(400.0)) == "member"
    assert identify(twice).list_members(twice) == ("4",)
    for name, ids, values in (
        ("more", np.arange(1, 4), tracings),
        ("flat", np.arange(1, 3), tracings[0]),
        ("text", np.array([b"1", b"2"]), tracings),
        ("words", np.arange(1, 3), np.full((2, 50, 12), b"x")),
    ):
        assert (
            reason(f"{write(tmp_path / f'{name}.hdf5', exam_id=ids, tracings=values)}#1", MetadataOverrides(400.0))
            == "content"
        )
    eight = write(tmp_path / "eight.hdf5", exam_id=np.array([1]), tracings=tracings[:1, :, :8])
    assert reason(f"{eight}#1", MetadataOverrides(400.0)) == "no_leads"
    assert read(f"{eight}#1", overrides=MetadataOverrides(400.0, "mV", LEADS[:8])).signal.shape == (8, 50)


@pytest.mark.parametrize("turned", [False, True])
def test_any_file_with_one_array(tmp_path, turned):
    path = tmp_path / "g.bin"
    with h5py.File(path, "w") as file:
        values = signal().T if turned else signal()
        data = file.create_group("study").create_dataset("wave", data=values, compression="gzip", chunks=True)
        file["note"] = "a text"
        file["study/rr"] = np.arange(5.0)
        data.attrs["Sampling_Rate"] = 250
        data.attrs["units"] = "uV"
        file.attrs["leads"] = list(LEADS)
    got = read(path)
    np.testing.assert_allclose(got.signal, signal() * 1e-3, rtol=1e-6)
    assert (got.sampling_rate, got.leads, got.meta) == (250.0, LEADS, {"format": "hdf5"})
    assert read(path, overrides=STATED).meta["overridden"] == ("sampling_rate", "unit")
    assert reason(f"{path}#1", STATED) == "member"


def test_arrays_that_leave_it_open(tmp_path):
    assert reason(write(tmp_path / "two.h5", a=signal(), b=signal()), STATED) == "content"
    assert reason(write(tmp_path / "none.h5", a=np.arange(5.0)), STATED) == "content"
    assert reason(write(tmp_path / "square.h5", a=np.ones((12, 12))), STATED) == "leads"
    assert reason(write(tmp_path / "eight.h5", a=signal()[:8]), STATED) == "leads"
    assert reason(write(tmp_path / "complex.h5", a=signal() + 1j), STATED) == "content"


def test_nothing_outside_the_file_is_followed(tmp_path):
    other = write(tmp_path / "other.h5", a=signal())
    np.ones(3600, "f4").tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file["a"] = h5py.ExternalLink(str(other), "/a")
    with h5py.File(tmp_path / "soft.h5", "w") as file:
        file["a"] = h5py.SoftLink("/elsewhere")
    with h5py.File(tmp_path / "storage.h5", "w") as file:
        file.create_dataset("a", (12, 300), "f4", external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((12, 300), "f4")
        layout[...] = h5py.VirtualSource(str(other), "a", (12, 300))
        file.create_virtual_dataset("a", layout)
    for name in ("external", "soft", "storage", "virtual"):
        assert reason(tmp_path / f"{name}.h5", STATED) == "link"
        with h5py.File(tmp_path / f"{name}.h5", "a") as file:
            file["exam_id"] = np.array([1])
            file["tracings"] = file["a"] if name in ("storage", "virtual") else np.ones((1, 9, 12))
        with pytest.raises(RecordingError):
            read(tmp_path / f"{name}.h5#1", overrides=MetadataOverrides(400.0))


def test_declared_sizes_are_not_allocated(tmp_path):
    """These arrays were never written; reading them would need terabytes."""
    with h5py.File(tmp_path / "shape.h5", "w") as file:
        file.create_dataset("a", (12, 10**12), "f8", chunks=(12, 1000))
    with h5py.File(tmp_path / "chunk.h5", "w") as file:
        file.create_dataset("a", (12, 1000), "f8", chunks=(12, 10**8), maxshape=(12, None))
    with h5py.File(tmp_path / "exams.h5", "w") as file:
        file.create_dataset("exam_id", (10**11,), "i8", chunks=(1000,))
        file.create_dataset("tracings", (10**11, 4096, 12), "f4", chunks=(1, 4096, 12))
    with h5py.File(tmp_path / "long.h5", "w") as file:
        file["exam_id"] = np.array([1])
        file.create_dataset("tracings", (1, 10**10, 12), "f4", chunks=(1, 4096, 12))
    for name in ("shape.h5", "chunk.h5", "exams.h5#1", "long.h5#1"):
        assert reason(f"{tmp_path}/{name}", STATED) == "too_large"


@pytest.mark.parametrize("block", [0, 512])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f8", "<i2", ">u4"])
@pytest.mark.parametrize("chunks", [None, (2, 10, 5), (1, 33, 12), (7, 33, 12), (9, 40, 13)])
def test_samples_are_as_h5py_reads_them(tmp_path, block, kind, chunks):
    """Compare whole arrays and ranges, with and without partial chunks, for every combination of filters."""
    values = np.random.default_rng(0).normal(50, 500, (7, 33, 12)).clip(0).astype(kind)
    filters = list(itertools.product([None, "gzip"], [False, True], [False, True])) if chunks else [(None, None, None)]
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=block) as file:
        for number, (packing, shuffle, sums) in enumerate(filters):
            file.create_dataset(
                str(number), data=values, chunks=chunks, compression=packing, shuffle=shuffle, fletcher32=sums,
                maxshape=chunks and (None, None, None),
            )  # fmt: skip
    with h5py.File(tmp_path / "a.h5") as file:
        for dataset in file.values():
            samples = Samples(tmp_path / "a.h5", dataset)
            np.testing.assert_array_equal(samples[...], values)
            for first, end in ((0, 1), (3, 4), (2, 7)):
                np.testing.assert_array_equal(samples.rows(first, end), dataset[first:end])


def test_samples_in_the_header_of_their_data_set(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((12, 30))
        stored = h5py.h5d.create(file.id, b"a", h5py.h5t.IEEE_F32LE, space, plan)
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, signal(30))
    np.testing.assert_array_equal(read(tmp_path / "a.h5", overrides=STATED).signal, signal(30))


def test_samples_that_were_never_written_are_not_made_up(tmp_path):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        file.create_dataset("a", (12, 300), "f4", chunks=(12, 100))[:, :200] = signal(200)
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file.create_dataset("a", (12, 300), "f4")
    assert reason(tmp_path / "some.h5", STATED) == reason(tmp_path / "none.h5", STATED) == "truncated"


def test_filters(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=signal(), compression="lzf")
    assert reason(tmp_path / "a.h5", STATED) == "compressed"
    with h5py.File(tmp_path / "b.h5", "w") as file:
        place = file.create_dataset("a", data=signal(), chunks=(12, 300), fletcher32=True).id.get_chunk_info(0)
    with (tmp_path / "b.h5").open("r+b") as stream:
        stream.seek(place.byte_offset + 1000)
        stream.write(b"\xff\xff")
    assert reason(tmp_path / "b.h5", STATED) == "checksum"


def test_a_chunk_does_not_unpack_to_more_than_it_declares(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("a", (12, 300), "f4", chunks=(12, 300), compression="gzip")
        stored.id.write_direct_chunk((0, 0), zlib.compress(bytes(100 << 20)))
    assert reason(tmp_path / "a.h5", STATED) == "unreadable"


def test_texts_of_attributes_lie_in_heaps_that_are_walked_first(tmp_path):
    """libhdf5 does not terminate on a heap entry of size zero."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("a", data=signal())
        stored.attrs["fs"], stored.attrs["unit"], stored.attrs["leads"] = 500, "mV", list(LEADS)
        stored.attrs["ids"] = np.array([file.ref])
        stored.attrs["long"] = "x" * 100_000
    assert read(path).leads == LEADS
    data = bytearray(path.read_bytes())
    start = data.index(b"GCOL") + 16
    free = start
    while int.from_bytes(data[free : free + 2], "little"):
        free += 16 + -(-int.from_bytes(data[free + 8 : free + 16], "little") // 8) * 8
    data[free + 8 : free + 16] = bytes(8)
    path.write_bytes(data)
    assert reason(path) == "unreadable"
    data[data.index(b"GCOL") + 8 : data.index(b"GCOL") + 16] = b"\xff" * 8
    path.write_bytes(data)
    assert reason(path) == "unreadable"


def test_groups_that_lead_back_to_themselves(tmp_path):
    with h5py.File(tmp_path / "loop.h5", "w") as file:
        inner = file.create_group("x")
        for number in range(50):
            inner[f"again{number}"] = inner
        inner["a"] = signal()
    assert read(tmp_path / "loop.h5", overrides=STATED).signal.shape == (12, 300)


def test_damaged_files(exams):
    whole = exams.read_bytes()
    for data in (whole[:600], whole[: len(whole) // 2], whole[:8] + bytes(500) + whole[508:]):
        exams.write_bytes(data)
        assert reason(f"{exams}#77", MetadataOverrides(400.0)) == "unreadable"


@pytest.mark.real
def test_real_files(real_data):
    paths = sorted((real_data / "cinc2021/SPH").glob("*.h5"))
    assert len(paths) == 10
    for path in paths:
        got = read(path, overrides=MetadataOverrides(500.0))
        with h5py.File(path) as file:
            np.testing.assert_array_equal(got.signal, file["ecg"][...].astype(np.float32))
        assert limb_residual(got.signal, LEADS) < 0.01
