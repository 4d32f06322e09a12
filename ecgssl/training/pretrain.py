"""The pretraining loop: one plain loop, stoppable at any instant, resumed to the same losses bit for bit on CPU."""

from __future__ import annotations

import hashlib
import json
import math
import signal as os_signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ecgssl import __version__
from ecgssl.config import Params
from ecgssl.errors import InputError, Problem, Stopped
from ecgssl.model.core_ecg import CoReECG
from ecgssl.progress import progress
from ecgssl.store.store import Store
from ecgssl.training.batches import load_batch, rows_at
from ecgssl.training.checkpoint import RunState
from ecgssl.training.device import autocast, resolve_device, resolve_precision
from ecgssl.training.optim import adamw, cosine, pretrain_groups, set_rates


@dataclass
class PretrainResult:
    """A finished run.

    Args:
        model: in eval mode, on the CPU.
        history: one row per ``log_every`` steps: step, samples, mean of every term, gradient norm, learning rate.
        seconds: spent in this process.
        precision, device: what ``auto`` came to.
        skipped_steps: non-finite steps that were left out.
        seen: recordings, repetitions counted.
        run_state: the resumable state, to be discarded once the result is published.
    """

    model: CoReECG
    history: list[dict[str, float]]
    seconds: float
    precision: str
    device: str
    skipped_steps: int
    seen: int
    run_state: RunState


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
    show_progress: bool = True,
    log_every: int = 20,
    on_log: Callable[[dict[str, float]], None] | None = None,
) -> PretrainResult:
    """Pretrain on the ``train`` split of a store.

    Args:
        store: of the contract ``params.signal``.
        params: model, fda, stdm, objective, pretrain, seed.
        run_folder: where resumable checkpoints lie while the run lasts; the caller discards them after publishing.
        show_progress: draw a progress bar on a terminal.
        log_every: steps between rows of the history.
        on_log: called with each row.

    Raises:
        ContractMismatch: store and parameters disagree.
        InputError: no recordings to train on or, afterwards, to assess the model on; or a run of other parameters in
            ``run_folder``.
        Stopped: on SIGTERM or after ``max_time``, with everything saved.
        FloatingPointError: more than ``max_bad_steps`` non-finite steps in a row.
    """
    store.require_contract(params.signal, "params.yaml")
    p = params.pretrain
    rows = store.rows("train")
    problems = [
        Problem(str(store.path), "split", f"has {count} {split} recordings", f"Pretraining needs at least {needed}")
        for split, needed in (("train", 2), ("val", 1))
        if (count := len(store.rows(split))) < needed
    ]
    if problems:
        raise InputError(problems)
    device = resolve_device(p.device)
    precision = resolve_precision(p.precision, device)
    model = build_model(params).to(device)
    optimiser = adamw(pretrain_groups(model, p.learning_rate, p.weight_decay, params.fda.learning_rate))
    state = RunState(run_folder, _config(params, store))
    history: list[dict[str, float]] = []
    step, bad, skipped, summed = 0, 0, 0, 0
    sums: dict[str, torch.Tensor] = {}
    if (saved := state.newest()) is not None:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        history, sums = saved["history"], {name: value.to(device) for name, value in saved["sums"].items()}
        step, bad, skipped, summed = saved["counts"]

    def save() -> None:
        content: dict[str, Any] = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
        counts = [step, bad, skipped, summed]
        state.save(step, {**content, "history": history, "sums": sums, "counts": counts})

    steps = math.ceil(p.samples / p.batch_size)
    every = max(1, p.checkpoint_every // p.batch_size)
    generator = torch.Generator(device)
    start = time.perf_counter()
    with (
        _StopRequest() as stop,
        progress("pretrain", steps * p.batch_size, done=step * p.batch_size, enabled=show_progress) as advance,
    ):
        model.train()
        while step < steps:
            share = step / steps
            set_rates(optimiser, cosine(share, p.warmup))
            # every draw of a step is a function of (seed, step): a resumed run needs no saved generator
            generator.manual_seed(params.seed * 1_000_003 + step)
            batch = load_batch(store, rows_at(rows, p.batch_size, params.seed, step), device)
            with autocast(device, precision):
                terms = model(
                    batch.x, batch.lead_mask, batch.patients, step, gate_temperature(params, share), generator
                )
            terms["loss"].backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), p.clip)
            if bool(torch.isfinite(norm)):
                optimiser.step()
                bad = 0
            else:
                bad, skipped = bad + 1, skipped + 1
                if bad > p.max_bad_steps:
                    raise FloatingPointError(
                        f"{bad} non-finite steps in a row at step {step}; lower pretrain.learning_rate"
                    )
            optimiser.zero_grad(set_to_none=True)
            step += 1
            if bool(torch.isfinite(norm)):
                for name, value in {**terms, "gradient_norm": norm}.items():
                    sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
                summed += 1
            if (step % log_every == 0 or step == steps) and summed:
                row = {name: float(value) / summed for name, value in sums.items()}
                row |= {
                    "step": step,
                    "samples": step * p.batch_size,
                    "learning_rate": p.learning_rate * cosine(share, p.warmup),
                }
                history.append(row)
                sums, summed = {}, 0
                if on_log:
                    on_log(row)
            shown = history[-1] if history else {}
            advance(p.batch_size, **{k: shown[k] for k in ("reconstruction", "contrastive") if k in shown})
            out_of_time = p.max_time is not None and time.perf_counter() - start > 60 * p.max_time
            if (stop.requested or out_of_time) and step < steps:
                save()
                raise Stopped(f"stopped after {step} of {steps} steps; the same command resumes")
            if step % every == 0 and step < steps:
                save()
    seconds = time.perf_counter() - start
    return PretrainResult(
        model.cpu().eval(), history, seconds, precision, str(device), skipped, steps * p.batch_size, state
    )


def gate_temperature(params: Params, share: float) -> float:
    """Exponential schedule of FDA's gate from start to end over the run."""
    start, end = params.fda.temperature
    return start * (end / start) ** share


def run_name(params: Params, store: Store) -> str:
    """Folder name that is the same for, and only for, runs that may resume each other."""
    text = json.dumps(_config(params, store), sort_keys=True)
    return "pretrain-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _config(params: Params, store: Store) -> dict[str, Any]:
    """Everything that decides the losses, flat by section for a readable diff."""
    decides = params.pretrain.model_dump(mode="json", exclude={"checkpoint_every", "max_time", "max_bad_steps"})
    sections = {name: getattr(params, name).model_dump(mode="json") for name in ("model", "fda", "stdm", "objective")}
    device = resolve_device(params.pretrain.device)
    decides |= {"device": device.type, "precision": resolve_precision(params.pretrain.precision, device)}
    flat = {
        f"{name}.{key}": value
        for name, section in {**sections, "pretrain": decides}.items()
        for key, value in section.items()
    }
    return {
        **flat,
        "ecgssl": __version__,
        "seed": params.seed,
        "signal": store.spec.fingerprint,
        "recordings": store.about["index_sha256"],
    }


class _StopRequest:
    """Turns SIGTERM and SIGINT into a flag for the time of the block; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (os_signal.SIGTERM, os_signal.SIGINT):
                self._previous[number] = os_signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            os_signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == os_signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
