"""Kill tests of pretraining: killed at random instants, a run gives the losses and weights of an uninterrupted run.

``ECGSSL_KILLS=20 pytest -s tests/pretraining/test_kill.py`` sets the number of kills.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgssl.config import parse_params
from ecgssl.model.core_ecg import CoReECG
from ecgssl.pretraining.loop import pretrain
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import weight_bytes

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("ECGSSL_KILLS", "2"))
STEPS = 40
FORKS = multiprocessing.get_context("forkserver")
"""Processes are forked with all libraries loaded, so that kills occur during the run rather than during imports."""
FORKS.set_forkserver_preload([__name__])


def whole_run(store: Path, folder: Path, params: str, out: Path) -> None:
    """Write the results of a run to ``out`` as JSON, with a hash of the weights.

    The run is evaluated every epoch and keeps its best weights.
    """

    def evaluate(model: CoReECG, step: int) -> dict[str, float]:
        return {"probe_auroc": step * 7 % 16 / 16, "bias": model.projector[0].bias[0].item()}

    torch.set_num_threads(1)
    result = pretrain(
        Store(store), parse_params(json.loads(params)), folder, show_progress=False, log_every=1, on_epoch=evaluate
    )
    weights = hashlib.sha256(weight_bytes(result.model)).hexdigest()
    out.write_text(json.dumps([result.history, result.epochs, result.spikes, result.skipped_steps, weights]))


def started(*arguments: object) -> multiprocessing.process.BaseProcess:
    process = FORKS.Process(target=whole_run, args=arguments)
    process.start()
    return process


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, or -1 without a checkpoint."""
    return max((int(file.stem.removeprefix("step-")) for file in folder.glob("step-*.pt")), default=-1)


@pytest.fixture(scope="module")
def params(make_params) -> str:
    pretraining = {
        "samples": 4 * STEPS, "checkpoint_every": 8, "select": "best", "probe": {"targets": ["AF"], "every_epochs": 1},
    }  # fmt: skip
    return json.dumps(make_params(pretrain=pretraining).model_dump(mode="json"))


@pytest.fixture(scope="module")
def undisturbed(store, params, tmp_path_factory) -> tuple[str, float]:
    """Return the results of an uninterrupted run and its duration in s."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name in ("first", "timed"):
        begun = time.perf_counter()
        process = started(store.path, folder / name, params, folder / f"{name}.json")
        process.join(300)
        assert process.exitcode == 0
    seconds = time.perf_counter() - begun
    first, timed = ((folder / f"{name}.json").read_text() for name in ("first", "timed"))
    assert first == timed
    return timed, seconds


def test_killed_at_random_instants(store, params, undisturbed, tmp_path):
    """Each run is killed at a random time, up to twice, and then completed."""
    expected, seconds = undisturbed
    rng = np.random.default_rng(0)
    steps: list[int] = []
    for run in range(10 * KILLS):
        folder, out = tmp_path / f"run-{run}", tmp_path / f"{run}.json"
        while len(steps) < KILLS:
            process = started(store.path, folder, params, out)
            process.join(rng.uniform(0, 1.2 * seconds))
            if process.exitcode is None:
                process.kill()
                process.join(60)
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            steps.append(newest_step(folder))
            if rng.random() < 0.5:
                break
        if not out.exists():
            process = started(store.path, folder, params, out)
            process.join(300)
            assert process.exitcode == 0
        assert out.read_text() == expected
        if len(steps) == KILLS:
            break
    assert len(steps) == KILLS
    print(f"\nkilled {KILLS} times in {run + 1} runs of {STEPS} steps; newest checkpoint then: {steps}")
    if KILLS >= 10:
        assert len({step // 10 for step in steps}) > 3, f"the kills occurred at few different steps: {steps}"
