"""Effect of two hostile requests on other clients of the HTTP service and on its memory.

    python benchmarks/serving_attacks.py > serving_attacks.json

1. One upload with 1,080 windows (26 MB), whose client disconnects after a few seconds. Printed: the longest time that other
   clients waited for ``/embed`` and for ``/health``.
2. One JSON body of 30 MB. Printed: the peak memory of the main process, and the largest one of a child process.

The model is an encoder of preset tiny with random weights. The service runs as ``ecgssl serve`` of the installed package.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import requests

from ecgssl.config import ExportParams, ModelParams, QualityParams
from ecgssl.export.bundle import export_bundle
from ecgssl.model.encoder import Encoder
from ecgssl.signal.leads import LEADS, LIMB_MATRIX
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.checkpoint import save_model

RATE = 100
LEAVES = 6.0
"""Time in s after which the client of the long upload disconnects."""


def make_bundle(folder: Path) -> Path:
    """Return a bundle of an encoder with random weights."""
    spec = SignalSpec()
    save_model(folder / "model", Encoder(ModelParams(), spec.leads, spec.samples), spec)
    export_bundle(folder / "model", folder / "bundle", ExportParams(raw_rates=[], pt2=False), quality=QualityParams())
    return folder / "bundle"


def beats(seconds: float) -> np.ndarray:
    """Return (12, samples) int16 in uV with one beat per second."""
    time_in_beat = np.arange(round(seconds * RATE)) / RATE % 1.0
    wave = sum(
        size * np.exp(-0.5 * ((time_in_beat - place) / width) ** 2)
        for place, width, size in ((0.3, 0.02, 1.0), (0.55, 0.06, 0.3), (0.12, 0.03, 0.1))
    )
    noise = np.random.default_rng(0).normal(0, 0.01, (8, wave.size))
    sources = np.linspace(0.6, 1.2, 8)[:, None] * wave + noise
    return np.rint(1000 * np.concatenate([LIMB_MATRIX @ sources[:2], sources[2:]])).astype(np.int16)


def wfdb_files(windows: int) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the form fields of a WFDB record with ``windows`` windows of 10 s."""
    signal = beats(10.0 * windows)
    lines = [
        f"r 12 {RATE} {signal.shape[1]}",
        *(f"r.dat 16 1000/mV 16 0 {row[0]} 0 0 {lead}" for row, lead in zip(signal, LEADS, strict=True)),
    ]
    return [("files", ("r.hea", "\n".join(lines).encode())), ("files", ("r.dat", signal.T.tobytes()))]


def memory(pid: int, name: str) -> float:
    """Return the field ``name`` of ``/proc/PID/status`` in MiB, for example the peak memory ``VmHWM``."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0]) / 1024


def peak_of_children(pid: int) -> float:
    """Return the largest peak memory of the child processes in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max(memory(int(child), "VmHWM") for child in children)


class OtherClient(threading.Thread):
    """Client that sends one request after another to ``/embed`` or ``/health``, and records the waiting times.

    Args:
        address: address of the service.
        health: whether to use ``/health`` instead of ``/embed``.
    """

    def __init__(self, address: str, health: bool) -> None:
        super().__init__(daemon=True)
        self.address, self.health = address, health
        self.ends = threading.Event()
        self.waits: list[tuple[float, float]] = []
        body = {"signal": (beats(10) / 1000).tolist(), "sampling_rate": RATE, "leads": list(LEADS)}
        self.body = json.dumps(body).encode()

    def run(self) -> None:
        """Send requests until ``ends`` is set."""
        while not self.ends.is_set():
            start = time.monotonic()
            if self.health:
                answer = requests.get(f"{self.address}/health", timeout=300)
            else:
                headers = {"content-type": "application/json"}
                answer = requests.post(f"{self.address}/embed", data=self.body, headers=headers, timeout=300)
            answer.raise_for_status()
            self.waits.append((start, time.monotonic() - start))
            time.sleep(0.2)

    def longest(self, since: float = 0.0) -> float:
        """Return the longest waiting time in s of requests that ended at or after the time ``since``."""
        return max((wait for start, wait in self.waits if start + wait >= since), default=0.0)


def long_upload(address: str, windows: int) -> dict[str, float]:
    """Upload a recording with many windows, and return the longest waiting times of other clients in s."""
    others = [OtherClient(address, health) for health in (False, True)]
    for other in others:
        other.start()
    time.sleep(5)
    idle = others[0].longest()
    files, start = wfdb_files(windows), time.monotonic()
    outcome = "disconnected"
    try:
        answer = requests.post(f"{address}/embed?windows=mean", files=files, timeout=(5, LEAVES))
        outcome = f"status {answer.status_code}"
    except requests.Timeout:
        pass
    left = time.monotonic()
    for other in others:
        other.ends.set()
    for other in others:
        other.join(300)
    return {
        "upload_bytes": sum(len(content) for _, (_, content) in files),
        "upload_outcome": outcome,  # type: ignore[dict-item]
        "score_longest_wait_idle_s": idle,
        "score_longest_wait_s": others[0].longest(start),
        "health_longest_wait_s": others[1].longest(start),
        "blocked_after_client_left_s": max(0.0, time.monotonic() - left),
    }


def large_json(address: str, pid: int, size: int) -> dict[str, Any]:
    """Send a JSON body of about ``size`` bytes, and return the peak memory of the service before and after it."""
    before = memory(pid, "VmHWM")
    row = ",".join(["0.1"] * (size // 12 // 4))
    body = f'{{"signal": [{",".join([f"[{row}]"] * 12)}], "sampling_rate": 500, "leads": {json.dumps(list(LEADS))}}}'
    headers = {"content-type": "application/json"}
    answer = requests.post(f"{address}/embed", data=body.encode(), headers=headers, timeout=300)
    return {
        "json_bytes": len(body),
        "json_status": answer.status_code,
        "main_peak_before_mib": before,
        "main_peak_after_mib": memory(pid, "VmHWM"),
        "reader_peak_after_mib": peak_of_children(pid),
    }


def main() -> None:
    """Run each attack against a new service, and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1080)
    parser.add_argument("--json-bytes", type=int, default=30_000_000)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"windows": arguments.windows, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as temporary:
        bundle = make_bundle(Path(temporary))
        for attack in ("long_upload", "large_json"):
            command = [sys.executable, "-m", "ecgssl", "serve", "--bundle", str(bundle), "--port", "0"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                try:
                    assert process.stdout is not None
                    address = process.stdout.readline().split()[0]
                    if attack == "long_upload":
                        figures[attack] = long_upload(address, arguments.windows)
                    else:
                        figures[attack] = large_json(address, process.pid, arguments.json_bytes)
                finally:
                    process.terminate()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
