"""Worker process of the fuzz tests: reads damaged files with limited memory; see ``fuzz_runner``."""

from __future__ import annotations

import dataclasses
import json
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from fuzz_bombs import BOMBS
from fuzz_seeds import Seed, make_seeds
from hospital_checks import leaked
from hospital_xml import PERSON
from mutations import mutate

from ecgssl.errors import RecordingError
from ecgssl.io import read
from ecgssl.io.listing import find_recordings
from ecgssl.io.recording import Recording
from ecgssl.io.size_limits import LARGEST
from ecgssl.signal.leads import canonical

MEMORY = 3 << 30
"""Bytes of address space that the process may allocate after its libraries are loaded."""

RESIDENT = 1536
"""MiB of memory that one file may use: the largest recording (``size_limits.LARGEST``) as float64 and as float32."""

REASONS = {
    "checksum", "compressed", "content", "duplicate_lead", "entities", "format", "gain", "gaps", "header", "leads",
    "length", "link", "member", "missing_extra", "missing_file", "no_leads", "rate", "rates", "skew", "too_large",
    "truncated", "unit", "unreadable",
}  # fmt: skip
"""Reason codes of the readers."""

META = {
    "format", "age", "sex", "device", "filters", "overridden", "repaired", "ignored", "leads_off", "pace_spikes",
    "preamble", "skew", "unnamed_channels", "calibration", "padding_stripped",
    "left_out", "inverted", "uncalibrated", "flags",
}  # fmt: skip


def check_recording(recording: Recording, private: bool) -> None:
    """Check the invariants of a recording from a damaged file."""
    signal = recording.signal
    assert signal.dtype == np.float32, signal.dtype
    assert signal.ndim == 2, signal.shape
    assert 0 < signal.size <= LARGEST, signal.shape
    assert not np.isinf(signal).any(), "inf"
    leads = [canonical(lead) for lead in recording.leads]
    assert None not in leads, recording.leads
    assert len(set(leads)) == len(leads) == len(signal), recording.leads
    assert 0 < recording.sampling_rate < np.inf, recording.sampling_rate
    assert set(recording.meta) <= META, recording.meta
    fields = {f.name: getattr(recording, f.name) for f in dataclasses.fields(recording) if f.name != "signal"}
    assert not (private and leaked(repr(fields))), fields
    "".join(recording.leads).encode()


def check_error(error: RecordingError, private: bool) -> None:
    """Check the error for a refused file."""
    assert error.reason in REASONS, error.reason
    assert all(problem.where and problem.field and problem.what and problem.remedy for problem in error.problems)
    assert len(str(error)) < 2000, str(error)[:2000]
    assert not (private and leaked(str(error))), str(error)
    # the message must be encodable
    str(error).encode()
    cause: BaseException | None = error
    while cause is not None:
        # the limit applies to this process only and protects the memory of the machine
        assert not isinstance(cause, MemoryError), "a memory error was reported as a fault of the file"
        cause = cause.__cause__ or cause.__context__


def in_place(original: bytes, damaged: bytes) -> bool:
    """Return whether the patient data are unchanged; a patient name in a lead field would be reported as a lead name."""

    def before(data: bytes) -> set[bytes]:
        words = [re.escape(word.encode()) for word in PERSON.values()]
        return {data[max(place.start() - 12, 0) : place.start()] for place in re.finditer(b"|".join(words), data)}

    return before(damaged) <= before(original)


def attempt(seed: Seed, data: bytes, folder: Path, private: bool = True) -> str:
    """Read a file with ``ecgssl.io.read`` and return ``recording`` or the reason code.

    Args:
        seed: file name and accompanying files.
        data: content of the file.
        folder: folder to create.
        private: whether to check that the made-up patient data are absent from the result.
    """
    folder.mkdir()
    for name, beside in seed.beside.items():
        (folder / name).write_bytes(beside)
    (folder / seed.file).write_bytes(data)
    path = folder / (seed.asked or seed.file)
    find_recordings(folder)
    outcome = ""
    for member in seed.members:
        try:
            check_recording(read(path if member is None else f"{path}#{member}", overrides=seed.overrides), private)
            outcome = "recording"
        except RecordingError as error:
            check_error(error, private)
            outcome = outcome or error.reason
    return outcome


def main() -> None:
    """Answer each input line (format and name of the seed, number) with the outcome, CPU seconds and MiB of memory."""
    seeds = {(seed.format, seed.name): seed for seed in make_seeds()}
    # readers must not print warnings on damaged files: with many files they would flood the terminal
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", DeprecationWarning)
    # the pipe to the parent process, separate from the output of libraries
    answers = sys.stdout
    sys.stdout = sys.stderr
    warm: set[str] = set()
    for line in sys.stdin:
        form, name, number = json.loads(line)
        if form not in warm:
            warm.add(form)
            warm_up([seed for seed in seeds.values() if seed.format == form])
        print(json.dumps(one_case(seeds, form, name, number)), file=answers, flush=True)


def warm_up(seeds: list[Seed]) -> None:
    """Import the libraries of a format, which do not count as time or memory of its files, and set the memory limit."""
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            attempt(seed, seed.wrap(seed.content), Path(place, "case"))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, most))


def peak(reset: bool = False) -> float:
    """Return the peak resident MiB since the last reset; ``reset`` sets the peak to the current value."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def one_case(seeds: dict[tuple[str, str], Seed], form: str, name: str, number: int) -> dict[str, object]:
    """Build, read and check one file."""
    place = Path(tempfile.mkdtemp())
    try:
        if (form, name) in seeds:
            seed = seeds[form, name]
            damaged = mutate(seed.content, number, seed.kind)
            data, private = seed.wrap(damaged), in_place(seed.content, damaged)
        else:
            seed = BOMBS[name].seed
            data, private = BOMBS[name].make(), True
        before = peak(reset=True)
        start = time.process_time()
        try:
            outcome, failure = attempt(seed, data, place / "case", private), ""
        except BaseException as error:
            outcome, failure = f"FAILED {type(error).__name__}", traceback.format_exc(limit=-6)
        seconds, taken = time.process_time() - start, peak() - before
        if taken > RESIDENT and not failure:
            failure = f"took {taken:.0f} MiB"
    finally:
        shutil.rmtree(place)
    return {"outcome": outcome, "seconds": seconds, "taken": taken, "failure": failure}


if __name__ == "__main__":
    main()
