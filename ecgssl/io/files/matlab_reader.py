"""MATLAB files to ``Recording``: the struct ``ECG`` of CPSC2018, and files with one array of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.files.array_layout import read_array, said_leads, said_rate, said_unit
from ecgssl.io.files.matlab_file import Variables, read_variables
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides, recording_meta
from ecgssl.io.read_errors import refuse_member
from ecgssl.io.recording import Recording
from ecgssl.signal.leads import LEADS

_SIGNALS = ("val", "feats", "ecg", "data", "signal")
"""What the samples are called where a file holds several arrays."""


def read_matlab(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read a MATLAB file of any version. A signal file of WFDB with its header beside it is none, whatever its suffix.

    Two layouts are known. **CPSC2018** (Liu et al. 2018): a struct ``ECG`` with ``sex``, ``age`` and ``data`` (12, samples),
    in mV and the order of ``LEADS``, at a sampling rate that must be overrides. **Any other file** with a single array of
    samples, or one that is called ``val``, ``feats``, ``ecg``, ``data`` or ``signal``, at the top or in its only struct;
    variables beside it may say rate, unit and leads (``ecgssl.io.files.array_layout`` tells what they are called).

    Args:
        path: the file.
        member: none, a file is one recording.
        overrides: what the file leaves open.

    Raises:
        RecordingError: ``content`` (no array of samples, or several); as ``read_variables`` and ``read_array``.
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
        names = ", ".join(name[:20] for name in fields if not name.startswith("__"))[:100] or "none"
        raise _error("content", path, "variables", f"one array of samples is needed; there are: {names}")
    ((name, array),) = arrays.items()
    cpsc = "ECG" in structs and name == "data" and array.shape[0] == len(LEADS)
    return read_array(
        path,
        array,
        overrides,
        record_id=path.stem,
        name="matlab",
        sampling_rate=said_rate(fields),
        unit=said_unit(fields) or ("mV" if cpsc else None),
        leads=said_leads(fields) or (LEADS if cpsc else None),
        meta=_person(fields),
    )


def _arrays(fields: Variables) -> Variables:
    """Arrays that can be samples: numbers are arrays as well in MATLAB."""
    return {name: value for name, value in fields.items() if isinstance(value, np.ndarray) and value.size > 1}


def _person(fields: Variables) -> dict[str, Any]:
    age, sex = fields.get("age"), fields.get("sex")
    years = float(age.reshape(-1)[0]) if isinstance(age, np.ndarray) and age.size == 1 else None
    return dict(recording_meta(years, sex if isinstance(sex, str) else None))


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, "Save one array of leads x samples"))
