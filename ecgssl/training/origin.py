"""Data that a model was trained on, and the encoders that it started from."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ecgssl.config.public_sets import SYNTHETIC
from ecgssl.leakage.identities import FILE
from ecgssl.training.model_folder import CONFIG, read_json

_logger = logging.getLogger(__name__)

SYNTHETIC_ONLY = (
    "The encoder was pretrained on synthetic recordings only. Pretrain on real recordings, or start from a shipped encoder "
    "(ecgssl encoders)"
)
"""Warning for a model whose encoder has seen no real recording in pretraining."""


def describe_origin(path: Path | str) -> dict[str, Any]:
    """Return the training data of a model, for the configuration of a model that starts from it.

    Args:
        path: folder of an encoder, a classifier or a bundle.

    Returns:
        Dictionary with the keys ``data`` (entry of its configuration), ``started_from`` (the same dictionary for the
        encoder that it started from; ``None`` for random weights) and ``recordings_known``: whether the identities of
        all these recordings are in the folder. They are not in bundles of sets whose licence is not open. A shipped model
        also has ``name``.

    Raises:
        InputError: the folder has no readable configuration.
    """
    config = read_json(Path(path) / CONFIG)
    before = started_from(config)
    known = (Path(path) / FILE).is_file() and (before is None or before.get("recordings_known") is True)
    named = {"name": config["name"]} if isinstance(config.get("name"), str) else {}
    return {**named, "data": config.get("data"), "started_from": before, "recordings_known": known}


def started_from(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the entry of a configuration about the encoder that the model started from; ``None`` for random weights.

    It is the entry ``encoder`` of a classifier and ``pretraining.init`` of an encoder.
    """
    pretraining = config.get("pretraining")
    found = config.get("encoder") or (pretraining.get("init") if isinstance(pretraining, Mapping) else None)
    return found if isinstance(found, dict) else None


def encoder_text(config: Mapping[str, Any]) -> str:
    """Return the name of a model's encoder, if it is a shipped one, and the data it was pretrained on.

    Args:
        config: content of ``config.json`` of an encoder or a classifier.

    Returns:
        Text such as ``ptbxl-tiny, pretrained on ptbxl (17,418 recordings)``; ``random weights`` for a classifier trained from
        scratch, and ``not recorded`` for a classifier of an earlier release.
    """
    if config.get("kind") != "classifier":
        own = {key: config.get(key) for key in ("name", "data")}
        return _origin_text({**own, "started_from": started_from(config)})
    origin = started_from(config)
    if origin is None:
        return "random weights" if config.get("mode") == "scratch" else "not recorded"
    return _origin_text(origin)


def is_synthetic_only(origin: Mapping[str, Any] | None) -> bool:
    """Return whether an encoder and all encoders that it started from were pretrained on synthetic recordings only.

    Args:
        origin: result of ``describe_origin``, or ``None`` for random weights.
    """
    if origin is None:
        return False
    before = origin.get("started_from")
    names = [entry.get("set") for _, entry in named_sets(origin.get("data"))]
    return bool(names) and set(names) == {SYNTHETIC} and (not isinstance(before, dict) or is_synthetic_only(before))


def warn_of_synthetic(origin: Mapping[str, Any] | None) -> None:
    """Log a warning if an encoder was pretrained on synthetic recordings only; ``origin`` as in ``is_synthetic_only``."""
    if is_synthetic_only(origin):
        _logger.warning("%s.", SYNTHETIC_ONLY)


def named_sets(data: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Return a name and the entry of each set in ``data`` of a configuration."""
    if not isinstance(data, Mapping):
        return [(str(data), {"set": str(data)})] if data else []
    sets = data.get("sets")
    if isinstance(sets, Mapping):
        return [(str(name), entry) for name, entry in sets.items() if isinstance(entry, Mapping)]
    return [(str(data.get("set", "unknown data")), data)]


def data_text(data: Any) -> str:
    """Return the entry ``data`` of a configuration as text: name and numbers of recordings of each set."""
    sets = data.get("sets") if isinstance(data, Mapping) else None
    if isinstance(sets, Mapping):
        return "; ".join(f"{name} ({plain_text(entry)})" for name, entry in sets.items())
    return plain_text(data)


def origins(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a title and the training data of each encoder that the model started from, the latest first."""
    origin, title = started_from(about), "Encoder" if about.get("encoder") else "Started from"
    while origin is not None:
        digest = str(origin.get("digest", ""))[:12]
        named = f" with the weights {digest}" if digest else ""
        kind = f"the shipped encoder {origin['name']}" if origin.get("name") else "an encoder"
        unknown = "" if origin.get("recordings_known") is True else " (recordings not listed, so not compared)"
        yield title, f"{kind}{named}, pretrained on {data_text(origin.get('data') or 'unknown data')}{unknown}"
        before = origin.get("started_from")
        origin, title = before if isinstance(before, dict) else None, f"{title}, before that"


def plain_text(value: Any) -> str:
    """Return a JSON value as text without brackets and quotes."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(plain_text(item) for item in value)
    return str(value)


def _origin_text(origin: Mapping[str, Any]) -> str:
    named = [
        f"{entry.get('set', name)} ({entry['train']:,} recordings)"
        if isinstance(entry.get("train"), int)
        else f"{entry.get('set', name)}"
        for name, entry in named_sets(origin.get("data"))
    ]
    before = origin.get("started_from")
    earlier = f"; started from {_origin_text(before)}" if isinstance(before, dict) else ""
    return f"{origin.get('name') or 'encoder'}, pretrained on {' and '.join(named) or 'unknown data'}{earlier}"
