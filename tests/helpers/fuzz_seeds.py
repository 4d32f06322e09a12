"""Small valid files of every format for fuzz tests, with accompanying files and functions that rebuild containers."""

from __future__ import annotations

import binascii
import functools
import io
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import scipy.io
from atc_files import atc
from dicom_files import dicom, group
from edfio import Bdf, BdfSignal, Edf, EdfAnnotation, EdfSignal, Patient
from hospital_xml import PERSON, aecg, cardiosoft, digital, mortara, muse, schiller
from ishne_files import ishne
from mfer_files import mfer
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from scp_files import scp
from sierra_files import sierra
from wfdb_files import write_record
from wfdb_formats import RANGE, write_by_hand, write_by_wfdb

from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.signal.leads import LEADS

MEBIBYTE = 1 << 20
SAMPLES = 120
STATED = MetadataOverrides(500.0, "mV", LEADS)
_LEADS = ("I", "II", "V1")

Kind = Literal["binary", "text"]


def unchanged(data: bytes) -> bytes:
    return data


@dataclass(frozen=True)
class Seed:
    """One valid file.

    Args:
        format: row of the results table.
        name: unique within the format.
        file: file name.
        content: bytes of the file, or of the part that is damaged.
        kind: ``text`` or ``binary``, which selects the mutations.
        beside: other files in the same folder.
        wrap: function that builds the file from the damaged part; it compresses or updates checksums.
        members: members to read.
        overrides: metadata overrides for reading.
        asked: file to read; by default the damaged one.
    """

    format: str
    name: str
    file: str
    content: bytes
    kind: Kind = "binary"
    beside: Mapping[str, bytes] = field(default_factory=dict)
    wrap: Callable[[bytes], bytes] = unchanged
    members: tuple[str | None, ...] = (None,)
    overrides: MetadataOverrides = NO_OVERRIDES
    asked: str = ""


@functools.cache
def make_seeds() -> tuple[Seed, ...]:
    """Return all seed files, the same in every process; with ECGSSL_REAL_DATA also a real file of each available format."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = [*_wfdb(place), *_matlab(place), *_hdf5(place), *_numpy(), *_tables(place), *_hospital(), *_vendor()]
    return (*made, *_real())


def _wfdb(place: Path) -> Iterator[Seed]:
    person = f"# Age: 93\n# Sex: F\n# {PERSON['family']} {PERSON['statement']} {PERSON['id']}\n"
    rows = np.stack(list(digital(samples=SAMPLES).values()))
    write_record(place, "plain", rows, comments=person)
    write_record(place, "mat", rows, comments=person, suffix="mat")
    values = {code: np.random.default_rng(code).integers(*RANGE[code], (3, SAMPLES)) for code in RANGE}
    for code in (8, 24, 32, 61, 80, 160, 212, 310, 311):
        write_by_hand(place, f"f{code}", code, list(values[code]), _LEADS)
    write_by_hand(place, "frames", 16, list(values[16]), _LEADS, per_frame=2, skew=(0, 1, 2), prologue=b"\0" * 24)
    for code in (508, 516, 524):
        write_by_wfdb(place, f"f{code}", [code] * 3, list(values[code]), _LEADS)
    for part in ("s1", "s2"):
        write_record(place, part, rows)
    (place / "many.hea").write_text(f"many/3 12 500 {2 * SAMPLES + 10}\ns1 {SAMPLES}\n~ 10\ns2 {SAMPLES}\n{person}")
    yield from _record(place, "wfdb 16", ("plain", "frames"))
    yield from _record(place, "wfdb .mat", ("mat",))
    yield from _record(place, "wfdb packed", tuple(f"f{code}" for code in (8, 24, 32, 61, 80, 160, 212, 310, 311)))
    yield from _record(place, "wfdb FLAC", tuple(f"f{code}" for code in (508, 516, 524)))
    segments = {path.name: path.read_bytes() for path in place.glob("s[12].*")}
    whole = (place / "many.hea").read_bytes()
    yield Seed("wfdb segments", "record", "many.hea", whole, "text", segments)
    # damage in a segment is read through the record, because a segment is also a recording
    for part in ("s1.hea", "s1.dat"):
        kind: Kind = "text" if part == "s1.hea" else "binary"
        beside = {name: data for name, data in segments.items() if name != part} | {"many.hea": whole}
        yield Seed("wfdb segments", f"{part} of it", part, segments[part], kind, beside, asked="many.hea")


def _record(place: Path, form: str, names: tuple[str, ...]) -> Iterator[Seed]:
    """Yield the header of each record, and its samples with and without checksums in the header."""
    for name in names:
        header = (place / f"{name}.hea").read_bytes()
        samples = next(path for path in place.glob(f"{name}.*") if path.suffix != ".hea")
        data = samples.read_bytes()
        yield Seed(form, f"{name} header", f"{name}.hea", header, "text", {samples.name: data})
        # file, format and gain; a line without checksum cannot have a lead name
        bare = re.sub(rb"(?m)^(\S+\.\S+ \S+ \S+) .*$", rb"\1", header)
        leads = LEADS if bare.count(samples.name.encode()) == len(LEADS) else _LEADS
        yield Seed(form, f"{name} samples", samples.name, data, "binary", {f"{name}.hea": header})
        beside = {f"{name}.hea": bare}
        yield Seed(
            form, f"{name} unchecked", samples.name, data, "binary", beside, overrides=MetadataOverrides(leads=leads)
        )


def _matlab(place: Path) -> Iterator[Seed]:
    signal = np.random.default_rng(1).normal(0, 0.5, (12, SAMPLES))
    content = {"ECG": {"sex": "Female", "age": 93.0, "data": signal, "name": PERSON["family"]}}
    plain = {"val": (signal * 1000).astype(np.int16), "fs": 500.0, "units": "uV", "leads": np.array(LEADS, object)}
    for name, variables, form in (("struct", content, "5"), ("array", plain, "5"), ("old", {"val": plain["val"]}, "4")):
        out = io.BytesIO()
        scipy.io.savemat(out, variables, format=form)
        yield Seed("matlab", name, f"{name}.mat", out.getvalue(), overrides=STATED)
    out = io.BytesIO()
    scipy.io.savemat(out, content, do_compression=True)
    yield Seed("matlab", "packed", "packed.mat", out.getvalue(), overrides=STATED)
    out = io.BytesIO()
    scipy.io.savemat(out, content)
    yield Seed("matlab", "repacked", "repacked.mat", out.getvalue()[128:], wrap=_pack_matlab, overrides=STATED)
    with h5py.File(place / "v73.mat", "w", userblock_size=512) as file:
        for key, value in {"data": signal.T, "age": np.array([[93.0]])}.items():
            file.create_dataset(f"ECG/{key}", data=value).attrs["MATLAB_class"] = np.bytes_("double")
        letters = np.array([[ord(letter)] for letter in "Female"], np.uint16)
        file.create_dataset("ECG/sex", data=letters).attrs["MATLAB_class"] = np.bytes_("char")
    data = (place / "v73.mat").read_bytes()
    data = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + data[128:]
    yield Seed("matlab 7.3", "struct", "v73.mat", data, overrides=STATED)


def _pack_matlab(variable: bytes) -> bytes:
    data = zlib.compress(variable, 1)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<2I", 15, len(data)) + data


def _hdf5(place: Path) -> Iterator[Seed]:
    signal = np.random.default_rng(2).normal(0, 0.5, (12, SAMPLES)).astype(np.float32)
    with h5py.File(place / "sph.h5", "w") as file:
        file.create_dataset("ecg", data=signal.astype(np.float16))
    yield Seed("hdf5", "SPH", "sph.h5", (place / "sph.h5").read_bytes(), overrides=MetadataOverrides(500.0))
    with h5py.File(place / "exams.hdf5", "w") as file:
        file["exam_id"] = np.array([7, 9, 0])
        file.create_dataset("tracings", data=np.stack([signal.T] * 3), chunks=(1, SAMPLES, 12), compression="gzip")
    members = (None, "7", "9")
    exams = (place / "exams.hdf5").read_bytes()
    yield Seed("hdf5", "CODE-15%", "exams.hdf5", exams, members=members, overrides=MetadataOverrides(400.0))
    with h5py.File(place / "any.h5", "w", libver="latest") as file:
        data = file.create_dataset("study/wave", data=signal, compression="gzip", shuffle=True, fletcher32=True)
        data.attrs["fs"], data.attrs["units"], file.attrs["leads"] = 250, "uV", list(LEADS)
        file["name"] = PERSON["family"]
    yield Seed("hdf5", "any", "any.h5", (place / "any.h5").read_bytes())


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def _numpy() -> Iterator[Seed]:
    signal = np.random.default_rng(3).normal(0, 0.5, (12, SAMPLES)).astype(np.float32)
    yield Seed("npy", "one", "one.npy", _npy(signal), overrides=STATED)
    many = np.stack([signal] * 3)[:, None]
    yield Seed("npy", "many", "many.npy", _npy(np.asfortranarray(many)), members=(None, "0", "2"), overrides=STATED)
    out = io.BytesIO()
    np.savez_compressed(out, signal=signal, sampling_rate=500.0, leads=np.array(LEADS), unit="mV")
    yield Seed("npz", "packed", "packed.npz", out.getvalue())
    yield Seed("npz", "signal", "signal.npz", _npy(signal), wrap=_zip_signal)
    yield Seed("npz", "leads", "leads.npz", _npy(np.array(LEADS)), wrap=_zip_leads)


def _zip(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _zip_signal(signal: bytes) -> bytes:
    return _zip(
        signal=signal, sampling_rate=_npy(np.array(500.0)), leads=_npy(np.array(LEADS)), unit=_npy(np.array("mV"))
    )


def _zip_leads(leads: bytes) -> bytes:
    signal = _npy(np.ones((12, SAMPLES), np.int16))
    return _zip(signal=signal, sampling_rate=_npy(np.array(500.0)), leads=leads, unit=_npy(np.array("mV")))


def _tables(place: Path) -> Iterator[Seed]:
    signal = np.random.default_rng(4).normal(0, 0.5, (12, SAMPLES)).round(3)
    rows = [f"{i * 2},{','.join(map(str, column))}" for i, column in enumerate(signal.T)]
    head = "time (ms)," + ",".join(f"{lead} (mV)" for lead in LEADS)
    text = "\n".join([head, *rows]) + "\n"
    yield Seed("csv", "comma", "comma.csv", text.encode(), "text")
    local = text.replace(",", ";").replace(".", ",").replace("\n", "\r\n").replace("mV", "µV")
    yield Seed("csv", "semicolon", "local.txt", local.encode("latin-1"), "text")
    for name, notes in (("plain", None), ("annotated", [EdfAnnotation(0.1, None, PERSON["statement"])])):
        signals = [
            EdfSignal(row * 100, 500, label=f"ECG {lead}", physical_dimension="uV", physical_range=(-3000, 3000))
            for row, lead in zip(signal, LEADS, strict=True)
        ]
        patient = Patient(code=PERSON["id"], name=PERSON["family"], sex="F")
        Edf(signals, patient=patient, data_record_duration=SAMPLES / 500, annotations=notes).write(place / "r.edf")
        yield Seed("edf", name, f"{name}.edf", (place / "r.edf").read_bytes(), "text")

    wide = [
        BdfSignal(row * 100, 500, label=f"ECG {lead}", physical_dimension="uV", physical_range=(-3000, 3000))
        for row, lead in zip(signal, LEADS, strict=True)
    ]
    Bdf(wide, patient=patient, data_record_duration=SAMPLES / 500, annotations=notes).write(place / "r.bdf")
    yield Seed("bdf", "annotated", "r.bdf", (place / "r.bdf").read_bytes(), "text")
    lines = [f"Name,{PERSON['family']}", "Sample Rate,512.414 hertz", "Lead,Lead I", "Unit,uV", ""]
    watch = "\n".join([*lines, *(f"{value * 1000:.3f}" for value in signal[0]), ""])
    yield Seed("apple_health", "watch", "watch.csv", watch.encode(), "text")
    comma = watch.replace("Sample Rate", "Messrate").replace(".", ",")
    yield Seed("apple_health", "comma", "comma.csv", comma.encode(), "text")
    quoted = ["'Elapsed time'," + ",".join(f"'{lead}'" for lead in LEADS), "'mm:ss.mmm'," + ",".join(["'mV'"] * 12)]
    quoted += [f"'0:00.{i * 2:03d}',{','.join(map(str, column))}" for i, column in enumerate(signal.T)]
    yield Seed("csv", "rdsamp", "rdsamp.csv", "\n".join(quoted).encode(), "text")


def _hospital() -> Iterator[Seed]:
    leads = digital(samples=SAMPLES)
    for form, write in {"muse": muse, "aecg": aecg, "cardiosoft": cardiosoft, "schiller": schiller}.items():
        yield Seed(form, "utf-8", f"{form}.xml", write(leads).encode("latin-1"), "text")
        document = re.sub(r'encoding="[^"]*"', 'encoding="UTF-16"', write(leads))
        yield Seed(form, "utf-16", f"{form}16.xml", document.encode("latin-1"), "text", wrap=_utf_16)
    unchecked = re.sub("<LeadDataCRC32>.*?</LeadDataCRC32>", "", muse(leads))
    yield Seed("muse", "without CRC", "crc.xml", unchecked.encode(), "text")
    beat = group({name: row[:40] for name, row in leads.items()}, label="MEDIAN BEAT")
    yield Seed("dicom", "explicit", "a.dcm", dicom(beat, group(leads)))
    yield Seed("dicom", "implicit", "b.dcm", dicom(group(leads, kind="US"), syntax=ImplicitVRLittleEndian))
    yield Seed("dicom", "big endian", "c.dcm", dicom(group(leads, order=">"), syntax=ExplicitVRBigEndian))
    yield Seed("dicom", "bare", "d.dcm", dicom(group(leads, kind="SB"), preamble=False))


def _utf_16(text: bytes) -> bytes:
    return text.decode("latin-1").encode("utf-16")


def _vendor() -> Iterator[Seed]:
    leads = digital(samples=SAMPLES)
    yield Seed("sierra", "XLI", "s.xml", sierra(leads).encode(), "text")
    yield Seed("sierra", "plain", "p.xml", sierra(leads, version="1.04", xli=False).encode(), "text")
    yield Seed("mortara", "utf-8", "m.xml", mortara(leads).encode(), "text")
    for name, huffman in (("plain", False), ("huffman", True)):
        data = scp(leads, huffman=huffman)
        yield Seed("scp", name, f"{name}.scp", data)
        yield Seed("scp", f"{name}, checksums updated", f"{name}.scp", data, wrap=sum_scp)
    holter = ishne(leads, comments=PERSON["statement"].encode())
    yield Seed("ishne", "holter", "holter.ecg", holter)
    yield Seed("atc", "twelve leads", "k.atc", atc(leads))
    yield Seed("mfer", "little endian", "little.mwf", mfer(leads))
    yield Seed("mfer", "big endian", "big.mwf", mfer(leads, order=">", preamble=False, null=-32768, frames=2))
    yield Seed("ishne", "without checksum", "plain.ecg", holter, wrap=sum_ishne)


def sum_ishne(data: bytes) -> bytes:
    """Return a file without checksum, which the specification allows."""
    return data[:8] + b"\0\0" + data[10:]


def sum_scp(data: bytes) -> bytes:
    """Return a record with updated EN 1064 checksums, for all sections whose pointers are still valid."""
    out = bytearray(data)
    for place in range(22, min(len(out) - 9, 142), 10):
        number, size, index = struct.unpack_from("<HII", out, place)
        start = 6 if number == 0 else index - 1
        if start > 0 and size >= 16 and start + size <= len(out):
            struct.pack_into("<H", out, start, binascii.crc_hqx(bytes(out[start + 2 : start + size]), 0xFFFF))
    if len(out) > 6:
        struct.pack_into("<H", out, 0, binascii.crc_hqx(bytes(out[2:]), 0xFFFF))
    return bytes(out)


_REAL = {
    "aecg": "vendor/hl7_aecg.xml",
    "dicom": "vendor/*.dcm",
    "hdf5": "cinc2021/SPH/*1.h5",
    "matlab": "cpsc2018_original/*1.mat",
    "muse": "vendor/ge_muse.xml",
    "sierra": "vendor/philips*.xml",
}


def _real() -> Iterator[Seed]:
    root = os.environ.get("ECGSSL_REAL_DATA", "")
    for form, pattern in _REAL.items() if root else ():
        for path in sorted(Path(root).glob(pattern)):
            kind: Kind = "text" if path.suffix == ".xml" else "binary"
            yield Seed(
                form, f"real {path.name}", path.name, path.read_bytes(), kind, overrides=MetadataOverrides(500.0)
            )
