"""Monitoring during pretraining: metrics of an online linear probe, collapse, FDA and reconstruction.

The metrics use the train and validation splits only. They select the saved weights if ``pretrain.select`` is ``best``,
and can stop the run if ``pretrain.collapse.action`` is ``stop``.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from ecgssl.config import LinearParams, Params
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.statistics.metrics import ranking_metrics
from ecgssl.model.core_ecg import CoReECG
from ecgssl.model.reconstruction_error import ErrorByCause
from ecgssl.pretraining.diagnostics.fda_figures import augmentation_figures
from ecgssl.pretraining.diagnostics.geometry import geometry
from ecgssl.pretraining.diagnostics.reconstruction_gallery import add_reconstruction
from ecgssl.probes.binary import fit_probe
from ecgssl.store.corpus import Corpus, has_labels
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch
from ecgssl.training.device import autocast, resolve_precision

_logger = logging.getLogger("ecgssl")

_PROBE = LinearParams(C=[0.01], class_weight=["none"])
"""Only candidate for the regularisation of the probe, so that nothing is selected on validation."""
_GEOMETRY = 256
"""Maximum number of validation recordings for the collapse metrics. It also limits the effective rank."""


class EpochMonitor:
    """Callback that computes the metrics of a model at the end of an epoch.

    Args:
        store: store or corpus that the model is trained on. The probe uses the recordings with known targets.
        params: parameters of the run; ``pretrain.probe`` sets the targets and the number of recordings of the probe. If no
            target of the stores has a known value in train or validation, the probe is off, unless ``pretrain.select`` is
            ``best``.
        batch_size: number of recordings per batch.

    Raises:
        InputError: a target is not in the store, or its values in the monitored recordings of a split are not exactly 0
            and 1; all such targets are listed.
    """

    def __init__(self, store: Store | Corpus, params: Params, batch_size: int = 64) -> None:
        self._corpus, self._params, self._batch_size = Corpus.of(store), params, batch_size
        corpus = self._corpus
        probe = params.pretrain.probe
        there = corpus.target_names
        if probe.targets and not has_labels(corpus) and params.pretrain.select != "best":
            where = " in the train and validation splits" if there else ""
            _logger.warning(f"the store has no labels{where}, so the online probe is off (pretrain.probe.targets)")
            probe = probe.model_copy(update={"targets": []})
        self._names = list(probe.targets)
        missing = [name for name in probe.targets if name not in there]
        if missing:
            some = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
            raise InputError(_problem(f"'{name}' is not a target of the store, which has {some}") for name in missing)
        self._targets: NDArray[np.float64] = corpus.targets(probe.targets)
        labelled: NDArray[np.bool_] = np.asarray(~np.isnan(self._targets).all(axis=1), dtype=np.bool_)
        self._shown = self._some(corpus.rows("val"), _GEOMETRY)
        self._by_set: dict[str, NDArray[np.int64]] = {}
        if len(corpus.names) > 1:
            share = _GEOMETRY // len(corpus.names)
            shown = {name: self._some(corpus.rows_of(name, "val"), share) for name in corpus.names}
            self._by_set = {name: part for name, part in shown.items() if len(part)}
        self._train, self._val = (
            self._some((rows := corpus.rows(split))[labelled[rows]], probe.recordings) for split in ("train", "val")
        )
        problems = []
        for k, name in enumerate(probe.targets):
            for split, rows in (("train", self._train), ("val", self._val)):
                values = self._targets[rows, k]
                if not np.array_equal(np.unique(values[~np.isnan(values)]), [0.0, 1.0]):
                    what = (
                        f"'{name}' needs values 0 and 1 only, and both, in the {len(rows)} monitored {split} recordings"
                    )
                    problems.append(_problem(what))
        if problems:
            raise InputError(problems)

    @torch.inference_mode()
    def __call__(self, model: CoReECG, step: int) -> dict[str, float]:
        """Return the metrics of a model, in the precision of the run. The global random state does not change.

        Args:
            model: model in eval mode.
            step: training step; not used, because views and masks are the same in every epoch.

        Returns:
            ``effective_rank`` of the global vectors. With a contrastive term: ``alignment`` and ``uniformity`` of the
            projected vectors of two views. With FDA: the metrics of ``augmentation_figures``. With reconstruction:
            ``relative_CAUSE`` and ``correlation_CAUSE`` of ``ErrorByCause``. With targets: ``probe_auroc`` (macro AUROC of
            a linear probe on the validation split) and ``probe_auroc_TARGET``. With several sets, the metrics of
            representations and reconstruction also as ``SET/NAME`` for every set with validation recordings.
        """
        device = next(model.parameters()).device
        with autocast(device, resolve_precision(self._params.pretrain.precision, device)):
            figures = {
                **self._geometry(model, self._shown),
                **self._augmentation(model),
                **self._reconstruction(model, self._shown),
                **self._probe(model),
            }
            for name, rows in self._by_set.items():
                own = self._geometry(model, rows) | self._reconstruction(model, rows)
                figures |= {f"{name}/{key}": value for key, value in own.items()}
            return figures

    def _some(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        return np.sort(np.random.default_rng(self._params.seed).permutation(rows)[:count])

    def _geometry(self, model: CoReECG, rows: NDArray[np.int64]) -> dict[str, float]:
        device = next(model.parameters()).device
        generator = torch.Generator(device)
        both = model.fda.params.views == "two_sided"
        vectors: list[torch.Tensor] = []
        projected: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for start in range(0, len(rows), self._batch_size):
            batch = load_batch(self._corpus, rows[start : start + self._batch_size], device)
            generator.manual_seed(self._params.seed * 1_000_003 + start)
            # use the final gate temperature, so that differences between epochs come from the model only
            temperature = self._params.fda.temperature[1]
            views = model.views(
                batch.x, batch.lead_mask, 0, temperature, generator, (True, both), decode=False, recorded=batch.recorded
            )
            vectors.append(views[0].encoded.global_)
            for part, view in zip(projected, views, strict=True):
                part.append(model.projected(view.encoded.global_))
        return geometry(model, vectors, projected)

    def _augmentation(self, model: CoReECG) -> dict[str, float]:
        if model.fda.params.kind != "fda":
            return {}
        device = next(model.parameters()).device
        batch = load_batch(self._corpus, self._shown[: self._batch_size], device)
        generator = torch.Generator(device).manual_seed(self._params.seed)
        temperature = self._params.fda.temperature[1]
        return augmentation_figures(model.fda, batch.x, batch.lead_mask, temperature, generator, batch.recorded)

    def _reconstruction(self, model: CoReECG, rows: NDArray[np.int64]) -> dict[str, float]:
        if self._params.objective.kind == "contrastive":
            return {}
        device = next(model.parameters()).device
        batch = load_batch(self._corpus, rows[: self._batch_size], device)
        errors = ErrorByCause()
        # use two steps, because the number of dropped leads alternates
        for step in range(2):
            generator = torch.Generator(device).manual_seed(self._params.seed + step)
            temperature = self._params.fda.temperature[1]
            view = model.plain_view(batch.x, batch.lead_mask, step, temperature, generator, batch.recorded)
            add_reconstruction([errors], model, view, batch, self._corpus)
        figures = errors.figures()
        return {name: value for name, value in figures.items() if name.startswith(("relative_", "correlation_"))}

    def _probe(self, model: CoReECG) -> dict[str, float]:
        names = self._names
        if not names:
            return {}
        train, val = (self._embedded(model, rows) for rows in (self._train, self._val))
        y, vy = self._targets[self._train], self._targets[self._val]
        groups = self._corpus.patients[self._train]
        probe = fit_probe(train, y, val, vy, _PROBE, names=names, groups=groups, seed=self._params.seed)
        logits = probe.logits(val)
        found = {
            f"probe_auroc_{name}": float(ranking_metrics(vy[:, k], logits[:, k])[0][0]) for k, name in enumerate(names)
        }
        return {"probe_auroc": float(np.mean([*found.values()])), **found}

    def _embedded(self, model: CoReECG, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        device = next(model.parameters()).device
        parts = []
        for start in range(0, len(rows), self._batch_size):
            batch = load_batch(self._corpus, rows[start : start + self._batch_size], device)
            parts.append(model.encoder.embed(batch.x, batch.lead_mask, batch.recorded).float().cpu().numpy())
        return np.concatenate(parts)


def _problem(what: str) -> Problem:
    return Problem(
        "params.yaml", "pretrain.probe.targets", what, "Set other targets, or raise pretrain.probe.recordings"
    )
