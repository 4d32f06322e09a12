"""Memory and time of opening, sampling and selecting a generated corpus of 800,000 recordings in 3,200 shards.

Shards are sparse files: they have the size of real shards, but use no disk space. The index has random waveform codes and
five recordings per patient. The folder is removed at the end. Every stage runs in a separate process.

    python benchmarks/corpus_scale.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecgssl.leakage.select_recordings import select_recordings
from ecgssl.pretraining.sampling import Sampler
from ecgssl.signal.spec import SignalSpec
from ecgssl.signal.waveform_hash import CODE_BYTES, HEADER_BYTES, POINTS, VERSION
from ecgssl.store import layout
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store

STAGES = ("open", "sample", "read", "select")
STEPS, BATCH = 1000, 256


def generate(folder: Path, recordings: int, shards: int, seed: int, copied: int = 0) -> None:
    """Write a store with sparse shards; the first ``copied`` recordings have the codes of seed 0."""
    folder.mkdir()
    rng, spec = np.random.default_rng(seed), SignalSpec()
    sizes = np.diff(np.linspace(0, recordings, shards + 1).astype(int)).tolist()
    listed = []
    for number, size in enumerate(sizes):
        path, shape = folder / layout.shard_name(number), (size, len(spec.leads), spec.samples)
        with path.open("wb") as stream:
            header = {"descr": "<i2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.truncate(stream.tell() + 2 * int(np.prod(shape)))
        digest = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        listed.append({"file": path.name, "count": size, "sha256": digest})
    codes = rng.integers(0, 256, (recordings, CODE_BYTES), np.uint8)
    codes[:copied] = np.random.default_rng(0).integers(0, 256, (copied, CODE_BYTES), np.uint8)
    codes[:, :HEADER_BYTES] = VERSION, POINTS, 255
    text = codes.tobytes().hex()
    patients = rng.integers(0, recordings // 5, recordings)
    split = np.array(["train"] * 18 + ["val", "test"])[patients % 20]
    width = 2 * CODE_BYTES
    table = {
        "record_id": [f"r{row}" for row in range(recordings)],
        "patient": [f"{seed:04x}{patient:012x}" for patient in patients.tolist()],
        "split": split,
        "lead_mask": np.full(recordings, 4095),
        "waveform_hash": [text[start : start + width] for start in range(0, len(text), width)],
        **{name: rng.normal(size=recordings) for name in layout.FIGURE_COLUMNS},
    }
    pq.write_table(pa.table(table), folder / layout.INDEX, compression="zstd")
    about: dict[str, Any] = {
        "format": layout.FORMAT, "version": layout.VERSION, "spec": spec.to_dict(), "fingerprint": spec.fingerprint,
        "targets": [], "lsb": 0.001, "count": recordings, "shards": listed, "index_sha256": "",
        "cohort": {"name": folder.name, "licence": ""}, "patient_numbering": folder.name,
    }  # fmt: skip
    (folder / layout.SPEC).write_text(json.dumps(about))


def measure(stage: str, folder: Path) -> dict[str, float]:
    """Run one stage, and return its seconds of wall and CPU time and the largest memory of the process in MB."""
    idle = _memory()
    wall, cpu = time.perf_counter(), time.process_time()
    stores = {name: Store(folder / name) for name in ("large", "small")}
    corpus = Corpus(stores)
    out: dict[str, float] = {}
    if stage in ("sample", "read"):
        sampler = Sampler(corpus, "balanced" if stage == "read" else "proportional", BATCH, 0)
        wall, cpu = time.perf_counter(), time.process_time()
        for step in range(STEPS if stage == "sample" else STEPS // 20):
            rows = sampler(step)
            if stage == "read":
                corpus.signals(rows)
        if stage == "read":
            out["open_files"] = len(list(Path("/proc/self/fd").iterdir()))
    elif stage == "select":
        selection = select_recordings(stores, ["large"], {"task": "small"})
        out["left_out"] = len(selection.sets["large"].rows)
    seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return {**seconds, "memory_mb": _memory(), "memory_mb_of_imports": idle, **out}


def _memory() -> float:
    # ru_maxrss of a new process starts at the memory of its parent, so read the peak of this program (Linux)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=800_000)
    parser.add_argument("--shards", type=int, default=3200)
    parser.add_argument("--downstream", type=int, default=20_000)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps(measure(given.stage, given.folder)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        generate(folder / "large", given.recordings, given.shards, 1, given.downstream)
        generate(folder / "small", given.downstream, max(1, given.downstream // 256), 2, given.downstream)
        found = {}
        for stage in STAGES:
            command = [sys.executable, __file__, "--stage", stage, "--folder", place]
            found[stage] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    sizes = {"recordings": given.recordings, "shards": given.shards, "downstream": given.downstream}
    print(json.dumps({**sizes, "steps": STEPS, "batch": BATCH, **found}, indent=1))


if __name__ == "__main__":
    main()
