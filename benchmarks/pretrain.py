"""Benchmark of pretraining speed on simulated recordings, compared with the speed of matrix products.

    python benchmarks/pretrain.py                                     # tiny, small and base; 12 x 1000 at 100 Hz
    python benchmarks/pretrain.py --presets small --threads 1         # rates per CPU second, on a busy machine
    python benchmarks/pretrain.py --presets small base --st-mem       # 12 x 2250 at 250 Hz, a quarter visible, one view
    python benchmarks/pretrain.py --presets base --batch 256 --compile    # on a GPU

The output is JSON. Every preset runs in a separate process. Rounds of ``--steps`` training steps alternate with matrix
products. Training times are medians over the rounds, without the first round, which is a warm-up. For matrix products,
the fastest round is used.

- ``recordings_per_second``: rate of training (forward, backward, clipping, AdamW, reading), with two views of each
  recording unless ``--st-mem`` or ``--views 1`` is set.
- ``of_peak``: operations of the model's matrix products (``flops.py``) per second, divided by the maximum rate of
  square matrix products of the same data type (``peak_tflops``).
- ``matmuls_1024``: training time per recording, in units of a 1024 x 1024 matrix product, in fp32 and in the data type
  of the run.
- ``data_wait``: fraction of the step time spent waiting for data.
- ``augmentation``: fraction of the step time for shift, FDA and masks, forward and backward, measured separately.
- ``peak_memory_gib``: peak memory of the process (CPU) or of tensors on the GPU.

With ``--threads 1`` on a CPU, times are CPU times, because other programs affect them little. Otherwise they are
wall-clock times.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from flops import training_flops
from study import processor

from ecgssl.config import Params, SyntheticParams, parse_params
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.datasets.table.manifest import load_manifest
from ecgssl.model.core_ecg import CoReECG, circular_shift
from ecgssl.model.stdm import draw_mask
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.pretraining.loop import build_model, pretrain
from ecgssl.signal.leads import LEADS
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.device import autocast, resolve_device, resolve_precision, use_tensor_cores
from ecgssl.training.optim import parameter_count

ST_MEM = {
    "signal": {"sampling_rate": 250.0, "duration": 9.0},
    "model": {
        "patch": 75,
        "decoder": {"width": 256, "depth": 4, "heads": 4, "scope": "leadwise", "mixing": 1, "head": "shared"},
    },
    "fda": {"kind": "none"},
    "stdm": {"kind": "random", "time_ratio": 0.75, "lead_ratio": 0.0},
    "objective": {"kind": "reconstruction", "views": 1},
}  # fmt: skip
"""Settings of ST-MEM (Na et al. 2024): masked reconstruction with a quarter of the 360 patches visible."""
SQUARES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
"""Sizes of the square matrix products. The peak rate is the best rate over the sizes."""


def settings(arguments: argparse.Namespace, preset: str) -> Params:
    """Return the parameters of a run with one warm-up round and ``arguments.rounds`` measured rounds."""
    signal = {
        "leads": LEADS[: arguments.leads],
        "sampling_rate": arguments.rate,
        "duration": arguments.samples / arguments.rate,
    }
    decoder = dict(zip(("width", "depth", "heads"), arguments.decoder, strict=True)) | {"scope": arguments.scope}
    sections: dict[str, Any] = {
        "signal": signal,
        "model": {"patch": arguments.patch, "decoder": decoder},
        "fda": {"kind": arguments.fda},
        "stdm": {"time_ratio": arguments.ratio[0], "lead_ratio": arguments.ratio[1]},
        "objective": {"kind": arguments.objective, "views": arguments.views},
    }
    if arguments.st_mem:
        sections = json.loads(json.dumps(ST_MEM))
    sections["model"]["preset"] = preset
    steps = max(arguments.steps, math.ceil(arguments.recordings / arguments.batch)) * (arguments.rounds + 1)
    training = {"samples": steps * arguments.batch, "batch_size": arguments.batch, "accumulate": arguments.accumulate}
    training |= {"precision": arguments.precision, "device": arguments.device, "compile": arguments.compile}
    sections |= {"pretrain": training | {"checkpoint_every": 10**9}, "store": {"workers": 1}}
    return parse_params({"tasks": {"none": {"targets": ["af"]}}, "quality": {"beats": "none"}, **sections})


def make_store(params: Params, folder: Path, recordings: int) -> Store:
    """Return a store with about ``recordings`` simulated training recordings and the run's preprocessing settings."""
    duration = max(params.signal.duration, 5)
    shape = SyntheticParams(
        patients=round(recordings / 0.7), recordings_per_patient=(1, 1), sampling_rate=500, duration=duration
    )
    manifest = simulate(folder / "set", shape, seed=0)
    preprocess(load_manifest(manifest), params, folder / "store", bytes(32), progress=False)
    return Store(folder / "store")


class Clock:
    """Clock that measures CPU time for a single CPU thread, and otherwise wall-clock time. It synchronises with the GPU."""

    def __init__(self, device: torch.device, threads: int) -> None:
        self.cpu = device.type == "cpu" and threads == 1
        self._device = device

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if self.cpu else time.perf_counter()

    def of(self, function: Callable[[], Any], repeats: int) -> float:
        """Return the median time of a call in s, after one warm-up call."""
        function()
        spent = []
        for _ in range(repeats):
            start = self.now()
            function()
            spent.append(self.now() - start)
        return statistics.median(spent)


def product(edge: int, dtype: torch.dtype, device: torch.device) -> Callable[[], Any]:
    """Return a function that computes a square matrix product."""
    a, b = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b


def augmentation(model: CoReECG, params: Params, store: Store, device: torch.device, clock: Clock) -> float:
    """Return the time in s of the shifts, frequency augmentation and masks of a step, forward and backward."""
    rows = store.rows("train")
    batch = load_batch(store, rows[torch.arange(params.pretrain.batch_size).numpy() % len(rows)], device)
    generator = torch.Generator(device)
    cotangent = torch.randn_like(batch.x)

    def once() -> None:
        for _ in range(params.objective.views):
            x = model.fda(circular_shift(batch.x, generator), 0.5, generator)
            if x.requires_grad:
                x.backward(cotangent)
            draw_mask(params.stdm, len(x), model.encoder.leads, model.encoder.columns, 0, generator)

    return clock.of(once, 5)


def measure(arguments: argparse.Namespace, preset: str) -> dict[str, Any]:
    """Return the measurements of one preset, made in this process."""
    torch.set_num_threads(arguments.threads)
    params = settings(arguments, preset)
    device = resolve_device(params.pretrain.device)
    precision = resolve_precision(params.pretrain.precision, device)
    use_tensor_cores(device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    clock = Clock(device, arguments.threads)
    shapes = {*((edge, dtype) for edge in SQUARES[device.type]), (1024, dtype), (1024, torch.float32)}
    products = {(edge, kind): product(edge, kind, device) for edge, kind in shapes}
    taken: dict[tuple[int, torch.dtype], list[float]] = {key: [] for key in products}
    stops: list[tuple[int, float]] = []
    rounds: list[float] = []  # seconds per step

    def record_round(model: CoReECG, step: int) -> dict[str, float]:
        now = clock.now()
        if stops:
            rounds.append((now - stops[-1][1]) / (step - stops[-1][0]))
        for key, multiply in products.items():
            taken[key].append(clock.of(multiply, 3))
        stops.append((step, clock.now()))
        return {}

    with tempfile.TemporaryDirectory() as name:
        store = make_store(params, Path(name), arguments.recordings)
        every = max(1, arguments.steps * arguments.batch // arguments.recordings)
        probe = params.pretrain.probe.model_copy(update={"every_epochs": every})
        params = params.model_copy(update={"pretrain": params.pretrain.model_copy(update={"probe": probe})})
        never = params.pretrain.samples
        begun = time.perf_counter()
        result = pretrain(
            store, params, Path(name) / "run", show_progress=False, log_every=never, on_epoch=record_round
        )
        whole = time.perf_counter() - begun
        # read the peak memory before the following measurements can increase it
        memory = peak_memory(device)
        model = build_model(params).to(device)
        added = augmentation(model, params, store, device, clock)
        rows = store.rows("train")
        batch = load_batch(store, rows[torch.arange(arguments.batch).numpy() % len(rows)], device)

        def forward() -> None:
            with autocast(device, precision):
                model(batch.x, None, batch.patients, 0, 0.5, torch.Generator(device))

        operations = training_flops(model.train(), forward)
    step = statistics.median(rounds)
    times = {key: min(values) for key, values in taken.items()}
    peak = max(2 * edge**3 / seconds for (edge, kind), seconds in times.items() if kind == dtype)
    return {
        "preset": preset,
        "precision": precision,
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(),
        "clock": "CPU time" if clock.cpu else "wall",
        "recordings_per_second": round(arguments.batch / step, 2),
        "ms_per_recording": round(1000 * step / arguments.batch, 3),
        "gflop_per_recording": round(operations / arguments.batch / 1e9, 2),
        "tflops": round(operations / step / 1e12, 4),
        "peak_tflops": round(peak / 1e12, 4),
        "of_peak": round(operations / step / peak, 3),
        "matmuls_1024": {
            str(kind)[6:]: round(step / arguments.batch / times[1024, kind], 2)
            for kind in dict.fromkeys((torch.float32, dtype))
        },
        "data_wait": round(result.waited * result.seconds / (whole * (1 - result.monitored)), 4),
        "augmentation": round(added / step, 4),
        "peak_memory_gib": round(memory, 2),
        "rounds_ms": [round(1000 * seconds, 1) for seconds in rounds],
        "parameters": {
            "encoder": parameter_count(result.model.encoder.parameters()),
            "all": parameter_count(result.model.parameters()),
        },
    }


def peak_memory(device: torch.device) -> float:
    """Return the peak memory so far in GiB, of tensors on the GPU or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Run the benchmark and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument(
        "--st-mem", action="store_true", help="use the geometry of ST-MEM and ignore the options for geometry"
    )
    parser.add_argument("--leads", type=int, default=12, help="number of leads, from the first of the twelve")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0, help="Hz")
    parser.add_argument("--patch", type=int, default=50, help="samples per patch")
    parser.add_argument(
        "--ratio", type=float, nargs=2, default=[0.5, 0.2], help="ratios of hidden time columns and leads"
    )
    parser.add_argument(
        "--decoder", type=int, nargs=3, default=[128, 2, 4], help="width, depth and heads of the decoder"
    )
    parser.add_argument(
        "--scope", choices=["joint", "leadwise", "axial"], default="axial", help="attention scope of the decoder"
    )
    parser.add_argument("--fda", choices=["fda", "jitter_scale", "none"], default="fda")
    parser.add_argument("--objective", choices=["core", "contrastive", "reconstruction"], default="core")
    parser.add_argument("--views", type=int, choices=[1, 2], default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--recordings", type=int, default=70, help="training recordings; a round has at least one epoch"
    )
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=5, help="approximate steps per round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    load, context = os.getloadavg(), multiprocessing.get_context("spawn")
    runs = []
    for preset in arguments.presets:
        with context.Pool(1) as alone:
            runs.append(alone.apply(measure, (arguments, preset)))
    machine = {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "load_before_and_after": [round(load[0], 2), round(os.getloadavg()[0], 2)],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    print(json.dumps({"options": vars(arguments), "machine": machine, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
