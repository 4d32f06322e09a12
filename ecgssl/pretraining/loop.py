"""The pretraining loop: one plain loop, stoppable at any instant, resumed to the same losses bit for bit on CPU."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._functorch.config

from ecgssl.config import Params
from ecgssl.errors import InputError, Problem, Stopped
from ecgssl.leakage.identities import Identities
from ecgssl.model.blocks import Block
from ecgssl.model.core_ecg import CoReECG
from ecgssl.pretraining.collapse import detect_collapse
from ecgssl.pretraining.history import TrainingHistory
from ecgssl.pretraining.run_identity import run_config
from ecgssl.pretraining.step import Step
from ecgssl.progress import progress
from ecgssl.store.store import Store
from ecgssl.training.batch_parts import BatchParts
from ecgssl.training.batches import Reader, rows_at
from ecgssl.training.checkpoint import RunState, state_bytes, state_from
from ecgssl.training.device import resolve_device, resolve_precision, use_tensor_cores
from ecgssl.training.graceful_stop import StopRequest
from ecgssl.training.optim import adamw, cosine, pretrain_groups, set_rates
from ecgssl.training.ranks import SINGLE_PROCESS, Ranks

_logger = logging.getLogger("ecgssl")

Row = dict[str, float]
Look = Callable[[CoReECG, int], Row]
"""``(model in eval mode, step)`` to figures; ``probe_auroc`` chooses the best epoch, see ``detect_collapse`` for others."""


@dataclass
class PretrainResult:
    """A finished run.

    Args:
        model: in eval mode, on the CPU.
        history: one row per ``log_every`` steps: step, samples, mean of every term, gradient norms, learning rate.
        epochs: one row per epoch that ``on_epoch`` looked at: step, samples, epoch, its figures, and whether collapsed.
        spikes: step, loss and limit of every loss beyond ``pretrain.spike``.
        collapse: how the representation has collapsed at the end, in words, or ``None``.
        seconds: spent in this process.
        waited: share of them spent waiting for data.
        watched: share of them spent in ``on_epoch``.
        precision, device: what ``auto`` came to.
        processes: that shared the batch.
        skipped_steps: non-finite steps that were left out.
        seen: recordings, repetitions counted.
        run_state: the resumable state, to be discarded once the result is published; in the first process only.
    """

    model: CoReECG
    history: list[Row]
    epochs: list[Row]
    spikes: list[Row]
    collapse: str | None
    seconds: float
    waited: float
    watched: float
    precision: str
    device: str
    processes: int
    skipped_steps: int
    seen: int
    run_state: RunState | None

    def discard(self) -> None:
        """Remove the resumable state."""
        if self.run_state is not None:
            self.run_state.discard()


def build_model(params: Params) -> CoReECG:
    """CoRe-ECG with freshly initialised weights, decided by ``params.seed`` alone."""
    torch.manual_seed(params.seed)
    spec = params.signal
    return CoReECG(
        params.model, params.fda, params.stdm, params.objective,
        spec.leads, spec.samples, spec.sampling_rate, spec.clean.band, params.pretrain.shift,
    )  # fmt: skip


def pretrain(
    store: Store,
    params: Params,
    run_folder: Path,
    *,
    ranks: Ranks = SINGLE_PROCESS,
    show_progress: bool = True,
    log_every: int = 20,
    on_log: Callable[[Row], None] | None = None,
    on_epoch: Look | None = None,
) -> PretrainResult:
    """Pretrain on the ``train`` split of a store.

    Args:
        store: of the contract ``params.signal``.
        params: model, fda, stdm, objective, pretrain, seed.
        run_folder: where resumable checkpoints lie while the run lasts; the caller discards them after publishing. Only
            the first process reads and writes it.
        ranks: the processes of the run; each calls this function with the same arguments.
        show_progress: draw a progress bar on a terminal.
        log_every: steps between rows of the history.
        on_log: called with each row, in the first process.
        on_epoch: called every ``pretrain.probe.every_epochs`` epochs and at the end, in the first process.

    Raises:
        ContractMismatch: store and parameters disagree.
        InputError: no recordings to train on or, afterwards, to assess the model on; a store without waveform codes of
            this release; a batch that does not divide into equal parts; or a run of other parameters in ``run_folder``.
        Stopped: on SIGTERM, after ``max_time`` or, where asked for, on collapse, with everything saved.
        FloatingPointError: more than ``max_bad_steps`` non-finite steps in a row.
    """
    _require_usable(store, params, ranks)
    p = params.pretrain
    rows = store.rows("train")
    device = resolve_device(p.device)
    precision = resolve_precision(p.precision, device)
    use_tensor_cores(device)
    model = build_model(params).to(device)
    optimiser = adamw(pretrain_groups(model, p.learning_rate, p.weight_decay, params.fda.learning_rate))
    record = TrainingHistory()
    state: RunState | None = None

    def resume() -> bytes:
        nonlocal state
        state = RunState(run_folder, run_config(params, store), p.keep_checkpoints)
        saved = state.newest()
        return b"" if saved is None else state_bytes(saved)

    if found := ranks.broadcast_from_first(resume):
        saved = state_from(found)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        record = TrainingHistory(**saved["record"])
        record.sums = {name: value.to(device) for name, value in record.sums.items()}

    def save() -> None:
        if state is not None:
            content = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "record": record.state()}
            state.save(record.step, content)

    if p.compile:
        compile_blocks(model)
    steps = math.ceil(p.samples / p.batch_size)
    every = max(1, p.checkpoint_every // p.batch_size)
    here = p.batch_size // ranks.size

    def rows_of(step: int) -> Any:
        return rows_at(rows, p.batch_size, params.seed, step)[ranks.rank * here : (ranks.rank + 1) * here]

    gradient = Step(model, BatchParts(ranks, p.accumulate), precision)
    start, watched = time.perf_counter(), 0.0
    with (
        StopRequest() as stop,
        Reader(store, rows_of, device, steps) as reader,
        progress(
            "pretrain", steps * p.batch_size, done=record.step * p.batch_size, enabled=show_progress and ranks.first
        ) as advance,
    ):
        model.train()
        while record.step < steps:
            share = record.step / steps
            set_rates(optimiser, cosine(share, p.warmup))
            logs = (record.step + 1) % log_every == 0 or record.step + 1 == steps
            # every draw of a step is a function of (seed, step): a resumed run needs no saved generator
            seed = params.seed * 1_000_003 + record.step
            terms, norms = gradient(
                reader.batch(record.step), record.step, gate_temperature(params, share), seed, measure=logs
            )
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), p.clip)
            finite = bool(torch.isfinite(norm))
            if finite:
                optimiser.step()
                record.bad = 0
            else:
                record.bad, record.skipped = record.bad + 1, record.skipped + 1
                if record.bad > p.max_bad_steps:
                    raise FloatingPointError(
                        f"{record.bad} non-finite steps in a row at step {record.step}; lower pretrain.learning_rate"
                    )
            optimiser.zero_grad(set_to_none=True)
            record.step += 1
            place: Row = {"step": record.step, "samples": record.step * p.batch_size}
            if finite:
                record.add({**terms, "gradient_norm": norm}, p.spike)
            rate = p.learning_rate * cosine(share, p.warmup)
            row = record.row(**(norms if finite else {}), **place, learning_rate=rate) if logs else None
            if row and on_log and ranks.first:
                on_log(row)
            shown = record.history[-1] if record.history else {}
            advance(p.batch_size, **{k: shown[k] for k in ("reconstruction", "contrastive") if k in shown})
            if on_epoch and (epoch := _epoch_ended(record.step, steps, p.batch_size, len(rows), p.probe.every_epochs)):
                before = time.perf_counter()
                if ranks.first:
                    row = _look(model, on_epoch, record, {**place, "epoch": epoch}, state, params)
                    if on_log:
                        on_log(row)
                watched += time.perf_counter() - before
                if p.collapse.action == "stop" and ranks.any(record.collapse is not None) and record.step < steps:
                    save()
                    raise Stopped(f"stopped after {record.step} of {steps} steps: {record.collapse}")
            out_of_time = p.max_time is not None and time.perf_counter() - start > 60 * p.max_time
            if ranks.any(stop.requested or out_of_time) and record.step < steps:
                save()
                raise Stopped(f"stopped after {record.step} of {steps} steps; the same command resumes")
            if record.step % every == 0 and record.step < steps:
                save()
    seconds = time.perf_counter() - start
    weights = (
        model.state_dict() if p.select == "last" or state is None or record.best is None else state.best()["model"]
    )
    # a model of its own: without compiled blocks, and on the CPU
    finished = build_model(params)
    finished.load_state_dict(weights)
    return PretrainResult(
        finished.eval(), record.history, record.epochs, record.spikes, record.collapse,
        seconds, reader.waited / seconds, watched / seconds, precision, str(device), ranks.size,
        record.skipped, steps * p.batch_size, state,
    )  # fmt: skip


def compile_blocks(model: CoReECG) -> None:
    """Compile every transformer block where it stands; the names of weights stay as they are."""
    # compiled code may reuse memory of the graph, but the norms of single terms walk the graph again
    torch._functorch.config.donated_buffer = False
    for module in model.modules():
        if isinstance(module, Block):
            module.compile()


def gate_temperature(params: Params, share: float) -> float:
    """Exponential schedule of FDA's gate from start to end over the run."""
    start, end = params.fda.temperature
    return start * (end / start) ** share


def _epoch_ended(step: int, steps: int, batch_size: int, recordings: int, every: int) -> int:
    """Number of the epoch that ends with ``step`` and is to be looked at; 0 for none. The last step counts as one."""
    now, before = (s * batch_size // recordings for s in (step, step - 1))
    if now // every > before // every:
        return now
    return max(now, 1) if step == steps else 0


def _look(
    model: CoReECG, look: Look, record: TrainingHistory, place: Row, state: RunState | None, params: Params
) -> Row:
    """A row of figures of an epoch, noted in the record; the best weights are kept, and a collapse is told."""
    model.eval()
    figures = look(model, record.step)
    model.train()
    collapse = detect_collapse(figures, params.pretrain.collapse)
    if collapse and not record.collapse:
        _logger.warning("pretraining: %s (step %d)", collapse, record.step)
    record.collapse = collapse
    row = {**place, **figures, "collapsed": float(collapse is not None)}
    record.epochs.append(row)
    reached = figures.get("probe_auroc")
    if reached is not None and state is not None and (record.best is None or reached > record.best["probe_auroc"]):
        record.best = {"probe_auroc": reached, "step": record.step}
        state.save_best({"model": model.state_dict(), **record.best})
    return row


def _require_usable(store: Store, params: Params, ranks: Ranks) -> None:
    store.require_contract(params.signal, "params.yaml")
    # an encoder is published with the codes of its recordings: told now, not after days
    Identities.of_store(store, store.rows("train")[:1])
    problems = [
        Problem(str(store.path), "split", f"has {count} {split} recordings", f"Pretraining needs at least {needed}")
        for split, needed in (("train", 2), ("val", 1))
        if (count := len(store.rows(split))) < needed
    ]
    size, pieces = params.pretrain.batch_size, params.pretrain.accumulate
    if size % (ranks.size * pieces):
        what = f"is {size}, which does not divide into {ranks.size} processes of {pieces} pieces"
        problems.append(Problem("params.yaml", "pretrain.batch_size", what, "Take a multiple"))
    if problems:
        raise InputError(problems)
