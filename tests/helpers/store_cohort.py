"""Cohort of 20 recordings, four of them unusable, and parameters for a store of three shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from wfdb_files import write_record

from ecgssl.config import Params, parse_params
from ecgssl.signal.leads import LEADS, LIMB_MATRIX

KEY = bytes(32)
RATE = 250


def beats(seed: int, seconds: float = 10.0, high: float = 1.0) -> np.ndarray:
    """Return (12, samples) in uV: Gaussian beats about once a second, limb leads from I and II.

    Each recording has a different rhythm.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    # recordings with equal rhythm would be duplicates for the overlap check
    breath = np.random.default_rng([seed, 1]).uniform([0.1, 0.02, 0], [0.3, 0.08, 6])
    time = time + breath[1] * np.sin(2 * np.pi * breath[0] * time + breath[2])
    wave = sum(
        np.exp(-0.5 * (((time - shift + 0.5) % 1 - 0.5) / width) ** 2) * size
        for shift, width, size in ((0.3, 0.015, 1.0), (0.55, 0.06, 0.3), (0.12, 0.03, 0.1))
    )
    sources = wave * generator.uniform(0.6, 1.2, (8, 1)) + generator.normal(0, 0.01, (8, time.size))
    sources[2] *= high
    return np.rint(1000 * np.concatenate([LIMB_MATRIX @ sources[:2], sources[2:]])).astype(np.int16)


def params(**sections: object) -> Params:
    """Return parameters with small shards and one worker; sections of ``params.yaml`` can be overridden."""
    sections = {"store": {"shard_recordings": 8, "workers": 1, "max_rejected_fraction": 0.5}, **sections}
    return parse_params({"tasks": {"t": {"targets": ["AF"]}}, **sections})


def make_cohort(folder: Path, count: int = 20) -> Path:
    """Write recordings, two per patient, and return their manifest."""
    rows = ["record_id,path,patient_id,split,AF"]
    for number in range(count):
        signal, names = beats(number), LEADS
        if number == 3:
            signal = beats(3, seconds=4)
        if number == 9:
            signal = beats(9, high=30)
        if number == 12:
            signal, names = signal[[0, 1, 6, 7, 8, 9, 10, 11]], ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
        if number == 15:
            signal[8] = 0
        path = write_record(folder, f"r{number}", signal, names, rate=RATE, checksum=number != 5)
        if number == 17:
            path.with_suffix(".dat").write_bytes(b"short")
        split = ("train", "train", "val", "test")[number // 2 % 4]
        rows.append(f"rec{number},r{number},patient{number // 2},{split},{number % 2}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return folder / "m.csv"
