"""The pretraining benchmark runs with the current training loop and model, and its figures are consistent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("geometry", [["--samples", "500", "--objective", "contrastive"], ["--st-mem"]])
def test_figures_agree(geometry):
    options = [
        "--presets",
        "tiny",
        "--threads",
        "1",
        "--batch",
        "4",
        "--recordings",
        "8",
        "--steps",
        "2",
        "--rounds",
        "1",
        *geometry,
    ]
    done = subprocess.run(
        [sys.executable, "benchmarks/pretrain.py", *options], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    (run,) = json.loads(done.stdout)["runs"]
    assert run["clock"] == "CPU time"
    assert 1000 / run["ms_per_recording"] == pytest.approx(run["recordings_per_second"], rel=0.01)
    assert run["tflops"] == pytest.approx(run["gflop_per_recording"] * run["recordings_per_second"] / 1000, rel=0.05)
    assert run["of_peak"] == pytest.approx(run["tflops"] / run["peak_tflops"], abs=0.005)
    assert 0 < run["of_peak"] < 1
    assert 0 <= run["data_wait"] < 1
    assert 0 < run["augmentation"] < 1
    assert run["peak_memory_gib"] > 0.1
