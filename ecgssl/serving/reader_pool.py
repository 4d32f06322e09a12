"""Pool of processes that read and preprocess recordings. A process that hangs or crashes is replaced."""

from __future__ import annotations

import multiprocessing
import queue
import shutil
import signal
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
from ecgssl.serving.read_upload import ReadJob, ReadResult, RejectedUpload, read_job
from ecgssl.serving.request_limits import RequestError
from ecgssl.signal.quality import r_peaks
from ecgssl.signal.spec import SignalSpec


@dataclass
class _Reader:
    process: Any
    connection: Connection
    folder: Path

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
    """

    def __init__(self, count: int, root: Path, spec: SignalSpec, quality: QualityParams, lsb: float) -> None:
        self._root, self._arguments = root, (spec, quality, lsb)
        self._number = 0
        self._idle: queue.Queue[_Reader | None] = queue.Queue()
        # start all processes before waiting for any of them, because their imports take seconds
        for reader in [self._start() for _ in range(count)]:
            reader.connection.recv()
            self._idle.put(reader)

    def submit(self, job: ReadJob, seconds: float) -> ReadResult:
        """Return the preprocessed recording of a job.

        Args:
            job: files or recording to read.
            seconds: time limit in s for waiting for a free process and reading the recording.

        Raises:
            RequestError: the recording cannot be used, the time limit is exceeded, or the process crashed.
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
                reader.connection.recv()
                # start the time limit again, because starting a process takes seconds
                until = time.monotonic() + seconds
            reader.connection.send(job)
            if not reader.connection.poll(max(until - time.monotonic(), 0)):
                what = f"could not be read within {seconds:g} s"
                raise RequestError(
                    422, Problem("recording", "time", what, "Shorten the recording, or use 'ecgssl predict'")
                )
            answer = reader.connection.recv()
            healthy = True
        except (EOFError, OSError):
            problem = Problem(
                "recording", "content", "crashed the process that read it", "Check the file, or export it again"
            )
            raise RequestError(422, problem) from None
        finally:
            if not healthy and reader is not None:
                reader.end()
            # put None into the queue if the process failed; the next request then starts a new process
            self._idle.put(reader if healthy else None)
        if isinstance(answer, RejectedUpload):
            field, _, what = answer.detail.partition(": ")
            problem = Problem("recording", field, what or answer.reasons, "Fix the file, or use another recording")
            raise RequestError(422, problem, tuple(answer.reasons.split(";")))
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

    def _start(self) -> _Reader:
        self._number += 1
        folder = self._root / f"reader-{self._number}"
        folder.mkdir(mode=0o700)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run_jobs, args=(theirs, folder, *self._arguments), daemon=True)
        process.start()
        theirs.close()
        return _Reader(process, ours, folder)


def _run_jobs(connection: Connection, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float) -> None:
    """Read and process jobs until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # load lazily imported libraries now, so that the first request is not delayed
    silent = Recording(
        np.zeros((1, round(spec.duration * spec.sampling_rate)), np.float32), spec.sampling_rate, ("I",), ""
    )
    read_job(ReadJob(silent, "contract"), folder, spec, quality, lsb)
    r_peaks(np.zeros(spec.samples, np.float32), spec.sampling_rate)
    connection.send(None)
    with suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            answer: object
            try:
                answer = read_job(job, folder, spec, quality, lsb)
            except Exception as error:
                # send only the exception type, because the message may contain request data
                answer = type(error).__name__
            connection.send(answer)
