"""Several models are exported with one call, and registered only if all of them can be exported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import ecgssl.stages.export as stage
from ecgssl.config import Params
from ecgssl.errors import InputError, Problem

MODELS = {
    Path("exports/encoder"): (Path("models/a"), Path("s")),
    Path("exports/classifier"): (Path("models/b"), Path("s")),
}


@pytest.fixture
def registered(monkeypatch) -> list[Path]:
    """Return the list of registered bundles; a bundle is the name of its model, and model ``b`` can be refused."""
    out: list[Path] = []
    monkeypatch.setattr(stage, "Store", lambda path: path)
    monkeypatch.setattr(stage, "_write_bundle", lambda params, model, out, store: {"model": model.name})
    monkeypatch.setattr(stage, "_register", lambda params, path, figures, run: out.append(path))
    return out


def one_worker() -> Params:
    return Params.model_validate({"tasks": {"af": {"targets": ["AF"]}}, "store": {"workers": 1}})


def test_every_model_is_exported_and_registered(registered):
    made = stage.export_models(one_worker(), MODELS, SimpleNamespace())
    assert {path.name: figures for path, figures in made.items()} == {
        "encoder": {"model": "a"},
        "classifier": {"model": "b"},
    }
    assert registered == list(MODELS)


def test_no_model_is_registered_if_one_cannot_be_exported(registered, monkeypatch):
    def refuse(params, model, out, store):
        if model.name == "b":
            raise InputError(Problem("models/b", "weights", "are not finite", "Train the model again"))
        return {}

    monkeypatch.setattr(stage, "_write_bundle", refuse)
    with pytest.raises(InputError, match="models/b: weights"):
        stage.export_models(one_worker(), MODELS, SimpleNamespace())
    assert registered == []
