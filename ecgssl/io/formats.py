"""Supported file formats, and detection of the format from the content of a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ecgssl.io.metadata import MetadataOverrides
from ecgssl.io.read_errors import file_errors, read_error
from ecgssl.io.recording import Recording
from ecgssl.io.signatures import (
    has_root,
    is_apple_health,
    is_atc,
    is_bdf,
    is_csv,
    is_dicom,
    is_edf,
    is_hdf5,
    is_ishne,
    is_matlab,
    is_mfer,
    is_mortara,
    is_npy,
    is_npz,
    is_scp,
    is_wfdb,
    other_table,
)

HEAD = 4096
"""Number of bytes that are read to detect the format."""

Reader = Callable[[Path, str | None, MetadataOverrides], Recording]
"""Type of a reader (file, member, overrides) -> recording; ``member`` selects a recording if the file has several."""

Members = Callable[[Path], tuple[str, ...]]
"""Type of a function that returns the names of all recordings in a file; empty if the file has only one recording."""


@dataclass(frozen=True)
class Format:
    """A supported file format and its reader.

    Args:
        name: short name in ``--json`` output and ``Recording.meta["format"]``.
        title: name in messages.
        recognises: function that returns whether a file has this format, given its path and its first ``HEAD`` bytes.
        reader: ``module:function``, imported when the first file of this format is read.
        members: ``module:function`` that returns the names of the recordings; ``None`` if files contain one recording.
    """

    name: str
    title: str
    recognises: Callable[[Path, bytes], bool]
    reader: str
    members: str | None = None

    def read(self, path: Path, member: str | None, overrides: MetadataOverrides) -> Recording:
        """Read a file of this format.

        Raises:
            RecordingError: the file cannot be read; see the reader of the format.
        """
        return cast(Reader, _load(self.reader))(path, member, overrides)

    def list_members(self, path: Path) -> tuple[str, ...]:
        """Return the names of all recordings in a file; empty if the file has only one recording."""
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
    Format("bdf", "BDF", is_bdf, "ecgssl.io.files.edf_reader:read_bdf"),
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
    Format("mfer", "MFER", is_mfer, "ecgssl.io.vendors.mfer_reader:read_mfer"),
    Format("ishne", "ISHNE", is_ishne, "ecgssl.io.vendors.ishne_reader:read_ishne"),
    Format("atc", "AliveCor ATC", is_atc, "ecgssl.io.vendors.atc_reader:read_atc"),
    Format(
        "apple_health",
        "Apple Health CSV",
        is_apple_health,
        "ecgssl.io.files.apple_health_reader:read_apple_health",
    ),
    # CSV is last, because its check is the least specific
    Format("csv", "CSV", is_csv, "ecgssl.io.files.csv_reader:read_csv"),
)
"""All supported formats, in the order in which they are checked."""


def identify(path: Path) -> Format:
    """Return the format of a file.

    Raises:
        RecordingError: reason ``missing_file``, ``unreadable`` or ``format`` (not supported).
    """
    head = b""
    with file_errors(path):
        # skip folders, which may have the name of a WFDB record, and pipes, which would block
        if path.is_file():
            with path.open("rb") as stream:
                head = stream.read(HEAD)
    for candidate in FORMATS:
        if candidate.recognises(path, head):
            return candidate
    if not path.exists():
        raise read_error("missing_file", path, "file", "does not exist", "Correct the path of the recording")
    if not path.is_file():
        raise read_error("unreadable", path, "file", "is not a regular file", "Use the path of a file")
    known = ", ".join(entry.title for entry in FORMATS)
    what, fix = "is not supported", f"Convert the file to one of: {known}"
    if found := other_table(path):
        what, fix = found
    elif path.suffix.lower() == ".dat":
        what = "is not supported; a WFDB signal file needs its header (.hea) in the same folder"
        fix = f"Add {path.stem}.hea, or convert the file to one of: {known}"
    raise read_error("format", path, "format", what, fix)
