"""Identifiers planted in small files of every format do not reach the detail of a rejection.

Details are written to ``rejected.csv``, score files and answers of the service. They name the field, never its value.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from dicom_files import coded, dicom, group
from fuzz_seeds import Seed, make_seeds
from hospital_xml import digital
from pydicom import Dataset

from ecgssl.io.formats import FORMATS
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.signal.leads import LEADS

NAME, NUMBER = "Plantagenet", "7391846"
PLANTS = (NAME, NUMBER)
XML = re.compile(r"""<([\w:.-]+)>([^<>]{1,60})<|\s([\w:-]+)=["']([^"'<>]{1,60})["']""")


def in_xml(text: str) -> Iterator[str]:
    """Yield the document with the text of one element or attribute replaced, once for each name; the rhythm is last."""
    places = {match[1] or match[3]: match.span(2) if match[1] else match.span(4) for match in XML.finditer(text)}
    for start, end in places.values():
        for plant in PLANTS:
            yield text[:start] + plant + text[end:]


def in_words(text: str, most: int) -> Iterator[str]:
    """Yield the text with one of its first words replaced."""
    for match in list(re.finditer(r"[^\s,;]+", text))[:most]:
        for plant in PLANTS:
            yield text[: match.start()] + plant + text[match.end() :]


def in_fields(text: str) -> Iterator[str]:
    """Yield an EDF or BDF file with one field of its header replaced; fields have 8, 16 or 80 characters."""
    count = int(text[252:256])
    starts, widths = [8, 88, 168, 176, 184, 192, 236, 244, 252], [80, 80, 8, 8, 8, 44, 8, 8, 4]
    place = 256
    for width in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        starts.append(place)
        widths.append(width)
        place += width * count
    for start, width in zip(starts, widths, strict=True):
        for plant in PLANTS:
            yield text[:start] + plant[:width].ljust(width) + text[start + width :]


def planted(seed: Seed) -> Iterator[str]:
    text = seed.content.decode("latin-1")
    if seed.format in ("edf", "bdf"):
        return in_fields(text)
    if text.lstrip().startswith("<"):
        return in_xml(text)
    return in_words(text, 8 if seed.format == "csv" else 40)


TEXT_SEEDS = list(
    {
        # one file of each format; formats of several layouts are named with their layout
        (seed.format, seed.name if seed.format in ("csv", "wfdb segments", "apple_health") else ""): seed
        for seed in make_seeds()
        if seed.kind == "text" and not seed.name.startswith("real") and "16" not in seed.name and seed.name != "XLI"
    }.values()
)


def details(path: Path, overrides: MetadataOverrides = NO_OVERRIDES) -> str:
    """Return the detail of the rejection and the names of channels that are left out; empty if there are neither."""
    try:
        recording = read_or_reject(path, overrides)
    except Rejected as rejection:
        return rejection.detail
    return repr((recording.leads, recording.meta.get("left_out"), recording.meta.get("leads_off")))


def leaks(found: str) -> bool:
    return any(plant[:6].casefold() in found.casefold() for plant in PLANTS)


@pytest.mark.parametrize("seed", TEXT_SEEDS, ids=lambda seed: f"{seed.format} {seed.name}")
def test_texts(seed: Seed, tmp_path: Path) -> None:
    for name, content in seed.beside.items():
        (tmp_path / name).write_bytes(content)
    seen = set()
    for number, text in enumerate(planted(seed)):
        (tmp_path / seed.file).write_bytes(seed.wrap(text.encode("latin-1")))
        found = details(tmp_path / (seed.asked or seed.file), seed.overrides)
        assert not leaks(found), (number, found)
        seen.add(found)
    assert len(seen) > 1, "no planted file was refused"


SIGNAL = np.random.default_rng(0).normal(0, 0.5, (12, 60)).astype(np.float32)


def hdf5_files(folder: Path) -> Iterator[Path]:
    def made(name: str) -> h5py.File:
        return h5py.File(folder / f"{name}.h5", "w")

    with made("two") as file:
        file[NAME], file[NUMBER] = SIGNAL, SIGNAL
    with made("link") as file:
        file[NAME] = h5py.SoftLink(f"/{NUMBER}")
    with made("unit") as file:
        data = file.create_dataset(NAME, data=SIGNAL)
        data.attrs["units"], data.attrs["leads"], data.attrs["fs"] = NAME, list(LEADS), 500
    with made("leads") as file:
        data = file.create_dataset(NAME, data=SIGNAL)
        data.attrs["leads"], data.attrs["fs"] = [f"{NAME} {i}" for i in range(12)], 500
    with made("rate") as file:
        data = file.create_dataset(NAME, data=SIGNAL)
        data.attrs["units"], data.attrs["leads"], data.attrs["fs"] = "mV", list(LEADS), int(NUMBER)
    with made("type") as file:
        file.create_dataset(NAME, data=np.zeros((2, 3), dtype=[(NAME, "<i4")]))
    with made("filter") as file:
        data = file.create_dataset(NAME, data=SIGNAL, compression="lzf")
        data.attrs["units"], data.attrs["leads"], data.attrs["fs"] = "mV", list(LEADS), 500
    yield from folder.glob("*.h5")


def matlab_files(folder: Path) -> Iterator[Path]:
    for name, variables in {
        "two": {NAME: SIGNAL, f"n{NUMBER}": SIGNAL},
        "unit": {"val": SIGNAL, "fs": 500.0, "units": NAME, "leads": np.array(LEADS, object)},
        "leads": {
            "val": SIGNAL,
            "fs": 500.0,
            "units": "mV",
            "leads": np.array([f"{NAME}{i}" for i in range(12)], object),
        },
        "rate": {"val": SIGNAL, "fs": float(NUMBER), "units": "mV", "leads": np.array(LEADS, object)},
        "struct": {NAME: {NAME: NUMBER}},
    }.items():
        scipy.io.savemat(folder / f"{name}.mat", variables)
    yield from folder.glob("*.mat")


def numpy_files(folder: Path) -> Iterator[Path]:
    known = {"signal": SIGNAL, "sampling_rate": 500.0, "leads": np.array(LEADS), "unit": "mV"}
    names = np.array([f"{NAME}{i}" for i in range(12)])
    for name, changes in {
        "unit": {"unit": NAME}, "leads": {"leads": names}, "rate": {"sampling_rate": float(NUMBER)},
        "type": {"signal": np.array([[NAME]])}, "struct": {"signal": np.zeros(3, dtype=[(NAME, "<i4")])},
    }.items():  # fmt: skip
        np.savez(folder / f"{name}.npz", **(known | changes))
    np.savez(folder / "none.npz", **{NAME: SIGNAL})
    np.save(folder / "type.npy", np.zeros((2, 3), dtype=[(NAME, "<i4")]))
    yield from [*folder.glob("*.npz"), *folder.glob("*.npy")]


def dicom_files(folder: Path) -> Iterator[Path]:
    def change(number: int, item: Dataset) -> None:
        """Plant an identifier in one element."""
        channel = item.ChannelDefinitionSequence[0]
        if number == 0:
            channel.ChannelSensitivityUnitsSequence = coded(NAME, NUMBER, NAME)
        elif number == 1:
            for each in item.ChannelDefinitionSequence:
                each.ChannelSourceSequence = coded(NAME, NUMBER, NAME)
        elif number == 2:
            item.WaveformSampleInterpretation = NAME
        elif number == 3:
            item.NumberOfWaveformSamples = int(NUMBER)
        elif number == 4:
            item.SamplingFrequency = NUMBER
        elif number == 5:
            channel.ChannelSensitivity = "0"
            item.MultiplexGroupLabel = NAME
        else:
            channel.ChannelTimeSkew = NUMBER

    for number in range(7):
        item = group(digital(samples=60))
        change(number, item)
        (folder / f"{number}.dcm").write_bytes(dicom(item))
    yield from folder.glob("*.dcm")


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("files", [hdf5_files, matlab_files, numpy_files, dicom_files])
def test_names_and_values_of_binary_files(files, tmp_path: Path) -> None:
    refused = 0
    for path in files(tmp_path):
        found = details(path)
        assert not leaks(found), (path.name, found)
        # a member that is asked for may be a patient's number as well
        with pytest.raises(Rejected) as rejected:
            read_or_reject(f"{path}#{NUMBER}")
        assert not leaks(rejected.value.detail)
        refused += not found.startswith("(")
    assert refused > 3


def test_texts_of_binary_seeds(tmp_path: Path) -> None:
    """Runs of letters in SCP-ECG, DICOM and NumPy files are replaced by an identifier of the same length."""
    for seed in make_seeds():
        if seed.kind != "binary" or seed.name.startswith("real") or seed.format in ("matlab", "matlab 7.3", "hdf5"):
            continue
        for name, content in seed.beside.items():
            (tmp_path / name).write_bytes(content)
        for match in list(re.finditer(rb"[A-Za-z_]{6,}", seed.content))[:6]:
            plant = (NAME * 9)[: len(match[0])].encode()
            content = seed.content[: match.start()] + plant + seed.content[match.end() :]
            (tmp_path / seed.file).write_bytes(seed.wrap(content))
            found = details(tmp_path / (seed.asked or seed.file), seed.overrides)
            assert not leaks(found), (seed.name, found)


def test_every_format_is_covered() -> None:
    tested = {seed.format.partition(" ")[0] for seed in TEXT_SEEDS} | {
        "hdf5",
        "matlab",
        "npy",
        "npz",
        "dicom",
        "scp",
        "ishne",
        "mfer",
        "atc",
    }
    assert {form.name for form in FORMATS} <= tested


def test_the_check_sees_a_leak() -> None:
    assert leaks(f"lead {NAME.upper()}: unit is not a voltage")
    assert leaks(io.StringIO(f"{NUMBER} is not a number").read())
