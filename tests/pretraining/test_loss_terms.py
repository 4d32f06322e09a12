"""Loss terms: every declared term is part of the loss and has a gradient norm and a curve."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

import pytest
import torch
import yaml

from ecgssl.model import core_ecg
from ecgssl.model.core_ecg import LOSS_TERMS, LossTerm
from ecgssl.pretraining.loop import build_model
from ecgssl.pretraining.step import Step
from ecgssl.training.batch_parts import BatchParts
from ecgssl.training.batches import Batch
from ecgssl.training.ranks import SINGLE_PROCESS


def measured(model) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return the terms and gradient norms of one step on random recordings."""
    x = torch.randn(4, 12, 500, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, None, torch.arange(4).numpy(), torch.arange(4))
    return Step(model, BatchParts(SINGLE_PROCESS), "fp32")(batch, 3, 0.5, 17, measure=True)


def test_every_term_has_a_curve():
    plots = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["plots"]
    curves: set[str] = set()
    for plot in plots:
        for settings in plot.values() if isinstance(plot, dict) else ():
            columns = settings["y"].get("plots/pretrain/losses.csv", [])
            curves |= {columns} if isinstance(columns, str) else set(columns)
    missing = {term.name for term in LOSS_TERMS} - curves
    assert not missing, f"add {sorted(missing)} to a plot of plots/pretrain/losses.csv in dvc.yaml"


def test_every_term_has_a_gradient_norm(make_params):
    terms, norms = measured(build_model(make_params()))
    assert list(terms) == ["loss", *(term.name for term in LOSS_TERMS), "kept_fraction"]
    assert list(norms) == [f"gradient_{term.name}" for term in LOSS_TERMS]


def test_a_term_needs_no_more_than_its_declaration(make_params):
    """A new term is added to the loss with its weight, reported by name, and has a gradient norm."""
    expected, _ = measured(build_model(make_params()))
    model = build_model(make_params())
    size = LossTerm(
        "size",
        lambda batch: batch.views[0].encoded.global_.float().square().mean(),
        lambda objective: 0.5,
        lambda model: [model.encoder.norm.weight],
    )
    model.loss_terms = (*model.loss_terms, size)
    terms, norms = measured(model)
    assert float(terms["loss"]) == pytest.approx(float(expected["loss"] + 0.5 * terms["size"]), rel=1e-6)
    assert norms["gradient_size"] > 0


def test_every_function_of_a_term_is_declared():
    """A loss function without a line in ``LOSS_TERMS`` would never be trained."""
    functions = {name for name, value in vars(core_ecg).items() if callable(value) and _takes_batch(value)}
    assert functions == {term.value.__name__ for term in LOSS_TERMS}


def _takes_batch(value: object) -> bool:
    return list(getattr(value, "__annotations__", {}))[:1] == ["batch"] and isinstance(value, FunctionType)
