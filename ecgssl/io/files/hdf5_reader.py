"""HDF5 files to ``Recording``: the layouts of SPH and CODE-15%, and files with one plain array."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.files.array_layout import MOST_MEMBERS, read_array, said_leads, said_rate, said_unit
from ecgssl.io.files.hdf5_file import attributes, children, is_numeric, only_array, open_hdf5, read_small
from ecgssl.io.files.hdf5_samples import Samples
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.read_errors import refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size
from ecgssl.signal.leads import LEADS


def read_hdf5(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read one recording of an HDF5 file.

    Three layouts are known. **CODE-15%** (Ribeiro et al. 2021): ``exam_id`` (N,) and ``tracings`` (N, samples, 12), in mV
    and the order of ``LEADS``; a member is an exam by its id, wherever it lies, and the zeros that fill it up at both ends
    are taken off (``meta["padding_stripped"]``: how many samples at each). **SPH** (Liu et al. 2022): ``ecg`` (12, samples)
    as float16, likewise mV in the order of ``LEADS``. **Any other file** with a single two-dimensional array of numbers;
    attributes of the array or of the file may give rate, unit and leads (names: ``ecgssl.io.files.array_layout``).

    Args:
        path: the file.
        member: exam id, for the first layout only.
        overrides: what the file leaves open, which is the sampling rate in the first two layouts.

    Raises:
        RecordingError: ``unreadable``, ``member`` (absent, ambiguous or not named), ``content`` (another layout), ``length``
            (a tracing of zeros only), ``too_large``; and as ``children``, ``Samples`` and ``read_array``.
    """
    with open_hdf5(path) as file:
        top = children(path, file)
        if {"exam_id", "tracings"} <= top.keys():
            return _read_exam(path, top, member, overrides)
        refuse_member(path, member)
        array = only_array(path, top)
        told = attributes(path, file) | attributes(path, array)
        sph = array.name == "/ecg" and array.dtype == np.float16 and array.shape[0] == len(LEADS)
        return read_array(
            path,
            Samples(path, array),
            overrides,
            record_id=path.stem,
            name="hdf5",
            sampling_rate=said_rate(told),
            unit=said_unit(told) or ("mV" if sph else None),
            leads=said_leads(told) or (LEADS if sph else None),
        )


def hdf5_members(path: Path) -> tuple[str, ...]:
    """Exam ids of a file in the layout of CODE-15%, in its order; empty for other layouts."""
    with open_hdf5(path) as file:
        top = children(path, file)
        if not {"exam_id", "tracings"} <= top.keys():
            return ()
        # the last row of each part of the set is empty and has the id 0
        return tuple(dict.fromkeys(str(exam) for exam in _exam_ids(path, top["exam_id"]).tolist() if exam != 0))


def _read_exam(path: Path, top: dict[str, Any], member: str | None, overrides: MetadataOverrides) -> Recording:
    if member is None:
        raise _error("member", path, "member", "the file holds many exams, none is named")
    ids, tracings = _exam_ids(path, top["exam_id"]), top["tracings"]
    number = int(member) if re.fullmatch(r"[0-9]{1,18}", member) else 0
    found = np.flatnonzero((ids == number) & (ids != 0))
    if len(found) != 1:
        raise _error("member", path, f"exam {member[:20]!r}", f"occurs {len(found)} times")
    if not is_numeric(tracings) or tracings.ndim != 3 or len(tracings) != len(ids):
        raise _error("content", path, "tracings", f"are not {len(ids)} exams of samples and leads")
    check_size(path, *tracings.shape[:0:-1])
    row = int(found[0])
    samples, (before, after) = _without_padding(Samples(path, tracings).rows(row, row + 1)[0])
    if len(samples) == 0:
        raise _error("length", path, f"exam {member}", "holds zeros only")
    known = samples.shape[1] == len(LEADS)
    return read_array(
        path,
        samples,
        overrides,
        record_id=member,
        name="hdf5",
        unit="mV" if known else None,
        leads=LEADS if known else None,
        meta={"padding_stripped": (before, after)},
    )


def _exam_ids(path: Path, dataset: Any) -> NDArray[Any]:
    if not is_numeric(dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "iu":
        raise _error("content", path, "exam_id", "is no list of whole numbers")
    return read_small(path, dataset, MOST_MEMBERS)


def _without_padding(samples: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, int]]:
    """Samples (samples, leads) without the zeros at both ends, as many on either side to within one sample.

    What one side has beyond the other was recorded: a flat line is for the quality checks to find.
    """
    filled = np.flatnonzero(samples.any(axis=1))
    if len(filled) == 0:
        return samples[:0], (len(samples), 0)
    before, after = int(filled[0]), len(samples) - 1 - int(filled[-1])
    before, after = min(before, after + 1), min(after, before + 1)
    return samples[before : len(samples) - after], (before, after)


_REMEDY = {
    "member": "Name one exam by its id, as file#id",
    "content": "Keep one array of leads x samples in the file",
    "length": "Leave the exam out",
}


def _error(reason: str, path: Path, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(str(path), field, what, _REMEDY[reason]))
