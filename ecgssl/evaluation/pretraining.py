"""What pretraining has learned, before any label is looked at: collapse, and reconstruction error by cause."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from einops import rearrange, repeat
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.config import Params, parse_params
from ecgssl.evaluation.augmentation import draw_importance
from ecgssl.evaluation.representation import alignment, effective_rank, uniformity
from ecgssl.files import atomic_directory, write_atomic, write_json
from ecgssl.model.core_ecg import CoReECG, View
from ecgssl.model.losses import TARGET_FLOOR, patch_target
from ecgssl.signal.drawing import draw_12_lead, png_bytes
from ecgssl.signal.leads import LIMB_LEADS
from ecgssl.store.identities import Identities
from ecgssl.store.store import Store
from ecgssl.training.batches import Batch, load_batch
from ecgssl.training.checkpoint import CONFIG, PRETRAINING, load_weights, read_json, weight_bytes, write_model
from ecgssl.training.optim import parameter_count
from ecgssl.training.pretrain import PretrainResult, build_model, gate_temperature


@torch.inference_mode()
def assess_pretraining(
    model: CoReECG, store: Store, rows: NDArray[np.int64], gate_temperature: float, seed: int, batch_size: int = 64
) -> dict[str, float]:
    """Figures on held-out recordings.

    Args:
        model: on the CPU, eval mode.
        store: of its contract.
        rows: recordings, usually of the validation split.
        gate_temperature: of FDA at the end of training.
        seed: of views and masks.
        batch_size: recordings at a time; also the number of contrastive candidates.

    Returns:
        Every term of the loss; ``alignment`` and ``uniformity`` of the projected vectors of two views (Wang and Isola 2020) and
        ``effective_rank`` of the global vectors (Roy and Vetterli 2007), which tell a collapse; ``reconstruction_CAUSE`` and
        ``correlation_CAUSE`` for patches hidden by time, by lead drop, or both: mean squared error in units of the target
        (1.0 is what predicting the mean gives) and mean Pearson r within a patch; limb and chest leads apart.
    """
    model.eval()
    generator = torch.Generator()
    sums: dict[str, float] = {}
    globals_: list[Tensor] = []
    projected: tuple[list[Tensor], list[Tensor]] = ([], [])
    errors: dict[str, list[Tensor]] = {}
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
            part.append(model.projector(view.encoded.global_))
        if views[0].predicted is not None:
            _collect(model, views[0], batch, errors)
    out = {name: value / len(rows) for name, value in sums.items()}
    first, second = (torch.cat(p).float().numpy() for p in projected)
    out["alignment"] = alignment(first, second)
    out["uniformity"] = uniformity(first)
    out["effective_rank"] = effective_rank(torch.cat(globals_).float().numpy())
    for name, parts in errors.items():
        values = torch.cat(parts)
        if len(values):
            out[name] = float(values.mean())
    return out


def _collect(model: CoReECG, view: View, batch: Batch, errors: dict[str, list[Tensor]]) -> None:
    """Append error and correlation of every hidden patch under the name of what hid it."""
    assert view.predicted is not None
    target = patch_target(model.encoder.patches(view.original), model.objective.target)  # (B, L N, P)
    predicted = view.predicted.float()
    error = (predicted - target).square().mean(-1)
    a, b = predicted - predicted.mean(-1, keepdim=True), target - target.mean(-1, keepdim=True)
    r = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-8)
    columns, leads = model.encoder.columns, model.encoder.leads
    time = repeat(view.mask.hidden_time, "b n -> b (l n)", l=len(leads))
    lead = repeat(view.mask.hidden_lead, "b l -> b (l n)", n=columns)
    hidden = view.mask.hidden.flatten(1)
    if batch.lead_mask is not None:
        hidden = hidden & repeat(batch.lead_mask, "b l -> b (l n)", n=columns)
    limb = torch.tensor([name in LIMB_LEADS for name in leads])
    limb = repeat(limb, "l -> (l n)", n=columns).expand_as(hidden)
    causes = {"time": time & ~lead, "lead": lead & ~time, "time_and_lead": time & lead, "limb": limb, "chest": ~limb}
    for cause, where in causes.items():
        errors.setdefault(f"reconstruction_{cause}", []).append(error[hidden & where])
        errors.setdefault(f"correlation_{cause}", []).append(r[hidden & where])


def publish_pretraining(
    result: PretrainResult, store: Store, params: Params, model_out: Path, metrics_out: Path, plots_out: Path
) -> dict[str, float]:
    """Assess a finished run on validation and write all that stays of it.

    Args:
        result: of ``pretrain``.
        store: that it was trained on.
        params: of the run.
        model_out: folder for the encoder (and all of CoRe-ECG beside it, and by what its recordings are known again),
            replaced as a whole.
        metrics_out: JSON file of the assessment.
        plots_out: folder for ``losses.csv``, ``epochs.csv``, ``importance.png`` and ``reconstruction.png``.

    Returns:
        The assessment.
    """
    rows = store.rows("val")
    temperature = gate_temperature(params, 1.0)
    figures = assess_pretraining(result.model, store, rows, temperature, params.seed)
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
        write_json(folder / "params.json", params.model_dump(mode="json", exclude={"data", "tracking"}), digits=None)
    write_json(metrics_out, figures)
    with atomic_directory(plots_out, marker="losses.csv") as folder:
        pd.DataFrame(result.history).to_csv(
            folder / "losses.csv", index=False, lineterminator="\n", float_format="%.6g"
        )
        if result.epochs:
            pd.DataFrame(result.epochs).to_csv(
                folder / "epochs.csv", index=False, lineterminator="\n", float_format="%.6g"
            )
        if result.model.fda.params.kind == "fda":
            figure = draw_importance(result.model.fda, store.spec.samples)
            (folder / "importance.png").write_bytes(png_bytes(figure))
        if params.objective.kind != "contrastive" and params.stdm.kind != "none":
            figure = draw_reconstruction(result.model, store, int(rows[0]), params.seed)
            (folder / "reconstruction.png").write_bytes(png_bytes(figure))
    return figures


def load_pretraining(path: Path | str) -> tuple[CoReECG, Params]:
    """All of CoRe-ECG as ``publish_pretraining`` left it, in eval mode, with the parameters of its run.

    Raises:
        InputError: a file is missing or damaged.
    """
    path = Path(path)
    params = parse_params(read_json(path / "params.json"), str(path / "params.json"))
    model = build_model(params)
    load_weights(model, path / PRETRAINING)
    return model.eval(), params


@dataclass(frozen=True)
class Reconstruction:
    """One recording as the model saw and completed it; arrays (L, T) in mV.

    Args:
        original: the recording (as augmented views would be scored against).
        completed: original where visible, the model's prediction where hidden.
        hidden: (L, T) bool.
    """

    original: NDArray[np.float32]
    completed: NDArray[np.float32]
    hidden: NDArray[np.bool_]


@torch.inference_mode()
def reconstruct(model: CoReECG, store: Store, row: int, seed: int) -> Reconstruction:
    """Hide part of one recording by STDM, without augmentation, and let the model complete it.

    With the ``patch_norm`` target the model predicts the *shape* of a patch; its mean and spread are then taken from the
    original, as He et al. (2022) do for their figures.
    """
    batch = load_batch(store, np.array([row]), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    shift, model.shift = model.shift, False
    try:
        view = model.view(batch.x, batch.lead_mask, 0, 1.0, generator, augment=False)
    finally:
        model.shift = shift
    assert view.predicted is not None
    patches = model.encoder.patches(view.original)
    predicted = view.predicted.float()
    if model.objective.target == "patch_norm":
        spread = torch.sqrt(patches.var(-1, keepdim=True, unbiased=False) + TARGET_FLOOR**2)
        predicted = predicted * spread + patches.mean(-1, keepdim=True)
    hidden = view.mask.hidden.flatten(1)[..., None]
    completed = torch.where(hidden, predicted, patches)
    original = store.signals(np.array([row]))[0]
    # the normaliser is one gain for the recording; undo it
    scale = float(np.abs(original).max() / view.original.abs().max().clamp_min(1e-6))
    form = {"l": len(model.encoder.leads), "p": model.encoder.patch}
    whole = rearrange(completed[0], "(l n) p -> l (n p)", **form).numpy() * scale
    shown = rearrange(hidden[0].expand(-1, model.encoder.patch), "(l n) p -> l (n p)", **form).numpy()
    return Reconstruction(original, whole.astype(np.float32), shown)


def draw_reconstruction(model: CoReECG, store: Store, row: int, seed: int) -> Figure:
    """Original, what was hidden and what came back, on 12-lead paper."""
    r = reconstruct(model, store, row, seed)
    how = (
        "shape predicted, mean and spread of a patch as in the original"
        if model.objective.target == "patch_norm"
        else ""
    )
    title = "Reconstruction of hidden patches (shaded)" + (f": {how}" if how else "")
    overlay = np.where(r.hidden, r.completed, np.nan)
    return draw_12_lead(
        r.original, store.spec.sampling_rate, store.spec.leads, title=title, hidden=r.hidden, overlay=overlay
    )
