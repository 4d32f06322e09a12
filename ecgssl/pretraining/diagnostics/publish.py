"""Assessment of a pretrained model on the validation split without labels, and output of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config import Params
from ecgssl.errors import Diverged
from ecgssl.files import atomic_directory, write_atomic, write_json
from ecgssl.leakage.identities import Identities
from ecgssl.model.core_ecg import CoReECG
from ecgssl.model.reconstruction_error import ErrorByCause
from ecgssl.pretraining.diagnostics.divergence import detect_divergence
from ecgssl.pretraining.diagnostics.fda_figures import draw_importance
from ecgssl.pretraining.diagnostics.geometry import geometry
from ecgssl.pretraining.diagnostics.reconstruction_gallery import (
    SHOWN,
    add_reconstruction,
    draw_gallery,
    draw_reconstruction,
)
from ecgssl.pretraining.loop import PretrainResult, gate_temperature
from ecgssl.signal.drawing import png_bytes
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.checkpoint import PRETRAINING, weight_bytes, write_model
from ecgssl.training.model_folder import CONFIG
from ecgssl.training.optim import parameter_count

WAVEFORMS = ("reconstruction.png", "gallery.png")
"""Figures that show recordings of the validation split."""


@torch.inference_mode()
def assess_pretraining(
    model: CoReECG, store: Store, rows: NDArray[np.int64], gate_temperature: float, seed: int, batch_size: int = 64
) -> dict[str, float]:
    """Return the loss terms and metrics of a model on held-out recordings.

    Args:
        model: model on the CPU, in eval mode.
        store: store preprocessed with the model's settings.
        rows: rows of the store, usually of the validation split.
        gate_temperature: temperature of the FDA gate at the end of training.
        seed: seed of views and masks.
        batch_size: number of recordings per batch. The contrastive loss compares a recording only with its batch.

    Returns:
        ``loss``, every loss term, ``kept_fraction``, the metrics of ``geometry``, and those of ``ErrorByCause``: errors by
        type of masking (time, lead drop or both), of limb and chest leads, and of dropped limb and dropped chest leads.
    """
    model.eval()
    generator = torch.Generator()
    sums: dict[str, float] = {}
    globals_: list[Tensor] = []
    projected: tuple[list[Tensor], list[Tensor]] = ([], [])
    errors = ErrorByCause()
    for number, start in enumerate(range(0, len(rows), batch_size)):
        batch = load_batch(store, rows[start : start + batch_size], torch.device("cpu"))
        generator.manual_seed(seed * 1_000_003 + number)
        both = model.fda.params.views == "two_sided"
        views = [
            model.view(batch.x, batch.lead_mask, number, gate_temperature, generator, augment)
            for augment in (True, both)
        ]
        for name, value in model.terms(views, batch.lead_mask, batch.patients).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch.rows)
        globals_.append(views[0].encoded.global_)
        for part, view in zip(projected, views, strict=True):
            part.append(model.projected(view.encoded.global_))
        if views[0].predicted is not None:
            add_reconstruction(errors, model, views[0], batch, store)
    out = {name: value / len(rows) for name, value in sums.items()}
    return out | geometry(model, globals_, projected) | errors.figures()


def publish_pretraining(
    result: PretrainResult, store: Store, params: Params, model_out: Path, metrics_out: Path, plots_out: Path
) -> dict[str, float]:
    """Assess a finished run on the validation split, and write its model, metrics and plots unless it has diverged.

    Args:
        result: result of ``pretrain``.
        store: store that the model was trained on.
        params: parameters of the run.
        model_out: folder for the encoder, all weights of CoRe-ECG and the identities of the training recordings. An
            existing folder is replaced.
        metrics_out: JSON file of the assessment.
        plots_out: folder for ``losses.csv`` and, if available, ``epochs.csv``, ``importance.png``, ``reconstruction.png``
            and ``gallery.png``.

    Returns:
        Metrics that are written to ``metrics_out``.

    Raises:
        Diverged: the run exceeds a limit of ``pretrain.divergence``, or a metric is not finite; nothing is written.
    """
    rows = store.rows("val")
    temperature = gate_temperature(params, 1.0)
    figures = assess_pretraining(result.model, store, rows, temperature, params.seed)
    _require_convergence(result, params, figures)
    figures |= {"parameters": float(parameter_count(result.model.encoder.parameters()))}
    figures |= {"collapsed": float(result.collapse is not None), "loss_spikes": float(len(result.spikes))}
    made = {
        "seen": result.seen,
        "precision": result.precision,
        "objective": params.objective.kind,
    }
    with atomic_directory(model_out, marker=CONFIG) as folder:
        write_model(folder, result.model.encoder, store.spec, {"pretraining": made, "data": store.described})
        write_atomic(folder / PRETRAINING, weight_bytes(result.model))
        Identities.of_store(store, store.rows("train")).write(folder)
        write_json(folder / "params.json", params.model_dump(mode="json", exclude={"sets", "tracking"}), digits=None)
    write_json(metrics_out, figures)
    with atomic_directory(plots_out, marker="losses.csv") as folder:
        _write_table(folder / "losses.csv", result.history)
        if result.epochs:
            _write_table(folder / "epochs.csv", result.epochs)
        if result.model.fda.params.kind == "fda":
            figure = draw_importance(result.model.fda, store.spec.samples)
            (folder / "importance.png").write_bytes(png_bytes(figure))
        if params.objective.kind != "contrastive" and params.stdm.kind != "none":
            figure = draw_reconstruction(result.model, store, int(rows[0]), params.seed)
            (folder / "reconstruction.png").write_bytes(png_bytes(figure))
            figure = draw_gallery(result.model, store, rows[:SHOWN], params.seed)
            (folder / "gallery.png").write_bytes(png_bytes(figure))
    return figures


def _require_convergence(result: PretrainResult, params: Params, figures: dict[str, float]) -> None:
    p = params.pretrain
    steps = result.seen // p.batch_size
    found = detect_divergence(steps, result.skipped_steps, result.history, figures, p.batch_size, p.divergence)
    if found:
        remedy = "Reduce pretrain.learning_rate, or change the limits of pretrain.divergence"
        raise Diverged(f"pretraining diverged: {found}. Nothing was published. {remedy}")


def _write_table(path: Path, rows: list[dict[str, float]]) -> None:
    pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n", float_format="%.6g")
