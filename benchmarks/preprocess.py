"""Benchmark of preprocessing speed: this package by stage, compared with loops over other libraries.

    python benchmarks/preprocess.py                                    # generated recordings, 12 x 5000
    python benchmarks/preprocess.py --set ptbxl --root PTBXL_FOLDER
    python benchmarks/preprocess.py --set cohort --manifest cohort.csv
    python benchmarks/preprocess.py --memory 1000 20000                # peak memory instead of speed

The output is JSON. Rates are recordings per second of CPU time of this process, with one BLAS thread. Wall-clock rates
are also given. The measurements alternate between all candidates for several rounds. Values are medians over rounds,
and ``best`` is the best round of each candidate. Other programs also increase CPU time, because they share caches.

- ``store``: ``ecgssl preprocess`` for one shard on one core: read, assess, clean, resample, quantise, write.
  ``store_without_beats`` is the same with ``quality.beats: none``, that is, without neurokit2.
  ``store_without_quality`` is ``store`` minus the time of the stage ``quality``, which cannot be disabled.
- ``wfdb_neurokit2``: ``wfdb.rdsamp`` and ``neurokit2.ecg_clean`` for every lead; ``wfdb_neurokit2_peaks`` adds
  ``neurokit2.ecg_peaks`` for every lead.
- ``wfdb_torch_ecg``: ``wfdb.rdrecord`` and ``PreprocManager`` of torch_ecg (resample, band-pass, z-score), if
  installed. ``equal_work``: the same steps in this package (read, band-pass, resample, normalise), in memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from preprocess_memory import cpu_seconds, memory, repeated
from threadpoolctl import threadpool_limits

from ecgssl.config import Params, SyntheticParams, parse_params
from ecgssl.datasets.cohort import Cohort
from ecgssl.datasets.load import load
from ecgssl.datasets.synthetic.simulate import simulate
from ecgssl.io import read
from ecgssl.io.wfdb.reader import header_path
from ecgssl.preprocessing import prepare, shards
from ecgssl.preprocessing.preprocess import preprocess
from ecgssl.preprocessing.request import RecordingRequest, recording_requests
from ecgssl.signal.cleaning import clean, crop
from ecgssl.signal.leads import arrange

STAGES = {
    "read": ("read",),
    "arrange": ("arrange", "measured"),
    "quality": ("assess_raw", "assess_cleaned"),
    "clean": ("clean", "crop"),
    "hash": ("waveform_hash",),
}
"""Timed functions in ``ecgssl.preprocessing.prepare``. The remaining time of a shard is ``quantise_and_write``."""


def settings(beats: str, **store: Any) -> Params:
    """Return preprocessing parameters with or without neurokit2, and no limit on rejected recordings."""
    return parse_params(
        {
            "tasks": {"none": {"targets": ["none"]}},
            "quality": {"beats": beats},
            "store": {"max_rejected_fraction": 1.0, **store},
        }
    )


def make_shard(items: list[RecordingRequest], params: Params, folder: Path) -> None:
    """Write all recordings to one shard in ``folder``, and remove its part file."""
    work = shards.Work(folder, folder, params.signal, params.quality, params.store.lsb)
    shards.make_shard(work, 0, 0, items)
    work.part(0).unlink()


def stages(items: list[RecordingRequest], params: Params, folder: Path) -> dict[str, float]:
    """Return the CPU time in ms per recording for each stage."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                spent[name] += time.process_time() - start

        return call

    originals = {name: getattr(prepare, name) for names in STAGES.values() for name in names}
    try:
        for stage, names in STAGES.items():
            for name in names:
                setattr(prepare, name, timed(stage, originals[name]))
        start = time.process_time()
        make_shard(items, params, folder)
        whole = time.process_time() - start
    finally:
        for name, function in originals.items():
            setattr(prepare, name, function)
    spent["quantise_and_write"] = whole - sum(spent.values())
    return {stage: 1000 * seconds / len(items) for stage, seconds in spent.items()}


def equal_work(items: list[RecordingRequest], params: Params) -> None:
    """Read, band-pass, resample and normalise recordings, as torch_ecg's manager does, without checks or output."""
    for item in items:
        recording = read(item.path, overrides=item.overrides)
        signal, _ = arrange(recording.signal, recording.leads, params.signal.leads)
        cleaned = crop(clean(signal, recording.sampling_rate, params.signal), params.signal)
        cleaned / max(float(np.sqrt(np.mean(np.square(cleaned)))), params.signal.normalise.floor)


def wfdb_neurokit2(items: list[RecordingRequest], peaks: bool) -> None:
    """Read recordings with wfdb, clean each lead with neurokit2, and detect R-peaks if ``peaks`` is true."""
    import neurokit2
    import wfdb

    for item in items:
        signal, fields = wfdb.rdsamp(str(header_path(item.path).with_suffix("")))
        for lead in signal.T:
            cleaned = neurokit2.ecg_clean(lead, sampling_rate=int(fields["fs"]))
            if peaks:
                try:
                    neurokit2.ecg_peaks(cleaned, sampling_rate=int(fields["fs"]))
                # neurokit2 raises various internal errors if it finds no peaks
                except Exception:
                    continue


def wfdb_torch_ecg(items: list[RecordingRequest], params: Params) -> None:
    """Read recordings with wfdb and preprocess them with torch_ecg's manager, with the same band and sampling rate."""
    import wfdb
    from torch_ecg._preprocessors import PreprocManager

    low, high = params.signal.clean.band
    manager = PreprocManager.from_config(
        {
            "resample": {"fs": int(params.signal.sampling_rate)},
            "bandpass": {"lowcut": low, "highcut": high, "filter_type": "butter", "filter_order": 3},
            "normalize": {"method": "z-score"},
        }
    )
    for item in items:
        record = wfdb.rdrecord(str(header_path(item.path).with_suffix("")))
        manager(record.p_signal.T, record.fs)


def whole_runs(cohort: Cohort, workers: list[int], rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Return the rates of ``preprocess``, from the table to the finished store, by number of processes.

    Rates are per wall-clock time and per total CPU time of all processes. They include the start of the processes.
    """
    larger = repeated(cohort, count)
    wall, cpu = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for number in workers:
                params = settings("neurokit2", workers=number)
                spent = cpu_seconds()
                report = preprocess(larger, params, Path(folder) / f"store-{turn}-{number}", bytes(32), progress=False)
                cpu[number].append(report.counted / (cpu_seconds() - spent))
                wall[number].append(report.counted / report.seconds)
    return {
        str(number): {
            "per_second": round(statistics.median(wall[number]), 1),
            "best_per_second": round(max(wall[number]), 1),
            "per_cpu_second": round(statistics.median(cpu[number]), 1),
        }
        for number in workers
    }


def measure(cohort: Cohort, rounds: int) -> dict[str, Any]:
    """Return the measurements of all candidates, which run alternately for ``rounds`` rounds."""
    items = recording_requests(cohort, 0, len(cohort))
    with_beats, without = settings("neurokit2"), settings("none")
    cpu, wall, parts = defaultdict(list), defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contestants: dict[str, Callable[[], None]] = {
            "store": lambda: make_shard(items, with_beats, folder),
            "store_without_beats": lambda: make_shard(items, without, folder),
            "equal_work": lambda: equal_work(items, without),
            "wfdb_neurokit2": lambda: wfdb_neurokit2(items, peaks=False),
            "wfdb_neurokit2_peaks": lambda: wfdb_neurokit2(items, peaks=True),
        }
        if importlib.util.find_spec("torch_ecg"):
            contestants["wfdb_torch_ecg"] = lambda: wfdb_torch_ecg(items, without)
        for run in contestants.values():  # warm up imports, FFT plans and page cache
            run()
        for _ in range(rounds):
            for name, run in contestants.items():
                start, begin = time.process_time(), time.perf_counter()
                run()
                cpu[name].append(len(items) / (time.process_time() - start))
                wall[name].append(len(items) / (time.perf_counter() - begin))
            spent = stages(items, with_beats, folder)
            for stage, milliseconds in spent.items():
                parts[stage].append(milliseconds)
            cpu["store_without_quality"].append(1000 / (sum(spent.values()) - spent["quality"]))
    rate = {name: statistics.median(values) for name, values in cpu.items()}
    ratios = {
        f"{ours}_to_{other}": round(rate[ours] / rate[other], 2)
        for ours in ("store", "store_without_beats", "equal_work")
        for other in ("wfdb_neurokit2", "wfdb_neurokit2_peaks", "wfdb_torch_ecg")
        if other in rate
    }
    return {
        "per_cpu_second": {name: round(value, 1) for name, value in rate.items()},
        "best": {name: round(max(values), 1) for name, values in cpu.items()},
        "per_second": {name: round(statistics.median(values), 1) for name, values in wall.items()},
        "ratios": ratios,
        "stages_ms": {stage: round(statistics.median(values), 4) for stage, values in parts.items()},
        "stages_best_ms": {stage: round(min(values), 4) for stage, values in parts.items()},
    }


def machine() -> dict[str, Any]:
    """Return the CPU name, the number of cores, the load averages, and the versions of Python and libraries."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    packages = [name for name in ("numpy", "scipy", "wfdb", "neurokit2", "torch_ecg") if importlib.util.find_spec(name)]
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main() -> None:
    """Run the benchmark and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--set",
        default="synthetic",
        help="public set or cohort, as in sets.NAME.reader; generated recordings by default",
    )
    parser.add_argument("--root", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--count", type=int, default=256, help="recordings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--workers", type=int, nargs="*", default=[], help="also measure whole runs with these numbers of processes"
    )
    parser.add_argument("--run", type=int, default=2048, help="recordings per whole run")
    parser.add_argument(
        "--memory",
        type=int,
        nargs="*",
        default=[],
        help="measure peak memory at these numbers of recordings instead of rates",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.set == "synthetic":
            patients = SyntheticParams(patients=arguments.count // 2, recordings_per_patient=(2, 2))
            simulate(Path(folder) / "set", patients, seed=0)
        sources = {name: str(value) for name in ("root", "manifest") if (value := getattr(arguments, name))}
        params = parse_params(
            {"tasks": {"none": {"targets": ["none"]}}, "sets": {arguments.set: {"reader": arguments.set, **sources}}}
        )
        cohort = load(params.one_set().data, Path(folder) / "set")
        cohort = replace(cohort, table=cohort.table.head(arguments.count).reset_index(drop=True), rows=())
        figures: dict[str, Any] = {"recordings": len(cohort), "set": arguments.set, "machine": machine()}
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ignore warnings of the other libraries
            if arguments.memory:
                figures["memory_mib"] = memory(cohort, settings("neurokit2", workers=2), arguments.memory)
            else:
                figures |= {"rounds": arguments.rounds, **measure(cohort, arguments.rounds)}
                figures["whole_runs"] = whole_runs(cohort, arguments.workers, arguments.rounds, arguments.run)
    print(json.dumps({**figures, "load_after": round(os.getloadavg()[0], 2)}, indent=2))


if __name__ == "__main__":
    main()
