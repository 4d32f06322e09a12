"""Reader for HDF5 files: the layouts of CODE-15% and SPH, and files with a single array of samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.io.files.array_layout import MOST_MEMBERS, ONE_ARRAY, read_array
from ecgssl.io.files.hdf5_file import attributes, children, is_numeric, only_array, open_hdf5, read_small
from ecgssl.io.files.hdf5_samples import Samples
from ecgssl.io.metadata import NO_OVERRIDES, MetadataOverrides
from ecgssl.io.read_errors import read_error, refuse_member
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import check_size
from ecgssl.signal.leads import LEADS


def read_hdf5(path: Path, member: str | None = None, overrides: MetadataOverrides = NO_OVERRIDES) -> Recording:
    """Read one recording of an HDF5 file.

    Three layouts are supported:

    - CODE-15% (Ribeiro et al. 2021): ``exam_id`` (N,) and ``tracings`` (N, samples, 12) in mV, leads as in ``LEADS``.
      The zero padding is removed; ``meta["padding_stripped"]`` is the number of samples removed at each end.
    - SPH (Liu et al. 2022): ``ecg`` (12, samples) as float16 in mV, in the order of ``LEADS``.
    - Files with a single two-dimensional array of numbers. Attributes of the array or the file may contain sampling
      rate, unit and leads; ``ecgssl.io.files.array_layout`` lists their names.

    Args:
        path: path of the file.
        member: exam id, required for files in the CODE-15% layout.
        overrides: metadata that replace missing or wrong values of the file, for example the sampling rate, which
            CODE-15% and SPH files do not contain.

    Raises:
        RecordingError: reason ``unreadable``, ``member`` (missing, ambiguous or not selected), ``content`` (another
            layout), ``length`` (only zeros) or ``too_large``. Errors of ``children``, ``Samples`` and ``read_array``
            propagate.
    """
    with open_hdf5(path) as file:
        top = children(path, file)
        if {"exam_id", "tracings"} <= top.keys():
            return _read_exam(path, top, member, overrides)
        refuse_member(path, member)
        array = only_array(path, top)
        sph = array.name == "/ecg" and array.dtype == np.float16 and array.shape[0] == len(LEADS)
        return read_array(
            path,
            Samples(path, array),
            overrides,
            record_id=path.stem,
            name="hdf5",
            entries=attributes(path, file) | attributes(path, array),
            unit="mV" if sph else None,
            leads=LEADS if sph else None,
        )


def hdf5_members(path: Path) -> tuple[str, ...]:
    """Return the exam ids of a CODE-15% file, in the order of the file; empty for other layouts."""
    with open_hdf5(path) as file:
        top = children(path, file)
        if not {"exam_id", "tracings"} <= top.keys():
            return ()
        # the last row of each CODE-15% file is empty and has exam id 0
        return tuple(dict.fromkeys(str(exam) for exam in _exam_ids(path, top["exam_id"]).tolist() if exam != 0))


def _read_exam(path: Path, top: dict[str, Any], member: str | None, overrides: MetadataOverrides) -> Recording:
    select = "Select an exam by its id: file#id"
    if member is None:
        raise read_error("member", path, "member", "the file contains many exams, but none is selected", select)
    ids, tracings = _exam_ids(path, top["exam_id"]), top["tracings"]
    number = int(member) if re.fullmatch(r"[0-9]{1,18}", member) else 0
    found = np.flatnonzero((ids == number) & (ids != 0))
    if len(found) != 1:
        raise read_error("member", path, "member", f"occurs {len(found)} times", select)
    if not is_numeric(tracings) or tracings.ndim != 3 or len(tracings) != len(ids):
        raise read_error(
            "content",
            path,
            "tracings",
            "do not have the shape (exams, samples, leads) with one exam for each id",
            ONE_ARRAY,
        )
    check_size(path, *tracings.shape[:0:-1])
    row = int(found[0])
    samples, padding = _strip_padding(Samples(path, tracings).rows(row, row + 1)[0])
    if len(samples) == 0:
        raise read_error("length", path, "exam", "contains only zeros", "Remove the exam from the cohort")
    known = samples.shape[1] == len(LEADS)
    return read_array(
        path,
        samples,
        overrides,
        record_id=member,
        name="hdf5",
        unit="mV" if known else None,
        leads=LEADS if known else None,
        meta={"padding_stripped": padding},
    )


def _exam_ids(path: Path, dataset: Any) -> NDArray[Any]:
    if not is_numeric(dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "iu":
        raise read_error("content", path, "exam_id", "is not a list of whole numbers")
    return read_small(path, dataset, MOST_MEMBERS)


def _strip_padding(samples: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, int]]:
    """Remove the zero padding of samples (samples, leads). Return the samples and the number removed at each end.

    Padding is symmetric up to one sample. Additional zeros at one end are part of the recording and are kept.
    """
    filled = np.flatnonzero(samples.any(axis=1))
    if len(filled) == 0:
        return samples[:0], (len(samples), 0)
    before, after = int(filled[0]), len(samples) - 1 - int(filled[-1])
    before, after = min(before, after + 1), min(after, before + 1)
    return samples[before : len(samples) - after], (before, after)
