"""History of a pretraining run: means over the steps of a row, and loss spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgssl.config import CollapseParams
from ecgssl.pretraining.diagnostics.geometry import detect_collapse
from ecgssl.pretraining.history import LEAST, WINDOW, TrainingHistory
from ecgssl.training.checkpoint import state_bytes, state_from


def fed(losses, deviations=6.0) -> TrainingHistory:
    record = TrainingHistory()
    for loss in losses:
        record.step += 1
        record.add({"loss": torch.tensor(float(loss)), "other": torch.tensor(2.0)}, deviations)
    return record


def test_a_row_has_the_means_since_the_last():
    record = fed([1, 2, 6])
    assert record.add_row(step=3) == {"loss": 3.0, "other": 2.0, "step": 3, "loss_spikes": 0, "skipped_steps": 0}
    assert record.add_row(step=4) is None
    assert len(record.history) == 1


def test_a_spike_is_found_where_planted_and_nowhere_else():
    rng = np.random.default_rng(0)
    losses = 3 * np.exp(-np.arange(400) / 200) + 0.05 * rng.standard_normal(400)
    assert fed(losses).spikes == []
    for at in (LEAST, 100, 399):
        planted = losses.copy()
        planted[at] += 3.0
        (spike,) = fed(planted).spikes
        assert spike["step"] == at + 1
        assert spike["loss"] == pytest.approx(planted[at], rel=1e-6)
        assert losses[at] < spike["limit"] < planted[at]


def test_before_there_are_enough_losses_none_is_a_spike():
    assert fed([1.0] * (LEAST - 1) + [100.0]).spikes == []
    assert len(fed([1.0] * LEAST + [100.0]).spikes) == 1


def test_losses_without_spread_may_differ_by_a_little():
    assert fed([1.0] * 20 + [1.05]).spikes == []
    assert len(fed([1.0] * 20 + [1.07]).spikes) == 1


def test_only_the_newest_losses_count():
    level = [1.0] * 100 + [5.0] * 100
    record = fed(level)
    assert 1 <= len(record.spikes) <= WINDOW / 2 + 1, "a new level counts as a spike until it dominates the window"
    assert len(record.losses) == WINDOW


def test_it_comes_back_from_a_checkpoint():
    record = fed([1.0] * 20 + [9.0])
    record.epochs.append({"probe_auroc": 0.7})
    record.best, record.collapse = {"probe_auroc": 0.7, "step": 4.0}, "in words"
    assert TrainingHistory(**state_from(state_bytes(record.state_dict()))) == record


@pytest.mark.parametrize(
    ("figures", "named"),
    [
        ({"effective_rank": 20.0, "uniformity": -2.0}, None),
        ({"effective_rank": 47.0, "uniformity": -0.013}, None),
        ({"effective_rank": 1.2, "uniformity": -2.0}, "dimensional collapse: effective rank 1.2 is below 2"),
        ({"effective_rank": 20.0, "uniformity": -0.0001}, "complete collapse: uniformity -0.0001 is above -0.001"),
        (
            {"effective_rank": 0.0, "uniformity": 0.0},
            "complete collapse: uniformity 0 is above -0.001; dimensional collapse: effective rank 0 is below 2",
        ),
        ({"effective_rank": 1.2}, "dimensional collapse: effective rank 1.2 is below 2"),
        ({}, None),
    ],
)
def test_a_collapse_has_a_name(figures, named):
    assert detect_collapse(figures, CollapseParams()) == named
