"""What makes two pretraining runs the same run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ecgssl.config import Params
from ecgssl.store.store import Store
from ecgssl.training.device import resolve_device, resolve_precision
from ecgssl.version import __version__

_DECIDES_NO_LOSS = {
    "checkpoint_every", "keep_checkpoints", "max_time", "max_bad_steps", "spike", "select", "probe", "collapse",
}  # fmt: skip


def run_name(params: Params, store: Store) -> str:
    """Folder name that is the same for, and only for, runs that may resume each other."""
    text = json.dumps(run_config(params, store), sort_keys=True)
    return "pretrain-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def run_config(params: Params, store: Store) -> dict[str, Any]:
    """Everything that decides the losses, flat by section for a readable diff.

    The number of processes is not part of it: it changes losses by rounding only, and a run may go on with another one.
    """
    decides = params.pretrain.model_dump(mode="json", exclude=_DECIDES_NO_LOSS)
    sections = {name: getattr(params, name).model_dump(mode="json") for name in ("model", "fda", "stdm", "objective")}
    device = resolve_device(params.pretrain.device)
    decides |= {"device": device.type, "precision": resolve_precision(params.pretrain.precision, device)}
    flat = {
        f"{name}.{key}": value
        for name, section in {**sections, "pretrain": decides}.items()
        for key, value in section.items()
    }
    return {
        **flat,
        "ecgssl": __version__,
        "seed": params.seed,
        "signal": store.spec.fingerprint,
        "recordings": store.about["index_sha256"],
    }
