"""Script that ``torchrun`` starts in the tests, with a folder and, for pretraining, its options."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ecgssl.config import Params, parse_params
from ecgssl.errors import exit_with
from ecgssl.pretraining.loop import build_model, pretrain
from ecgssl.pretraining.step import Step
from ecgssl.store.store import Store
from ecgssl.training.batch_parts import BatchParts
from ecgssl.training.batches import Batch
from ecgssl.training.ranks import Ranks, process_group

CPU = torch.device("cpu")


def uneven_batch(size: int = 8) -> Batch:
    """Return a batch of two recordings per patient in which later recordings have fewer leads, and some are short."""
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(size, 12, 500, generator=generator)
    mask = torch.arange(12)[None] < torch.tensor([12, 12, 11, 9, 8, 6, 4, 3])[:size, None]
    recorded = torch.tensor([500, 500, 430, 500, 300, 500, 360, 250])[:size]
    x = torch.where(mask[..., None] & (torch.arange(500) < recorded[:, None, None]), x, 0)
    return Batch(x, mask, torch.arange(size).numpy(), torch.arange(size) // 2, recorded)


def gradient_of(params: Params, ranks: Ranks, pieces: int) -> dict[str, Any]:
    """Return terms, gradient norms and gradient of one step on ``uneven_batch``, split over ranks."""
    model = build_model(params)
    batch = uneven_batch()
    here = len(batch.rows) // ranks.size
    own = batch.piece(slice(ranks.rank * here, (ranks.rank + 1) * here))
    terms, norms = Step(model, BatchParts(ranks, pieces), "fp32")(own, 3, 0.5, 17, measure=True)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"terms": terms, "norms": norms, "gradients": gradients}


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    with process_group(CPU) as ranks:
        if "gradients" in options:
            found = {
                f"{name} {pieces}": gradient_of(parse_params(params), ranks, pieces)
                for name, params in options["gradients"].items()
                for pieces in (1, 2)
            }
            torch.save(found, folder / f"gradients-{ranks.rank}.pt")
        if "pretrain" in options:
            params = parse_params(options["pretrain"])

            def stop(row: dict[str, float]) -> None:
                if row["step"] == options.get("stop_at"):
                    os.kill(os.getpid(), signal.SIGTERM)

            result = pretrain(
                Store(options["store"]), params, folder / "run", ranks=ranks, show_progress=False, log_every=2,
                on_log=stop, on_epoch=lambda model, step: {"evaluated": float(step)},
            )  # fmt: skip
            if ranks.first:
                (folder / "history.json").write_text(json.dumps([result.history, result.epochs]))
            torch.save(result.model.state_dict(), folder / f"model-{ranks.rank}.pt")


if __name__ == "__main__":
    exit_with(main)
