"""Pool of processes that read and preprocess recordings. A process that hangs or crashes is replaced."""

from __future__ import annotations

import itertools
import multiprocessing
import queue
import resource
import shutil
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.config import QualityParams
from ecgssl.errors import Problem
from ecgssl.io.recording import Recording
from ecgssl.serving.read_upload import ReadJob, ReadResult, read_job
from ecgssl.serving.request_limits import RequestError, RequestLimits
from ecgssl.signal.leads import LEADS
from ecgssl.signal.spec import SignalSpec

_POLL = 0.1
"""Interval in s at which a waiting request checks whether its client is still connected."""
_GRACE = 2.0
"""Time in s that a process may continue after its client has disconnected. Replacing it takes about as long."""


@dataclass
class _Reader:
    process: Any
    connection: Connection
    folder: Path
    ready: bool = False

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ReaderPool:
    """Fixed number of reader processes, each with a private folder.

    Args:
        count: number of processes.
        root: private folder for uploaded files, which are removed after reading.
        spec, quality, lsb: preprocessing settings, quality limits and quantisation step (mV) of the bundle.
        limits: limits of a recording; ``windows``, ``values`` and ``memory`` are used.
    """

    def __init__(
        self,
        count: int,
        root: Path,
        spec: SignalSpec,
        quality: QualityParams,
        lsb: float,
        limits: RequestLimits | None = None,
    ) -> None:
        self.root, self._arguments = root, (spec, quality, lsb, limits or RequestLimits())
        self._numbers = itertools.count(1)
        self._idle: queue.Queue[_Reader | None] = queue.Queue()
        # start all processes before waiting for any of them, because their imports take seconds
        for reader in [self._start() for _ in range(count)]:
            _await_start(reader)
            self._idle.put(reader)

    def submit(self, job: ReadJob, seconds: float, gone: threading.Event | None = None) -> ReadResult:
        """Return the preprocessed recording of a job.

        Args:
            job: body, files or recording to read.
            seconds: time limit in s for waiting for a free process and reading the recording together. It restarts if the
                process must be started first.
            gone: event that is set if the client disconnects. A process that has not finished ``_GRACE`` s later is stopped.

        Raises:
            RequestError: the recording cannot be used, a limit is exceeded, the process crashed, or the client disconnected.
            RuntimeError: reading failed with an unexpected exception.
        """
        until = time.monotonic() + seconds
        try:
            reader = self._idle.get(timeout=seconds)
        except queue.Empty:
            what = f"no reader process became free within {seconds:g} s"
            raise RequestError(503, Problem("service", "load", what, "Try again later")) from None
        healthy = False
        try:
            if reader is None:
                reader = self._start()
            if not reader.ready:
                _await_start(reader)
                # starting a process takes seconds, which do not count towards the time limit
                until = time.monotonic() + seconds
            reader.connection.send(job)
            _await_answer(reader.connection, until, seconds, gone)
            answer = reader.connection.recv()
            healthy = True
        except (EOFError, OSError):
            # some libraries end the process if they get no memory
            what = (
                f"crashed the process that read it, or needs more than {self._arguments[-1].memory >> 20} MiB of memory"
            )
            problem = Problem("recording", "content", what, "Check the file, or export it again")
            raise RequestError(422, problem) from None
        finally:
            self._idle.put(reader if healthy else self._replace(reader))
        if isinstance(answer, RequestError):
            raise answer
        if not isinstance(answer, ReadResult):
            raise RuntimeError(f"the reader process failed with {answer}")
        return answer

    def close(self) -> None:
        """Stop all processes. No process may be reading a recording when this is called."""
        with suppress(queue.Empty):
            while True:
                reader = self._idle.get_nowait()
                if reader is not None:
                    reader.end()

    def _replace(self, reader: _Reader | None) -> _Reader | None:
        """Stop a process and return a new one, which imports its modules in the background; ``None`` if the start fails."""
        if reader is not None:
            reader.end()
        with suppress(OSError):
            return self._start()
        return None

    def _start(self) -> _Reader:
        folder = self.root / f"reader-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run_jobs, args=(theirs, folder, *self._arguments), daemon=True)
        process.start()
        theirs.close()
        return _Reader(process, ours, folder)


def _await_start(reader: _Reader) -> None:
    reader.connection.recv()
    reader.ready = True


def _await_answer(connection: Connection, until: float, seconds: float, gone: threading.Event | None) -> None:
    """Wait for the answer of a reader process.

    Raises:
        RequestError: there is no answer at the time ``until`` (``time.monotonic``), or ``_GRACE`` s after a disconnection.
    """
    while not connection.poll(min(_POLL, max(until - time.monotonic(), 0))):
        now = time.monotonic()
        if now >= until:
            if gone is not None and gone.is_set():
                raise RequestError(499, Problem("request", "client", "disconnected", "Wait for the response"))
            what = f"could not be read within {seconds:g} s"
            raise RequestError(
                422, Problem("recording", "time", what, "Shorten the recording, or use 'ecgssl predict'")
            )
        if gone is not None and gone.is_set():
            until = min(until, now + _GRACE)


def _run_jobs(
    connection: Connection, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float, limits: RequestLimits
) -> None:
    """Read and process jobs until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # load lazily imported libraries now, so that the first request is not delayed and the memory limit does not include them
    with suppress(RequestError):
        read_job(ReadJob(_spikes(spec), "contract"), folder, spec, quality, lsb, limits)
    _limit_memory(limits.memory)
    connection.send(None)
    with suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            answer: object
            try:
                answer = read_job(job, folder, spec, quality, lsb, limits)
            except RequestError as error:
                answer = error
            except Exception as error:
                # send only the exception type, because the message may contain request data
                answer = type(error).__name__
            connection.send(answer)


def _spikes(spec: SignalSpec) -> Recording:
    """Return a recording with 75 spikes per minute in all leads, which passes the checks, so that every step is run."""
    time = np.arange(round(spec.duration * spec.sampling_rate)) / spec.sampling_rate
    # without a slow wave, most samples have the same value and count as saturated
    wave = np.exp(-((((time % 0.8) - 0.4) / 0.02) ** 2)) + 0.1 * np.sin(2 * np.pi * 1.1 * time)
    # the limb leads obey III = II - I and the other limb-lead laws
    sizes = {"I": 1.0, "II": 3.0, "III": 2.0, "aVR": -2.0, "aVL": -0.5, "aVF": 2.5}
    size = np.array([sizes.get(lead, 1.0) for lead in LEADS])
    return Recording((size[:, None] * wave).astype(np.float32), spec.sampling_rate, LEADS, "")


def _limit_memory(extra: int) -> None:
    """Limit the address space of this process to its current size plus ``extra`` bytes, where the system supports it."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, hard))
