"""Stage pretrain: pretraining of CoRe-ECG on the train split of a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecgssl.config import Params
from ecgssl.pretraining.diagnostics.online_probe import EpochMonitor
from ecgssl.pretraining.diagnostics.publish import publish_pretraining
from ecgssl.pretraining.loop import PretrainResult, pretrain
from ecgssl.pretraining.run_identity import run_name
from ecgssl.store.store import Store
from ecgssl.tracking.runs import track
from ecgssl.training.device import resolve_device
from ecgssl.training.ranks import process_group

SECTIONS = ("model", "fda", "stdm", "objective", "pretrain")


@dataclass(frozen=True)
class Pretrained:
    """A finished pretraining.

    Args:
        result: result of the training loop.
        metrics: metrics on the validation split, as in the metrics file.
    """

    result: PretrainResult
    metrics: dict[str, float]


def pretrain_encoder(
    params: Params, store: Store, *, state: Path, model: Path, metrics: Path, plots: Path
) -> Pretrained | None:
    """Pretrain an encoder and evaluate it on the validation split. A stopped run resumes from its last checkpoint.

    Args:
        params: parameters; sections ``model``, ``fda``, ``stdm``, ``objective`` and ``pretrain`` and the seed are used.
        store: store whose train split is used for training.
        state: folder for the resumable state, one subfolder per run; removed at the end.
        model: folder for the encoder.
        metrics: JSON file for the metrics.
        plots: folder for curves and figures.

    Returns:
        The result, or ``None`` in all processes of ``torchrun`` except the first.

    Raises:
        InputError, ContractMismatch, Stopped: see ``ecgssl.pretraining.loop.pretrain``.
    """
    with (
        process_group(resolve_device(params.pretrain.device)) as ranks,
        track("pretrain", params, enabled=ranks.first) as run,
    ):
        run.log_params({section: getattr(params, section).model_dump(mode="json") for section in SECTIONS})
        result = pretrain(
            store,
            params,
            state / run_name(params, store),
            ranks=ranks,
            on_log=lambda row: run.log_metrics(row, step=int(row["samples"])),
            on_epoch=EpochMonitor(store, params),
        )
        if not ranks.first:
            return None
        figures = publish_pretraining(result, store, params, model, metrics, plots)
        shares = {"seconds": result.seconds, "data_wait_share": result.waited, "watch_share": result.monitored}
        run.log_metrics({f"val_{name}": value for name, value in figures.items()} | shares, step=result.seen)
        run.set_tags({"collapse": result.collapse or "none"})
        run.log_artifact(model)
        run.log_artifact(plots)
        result.discard()
    return Pretrained(result, figures)
