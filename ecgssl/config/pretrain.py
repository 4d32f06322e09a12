"""Parameters of section ``pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ecgssl.params_base import NonNegative, Positive, Ratio, Section


class ProbeParams(Section):
    """Parameters of the online probe during pretraining (``ecgssl.pretraining.diagnostics.online_probe``).

    Args:
        targets: targets of the store for a linear probe on frozen features; if empty, only figures without labels are
            computed.
        every_epochs: number of epochs between two evaluations.
        recordings: largest number of recordings from each of the train and validation splits.
    """

    targets: list[str] = []
    every_epochs: Positive = 1
    recordings: Annotated[int, Field(ge=32)] = 128


class CollapseParams(Section):
    """Limits for the detection of representation collapse.

    The highest uniformity measured in a normal run was -0.013, after the first steps. Collapsed runs (learning rate of 0.1
    or more) had a uniformity of -0.00001 to -0.00004.

    Args:
        min_effective_rank: smallest effective rank of the global vectors.
        max_uniformity: largest uniformity of the projected vectors.
        action: ``warn``, or ``stop`` to warn and stop the run.
    """

    min_effective_rank: NonNegative = 2.0
    max_uniformity: Annotated[float, Field(le=0)] = -0.001
    action: Literal["warn", "stop"] = "warn"


class DivergenceParams(Section):
    """Limits for the detection of divergence. A diverged run is not published.

    Untrained encoders have a relative loss of 1.00, and runs of two steps up to 1.01. Runs that had diverged at a learning
    rate of 1 or more had 1.3 to 37.

    Args:
        max_skipped_fraction: largest fraction of steps that are skipped because their gradient is not finite.
        max_relative_loss: largest loss relative to a constant prediction: the reconstruction error on validation relative to
            predicting the mean of every hidden patch, and the contrastive loss relative to its value
            without training.
    """

    max_skipped_fraction: Annotated[float, Field(ge=0, le=1)] = 0.2
    max_relative_loss: Annotated[float, Field(ge=1)] = 1.2


def _check_sampling(value: Any) -> Any:
    named = ("proportional", "balanced")
    if isinstance(value, dict):
        wrong = [
            name for name, weight in value.items()
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf")
        ]  # fmt: skip
        if wrong or not value:
            raise ValueError(f"weights must be numbers above 0: {', '.join(map(str, wrong)) or 'no weight is given'}")
    elif value not in named:
        raise ValueError("must be 'proportional', 'balanced' or a weight per set such as {a: 0.7, b: 0.3}")
    return value


Sampling = Annotated[Literal["proportional", "balanced"] | dict[str, float], BeforeValidator(_check_sampling)]


def _as_text(value: Any) -> Any:
    """Return a ``Path`` as text with a separator, so that it is not taken for the name of a shipped model."""
    if not isinstance(value, Path):
        return value
    return str(value) if len(value.parts) > 1 else f"./{value}"


ModelName = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=4096)]


class PretrainParams(Section):
    """Parameters of a pretraining run.

    Args:
        sets: names of the sets to pretrain on; may be left out if ``sets`` has only one.
        sampling: share of each set in the batches. ``proportional``: by its number of recordings; ``balanced``: equal
            shares; or a weight per set.
        windows: windows of a long recording (``signal.windows: all``): ``all`` uses each of them once per epoch; ``random``
            draws one of them per epoch.
        overlap: action if a pretraining set contains patients or waveforms of validation or test of a task: ``drop``
            leaves these recordings out and counts them; ``error``.
        init: name of a shipped encoder, or folder of an encoder or bundle, whose weights the run starts from; null for
            random weights.
        samples: number of recordings seen, repetitions included; all schedules are in samples.
        batch_size: number of recordings per step, over all processes and pieces.
        learning_rate: peak learning rate of AdamW.
        weight_decay: weight decay of the weight matrices.
        warmup: fraction of the run with a linear warm-up of the learning rate.
        clip: largest norm of the gradient.
        shift: apply a separate circular time shift to every view.
        precision: precision of the forward pass; ``auto`` uses bf16 if the hardware supports it.
        device: device of the model; ``auto`` uses a GPU if there is one.
        checkpoint_every: number of samples between checkpoints.
        max_time: minutes after which a run saves its state and stops; null for no limit.
        keep_checkpoints: number of checkpoints kept.
        max_bad_steps: largest number of consecutive non-finite steps; they are skipped.
        spike: number of robust standard deviations above recent losses from which a loss counts as a spike.
        accumulate: number of pieces into which a process divides its part of the batch, to save memory.
        compile: compile the transformer blocks; faster on GPUs.
        select: saved weights: ``last`` step, or epoch with the ``best`` online probe.
        probe: monitoring during the run.
        collapse: limits of collapse detection.
        divergence: limits of divergence detection.
    """

    sets: tuple[str, ...] = ()
    sampling: Sampling = "proportional"
    windows: Literal["all", "random"] = "all"
    overlap: Literal["drop", "error"] = "drop"
    init: ModelName | None = None
    samples: Positive = 1440
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.05
    warmup: Ratio = 0.05
    clip: Annotated[float, Field(gt=0)] = 1.0
    shift: bool = True
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_every: Positive = 20000
    max_time: Annotated[float, Field(gt=0)] | None = None
    keep_checkpoints: Positive = 2
    max_bad_steps: Positive = 10
    spike: Annotated[float, Field(gt=0)] = 10.0
    accumulate: Positive = 1
    compile: bool = False
    select: Literal["last", "best"] = "last"
    probe: ProbeParams = ProbeParams()
    collapse: CollapseParams = CollapseParams()
    divergence: DivergenceParams = DivergenceParams()

    @model_validator(mode="after")
    def _consistent(self) -> PretrainParams:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not divisible by accumulate {self.accumulate}")
        if self.select == "best" and not self.probe.targets:
            raise ValueError("select 'best' needs probe.targets: set the targets of the online probe")
        return self
