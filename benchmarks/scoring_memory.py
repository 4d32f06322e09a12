"""Benchmark of the peak memory of batch scoring by number of inputs, with simulated files and model outputs.

    python benchmarks/scoring_memory.py --bundle exports/classifier [--counts 1000 20000 100000] [--suffix .csv]

A manifest lists the recordings. They are not read: each has the same preprocessed signal, and the model outputs are noise.
The benchmark measures the memory that grows with the number of inputs: list of inputs, rows, parts and output table. The
output is JSON: number of rows, peak resident memory in MiB, and time in s.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from preprocess_memory import held

import ecgssl.scoring.files as scoring
from ecgssl.scoring.files import PredictReport
from ecgssl.scoring.preprocess import PreparedRecording


def score_simulated(bundle: Path, count: int, suffix: str, out: Path | None = None) -> PredictReport:
    """Score ``count`` simulated recordings in this process, and write the table to ``out`` or to a temporary file."""

    def prepared(items, spec, *_):  # type: ignore[no-untyped-def]
        digital = np.ones((1, len(spec.leads), spec.samples), dtype=np.int16)
        mask = np.ones((1, len(spec.leads)), dtype=bool)
        row = {"status": "ok", "flags": "", "leads": " ".join(spec.leads), "windows": 1, "sampling_rate": 500.0}
        row |= {"duration": 10.0, "recorded_seconds": 10.0, "reasons": ""}
        recorded = np.full(1, spec.samples)
        rates = noise.normal(70, 15, len(items)).round(1)
        return [
            PreparedRecording(
                digital.copy(), mask, recorded, {"record_id": item.record_id, "heart_rate": float(rate), **row}
            )
            for item, rate in zip(items, rates, strict=True)
        ]

    noise = np.random.default_rng(0)
    # replace the model outputs after loading, because loading verifies the bundle with the real model
    real, real_files = scoring.load_bundle, scoring.prepare_files

    def loaded(path, **options):  # type: ignore[no-untyped-def]
        found = real(path, **options)
        widths = {"logits": len(found.targets), "embedding": found.embed_dim}

        def outputs(ecg, lead_mask, recorded):  # type: ignore[no-untyped-def]
            shapes = {name: (len(ecg), widths[name]) for name in found.graph.outputs}
            return {name: noise.normal(-2, 1.5, size=shape).astype(np.float32) for name, shape in shapes.items()}

        found.graph.run = outputs
        return found

    scoring.load_bundle, scoring.prepare_files = loaded, prepared
    try:
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder, "manifest.csv")
            with manifest.open("w") as file:
                file.write("record_id,path\n")
                # one of the files must exist
                Path(folder, "ward/00").mkdir(parents=True)
                Path(folder, "ward/00/recording-0000000.hea").touch()
                file.writelines(f"recording-{i:07d},ward/{i % 100:02d}/recording-{i:07d}.hea\n" for i in range(count))
            target = out or Path(folder, f"scores{suffix}")
            return scoring.predict(bundle, [manifest], target, show_progress=False)
    finally:
        scoring.load_bundle, scoring.prepare_files = real, real_files


def measure(bundle: Path, count: int, suffix: str) -> dict[str, float]:
    """Score simulated recordings in this process, and return number of rows, peak memory (MiB) and time (s)."""
    start = time.perf_counter()
    report = score_simulated(bundle, count, suffix)
    seconds = time.perf_counter() - start
    return {"rows": report.counted, "peak_mib": round(held()["rss"], 1), "seconds": round(seconds, 1)}


def main() -> None:
    """Measure peak memory and time of scoring for each number of recordings, each in a separate process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 20000, 100000])
    parser.add_argument("--suffix", default=".csv")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.bundle, given.counts[0], given.suffix)))
        return
    for count in given.counts:
        command = [sys.executable, __file__, "--here", "--bundle", given.bundle, "--counts", count]
        command += ["--suffix", given.suffix]
        subprocess.run(list(map(str, command)), check=True)


if __name__ == "__main__":
    main()
