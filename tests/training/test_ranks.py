"""Batches split over processes or pieces have the loss and the gradient of the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchrun_tasks import gradient_of

from ecgssl.pretraining.loop import pretrain
from ecgssl.training.ranks import SINGLE_PROCESS, process_group

pytestmark = pytest.mark.long

OBJECTIVES = {
    "core": {},
    "positive": {
        "objective": {"same_patient": "positive", "contrastive_weight": 0.3},
        "stdm": {"kind": "einthoven"},
        "fda": {"dynamic": True, "phase": 0.5},
    },
    "contrastive": {"objective": {"kind": "contrastive"}, "fda": {"kind": "jitter_scale"}},
    "reconstruction": {
        "objective": {"kind": "reconstruction"},
        "stdm": {"kind": "random"},
        "fda": {"views": "one_sided"},
    },
}


def torchrun(folder: Path, options: dict, ranks: int = 2) -> subprocess.CompletedProcess:
    tasks = Path(__file__).parents[1] / "helpers/torchrun_tasks.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.run(
        [*launch, str(tasks), str(folder), json.dumps(options)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def params_of(make_params):
    return {name: make_params(**changes) for name, changes in OBJECTIVES.items()}


@pytest.fixture(scope="module")
def wholes(params_of):
    return {name: gradient_of(params, SINGLE_PROCESS, 1) for name, params in params_of.items()}


@pytest.fixture(scope="module")
def shared(params_of, store, make_params, tmp_path_factory) -> Path:
    """Return the results of two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    options = {
        "gradients": {name: params.model_dump(mode="json") for name, params in params_of.items()},
        "pretrain": make_params().model_dump(mode="json"),
        "store": str(store.path),
    }
    done = torchrun(folder, options)
    assert done.returncode == 0, done.stderr
    return folder


def assert_same_step(found: dict, whole: dict) -> None:
    assert found["terms"].keys() == whole["terms"].keys()
    for name, value in whole["terms"].items():
        assert found["terms"][name].item() == pytest.approx(value.item(), rel=2e-6), name
    assert found["norms"] == pytest.approx(whole["norms"], rel=1e-4)
    assert found["gradients"].keys() == whole["gradients"].keys()
    for name, value in whole["gradients"].items():
        torch.testing.assert_close(
            found["gradients"][name], value, rtol=1e-3, atol=5e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("pieces", [2, 4])
def test_pieces_have_the_gradient_of_the_whole(name, pieces, params_of, wholes):
    assert_same_step(gradient_of(params_of[name], SINGLE_PROCESS, pieces), wholes[name])


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("pieces", [1, 2])
def test_two_processes_have_the_gradient_of_one(name, pieces, shared, wholes):
    for rank in (0, 1):
        found = torch.load(shared / f"gradients-{rank}.pt", weights_only=True)[f"{name} {pieces}"]
        assert_same_step(found, wholes[name])


def test_a_part_alone_would_have_another_loss(params_of, wholes):
    """The comparison above does not pass by chance, because fewer negatives are easier to distinguish."""
    from torchrun_tasks import uneven_batch

    from ecgssl.pretraining.loop import build_model
    from ecgssl.pretraining.step import Step
    from ecgssl.training.batch_parts import BatchParts

    half = uneven_batch().piece(slice(0, 4))
    terms, _ = Step(build_model(params_of["core"]), BatchParts(SINGLE_PROCESS), "fp32")(half, 3, 0.5, 17, measure=False)
    assert terms["contrastive"].item() < 0.9 * wholes["core"]["terms"]["contrastive"].item()


def test_two_processes_train_as_one(shared, store, make_params, tmp_path):
    result = pretrain(
        store,
        make_params(),
        tmp_path,
        show_progress=False,
        log_every=2,
        on_epoch=lambda model, step: {"evaluated": step},
    )
    history, epochs = json.loads((shared / "history.json").read_text())
    assert len(history) == len(result.history)
    for row, expected in zip(history, result.history, strict=True):
        assert row == pytest.approx(expected, rel=1e-3)
    assert history[0]["loss"] == pytest.approx(result.history[0]["loss"], rel=1e-6)
    assert epochs == result.epochs
    first, second = (torch.load(shared / f"model-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_stop_in_one_process_stops_both_and_resumes(store, make_params, shared, tmp_path):
    """Only the first process gets the signal; the resumed run has the same losses."""
    options = {"pretrain": make_params().model_dump(mode="json"), "store": str(store.path)}
    stopped = torchrun(tmp_path, {**options, "stop_at": 6})
    assert stopped.returncode != 0
    assert "stopped after 6 of 16 steps" in stopped.stderr
    assert sorted(p.name for p in (tmp_path / "run").glob("step-*")) == ["step-000000004.pt", "step-000000006.pt"]
    done = torchrun(tmp_path, options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "history.json").read_text() == (shared / "history.json").read_text()


def test_refused_parameters_end_both_processes(store, make_params, tmp_path):
    odd = {"pretrain": make_params(pretrain={"batch_size": 5}).model_dump(mode="json"), "store": str(store.path)}
    done = torchrun(tmp_path, odd)
    assert done.returncode != 0
    assert "pretrain.batch_size: is 5, which is not divisible by 2 processes times 1 pieces" in done.stderr


def test_without_torchrun_one_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(torch.device("cpu")) as ranks:
        assert (ranks.rank, ranks.size, ranks.first) == (0, 1, True)
        values = torch.arange(3.0)
        assert torch.equal(ranks.gather(values), values)
        assert torch.equal(ranks.mean(values), values)
        assert ranks.any(True)
        assert not ranks.any(False)
        assert ranks.broadcast_from_first(lambda: b"content") == b"content"
