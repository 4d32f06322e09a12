"""Data that a model was trained on, and the encoders that it started from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgssl.leakage.identities import FILE
from ecgssl.training.model_folder import CONFIG, read_json


def describe_origin(path: Path | str) -> dict[str, Any]:
    """Return the training data of a model, for the configuration of a model that starts from it.

    Args:
        path: folder of an encoder, a classifier or a bundle.

    Returns:
        Dictionary with the keys ``data`` (entry of its configuration), ``started_from`` (the same dictionary for the
        encoder that it started from; ``None`` for random weights) and ``recordings_known``: whether the identities of
        all these recordings are in the folder. They are not in bundles of sets whose licence is not open.

    Raises:
        InputError: the folder has no readable configuration.
    """
    config = read_json(Path(path) / CONFIG)
    before = started_from(config)
    known = (Path(path) / FILE).is_file() and (before is None or before.get("recordings_known") is True)
    return {"data": config.get("data"), "started_from": before, "recordings_known": known}


def started_from(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the entry of a configuration about the encoder that the model started from; ``None`` for random weights.

    It is the entry ``encoder`` of a classifier and ``pretraining.init`` of an encoder.
    """
    pretraining = config.get("pretraining")
    found = config.get("encoder") or (pretraining.get("init") if isinstance(pretraining, Mapping) else None)
    return found if isinstance(found, dict) else None
