"""FDA diagnostics: metrics of the augmentation, and a plot of the importance map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ecgssl.evaluation.colours import BASELINE, COLOURS
from ecgssl.model.fda import FDA
from ecgssl.model.recorded import by_length

BANDS = ((0.0, 0.5), (0.5, 5.0), (5.0, 15.0), (15.0, 40.0), (40.0, np.inf))
"""Limits of the frequency bands in Hz.

From low to high, they contain: baseline drift; T and most of P; P and low-frequency QRS; QRS; noise.
"""
WAVES = ((0.5, 10, "T"), (5, 15, "P"), (8, 40, "QRS"))
"""Frequency bands in Hz with most of the energy of each wave (Thakor et al. 1984; Sornmo and Laguna 2005)."""


def band_name(low: float, high: float) -> str:
    """Return the name of a frequency band, for example ``below_0.5hz``, ``0.5_5hz`` or ``above_40hz``."""
    if low == 0:
        return f"below_{high:g}hz"
    return f"above_{low:g}hz" if np.isinf(high) else f"{low:g}_{high:g}hz"


@torch.inference_mode()
def augmentation_figures(
    fda: FDA,
    x: Tensor,
    lead_mask: Tensor | None,
    temperature: float,
    generator: torch.Generator,
    recorded: Tensor | None = None,
) -> dict[str, float]:
    """Return metrics of how strongly the augmentation changes recordings.

    Args:
        fda: augmentation of kind ``fda``, on its device.
        x: (B, L, T) normalised recordings; absent leads are 0.
        lead_mask: (B, L) bool, or ``None`` if all leads are present.
        temperature: temperature of the gate.
        generator: random generator on the device of ``x``.
        recorded: (B,) int64, number of recorded samples from the start, or ``None`` if all samples are recorded.

    Returns:
        ``fda_gate``: fraction of open gates in the band of the budget. ``fda_kept_BAND``: mean probability that a bin is not
        changed, for each of ``BANDS`` with at least one bin, including protected bins.
        ``fda_perturbed_energy``: mean share of the energy in the band that is in bins with closed gates.
        ``fda_map_spread``: standard deviation of the map over the band (0 for a constant map).
        ``fda_correlation``: mean Pearson r between a lead and its view (1 without augmentation);
        omitted if no lead has a signal. Recordings of different lengths are weighted equally.
    """
    draws = fda.draws(len(x), generator)
    if recorded is None:
        return _figures(fda, x, lead_mask, draws, temperature)
    found: dict[str, list[tuple[float, int]]] = {}
    for rows, count in by_length(recorded):
        mask = None if lead_mask is None else lead_mask[rows]
        part = _figures(fda, x[rows, :, :count], mask, [draw[rows] for draw in draws], temperature)
        for name, value in part.items():
            found.setdefault(name, []).append((value, len(rows)))
    return {
        name: float(np.average([v for v, _ in parts], weights=[n for _, n in parts])) for name, parts in found.items()
    }


def _figures(
    fda: FDA, x: Tensor, lead_mask: Tensor | None, draws: Sequence[Tensor], temperature: float
) -> dict[str, float]:
    samples = x.shape[-1]
    f = fda.frequencies(samples)
    live = fda.in_band(samples)
    with torch.autocast(x.device.type, enabled=False):
        spectrum = torch.fft.rfft(x.float(), dim=-1)
        energy = fda.energy(spectrum, samples)
        chance = fda.bounded(fda.probability(fda.logits(spectrum, samples), samples), energy)
        gain = fda.gain(chance, draws, samples, temperature)
    view = torch.fft.irfft(spectrum * gain.index_select(1, fda.group), n=samples, dim=-1)
    passed = torch.where(fda.protected(samples), 1.0, chance).mean(dim=(0, 1))
    a, b = (v - v.mean(dim=-1, keepdim=True) for v in (x.float(), view))
    size = a.norm(dim=-1) * b.norm(dim=-1)
    there = size > 0 if lead_mask is None else lead_mask & (size > 0)
    out = {
        "fda_gate": float((gain[..., live] == 1).float().mean()),
        "fda_perturbed_energy": float(((gain != 1) * energy).sum(dim=(1, 2)).mean()),
        "fda_map_spread": float(chance.mean(dim=(0, 1))[live].std(correction=0)),
    }
    if bool(there.any()):
        out["fda_correlation"] = float(((a * b).sum(dim=-1) / size)[there].mean())
    for low, high in BANDS:
        inside = (f >= low) & (f < high)
        if bool(inside.any()):
            out[f"fda_kept_{band_name(low, high)}"] = float(passed[inside].mean())
    return out


def draw_importance(fda: FDA, samples: int, earlier: Sequence[tuple[str, NDArray[np.float32]]] = ()) -> Figure:
    """Return a plot of the FDA map: probability of a critical bin against frequency, by lead group.

    Args:
        fda: augmentation whose static map is drawn.
        samples: number T of samples, which determines the bins.
        earlier: maps of earlier training steps, as thin lines: each is a label and a map (F,) averaged over lead groups.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    with torch.inference_mode():
        frequency = fda.frequencies(samples).cpu().numpy()
        probability = fda.probability(fda.logits(), samples)[0].cpu().numpy()
    for (low, high, name), height in zip(WAVES, (1.10, 1.05, 1.0), strict=True):
        axes.annotate(
            "", (low, height), (high, height), arrowprops={"arrowstyle": "|-|, widthA=0.2, widthB=0.2", "color": "0.4"}
        )
        axes.text(high + 0.4, height, name, va="center", fontsize=8, color="0.3")
    axes.axvspan(0, fda.band[0], color="0.9", lw=0)
    axes.axvspan(min(fda.band[1], frequency[-1]), frequency[-1], color="0.9", lw=0)
    for k, (label, line) in enumerate(earlier):
        axes.plot(frequency, line, color=BASELINE, alpha=0.3 + 0.6 * (k + 1) / len(earlier), lw=0.8, label=label)
    for k, (name, line) in enumerate(zip(fda.group_names, probability, strict=True)):
        shared = name in ("limb", "all")
        axes.plot(
            frequency, line, color=COLOURS[k % len(COLOURS)], ls="-" if k < len(COLOURS) else "--",
            label={"limb": "limb leads", "all": "all leads"}.get(name, name), lw=2.5 if shared else 1.2,
        )  # fmt: skip
    axes.axhline(fda.params.keep, color="0.6", lw=0.8, ls=":", label="budget")
    axes.set(xlabel="Frequency (Hz)", ylabel="Chance of being critical", ylim=(0, 1.15), xlim=(0, frequency[-1]))
    axes.set_title("FDA: learned frequency importance (grey: outside of the budget's band)", loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
