"""The formats that can be read, recognised by what a file holds, never by its name alone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.recording import Recording
from ecgssl.io.signatures import (
    has_root,
    is_csv,
    is_dicom,
    is_edf,
    is_hdf5,
    is_matlab,
    is_mortara,
    is_npy,
    is_npz,
    is_scp,
    is_wfdb,
)

HEAD = 4096
"""Bytes of a file by which its format is recognised."""

Reader = Callable[[Path, str | None, MetadataOverrides], Recording]
"""(file, member, overrides) -> recording. ``member`` names one recording of a file that holds many, otherwise ``None``."""

Members = Callable[[Path], tuple[str, ...]]
"""Names of the recordings in a file that holds many; empty for a file that holds one."""


@dataclass(frozen=True)
class Format:
    """One file format.

    Args:
        name: as messages, ``--json`` and ``Recording.meta["format"]`` spell it.
        title: for people.
        recognises: whether a file, given its path and its first ``HEAD`` bytes, is of this format.
        reader: ``module:function``, imported when the first such file is read.
        members: ``module:function`` of ``Members`` for formats that can hold many recordings.
    """

    name: str
    title: str
    recognises: Callable[[Path, bytes], bool]
    reader: str
    members: str | None = None

    def read(self, path: Path, member: str | None, overrides: MetadataOverrides) -> Recording:
        """Read a file of this format; raises ``RecordingError`` as the reader says."""
        return cast(Reader, _load(self.reader))(path, member, overrides)

    def list_members(self, path: Path) -> tuple[str, ...]:
        """Names of the recordings in a file that holds many; empty for a file that holds one."""
        return cast(Members, _load(self.members))(path) if self.members else ()


def _load(name: str) -> object:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


_SCHILLER = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"

FORMATS: tuple[Format, ...] = (
    Format("wfdb", "WFDB", is_wfdb, "ecgssl.io.wfdb.reader:read_wfdb"),
    Format("matlab", "MATLAB", is_matlab, "ecgssl.io.files.matlab_reader:read_matlab"),
    Format(
        "hdf5", "HDF5", is_hdf5, "ecgssl.io.files.hdf5_reader:read_hdf5", "ecgssl.io.files.hdf5_reader:hdf5_members"
    ),
    Format(
        "npy", "NumPy .npy", is_npy, "ecgssl.io.files.numpy_reader:read_npy", "ecgssl.io.files.numpy_reader:npy_members"
    ),
    Format("npz", "NumPy .npz", is_npz, "ecgssl.io.files.numpy_reader:read_npz"),
    Format("edf", "EDF", is_edf, "ecgssl.io.files.edf_reader:read_edf"),
    Format("muse", "GE MUSE XML", has_root("RestingECG"), "ecgssl.io.vendors.muse_reader:read_muse"),
    Format("aecg", "HL7 aECG", has_root("AnnotatedECG"), "ecgssl.io.vendors.aecg_reader:read_aecg"),
    Format(
        "cardiosoft", "CardioSoft XML", has_root("CardiologyXML"), "ecgssl.io.vendors.cardiosoft_reader:read_cardiosoft"
    ),
    Format("schiller", "Schiller XML", has_root(_SCHILLER), "ecgssl.io.vendors.schiller_reader:read_schiller"),
    Format(
        "sierra", "Philips Sierra XML", has_root("restingecgdata"), "ecgssl.io.vendors.ecgdatakit_reader:read_sierra"
    ),
    Format("mortara", "Mortara ELI XML", is_mortara, "ecgssl.io.vendors.ecgdatakit_reader:read_mortara"),
    Format("dicom", "DICOM", is_dicom, "ecgssl.io.dicom.reader:read_dicom"),
    Format("scp", "SCP-ECG", is_scp, "ecgssl.io.vendors.ecgdatakit_reader:read_scp"),
    # last, because any text may be a table
    Format("csv", "CSV", is_csv, "ecgssl.io.files.csv_reader:read_csv"),
)
"""In the order in which a file is tried."""


def identify(path: Path) -> Format:
    """The format of a file.

    Raises:
        RecordingError: ``missing_file``, ``unreadable``, or ``format`` for a file that no reader knows.
    """
    head = b""
    try:
        # a WFDB record is named without its suffix, perhaps like a folder beside it; a pipe would never end
        if path.is_file():
            with path.open("rb") as stream:
                head = stream.read(HEAD)
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise RecordingError("unreadable", Problem(str(path), "file", what, "Check disk and permissions")) from error
    for candidate in FORMATS:
        if candidate.recognises(path, head):
            return candidate
    if not path.exists():
        problem = Problem(str(path), "file", "does not exist", "Correct the path of the record")
        raise RecordingError("missing_file", problem)
    if not path.is_file():
        raise RecordingError("unreadable", Problem(str(path), "file", "is a folder or no file", "Name a file"))
    known = ", ".join(entry.title for entry in FORMATS)
    raise RecordingError("format", Problem(str(path), "format", "no reader knows it", f"Convert it to one of: {known}"))
