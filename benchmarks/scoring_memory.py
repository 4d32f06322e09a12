"""Benchmark of the peak memory of batch scoring by number of inputs, with simulated files and model outputs.

    python benchmarks/scoring_memory.py --bundle exports/classifier [--counts 1000 20000 100000] [--suffix .csv]

A manifest lists the recordings. They are not read: each has the same preprocessed signal, and the model outputs are noise.
The benchmark measures the memory that grows with the number of inputs: list of inputs, rows, parts and output table. The
output is JSON: number of rows, peak resident memory in MiB, and time in s.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def measure(bundle: Path, count: int, suffix: str) -> dict[str, float]:
    """Score ``count`` simulated recordings in this process, and return number of rows, peak memory (MiB) and time (s)."""
    import ecgssl.scoring.files as scoring
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.scoring.preprocess import PreparedRecording

    def prepared(items, spec, *_):  # type: ignore[no-untyped-def]
        digital = np.ones((1, len(spec.leads), spec.samples), dtype=np.int16)
        mask = np.ones((1, len(spec.leads)), dtype=bool)
        row = {"status": "ok", "flags": "", "leads": " ".join(spec.leads), "heart_rate": 60.0, "windows": 1}
        recorded = np.full(1, spec.samples)
        return [
            PreparedRecording(digital.copy(), mask, recorded, {"record_id": item.record_id, **row}) for item in items
        ]

    def outputs(self, ecg, lead_mask, recorded):  # type: ignore[no-untyped-def]
        width = {"embedding": 96}
        names = len(self.model.targets)
        return {name: noise.normal(size=(len(ecg), width.get(name, names))).astype(np.float32) for name in self.outputs}

    noise = np.random.default_rng(0)
    # replace the model outputs after loading, because loading verifies the bundle with the real model
    real = scoring.load_bundle

    def load(path):  # type: ignore[no-untyped-def]
        loaded = real(path)
        ContractModule.run = outputs  # type: ignore[method-assign]
        return loaded

    scoring.load_bundle, scoring.prepare_files = load, prepared
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "manifest.csv")
        with manifest.open("w") as file:
            file.write("record_id,path\n")
            file.writelines(f"recording-{i:07d},ward/{i % 100:02d}/recording-{i:07d}.hea\n" for i in range(count))
        start = time.perf_counter()
        report = scoring.predict(bundle, [manifest], Path(folder, f"scores{suffix}"), show_progress=False)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": report.counted, "peak_mib": round(peak, 1), "seconds": round(seconds, 1)}


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
