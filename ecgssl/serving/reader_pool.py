"""Processes that read and clean what was sent: one that hangs or dies on a file is replaced, and the service lives on."""

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
    """A fixed number of reading processes, each with a folder of its own.

    Args:
        count: how many.
        root: private folder for what has to be a file while it is read.
        spec, quality, lsb: of the bundle.
    """

    def __init__(self, count: int, root: Path, spec: SignalSpec, quality: QualityParams, lsb: float) -> None:
        self._root, self._given = root, (spec, quality, lsb)
        self._number = 0
        self._idle: queue.Queue[_Reader | None] = queue.Queue()
        # started together, awaited together: each takes seconds to import
        for reader in [self._start() for _ in range(count)]:
            reader.connection.recv()
            self._idle.put(reader)

    def ask(self, job: ReadJob, seconds: float) -> ReadResult:
        """Read and prepare.

        Args:
            job: what was sent.
            seconds: for a process to be free and to answer.

        Raises:
            Refused: the recording cannot be used, the time is up, or the process died.
        """
        until = time.monotonic() + seconds
        try:
            reader = self._idle.get(timeout=seconds)
        except queue.Empty:
            raise RequestError(503, Problem("service", "load", "was busy for too long", "Try again later")) from None
        sound = False
        try:
            if reader is None:
                reader = self._start()
                reader.connection.recv()
                # starting takes seconds that are not the recording's
                until = time.monotonic() + seconds
            reader.connection.send(job)
            if not reader.connection.poll(max(until - time.monotonic(), 0)):
                what = f"could not be read within {seconds:g} s"
                raise RequestError(
                    422, Problem("recording", "time", what, "Cut the recording, or use 'ecgssl predict'")
                )
            answer = reader.connection.recv()
            sound = True
        except (EOFError, OSError):
            problem = Problem("recording", "content", "ended the process that read it", "Mend the file at its source")
            raise RequestError(422, problem) from None
        finally:
            if not sound and reader is not None:
                reader.end()
            # a new one is started by the next request, which finds that there is none
            self._idle.put(reader if sound else None)
        if isinstance(answer, RejectedUpload):
            field, _, what = answer.detail.partition(": ")
            problem = Problem("recording", field, what or answer.reasons, "Mend it at its source, or leave it out")
            raise RequestError(422, problem, tuple(answer.reasons.split(";")))
        if not isinstance(answer, ReadResult):
            raise RuntimeError(f"reading met {answer}")
        return answer

    def close(self) -> None:
        """End all processes; none may be at work."""
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
        process = context.Process(target=_serve, args=(theirs, folder, *self._given), daemon=True)
        process.start()
        theirs.close()
        return _Reader(process, ours, folder)


def _serve(connection: Connection, folder: Path, spec: SignalSpec, quality: QualityParams, lsb: float) -> None:
    """Answer jobs until the service is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what the first recording would otherwise wait for: libraries that are imported where they are used
    still = Recording(
        np.zeros((1, round(spec.duration * spec.sampling_rate)), np.float32), spec.sampling_rate, ("I",), ""
    )
    read_job(ReadJob(still, "contract"), folder, spec, quality, lsb)
    r_peaks(np.zeros(spec.samples, np.float32), spec.sampling_rate)
    connection.send(None)
    with suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            answer: object
            try:
                answer = read_job(job, folder, spec, quality, lsb)
            except Exception as error:
                # without its message, which may hold what was sent
                answer = type(error).__name__
            connection.send(answer)
