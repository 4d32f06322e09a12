"""Fixture with a small model in the place of the shipped models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from plain_bundle import plain_bundle

from ecgssl.encoders import shipped as module
from ecgssl.encoders.shipped import CARD
from ecgssl.export.checksums import write_sums

NAME = "stand-in"


def card(**changes: Any) -> dict[str, Any]:
    """Return the content of a valid card; keyword arguments replace entries."""
    data = {
        "set": "invented",
        "licence": "CC BY 4.0",
        "attribution": "A. Author 2020",
        "train": 300,
        "part": "folds 1-8",
    }
    made = {
        "name": NAME,
        "kind": "encoder",
        "summary": "An encoder with random weights.",
        "parameters": 26_000,
        "licence": "Apache-2.0",
        "data": [data],
        "rounding": {"recordings": 3, "largest": 0.001, "cosine": 1.0},
        "limits": ["It was not trained."],
    }
    return made | changes


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of an encoder with random weights, without graphs."""
    return plain_bundle(tmp_path_factory.mktemp("stand_in"), "encoder")


@pytest.fixture
def shipped(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the only shipped model, the encoder ``stand-in``."""
    folder = tmp_path / "shipped" / NAME
    shutil.copytree(stand_in, folder)
    (folder / CARD).write_text(json.dumps(card()))
    write_sums(folder)
    monkeypatch.setattr(module, "FOLDER", folder.parent)
    return folder
