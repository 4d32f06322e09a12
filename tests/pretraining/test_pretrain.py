"""Pretraining loop: interrupted in any way, it resumes to bit-identical losses and weights."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgssl.errors import ContractMismatch, InputError
from ecgssl.pretraining.loop import Stopped, build_model, gate_temperature, pretrain
from ecgssl.training import batches
from ecgssl.training.checkpoint import RunState

pytestmark = pytest.mark.long

STEPS = 16


def run(store, params, folder, **options):
    return pretrain(store, params, folder, show_progress=False, **{"log_every": 2, **options})


@pytest.fixture(scope="module")
def whole(store, make_params, tmp_path_factory):
    """Return the result of an uninterrupted run."""
    return run(store, make_params(), tmp_path_factory.mktemp("whole"))


def assert_same(result, whole) -> None:
    assert result.history == whole.history
    expected = whole.model.state_dict()
    assert result.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in result.model.state_dict().items())


def test_history(whole, make_params):
    assert [row["step"] for row in whole.history] == list(range(2, STEPS + 1, 2))
    assert [row["samples"] for row in whole.history] == [4 * row["step"] for row in whole.history]
    assert all(math.isfinite(value) for row in whole.history for value in row.values())
    weights = make_params().objective
    for row in whole.history:
        total = row["reconstruction"] + weights.contrastive_weight * row["contrastive"]
        assert row["loss"] == pytest.approx(total + weights.budget_weight * row["budget"], rel=1e-5)
    rates = [row["learning_rate"] for row in whole.history]
    assert rates[0] == pytest.approx(1e-3 * (1 / 16) / 0.1), "the second step is in the warm-up"
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(1e-3 * math.cos(math.pi / 2 * (15 / 16 - 0.1) / 0.9) ** 2)
    assert (whole.precision, whole.device, whole.skipped_steps, whole.seen) == ("fp32", "cpu", 0, 64)
    assert not whole.model.training


def test_it_learns(store, make_params, tmp_path):
    """The training split has sixteen recordings, and each is seen 64 times."""
    history = run(store, make_params(pretrain={"samples": 1024, "learning_rate": 5e-3}), tmp_path, log_every=64).history
    for term in ("loss", "reconstruction", "contrastive"):
        assert history[-1][term] < history[0][term]


def test_a_row_is_the_mean_of_its_steps(store, make_params, whole, tmp_path):
    single = run(store, make_params(), tmp_path, log_every=1).history
    assert len(single) == STEPS
    for name in ("loss", "reconstruction", "contrastive", "gradient_norm", "kept_fraction"):
        pairs = np.array([row[name] for row in single]).reshape(-1, 2).mean(axis=1)
        assert [row[name] for row in whole.history] == pytest.approx(list(pairs), rel=1e-5)


def test_seed_decides(store, make_params, whole, tmp_path):
    assert_same(run(store, make_params(), tmp_path / "again"), whole)
    other = run(store, make_params(seed=4), tmp_path / "other")
    assert other.history[0]["loss"] != whole.history[0]["loss"]
    first, again = build_model(make_params()), build_model(make_params())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_a_second_call_resumes(store, make_params, whole, tmp_path, number):
    before = signal.getsignal(number)

    def ask_at_six(row):
        if row["step"] == 6:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match="6 of 16"):
        run(store, make_params(), tmp_path, on_log=ask_at_six)
    assert signal.getsignal(number) == before
    rows = []
    result = run(store, make_params(), tmp_path, on_log=rows.append)
    assert [row["step"] for row in rows] == list(range(8, STEPS + 1, 2))
    assert_same(result, whole)


def test_max_time_stops_again_and_again(store, make_params, whole, tmp_path):
    params = make_params(pretrain={"max_time": 1e-9, "checkpoint_every": 100_000})
    stops = 0
    while True:
        try:
            result = run(store, params, tmp_path)
            break
        except Stopped:
            stops += 1
    assert stops == STEPS - 1
    assert_same(result, whole)


RUNS = """
import hashlib, json, os, pathlib, signal, sys
from ecgssl.config import parse_params
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import weight_bytes
from ecgssl.pretraining.loop import pretrain

store, folder, params, dies = sys.argv[1:]
real = pathlib.Path.replace

def replace(self, target):
    # the twelfth step's checkpoint is written, but not yet in its place
    if pathlib.Path(target).name == "step-000000012.pt" and dies == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)

pathlib.Path.replace = replace
rows = []
result = pretrain(
    Store(store), parse_params(json.loads(params)), pathlib.Path(folder), show_progress=False, log_every=2,
    on_log=rows.append,
)
print(json.dumps([rows[0]["step"], result.history, hashlib.sha256(weight_bytes(result.model)).hexdigest()]))
"""


def test_killed_while_it_saves(store, make_params, tmp_path):
    folder, text = tmp_path / "run", json.dumps(make_params().model_dump(mode="json"))

    def process(folder: Path, dies: str) -> subprocess.CompletedProcess[str]:
        # each in a separate process, because rounding can depend on other loaded libraries
        return subprocess.run(
            [sys.executable, "-c", RUNS, str(store.path), str(folder), text, dies],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
            check=False,
            capture_output=True,
            text=True,
        )

    done = process(folder, "dies")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert sorted(p.name for p in folder.glob("step-*")) == ["step-000000004.pt", "step-000000008.pt"]
    assert len(list(folder.glob(".step-000000012*"))) == 1
    resumed, undisturbed = (json.loads(process(place, "lives").stdout) for place in (folder, tmp_path / "whole"))
    assert (resumed[0], undisturbed[0]) == (10, 2)
    assert resumed[1:] == undisturbed[1:]
    RunState(folder, json.loads((folder / "run.json").read_text())).discard()
    assert not folder.exists()


def test_a_run_is_not_resumed_under_other_parameters(store, make_params, whole, tmp_path):
    with pytest.raises(Stopped):
        run(store, make_params(pretrain={"max_time": 1e-9}), tmp_path)
    changed = make_params(seed=9, stdm={"time_ratio": 0.6}, pretrain={"batch_size": 8})
    with pytest.raises(InputError) as caught:
        run(store, changed, tmp_path)
    assert [p.field for p in caught.value.problems] == ["pretrain.batch_size", "seed", "stdm.time_ratio"]
    # checkpoint interval and time limit do not affect the losses
    harmless = make_params(pretrain={"max_time": None, "checkpoint_every": 40, "max_bad_steps": 3})
    assert_same(run(store, harmless, tmp_path), whole)


def poison(monkeypatch, calls: set[int], value: float = float("nan")) -> None:
    """Replace one sample by ``value`` in the batches of the given calls (counted from 0)."""
    real, count = batches.to_device, [0]

    def load(*args):
        batch = real(*args)
        if count[0] in calls:
            batch.x[0, 0, 0] = value
        count[0] += 1
        return batch

    monkeypatch.setattr(batches, "to_device", load)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_step_is_left_out_and_counted(store, make_params, whole, tmp_path, monkeypatch, value):
    poison(monkeypatch, {3, 4}, value)
    result = run(store, make_params(), tmp_path, log_every=1)
    assert result.skipped_steps == 2
    assert [row["step"] for row in result.history] == [s for s in range(1, STEPS + 1) if s not in (4, 5)]
    assert all(math.isfinite(v) for row in result.history for v in row.values())
    assert all(bool(p.isfinite().all()) for p in result.model.parameters())
    clean = whole.history[0]
    assert np.mean([row["loss"] for row in result.history[:2]]) == pytest.approx(clean["loss"], rel=1e-5)


def test_skipped_steps_are_remembered_by_a_resumed_run(store, make_params, tmp_path, monkeypatch):
    poison(monkeypatch, {1})
    with pytest.raises(Stopped):
        run(store, make_params(pretrain={"max_time": 1e-9}), tmp_path)
    poison(monkeypatch, {4})
    assert run(store, make_params(), tmp_path).skipped_steps == 2


def test_too_many_non_finite_steps_in_a_row_are_fatal(store, make_params, tmp_path, monkeypatch):
    params = make_params(pretrain={"max_bad_steps": 2})
    poison(monkeypatch, {2, 3, 5, 6, 8, 9, 10})
    with pytest.raises(FloatingPointError, match=r"3 non-finite steps in a row at step 10.*learning_rate"):
        run(store, params, tmp_path)


def test_a_store_of_another_contract_is_refused(store, make_params, tmp_path):
    params = make_params(signal={"clean": {"mains": 50}})
    with pytest.raises(ContractMismatch, match=r"clean\.mains"):
        run(store, params, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_recording_is_too_few(store, make_params, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "rows", lambda split: np.array([0]))
    with pytest.raises(InputError, match="has 1 train recordings"):
        run(store, make_params(), tmp_path)


def test_only_the_train_split_is_seen(store, make_params, tmp_path, monkeypatch):
    seen, real = set(), batches.read_batch
    monkeypatch.setattr(batches, "read_batch", lambda s, rows, d: seen.update(rows.tolist()) or real(s, rows, d))
    run(store, make_params(), tmp_path)
    assert seen == set(store.rows("train").tolist())


def test_gate_temperature(make_params):
    params = make_params(fda={"temperature": [2.0, 0.02]})
    assert [gate_temperature(params, share) for share in (0, 0.5, 1)] == pytest.approx([2, 0.2, 0.02])


def test_gradient_norms_of_single_terms(whole, make_params):
    """Both terms have gradients in the encoder and the budget in the map; only a learned map has one."""
    for row in whole.history:
        assert all(row[f"gradient_{term}"] > 0 for term in ("reconstruction", "contrastive"))
        assert row["gradient_budget"] >= 0


def test_measuring_gradients_changes_nothing(store, make_params, whole, tmp_path):
    seldom = run(store, make_params(), tmp_path, log_every=STEPS)
    expected = whole.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in seldom.model.state_dict().items())


def run_evaluated(store, params, folder, figures=lambda step: {}, **options):
    """Run with an evaluation after every epoch that returns ``figures(step)``.

    Returns the run, and the step and training mode of every evaluation.
    """
    evaluations = []

    def evaluate(model, step):
        evaluations.append((step, model.training))
        return {"figure": float(step), **figures(step)}

    return run(store, params, folder, on_epoch=evaluate, **options), evaluations


def test_every_epoch_is_looked_at(store, make_params, whole, tmp_path):
    """With 16 recordings in batches of 4, an epoch has four steps."""
    rows = []
    result, evaluations = run_evaluated(store, make_params(), tmp_path, on_log=rows.append)
    assert evaluations == [(step, False) for step in (4, 8, 12, 16)]
    assert [row["epoch"] for row in result.epochs] == [1, 2, 3, 4]
    assert [row["figure"] for row in result.epochs] == [4, 8, 12, 16]
    assert [row for row in rows if "figure" in row] == result.epochs
    assert_same(result, whole)
    assert 0 < result.monitored < 1
    assert 0 < result.waited < 1


@pytest.mark.parametrize(
    ("every", "samples", "steps"), [(2, 64, [8, 16]), (3, 64, [12, 16]), (9, 64, [16]), (1, 8, [2])]
)
def test_some_epochs_are_looked_at_and_always_the_end(store, make_params, tmp_path, every, samples, steps):
    params = make_params(pretrain={"samples": samples, "probe": {"every_epochs": every}})
    assert [step for step, _ in run_evaluated(store, params, tmp_path)[1]] == steps


def test_the_best_epoch_can_be_selected(store, make_params, tmp_path):
    """This includes a run that was interrupted after the best epoch."""
    reached = {4: 0.6, 8: 0.8, 12: 0.7, 16: 0.8}
    select = {"select": "best", "probe": {"targets": ["AF"], "every_epochs": 1}}

    def stop_at_ten(row):
        if row["step"] == 10 and not row.get("figure"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        run_evaluated(
            store,
            make_params(pretrain=select),
            tmp_path,
            lambda step: {"probe_auroc": reached[step]},
            on_log=stop_at_ten,
        )
    result, _ = run_evaluated(
        store, make_params(pretrain=select), tmp_path, lambda step: {"probe_auroc": reached[step]}
    )
    saved = result.run_state.best()
    assert (saved["step"], saved["probe_auroc"]) == (8, 0.8)
    assert all(torch.equal(value, saved["model"][name]) for name, value in result.model.state_dict().items())
    last, _ = run_evaluated(store, make_params(), tmp_path / "last", lambda step: {"probe_auroc": reached[step]})
    assert any(not torch.equal(value, saved["model"][name]) for name, value in last.model.state_dict().items())
    result.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_a_collapse_is_told_and_noted(store, make_params, tmp_path, caplog):
    flat = {4: 9.0, 8: 1.1, 12: 1.2, 16: 1.0}
    result, _ = run_evaluated(store, make_params(), tmp_path, lambda step: {"effective_rank": flat[step]})
    assert [row["collapsed"] for row in result.epochs] == [0, 1, 1, 1]
    assert result.collapse == "dimensional collapse: effective rank 1 is below 2"
    # this short run may also warn of a high loss
    assert [r.getMessage() for r in caplog.records if "collapse" in r.getMessage()] == [
        "pretraining: dimensional collapse: effective rank 1.1 is below 2 (step 8)"
    ]


def test_a_collapse_can_stop_the_run(store, make_params, tmp_path):
    params = make_params(pretrain={"collapse": {"action": "stop"}})
    with pytest.raises(Stopped, match="stopped after 4 of 16 steps: complete collapse"):
        run_evaluated(store, params, tmp_path, lambda step: {"uniformity": -0.0001})


def test_spikes_are_counted_and_not_skipped(store, make_params, tmp_path, monkeypatch):
    monkeypatch.setattr("ecgssl.pretraining.history.LEAST", 4)
    quiet = run(store, make_params(pretrain={"spike": 1e6}), tmp_path / "quiet", log_every=1)
    alert = run(store, make_params(pretrain={"spike": 1e-3}), tmp_path / "alert", log_every=1)
    assert quiet.spikes == []
    assert alert.spikes
    losses = {row["step"]: row["loss"] for row in alert.history}
    for spike in alert.spikes:
        assert losses[spike["step"]] == spike["loss"] > spike["limit"]
    assert alert.history[-1]["loss_spikes"] == len(alert.spikes)
    assert [row["loss"] for row in quiet.history] == list(losses.values())


def test_accumulated_pieces_train_as_the_whole_batch(store, make_params, whole, tmp_path):
    result = run(store, make_params(pretrain={"accumulate": 2}), tmp_path)
    assert result.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-5)
    for row, expected in zip(result.history, whole.history, strict=True):
        assert row == pytest.approx(expected, rel=2e-3)


def test_keep_checkpoints(store, make_params, tmp_path):
    result = run(store, make_params(pretrain={"keep_checkpoints": 3, "checkpoint_every": 4}), tmp_path)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == [f"step-{n:09d}.pt" for n in (13, 14, 15)]
    result.discard()
    assert not tmp_path.exists()


def test_bf16_resumes_bit_for_bit_and_trains_as_fp32(store, make_params, whole, tmp_path):
    params = make_params(pretrain={"precision": "bf16"})
    undisturbed = run(store, params, tmp_path / "undisturbed")
    assert undisturbed.precision == "bf16"
    assert all(value.dtype == torch.float32 for value in undisturbed.model.parameters())

    def stop_at_six(row):
        if row["step"] == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        run(store, params, tmp_path / "run", on_log=stop_at_six)
    assert_same(run(store, params, tmp_path / "run"), undisturbed)
    for row, exact in zip(undisturbed.history, whole.history, strict=True):
        # rounding differences grow with the steps, so the losses of the two runs diverge
        assert row["loss"] == pytest.approx(exact["loss"], rel=0.01 if row["step"] < 4 else 0.05)
    assert undisturbed.history[-1]["loss"] != whole.history[-1]["loss"]


def test_compiled_blocks_train_the_same_and_save_the_same(store, make_params, whole, tmp_path, monkeypatch):
    """The model is traced and differentiated as for compilation, but not built, which needs a C++ compiler and 30 s."""
    compiled, real = [], torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__) or real(self, backend="aot_eager")
    )
    params = make_params(pretrain={"compile": True})
    with pytest.raises(Stopped):
        run(
            store,
            params.model_copy(update={"pretrain": params.pretrain.model_copy(update={"max_time": 1e-9})}),
            tmp_path,
        )
    result = run(store, params, tmp_path)
    assert compiled == 2 * 3 * ["Block"]
    assert result.model.state_dict().keys() == whole.model.state_dict().keys()
    for row, expected in zip(result.history, whole.history, strict=True):
        assert row == pytest.approx(expected, rel=1e-3)
    with pytest.raises(InputError, match=r"pretrain\.compile"):
        RunState(tmp_path, {**json.loads((tmp_path / "run.json").read_text()), "pretrain.compile": False})


def test_schedules_are_in_samples(store, make_params, tmp_path):
    """Learning rate and gate temperature depend on the number of recordings, whatever the batch size."""
    rates = {}
    for size in (4, 8):
        params = make_params(pretrain={"batch_size": size, "warmup": 0.25})
        history = run(store, params, tmp_path / str(size), log_every=1).history
        # the learning rate of a step depends on the number of recordings before it
        rates[size] = {row["samples"] - size: row["learning_rate"] for row in history}
    assert rates[8].keys() < rates[4].keys()
    assert all(rates[4][seen] == pytest.approx(rate) for seen, rate in rates[8].items())
    assert rates[8][16] == pytest.approx(1e-3)
