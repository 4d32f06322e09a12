"""Assessment of a pretrained model on the validation split without labels, and output of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from ecgssl.signal.figure_file import png_bytes
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.checkpoint import PRETRAINING, weight_bytes, write_model
from ecgssl.training.model_folder import CONFIG
from ecgssl.training.optim import parameter_count

WAVEFORMS = ("reconstruction.png", "gallery.png")
"""Figures that show recordings of the validation split."""


class _Sums:
    """Sums of loss terms, representations and reconstruction errors of the recordings of one set or of all sets."""

    def __init__(self) -> None:
        self.count = 0
        self.terms: dict[str, float] = {}
        self.globals_: list[Tensor] = []
        self.projected: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.errors = ErrorByCause()

    def add(self, terms: dict[str, Tensor], global_: Tensor, projected: list[Tensor], count: int) -> None:
        self.count += count
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + float(value) * count
        self.globals_.append(global_)
        for part, vectors in zip(self.projected, projected, strict=True):
            part.append(vectors)

    def figures(self, model: CoReECG) -> dict[str, float]:
        out = {name: value / self.count for name, value in self.terms.items()}
        return out | geometry(model, self.globals_, self.projected) | self.errors.figures()


@torch.inference_mode()
def assess_pretraining(
    model: CoReECG,
    store: Store | Corpus,
    rows: NDArray[np.int64],
    gate_temperature: float,
    seed: int,
    batch_size: int = 64,
) -> dict[str, float]:
    """Return the loss terms and metrics of a model on held-out recordings.

    Args:
        model: model on the CPU, in eval mode.
        store: store or corpus preprocessed with the model's settings.
        rows: rows of the store or corpus, usually of the validation split.
        gate_temperature: temperature of the FDA gate at the end of training.
        seed: seed of views and masks.
        batch_size: number of recordings per batch. The contrastive loss compares a recording only with its batch, and a
            batch contains recordings of one set.

    Returns:
        ``loss``, every loss term, ``kept_fraction``, the metrics of ``geometry``, and those of ``ErrorByCause``: errors by
        type of masking (time, lead drop or both), of limb and chest leads, and of dropped limb and dropped chest leads.
        With several sets, also ``SET/NAME`` for every metric and every set with recordings in ``rows``.
    """
    model.eval()
    corpus = Corpus.of(store)
    generator = torch.Generator()
    both = model.fda.params.views == "two_sided"
    whole = _Sums()
    by_set: dict[str, _Sums] = {}
    for number, (name, part) in enumerate(_batches(corpus, rows, batch_size)):
        batch = load_batch(store, part, torch.device("cpu"))
        generator.manual_seed(seed * 1_000_003 + number)
        views = model.views(
            batch.x, batch.lead_mask, number, gate_temperature, generator, (True, both), recorded=batch.recorded
        )
        terms = model.terms(views, batch.lead_mask, batch.patients)
        projected = [model.projected(view.encoded.global_) for view in views]
        into = [whole, by_set.setdefault(name, _Sums())] if len(corpus.names) > 1 else [whole]
        for sums in into:
            sums.add(terms, views[0].encoded.global_, projected, len(part))
        if views[0].predicted is not None:
            add_reconstruction([sums.errors for sums in into], model, views[0], batch, store)
    figures = whole.figures(model)
    for name, sums in by_set.items():
        figures |= {f"{name}/{key}": value for key, value in sums.figures(model).items()}
    return figures


def _batches(corpus: Corpus, rows: NDArray[np.int64], size: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the name of a set and at most ``size`` of its rows, in the order of the sets."""
    sets = corpus.set_of(rows)
    for number, name in enumerate(corpus.names):
        own = rows[sets == number]
        for start in range(0, len(own), size):
            yield name, own[start : start + size]


def publish_pretraining(
    result: PretrainResult, store: Store | Corpus, params: Params, model_out: Path, metrics_out: Path, plots_out: Path
) -> dict[str, float]:
    """Assess a finished run on the validation split, and write its model, metrics and plots unless it has diverged.

    Args:
        result: result of ``pretrain``.
        store: store or corpus that the model was trained on.
        params: parameters of the run.
        model_out: folder for the encoder, all weights of CoRe-ECG and the identities of the training recordings, including
            those of the encoder that the run started from. An existing folder is replaced.
        metrics_out: JSON file of the assessment.
        plots_out: folder for ``losses.csv`` and, if available, ``epochs.csv``, ``importance.png``, ``reconstruction.png``
            and ``gallery.png``.

    Returns:
        Metrics that are written to ``metrics_out``.

    Raises:
        Diverged: the run exceeds a limit of ``pretrain.divergence``, or a metric is not finite; nothing is written.
    """
    corpus = Corpus.of(store)
    rows = corpus.rows("val")
    temperature = gate_temperature(params, 1.0)
    figures = assess_pretraining(result.model, corpus, rows, temperature, params.seed)
    _require_convergence(result, params, figures)
    figures |= {"parameters": float(parameter_count(result.model.encoder.parameters()))}
    figures |= {"collapsed": float(result.collapse is not None), "loss_spikes": float(len(result.spikes))}
    made: dict[str, Any] = {
        "seen": result.seen,
        "precision": result.precision,
        "objective": params.objective.kind,
    }
    if result.init is not None:
        made["init"] = result.init
    known = Identities.of_corpus(corpus)
    if result.known is not None:
        known = known.with_others(result.known)
    with atomic_directory(model_out, marker=CONFIG) as folder:
        write_model(folder, result.model.encoder, corpus.spec, {"pretraining": made, "data": corpus.described})
        write_atomic(folder / PRETRAINING, weight_bytes(result.model))
        known.write(folder)
        write_json(folder / "params.json", params.model_dump(mode="json", exclude={"sets", "tracking"}), digits=None)
    write_json(metrics_out, figures)
    with atomic_directory(plots_out, marker="losses.csv") as folder:
        _write_table(folder / "losses.csv", result.history)
        if result.epochs:
            _write_table(folder / "epochs.csv", result.epochs)
        if result.model.fda.params.kind == "fda":
            figure = draw_importance(result.model.fda, corpus.spec.samples)
            (folder / "importance.png").write_bytes(png_bytes(figure))
        if params.objective.kind != "contrastive" and params.stdm.kind != "none":
            figure = draw_reconstruction(result.model, corpus, int(rows[0]), params.seed)
            (folder / "reconstruction.png").write_bytes(png_bytes(figure))
            # one recording per set first
            first = np.unique(corpus.set_of(rows), return_index=True)[1]
            shown = np.concatenate([rows[first], np.delete(rows, first)])[:SHOWN]
            figure = draw_gallery(result.model, corpus, shown, params.seed)
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
