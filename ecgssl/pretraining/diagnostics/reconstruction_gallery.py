"""Reconstruction diagnostics: errors by type of masking, and figures of reconstructed recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, repeat
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.evaluation.colours import COLOURS
from ecgssl.model.core_ecg import CoReECG, View
from ecgssl.model.losses import patch_spread, patch_target
from ecgssl.model.reconstruction_error import ErrorByCause, hidden_by
from ecgssl.model.recorded import recorded_columns
from ecgssl.signal.drawing import draw_12_lead, filter_text
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store
from ecgssl.training.batches import Batch, load_batch

SHOWN = 3
"""Maximum number of recordings in a gallery."""
_STEP = 2.0
"""Distance in mV between the baselines of two leads in a gallery."""


def add_reconstruction(
    errors: Sequence[ErrorByCause], model: CoReECG, view: View, batch: Batch, store: Store | Corpus
) -> None:
    """Compute the reconstruction errors of a decoded view and add them to all of ``errors``.

    Args:
        errors: accumulators of the errors.
        model: model that computed the view.
        view: decoded view of the batch.
        batch: batch of recordings.
        store: store with the recordings in mV.
    """
    assert view.predicted is not None
    patches, kind = model.encoder.patches(view.original), model.objective.target
    gain = repeat(lead_gain(batch, store), "b l -> b (l n)", n=model.encoder.columns)
    encoder = model.encoder
    columns = None if view.recorded is None else recorded_columns(view.recorded, encoder.columns, encoder.patch)
    causes = hidden_by(view.mask, encoder.leads, batch.lead_mask, columns)
    target, millivolts = patch_target(patches, kind), gain * patch_spread(patches, kind)
    for each in errors:
        each.add(view.predicted, target, causes, millivolts)


def lead_gain(batch: Batch, store: Store | Corpus) -> Tensor:
    """Return the value (B, L) in mV by which each lead was divided for normalisation; 0 for a lead without signal."""
    volts = torch.from_numpy(store.signals(batch.rows)).to(batch.x.device).nan_to_num(0.0)
    before, after = (v.double().square().sum(dim=-1).sqrt() for v in (volts, batch.x))
    return torch.where(after > 0, before / after.clamp_min(1e-12), 0.0)


@dataclass(frozen=True)
class Reconstruction:
    """Reconstruction of one recording; signals have shape (L, T) in mV, NaN in samples that were not recorded.

    Args:
        original: original signal.
        completed: original signal at visible samples, and prediction at hidden samples.
        hidden: (L, T) bool, hidden samples in completely recorded time columns.
        present: (L,) bool, recorded leads.
        errors: metrics of ``ErrorByCause``.
    """

    original: NDArray[np.float32]
    completed: NDArray[np.float32]
    hidden: NDArray[np.bool_]
    present: NDArray[np.bool_]
    errors: dict[str, float]


@torch.inference_mode()
def reconstruct(model: CoReECG, store: Store | Corpus, row: int, seed: int) -> Reconstruction:
    """Return the reconstruction of one recording masked by STDM, without augmentation.

    With the target ``patch_norm``, the mean and standard deviation of a hidden patch are those of the original, as in the
    figures of He et al. (2022).

    Args:
        model: model on the CPU, with a trained decoder.
        store: store preprocessed with the model's settings.
        row: row of the store.
        seed: seed of the mask.
    """
    batch = load_batch(store, np.array([row]), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    shift, model.shift = model.shift, False
    try:
        view = model.plain_view(batch.x, batch.lead_mask, 0, 1.0, generator, batch.recorded)
    finally:
        model.shift = shift
    assert view.predicted is not None
    errors = ErrorByCause()
    add_reconstruction([errors], model, view, batch, store)
    patches, kind = model.encoder.patches(view.original), model.objective.target
    predicted = view.predicted.float() * patch_spread(patches, kind)[..., None]
    if kind == "patch_norm":
        predicted = predicted + patches.mean(-1, keepdim=True)
    hidden = view.mask.hidden.flatten(1)[..., None]
    completed = torch.where(hidden, predicted, patches)
    form = {"l": len(model.encoder.leads), "p": model.encoder.patch}
    whole = rearrange(completed[0], "(l n) p -> l (n p)", **form) * lead_gain(batch, store)[0][:, None]
    shown = rearrange(hidden[0].expand(-1, model.encoder.patch), "(l n) p -> l (n p)", **form).numpy()
    present = store.lead_mask(np.array([row]))[0]
    original = store.signals(np.array([row]))[0]
    returned = whole.numpy().astype(np.float32)
    recorded = int(store.recorded(np.array([row]))[0])
    original[:, recorded:] = returned[:, recorded:] = np.nan
    shown[:, recorded // model.encoder.patch * model.encoder.patch :] = False
    return Reconstruction(original, returned, shown, present, errors.figures())


def draw_reconstruction(model: CoReECG, store: Store | Corpus, row: int, seed: int) -> Figure:
    """Return a 12-lead figure with the original, the hidden patches and their reconstruction."""
    r = reconstruct(model, store, row, seed)
    how = "" if model.objective.target == "plain" else ": predicted shape, with mean and spread of the original patch"
    overlay = np.where(r.hidden, r.completed, np.nan)
    return draw_12_lead(
        r.original, store.spec.sampling_rate, store.spec.leads, r.present,
        title="Reconstruction of hidden patches (shaded)" + how, hidden=r.hidden, overlay=overlay,
        filters=filter_text(store.spec.clean),
    )  # fmt: skip


def draw_gallery(model: CoReECG, store: Store | Corpus, rows: NDArray[np.int64], seed: int) -> Figure:
    """Return a figure with one row per recording: original, visible part and reconstruction (blue).

    Args:
        model, store: as in ``reconstruct``.
        rows: rows of the store.
        seed: seed of the masks, which differ between recordings.
    """
    figure = Figure(figsize=(11, 3.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False, sharex=True)
    for number, (row, panels) in enumerate(zip(rows, grid, strict=True)):
        r = reconstruct(model, store, int(row), seed + number)
        visible = np.where(r.hidden, np.nan, r.original)
        returned = np.where(r.hidden, r.completed, np.nan)
        time = np.arange(r.original.shape[1]) / store.spec.sampling_rate
        for axes, lines in zip(panels, ((r.original,), (visible,), (visible, returned)), strict=True):
            for line, colour in zip(lines, ("black", COLOURS[0]), strict=False):
                _stack(axes, time, line, store.spec.leads, r.present, colour)
        panels[0].set_title(f"validation recording {number + 1}", loc="left", fontsize=10)
        there = r.present[:, None] & np.isfinite(r.original)
        panels[1].set_title(f"visible: {1 - r.hidden[there].mean():.0%}", loc="left", fontsize=10)
        named = (("time", "time"), ("lead", "lead"), ("time_and_lead", "both"))
        errors = [f"{name} {r.errors[f'relative_{key}']:.2f}" for key, name in named if f"relative_{key}" in r.errors]
        panels[2].set_title("relative error: " + ", ".join(errors), loc="left", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("Time (s)")
    return figure


def _stack(
    axes: Axes,
    time: NDArray[np.float64],
    signal: NDArray[np.float32],
    leads: tuple[str, ...],
    present: NDArray[np.bool_],
    colour: str,
) -> None:
    """Draw the leads one below the other at the same scale. Tall waves may overlap the next lead."""
    for k, there in enumerate(present):
        if there:
            axes.plot(time, signal[k] - k * _STEP, color=colour, lw=0.6)
    axes.set_yticks([-k * _STEP for k in range(len(leads))], leads, fontsize=7)
    axes.set_ylim(-(len(leads) - 0.3) * _STEP, 1.0 * _STEP)
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)
