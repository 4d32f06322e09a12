"""The same lead names in every format, and channels that are left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from dicom_files import coded, dicom, group
from edfio import Edf, EdfSignal
from hospital_xml import aecg, cardiosoft, digital, mortara, muse, schiller
from sierra_files import sierra
from wfdb_files import write_record

from ecgssl.io import read
from ecgssl.signal.leads import LEADS, arrange

SPELLINGS = {
    "I": "ECG lead I", "II": "ecg ii", "III": "DIII", "aVR": "-aVR", "aVL": "MDC_ECG_LEAD_AVL", "aVF": "AVF",
    "V1": "C1", "V2": "c2", "V3": "ECG C3", "V4": "C4", "V5": "EKG C5", "V6": "C6",
}  # fmt: skip
NAMES = (*SPELLINGS.values(), "V3R", "Quetzalcoatlus")
STEP = 5e-3
"""Size of a digital step in mV."""


def channels() -> dict[str, np.ndarray]:
    """Return the digital values of the twelve leads and of two other channels, by the names of the file."""
    rows = list(digital(samples=60).values())
    rows[3] = -rows[3]
    return dict(zip(NAMES, [*rows, rows[6], rows[7]], strict=True))


def write_csv(folder: Path) -> Path:
    head = ",".join(["time (ms)", *(f"{name} (mV)" for name in NAMES)])
    rows = np.stack([row * STEP for row in channels().values()], axis=1)
    lines = [f"{2 * i},{','.join(f'{value:.3f}' for value in row)}" for i, row in enumerate(rows)]
    return text(folder / "a.csv", "\n".join([head, *lines]))


def write_wfdb(folder: Path) -> Path:
    return write_record(folder, "a", np.stack(list(channels().values())), NAMES, gain="200/mV")


def write_edf(folder: Path) -> Path:
    # EDF allows 16 characters
    signals = [
        EdfSignal(
            row * 5.0, 500, label=name[:16], physical_dimension="uV", physical_range=(-32768, 32767),
        )
        for name, row in channels().items()
    ]  # fmt: skip
    Edf(signals, data_record_duration=60 / 500).write(folder / "a.edf")
    return folder / "a.edf"


def write_npz(folder: Path) -> Path:
    signal = np.stack(list(channels().values()))
    np.savez(folder / "a.npz", signal=signal * STEP, sampling_rate=500.0, leads=np.array(NAMES), unit="mV")
    return folder / "a.npz"


def write_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        data = file.create_dataset("x", data=np.stack(list(channels().values())) * STEP)
        data.attrs["fs"], data.attrs["units"], data.attrs["leads"] = 500, "mV", list(NAMES)
    return folder / "a.h5"


def write_matlab(folder: Path) -> Path:
    signal = np.stack(list(channels().values())) * STEP
    scipy.io.savemat(folder / "a.mat", {"val": signal, "fs": 500.0, "units": "mV", "leads": np.array(NAMES, object)})
    return folder / "a.mat"


def write_dicom(folder: Path) -> Path:
    # the helper names channels by lead, so this file holds the twelve leads only
    one = group(dict(zip(LEADS, channels().values(), strict=False)), sensitivity="5")
    for channel, name in zip(one.ChannelDefinitionSequence, NAMES, strict=False):
        channel.ChannelSourceSequence = coded("private", "99", name if " " in name or "_" in name else f"Lead {name}")
    (folder / "a.dcm").write_bytes(dicom(one))
    return folder / "a.dcm"


def text(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def write_aecg(folder: Path) -> Path:
    return text(
        folder / "a.xml", re.sub('code="MDC_ECG_LEAD_([^"]*)"', lambda m: f'code="{spelled(m[1])}"', aecg(channels()))
    )


def spelled(upper: str) -> str:
    return next(name for name in NAMES if name.upper() == upper)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "csv": write_csv,
    "wfdb": write_wfdb,
    "edf": write_edf,
    "npz": write_npz,
    "hdf5": write_hdf5,
    "matlab": write_matlab,
    "dicom": write_dicom,
    "aecg": write_aecg,
    "muse": lambda folder: text(folder / "a.xml", muse(channels(), per_bit="5")),
    "cardiosoft": lambda folder: text(folder / "a.xml", cardiosoft(channels())),
    "schiller": lambda folder: text(folder / "a.xml", schiller(channels(), yres="5", rate=500)),
    "mortara": lambda folder: text(folder / "a.xml", mortara(channels(), per_millivolt="200", rate=500)),
    # names are separated by blanks in this format
    "sierra": lambda folder: text(
        folder / "a.xml",
        sierra({name.replace(" ", "_"): row for name, row in channels().items()}, version="1.04", xli=False),
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_names_are_understood_in_every_format(name: str, tmp_path: Path) -> None:
    got = read(WRITERS[name](tmp_path))
    signal, present = arrange(got.signal, got.leads)
    assert present.all()
    expected = np.stack(list(digital(samples=60).values())) * STEP
    # EDF stores values on a grid of 1 uV
    np.testing.assert_allclose(signal, expected, atol=2e-3 if name == "edf" else 1e-5)
    assert got.meta["inverted"] == ("aVR",)
    if name != "dicom":
        assert got.meta["left_out"] == ("V3R", "channel 14")
    assert "Quetzalcoatlus" not in repr(got.meta)
