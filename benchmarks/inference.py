"""Benchmark of scoring: latency and throughput by preset, runtime and threads.

    python benchmarks/inference.py                                   # tiny, small and base; a folder of 5,000 recordings
    python benchmarks/inference.py --presets tiny --runs 10 --folder 100
    python benchmarks/inference.py --bundle exports/classifier       # another bundle

The output is JSON. Without ``--bundle``, the weights are random, which does not affect the times. Recordings are simulated,
with 12 leads of 10 s at 500 Hz.

- ``file_to_score``: time in ms from a WFDB file to calibrated scores: reading, quality checks, cleaning, resampling,
  normalisation and model, with the default engine. ``read_and_clean`` is the part before the model.
- ``tensor_to_embedding``: time in ms per recording from the preprocessed signal to the embedding, for batches of 1 and 64,
  with ``torch``, ``onnxruntime`` and, if available, ``int8`` (batch 1 only). p50 and p95 are quantiles over the runs. The
  time of a batch is divided by its size.
- ``folder``: ``ecgssl predict`` with one process for a folder: recordings/s, and fraction of time for reading and cleaning.

Each combination of preset and number of threads runs in a separate process, so that all thread pools have this number of
threads. Use an idle machine, because other programs on the same cores change the results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from timing import write_result

from ecgssl.config import ExportParams, ModelParams, QualityParams, SyntheticParams
from ecgssl.datasets.synthetic.simulate import simulate

BATCHES = (1, 64)
_EXAMPLES = 20


def make_bundle(preset: str, folder: Path, int8: bool) -> Path:
    """Export a classifier with five labels and random weights, and return the path of the bundle."""
    from ecgssl.export.bundle import export_bundle
    from ecgssl.export.validation_recordings import LabelledSignals, ValidationRecordings
    from ecgssl.model.classifier import Classifier
    from ecgssl.model.encoder import Encoder
    from ecgssl.signal.spec import SignalSpec
    from ecgssl.training.checkpoint import save_model

    spec = SignalSpec()
    encoder = Encoder(ModelParams(preset=preset), spec.leads, spec.samples)
    save_model(folder / "model", Classifier(encoder, ("NORM", "MI", "STTC", "CD", "HYP")).eval(), spec)
    # accept any loss of AUROC, because the classifier is random
    params = ExportParams(raw_rates=[], pt2=False, int8=int8, int8_loss=0.99)
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.3, (32, len(spec.leads), spec.samples)).astype(np.float32)
    validation = ValidationRecordings(
        labelled=LabelledSignals(noise, generator.integers(0, 2, (32, 5)).astype(np.float64))
    )
    export_bundle(folder / "model", folder / "bundle", params, quality=QualityParams(), validation=validation)
    return folder / "bundle"


def quantiles(run: Callable[[], Any], runs: int, recordings: int = 1) -> dict[str, float]:
    """Return median and 95th percentile over the runs of the time in ms per recording, after two warm-up runs."""
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start) / recordings)
    p50, p95 = np.quantile(times[2:], (0.5, 0.95))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def measure(path: Path, records: Path, threads: int, runs: int, folder: int) -> dict[str, Any]:
    """Return all measurements of a bundle, made in this process."""
    import torch

    from ecgssl.export.bundle import load_bundle
    from ecgssl.preprocessing.inputs import list_recordings
    from ecgssl.scoring.preprocess import prepare_files
    from ecgssl.scoring.scores import recording_outputs, require_targets, score_cells

    torch.set_num_threads(threads)
    bundle, scoring = load_bundle(path, "torch"), load_bundle(path)
    decision = require_targets(bundle, str(path))
    items = list_recordings([records]).items
    calls = iter(range(1 << 30))

    def prepared() -> Any:
        item = items[next(calls) % min(_EXAMPLES, len(items))]
        return prepare_files([item], bundle.spec, bundle.quality, bundle.lsb, "contract")

    def score() -> None:
        score_cells(decision, recording_outputs(scoring, prepared(), "logits", "contract"))

    tensor: dict[str, Any] = {}
    signals = np.concatenate([prepared()[0].digital for _ in range(_EXAMPLES)]) * np.float32(bundle.lsb)
    for size in BATCHES:
        ecg = np.resize(signals, (size, *signals.shape[1:]))
        mask = np.ones(ecg.shape[:2], dtype=bool)
        for name, run in sessions(path, threads):
            if name == "int8" and size > 1:
                continue
            count = runs if size == 1 else max(runs // 10, 2)
            tensor.setdefault(name, {})[f"batch {size}"] = quantiles(partial(run, ecg, mask), count, size)
    return {
        "threads": threads,
        "parameters": sum(p.numel() for p in bundle.model.parameters()),
        "file_to_score": quantiles(score, runs),
        "read_and_clean": quantiles(prepared, runs),
        "tensor_to_embedding": tensor,
        "folder": throughput(path, records, folder) if folder else None,
    }


def sessions(path: Path, threads: int) -> Iterator[tuple[str, Callable[[Any, Any], Any]]]:
    """Yield name and function of each runtime. The functions map signals (n, L, T) and lead masks (n, L) to embeddings."""
    import onnxruntime

    from ecgssl.export.bundle import load_bundle

    yield "torch", load_bundle(path, "torch").graph.run
    yield "onnxruntime", load_bundle(path, "onnxruntime").graph.run
    for file in path.glob("*.int8.onnx"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        yield "int8", partial(embedding, session)


def embedding(session: Any, ecg: Any, mask: Any) -> Any:
    """Return embeddings computed by the 8-bit graph."""
    return session.run(["embedding"], {"ecg": ecg, "lead_mask": mask})


def throughput(path: Path, records: Path, count: int) -> dict[str, Any]:
    """Return the throughput of ``ecgssl predict`` for a folder of ``count`` links to the simulated recordings."""
    from ecgssl.scoring.files import predict

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        headers = sorted(records.rglob("*.hea"))
        for i in range(count):
            source = headers[i % len(headers)]
            own = root / f"{i // len(headers):05d}"
            own.mkdir(exist_ok=True)
            for suffix in (".hea", ".dat"):
                (own / source.with_suffix(suffix).name).symlink_to(source.with_suffix(suffix).resolve())
        report = predict(path, [root], root / "scores.parquet", show_progress=False)
    spent = {name: value for name, value in report.seconds.items() if name != "load"}
    total = sum(spent.values())
    return {
        "recordings": report.counted,
        "rejected": report.rejected,
        "per_second": round(report.counted / total, 1),
        "read_and_clean_share": round(spent["prepare"] / total, 3),
    }


def arguments() -> argparse.Namespace:
    """Return the command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--folder", type=int, default=5000, help="number of recordings in the folder; 0 to skip it")
    parser.add_argument("--bundle", type=Path, help="bundle to measure instead of the presets")
    parser.add_argument("--out", type=Path, help="file for the result")
    parser.add_argument("--int8", action="store_true", help="also export 8-bit graphs for the presets")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run the benchmark and print its results as JSON."""
    given = arguments()
    if given.one:
        found = measure(Path(given.one[0]), Path(given.one[1]), given.threads[0], given.runs, given.folder)
        print(json.dumps(found))
        return
    from study import described_run

    figures: dict[str, Any] = {
        **described_run(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("ecgssl", "torch", "onnxruntime", "numpy")},
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shape = SyntheticParams(patients=min(max(given.folder, _EXAMPLES), 200), recordings_per_patient=(1, 1))
        records = simulate(folder / "cohort", shape, seed=0).parent
        for name in ["bundle"] if given.bundle else given.presets:
            path = given.bundle or make_bundle(name, folder / name, given.int8)
            for threads in given.threads:
                command = [sys.executable, __file__, "--one", str(path), str(records), "--threads", str(threads)]
                command += ["--runs", str(given.runs), "--folder", str(given.folder)]
                own = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
                done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                figures.setdefault(name, []).append(json.loads(done.stdout))
    write_result(figures, given.out)


if __name__ == "__main__":
    main()
