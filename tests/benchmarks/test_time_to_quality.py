"""Time to quality: the clock, the minutes to a threshold, and a run on a small store."""

from __future__ import annotations

import json

import minirocket
import numpy as np
import pytest
import time_to_quality
import yaml
from time_to_quality import Clock, minutes_to

from ecgssl.errors import InputError

CURVE = [
    {"minutes": 2.0, "auroc": 0.80},
    {"minutes": 6.0, "auroc": 0.90},
    {"minutes": 4.0, "auroc": 0.86},
    {"minutes": 9.0, "auroc": 0.89},
]


@pytest.mark.parametrize(
    ("threshold", "interpolate", "minutes"),
    [(0.88, True, 5.0), (0.88, False, 6.0), (0.79, True, 2.0), (0.91, True, None), (0.9, True, 6.0)],
)
def test_minutes_to_a_threshold(threshold, interpolate, minutes):
    assert minutes_to(CURVE, threshold, interpolate=interpolate) == pytest.approx(minutes)


def test_clock_continues_at_the_last_checkpoint(tmp_path):
    """Steps 0 to 40 took 20 s; the checkpoint is at step 50, so steps after 50 are trained again."""
    (tmp_path / "run").mkdir()
    for step in (20, 50):
        (tmp_path / f"run/step-{step:09d}.pt").touch()
    (tmp_path / "clock.csv").write_text("20,10.0\n40,20.0\n60,30.0\n")
    clock = Clock(tmp_path / "clock.csv", tmp_path / "run")
    assert clock.seconds() == pytest.approx(25, abs=0.5)
    clock.not_counted = 5
    clock.log({"step": 60.0})
    lines = [line.split(",") for line in (tmp_path / "clock.csv").read_text().splitlines()]
    assert [int(step) for step, _ in lines] == [20, 40, 60]
    assert float(lines[-1][1]) == pytest.approx(20, abs=0.5)


def test_minirocket_resumes_after_its_last_block(store, counting, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def stop(done):
        if done == 20:
            raise Killed

    file = tmp_path / "features.npy"
    with pytest.raises(Killed):
        minirocket.minirocket_features(store, file, kernels=12, on_block=stop)
    found, seconds = minirocket.minirocket_features(store, file, kernels=12)
    assert counting == [2, 10, 10, 2, 4], "2 to compile, then three blocks of 24 recordings, the first two only once"
    assert seconds > 0
    counting.clear()
    again, same = minirocket.minirocket_features(store, file, kernels=12)
    assert (counting, same) == ([], pytest.approx(seconds, abs=1e-4))
    np.testing.assert_array_equal(again, found)
    assert np.all(found[:, 0] != 0)
    with pytest.raises(ValueError, match="other settings"):
        minirocket.minirocket_features(store, file, kernels=24)


def test_curves_of_pretraining_and_minirocket(store, make_params, counting, tmp_path, capsys):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(make_params().model_dump(mode="json")))
    common = ["--params", str(path), "--store", str(store.path), "--preprocess-minutes", "3", "--task", "t"]
    arguments = [*common, "--out", str(tmp_path / "out"), "--thresholds", "0.01", "1.01", "--kernels", "12"]
    arguments += ["--set", "pretrain.probe.every_epochs=2", "--method", "reconstruction=pretrain.samples=64"]
    time_to_quality.main([*arguments, "--method", "minirocket"])
    capsys.readouterr()
    found = json.loads((tmp_path / "out/reconstruction.json").read_text())
    assert [point["samples"] for point in found["curve"]] == [0, 32, 64], "16 training recordings per epoch"
    minutes = [point["minutes"] for point in found["curve"]]
    assert minutes[0] > 3
    assert found["curve"][0]["pretrain_seconds"] == 0
    for point in found["curve"][1:]:
        parts = point["pretrain_seconds"] + point["embed_seconds"] + point["probe_seconds"]
        assert point["minutes"] == pytest.approx(3 + parts / 60, abs=1e-4)
    assert found["minutes_to"] == {"0.01": pytest.approx(minutes[0]), "1.01": None}
    assert found["settings"]["objective"]["kind"] == "reconstruction"
    assert str(tmp_path) not in found["command"], "no folder of the machine in the result"
    assert not (tmp_path / "out/reconstruction/run").exists()
    time_to_quality.main(
        [*arguments[:-1], "untrained=pretrain.samples=64", "--out", str(tmp_path / "start"), "--start-only"]
    )
    start = json.loads((tmp_path / "start/untrained.json").read_text())["curve"]
    assert [point["samples"] for point in start] == [0], "nothing is trained"
    assert start[0]["auroc"] == found["curve"][0]["auroc"], "the weights depend only on the seed"
    rocket = json.loads((tmp_path / "out/minirocket.json").read_text())
    assert rocket["curve"][0]["features"] == 12
    written = (tmp_path / "out/minirocket.json").stat().st_mtime_ns
    time_to_quality.main([*arguments, "--method", "minirocket"])
    assert (tmp_path / "out/minirocket.json").stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"settings.json: pretrain: was written with different parameters"):
        time_to_quality.main(
            [*common, "--out", str(tmp_path / "out"), "--method", "reconstruction=pretrain.samples=128"]
        )
