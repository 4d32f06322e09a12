"""Sections ``pretrain``, ``finetune``, ``evaluate``, ``export`` and ``tracking``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecgssl.config.section import NonNegative, Positive, Ratio, Section


class PretrainParams(Section):
    """The pretraining run.

    Args:
        samples: recordings seen in all (the schedule is in samples).
        max_time: minutes after which a run stops early; none for no limit.
        checkpoint_every: samples between resumable checkpoints.
    """

    samples: Positive = 8000
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.05
    warmup: Ratio = 0.05
    clip: Annotated[float, Field(gt=0)] = 1.0
    shift: bool = True
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_every: Positive = 20000
    max_time: Annotated[float, Field(gt=0)] | None = None
    max_bad_steps: Positive = 10


class LinearParams(Section):
    """Logistic regression on frozen embeddings; C and class weight are chosen on validation."""

    C: list[Annotated[float, Field(gt=0)]] = [0.001, 0.01, 0.1, 1.0, 10.0]
    class_weight: list[Literal["none", "balanced"]] = ["none", "balanced"]


class FullParams(Section):
    """Fine-tuning of the whole encoder; ``shift`` rolls every training recording in time, as in pretraining."""

    epochs: Positive = 10
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.05
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    warmup: Ratio = 0.1
    drop_path: Ratio = 0.1
    patience: Positive = 4
    shift: bool = True


class FinetuneParams(Section):
    modes: Annotated[list[Literal["linear", "full", "scratch"]], Field(min_length=1)] = ["linear", "full"]
    linear: LinearParams = LinearParams()
    full: FullParams = FullParams()


class EvaluateParams(Section):
    """``bootstrap`` resamples patients; ``confidence`` is the width of the interval."""

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class ExportParams(Section):
    """What the export stage bundles: the classifier of ``task`` and ``mode``, beside the pretrained encoder.

    ``tolerance`` is the largest difference allowed between torch and onnxruntime.
    """

    task: str | None = None
    mode: Literal["linear", "full", "scratch"] | None = None

    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    opset: Annotated[int, Field(ge=18)] = 20


class TrackingParams(Section):
    backend: Literal["mlflow", "none"] = "mlflow"
    experiment: str = "ecgssl"
