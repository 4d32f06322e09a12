"""Pretraining loop with checkpoints. On a CPU, a resumed run has the same losses, bit for bit, as an uninterrupted run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._functorch.config

from ecgssl.config import Params
from ecgssl.errors import Diverged, InputError, Problem, Stopped
from ecgssl.leakage.identities import Identities
from ecgssl.model.blocks import Block
from ecgssl.model.core_ecg import CoReECG
from ecgssl.pretraining.diagnostics.divergence import detect_divergence
from ecgssl.pretraining.diagnostics.geometry import detect_collapse
from ecgssl.pretraining.history import TrainingHistory
from ecgssl.pretraining.initial_weights import InitialWeights
from ecgssl.pretraining.run_identity import require_same_release, run_config
from ecgssl.pretraining.sampling import Sampler
from ecgssl.pretraining.step import Step
from ecgssl.progress import progress
from ecgssl.store.corpus import Corpus
from ecgssl.store.store import Store
from ecgssl.training.batch_parts import BatchParts
from ecgssl.training.batches import BatchPrefetcher
from ecgssl.training.checkpoint import RunState, state_bytes, state_from
from ecgssl.training.device import resolve_device, resolve_precision, use_tensor_cores
from ecgssl.training.graceful_stop import StopRequest
from ecgssl.training.optim import adamw, cosine, pretrain_groups, set_rates
from ecgssl.training.ranks import SINGLE_PROCESS, Ranks

_logger = logging.getLogger("ecgssl")

Row = dict[str, float]
OnEpoch = Callable[[CoReECG, int], Row]
"""Function that returns metrics of a model in eval mode at a step. The metric ``probe_auroc`` selects the best epoch."""


@dataclass
class PretrainResult:
    """Result of a finished run.

    Args:
        model: model in eval mode, on the CPU, with the weights selected by ``pretrain.select``.
        history: one row per ``log_every`` steps: step, samples, mean of every term, gradient norms, learning rate, and total
            numbers of loss spikes and skipped steps.
        epochs: one row per monitored epoch: step, samples, epoch, metrics of ``on_epoch``, and ``collapsed``.
        spikes: step, loss and limit of each loss spike (``pretrain.spike``).
        collapse: description of the collapse in the last monitored epoch, or ``None``.
        seconds: wall-clock time in s in this process.
        waited: fraction of the time spent waiting for data.
        monitored: fraction of the time spent in ``on_epoch``.
        precision, device: precision and device used; ``auto`` is replaced by the selected value.
        processes: number of processes that shared the batch.
        skipped_steps: number of steps that were skipped because their gradient was not finite.
        seen: number of recordings used for training, including repetitions.
        run_state: checkpoints of the run; ``None`` except in the first process.
        init: description of the encoder that the run started from; ``None`` without one.
        known: identities of the recordings that this encoder was trained on; ``None`` if they are unknown.
    """

    model: CoReECG
    history: list[Row]
    epochs: list[Row]
    spikes: list[Row]
    collapse: str | None
    seconds: float
    waited: float
    monitored: float
    precision: str
    device: str
    processes: int
    skipped_steps: int
    seen: int
    run_state: RunState | None
    init: dict[str, Any] | None = None
    known: Identities | None = None

    def discard(self) -> None:
        """Remove the checkpoints of the run."""
        if self.run_state is not None:
            self.run_state.discard()


def build_model(params: Params) -> CoReECG:
    """Return CoRe-ECG with randomly initialised weights, which depend only on ``params.seed``."""
    torch.manual_seed(params.seed)
    spec = params.signal
    return CoReECG(
        params.model, params.fda, params.stdm, params.objective,
        spec.leads, spec.samples, spec.sampling_rate, spec.clean.band, params.pretrain.shift,
    )  # fmt: skip


def pretrain(
    store: Store | Corpus,
    params: Params,
    run_folder: Path,
    *,
    ranks: Ranks = SINGLE_PROCESS,
    show_progress: bool = True,
    log_every: int = 20,
    on_log: Callable[[Row], None] | None = None,
    on_epoch: OnEpoch | None = None,
) -> PretrainResult:
    """Pretrain on the ``train`` split of a store or of several stores.

    Args:
        store: store or corpus preprocessed with the settings ``params.signal``.
        params: parameters; model, fda, stdm, objective, pretrain and seed are used.
        run_folder: folder of the checkpoints. Only the first process reads and writes it. The caller removes the checkpoints
            after saving the model (``PretrainResult.discard``).
        ranks: processes of the run; each process calls this function with the same arguments.
        show_progress: draw a progress bar on a terminal.
        log_every: number of steps between rows of the history.
        on_log: function called with each row, in the first process.
        on_epoch: function called every ``pretrain.probe.every_epochs`` epochs and at the end, in the first process.

    Raises:
        ContractMismatch: the preprocessing settings of store and parameters differ.
        InputError: the train or validation split has too few recordings, the store has no waveform codes of this release,
            the batch cannot be divided into equal parts, ``pretrain.sampling`` or ``pretrain.init`` cannot be used with
            the stores and parameters, ``run_folder`` contains a run with other parameters, or its parent
            folder contains a stopped run of another release.
        Stopped: the run stopped after SIGTERM or SIGINT, after ``max_time``, or after a collapse if ``collapse.action`` is
            ``stop``. The state is saved.
        Diverged: more than ``max_bad_steps`` consecutive gradients were not finite, or ``on_epoch`` raised it.
    """
    corpus = Corpus.of(store)
    _require_usable(corpus, params, ranks)
    p = params.pretrain
    sampler = Sampler(corpus, p.sampling, p.batch_size, params.seed, p.windows)
    init = InitialWeights.of(params)
    device = resolve_device(p.device)
    precision = resolve_precision(p.precision, device)
    use_tensor_cores(device)
    model = build_model(params)
    started = None if init is None else init.described(init.load_into(model))
    if started and started["new_parts"] and ranks.first:
        _logger.warning(
            "pretraining starts with new weights of %s (not in pretrain.init)", ", ".join(started["new_parts"])
        )
    model = model.to(device)
    optimiser = adamw(pretrain_groups(model, p.learning_rate, p.weight_decay, params.fda.learning_rate))
    history = TrainingHistory()
    state: RunState | None = None

    def resume() -> bytes:
        nonlocal state
        require_same_release(run_folder.parent)
        state = RunState(run_folder, run_config(params, corpus), p.keep_checkpoints)
        saved = state.newest()
        return b"" if saved is None else state_bytes(saved)

    if found := ranks.broadcast_from_first(resume):
        saved = state_from(found)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        history = TrainingHistory(**saved["record"])
        history.sums = {name: value.to(device) for name, value in history.sums.items()}

    def save() -> None:
        if state is not None:
            content = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "record": history.state_dict()}
            state.save(history.step, content)

    if p.compile:
        compile_blocks(model)
    steps = math.ceil(p.samples / p.batch_size)
    every = max(1, p.checkpoint_every // p.batch_size)
    here = p.batch_size // ranks.size

    def rows_of(step: int) -> Any:
        return sampler(step)[ranks.rank * here : (ranks.rank + 1) * here]

    train_step = Step(model, BatchParts(ranks, p.accumulate), precision)
    start, monitored = time.perf_counter(), 0.0
    with (
        StopRequest() as stop,
        BatchPrefetcher(corpus, rows_of, device, steps) as batches,
        progress(
            "pretrain", steps * p.batch_size, done=history.step * p.batch_size, enabled=show_progress and ranks.first
        ) as advance,
    ):
        model.train()
        while history.step < steps:
            share = history.step / steps
            set_rates(optimiser, cosine(share, p.warmup))
            logs = (history.step + 1) % log_every == 0 or history.step + 1 == steps
            # random numbers of a step depend only on (seed, step), so checkpoints need no generator state
            seed = params.seed * 1_000_003 + history.step
            terms, norms = train_step(
                batches.batch(history.step), history.step, gate_temperature(params, share), seed, measure=logs
            )
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), p.clip)
            finite = bool(torch.isfinite(norm))
            if finite:
                optimiser.step()
                history.bad = 0
            else:
                history.bad, history.skipped = history.bad + 1, history.skipped + 1
                if history.bad > p.max_bad_steps:
                    raise Diverged(
                        f"pretraining diverged: {history.bad} non-finite steps in a row at step {history.step}. "
                        "Nothing was published. Reduce pretrain.learning_rate"
                    )
            optimiser.zero_grad(set_to_none=True)
            history.step += 1
            place: Row = {"step": history.step, "samples": history.step * p.batch_size}
            if finite:
                history.add({**terms, "gradient_norm": norm}, p.spike)
            rate = p.learning_rate * cosine(share, p.warmup)
            row = history.add_row(**(norms if finite else {}), **place, learning_rate=rate) if logs else None
            if row and on_log and ranks.first:
                on_log(row)
            shown = history.history[-1] if history.history else {}
            advance(p.batch_size, **{term.name: shown[term.name] for term in model.loss_terms if term.name in shown})
            if on_epoch and (
                epoch := _epoch_ended(history.step, steps, p.batch_size, sampler.count, p.probe.every_epochs)
            ):
                before = time.perf_counter()
                if ranks.first:
                    row = _monitor(model, on_epoch, history, {**place, "epoch": epoch}, state, params)
                    if on_log:
                        on_log(row)
                monitored += time.perf_counter() - before
                if p.collapse.action == "stop" and ranks.any(history.collapse is not None) and history.step < steps:
                    save()
                    raise Stopped(f"stopped after {history.step} of {steps} steps: {history.collapse}")
            out_of_time = p.max_time is not None and time.perf_counter() - start > 60 * p.max_time
            if ranks.any(stop.requested or out_of_time) and history.step < steps:
                save()
                raise Stopped(f"stopped after {history.step} of {steps} steps; the same command resumes")
            if history.step % every == 0 and history.step < steps:
                save()
    seconds = time.perf_counter() - start
    weights = (
        model.state_dict() if p.select == "last" or state is None or history.best is None else state.best()["model"]
    )
    # return a new model on the CPU, because the blocks of the trained model may be compiled
    finished = build_model(params)
    finished.load_state_dict(weights)
    return PretrainResult(
        finished.eval(), history.history, history.epochs, history.spikes, history.collapse,
        seconds, batches.waited / seconds, monitored / seconds, precision, str(device), ranks.size,
        history.skipped, steps * p.batch_size, state, started, None if init is None else init.known,
    )  # fmt: skip


def compile_blocks(model: CoReECG) -> None:
    """Compile every transformer block in place; the names of the weights do not change."""
    # gradient norms of single loss terms reuse the graph, so compiled code must not free its buffers
    torch._functorch.config.donated_buffer = False
    for module in model.modules():
        if isinstance(module, Block):
            module.compile()


def gate_temperature(params: Params, share: float) -> float:
    """Return the temperature of the FDA gate after the fraction ``share`` of the run (exponential schedule)."""
    start, end = params.fda.temperature
    return start * (end / start) ** share


def _epoch_ended(step: int, steps: int, batch_size: int, recordings: int, every: int) -> int:
    """Return the number of the monitored epoch that ends with ``step``, or 0 if none ends. The last step always ends one."""
    now, before = (s * batch_size // recordings for s in (step, step - 1))
    if now // every > before // every:
        return now
    return max(now, 1) if step == steps else 0


def _monitor(
    model: CoReECG, on_epoch: OnEpoch, history: TrainingHistory, place: Row, state: RunState | None, params: Params
) -> Row:
    """Compute and return the metrics of a monitored epoch. Save the best weights, and log collapse and divergence."""
    model.eval()
    figures = on_epoch(model, history.step)
    model.train()
    collapse = detect_collapse(figures, params.pretrain.collapse)
    if collapse and not history.collapse:
        _logger.warning("pretraining: %s (step %d)", collapse, history.step)
    history.collapse = collapse
    p = params.pretrain
    diverged = detect_divergence(history.step, history.skipped, history.history, figures, p.batch_size, p.divergence)
    if diverged:
        _logger.warning("pretraining: it may have diverged: %s (step %d)", diverged, history.step)
    row = {**place, **figures, "collapsed": float(collapse is not None)}
    history.epochs.append(row)
    reached = figures.get("probe_auroc")
    if reached is not None and state is not None and (history.best is None or reached > history.best["probe_auroc"]):
        history.best = {"probe_auroc": reached, "step": history.step}
        state.save_best({"model": model.state_dict(), **history.best})
    return row


def _require_usable(corpus: Corpus, params: Params, ranks: Ranks) -> None:
    corpus.require_contract(params.signal, "params.yaml")
    # saving the encoder requires waveform codes, so check them before training
    for store in corpus.stores.values():
        Identities.of_store(store, np.zeros(0, np.int64), named=False)
    problems = [
        Problem(corpus.where, "split", f"has {count} {split} recordings", f"Pretraining needs at least {needed}")
        for split, needed in (("train", 2), ("val", 1))
        if (count := len(corpus.rows(split))) < needed
    ]
    size, pieces = params.pretrain.batch_size, params.pretrain.accumulate
    if size % (ranks.size * pieces):
        what = f"is {size}, which is not divisible by {ranks.size} processes times {pieces} pieces"
        remedy = f"Use a multiple of {ranks.size * pieces}"
        problems.append(Problem("params.yaml", "pretrain.batch_size", what, remedy))
    if problems:
        raise InputError(problems)
