"""Benchmark of the time to load: CPU time of a new process, and shares of the libraries in its imports."""

from __future__ import annotations

from pathlib import Path

import load_time
import pytest

REPOSITORY = Path(__file__).parents[2]


def test_time_and_shares_of_a_process(tmp_path):
    options = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    seconds, _ = load_time.cpu_seconds(
        "import ecgssl, time\nwhile time.process_time() < 0.3: pass", REPOSITORY, tmp_path, options
    )
    assert 0.3 <= seconds < 3
    found = load_time.shares("import ecgssl.signal.leads", str(REPOSITORY), tmp_path, options)
    assert {"ecgssl", "numpy", "standard library"} <= found.keys()
    assert found["numpy"] > 0.1
    assert sum(found.values()) == pytest.approx(1, abs=0.01)


def test_an_error_of_a_case_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        load_time.cpu_seconds("1 / 0", str(REPOSITORY), tmp_path, {})


def test_the_recording_can_be_scored(tmp_path):
    load_time.simulated_recording(tmp_path)
    import ecgssl

    assert ecgssl.read(tmp_path / "r.hea").signal.shape == (12, 5000)
