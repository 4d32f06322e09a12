"""Configuration that identifies a pretraining run. A run can be resumed only with the same configuration."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ecgssl.config import Params
from ecgssl.errors import InputError, Problem
from ecgssl.pretraining.initial_weights import init_digest
from ecgssl.store.content_digest import content_digest
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store
from ecgssl.training.checkpoint import RUN_CONFIG
from ecgssl.training.device import resolve_device, resolve_precision
from ecgssl.training.model_folder import read_json
from ecgssl.version import __version__

PREFIX = "pretrain-"
"""Prefix of the folder names of runs."""

_WITHOUT_EFFECT_ON_LOSS = {
    "checkpoint_every", "keep_checkpoints", "max_time", "max_bad_steps", "spike", "select", "probe", "collapse",
    "divergence",
    # the digests of recordings, left-out rows and weights stand for these
    "sets", "overlap", "init",
}  # fmt: skip


def run_name(params: Params, store: Store | Corpus) -> str:
    """Return the folder name of a run. Runs with the same configuration have the same name and can resume each other."""
    text = json.dumps(run_config(params, store), sort_keys=True)
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12]


def require_same_release(folder: Path) -> None:
    """Check that a folder contains no stopped runs of another release, because this release cannot resume them.

    Args:
        folder: folder with one subfolder per stopped run.

    Raises:
        InputError: the folder contains stopped runs of another release; all of them are listed.
    """
    releases = {path.parent: read_json(path).get("ecgssl") for path in sorted(folder.glob(f"{PREFIX}*/{RUN_CONFIG}"))}
    problems = [
        Problem(
            str(run),
            "ecgssl",
            f"is a stopped run of ecgssl {release}, but ecgssl {__version__} is installed",
            f"Remove the folder and start again with 'ecgssl pretrain', or resume it with ecgssl {release}",
        )
        for run, release in releases.items()
        if release != __version__
    ]
    if problems:
        raise InputError(problems)


def run_config(params: Params, store: Store | Corpus) -> dict[str, Any]:
    """Return all settings that affect the losses, as a flat dictionary.

    The number of processes is not included, because it changes the losses only by rounding errors. Labels are not
    included either.
    """
    corpus = Corpus.of(store)
    settings = params.pretrain.model_dump(mode="json", exclude=_WITHOUT_EFFECT_ON_LOSS)
    sections = {name: getattr(params, name).model_dump(mode="json") for name in ("model", "fda", "stdm", "objective")}
    device = resolve_device(params.pretrain.device)
    settings |= {"device": device.type, "precision": resolve_precision(params.pretrain.precision, device)}
    flat = {
        f"{name}.{key}": value
        for name, section in {**sections, "pretrain": settings}.items()
        for key, value in section.items()
    }
    return {
        **flat,
        "ecgssl": __version__,
        "seed": params.seed,
        "signal": corpus.spec.fingerprint,
        "sets": list(corpus.names) if len(corpus.names) > 1 else None,
        "init": None if params.pretrain.init is None else init_digest(params.pretrain.init),
        "recordings": [content_digest(each) for each in corpus.stores.values()],
        "left_out": hashlib.sha256(b"".join(rows.tobytes() + b";" for rows in corpus.left_out.values())).hexdigest(),
    }
