"""Reader for MATLAB files: the struct ``ECG`` of CPSC2018, and files with one array of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.io.files.array_layout import ONE_ARRAY, read_array
from ecgssl.io.files.matlab_file import Variables, read_variables
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, recording_meta
from ecgssl.io.read_errors import read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.signal.leads import LEADS

_SIGNALS = ("val", "feats", "ecg", "data", "signal")
"""Names that identify the array of samples in files with several arrays."""


def read_matlab(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a MATLAB file of any version. WFDB signal files with suffix ``.mat`` are read by ``read_wfdb`` instead.

    Two layouts are supported. CPSC2018 (Liu et al. 2018) is a struct ``ECG`` with ``sex``, ``age`` and ``data`` (12,
    samples) in mV, in the order of ``LEADS``; set the sampling rate with ``overrides``. Other files need a single array
    of samples, or one named ``val``, ``feats``, ``ecg``, ``data`` or ``signal``, at the top level or in their only
    struct. Other variables may contain sampling rate, unit and leads; ``ecgssl.io.files.array_layout`` lists their
    names.

    Args:
        path: path of the file.
        member: must be ``None``, because a file contains one recording.
        overrides: metadata that replace missing or wrong values of the file.

    Raises:
        RecordingError: reason ``content`` if the file has no array of samples or several. Errors of ``read_variables``
            and ``read_array`` propagate.
    """
    refuse_member(path, member)
    variables = read_variables(path)
    structs = {name: value for name, value in variables.items() if isinstance(value, dict)}
    fields = variables
    if "ECG" in structs:
        fields = structs["ECG"]
    elif len(structs) == 1 and not _arrays(variables):
        (fields,) = structs.values()
    arrays = _arrays(fields)
    if len(arrays) > 1:
        arrays = {name: array for name, array in arrays.items() if name.lower() in _SIGNALS}
    if len(arrays) != 1:
        what = f"one array of samples is required, named {', '.join(_SIGNALS)} if there are others; found {len(arrays)}"
        raise read_error("content", path, "variables", what, ONE_ARRAY)
    ((name, array),) = arrays.items()
    cpsc = "ECG" in structs and name == "data" and array.shape[0] == len(LEADS)
    return read_array(
        path,
        array,
        overrides,
        record_id=path.stem,
        name="matlab",
        entries=fields,
        unit="mV" if cpsc else None,
        leads=LEADS if cpsc else None,
        meta=_patient(fields),
    )


def _arrays(fields: Variables) -> Variables:
    """Return the arrays with more than one value; MATLAB stores single numbers as arrays too."""
    return {name: value for name, value in fields.items() if isinstance(value, np.ndarray) and value.size > 1}


def _patient(fields: Variables) -> dict[str, Any]:
    age, sex = fields.get("age"), fields.get("sex")
    years = float(age.reshape(-1)[0]) if isinstance(age, np.ndarray) and age.size == 1 else None
    return recording_meta(years, sex if isinstance(sex, str) else None)
