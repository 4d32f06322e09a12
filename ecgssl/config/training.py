"""Sections ``pretrain``, ``finetune``, ``evaluate``, ``export`` and ``tracking``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import NonNegative, Positive, Ratio, Section
from ecgssl.signal.lead_sets import LeadSet


class ProbeParams(Section):
    """What is looked at while pretraining lasts, on at most ``recordings`` of the train and of the validation split.

    Args:
        targets: of the store, for a linear probe on frozen features; none for figures without labels alone.
        every_epochs: epochs between looks.
    """

    targets: list[str] = []
    every_epochs: Positive = 1
    recordings: Annotated[int, Field(ge=32)] = 512


class CollapseParams(Section):
    """Limits beyond which the representation has collapsed; ``action`` on it: say so, or stop the run too.

    Projected vectors of a healthy run are closest together after its first steps: a uniformity of -0.013 was measured
    there, and -0.00001 to -0.00004 in runs that a learning rate of 0.1 and more had collapsed.
    """

    min_effective_rank: NonNegative = 2.0
    max_uniformity: Annotated[float, Field(le=0)] = -0.001
    action: Literal["warn", "stop"] = "warn"


class PretrainParams(Section):
    """The pretraining run.

    Args:
        samples: recordings seen in all (the schedule is in samples).
        batch_size: of one step, over all processes and pieces.
        accumulate: pieces that a process computes its part of the batch in, one after the other, for less memory.
        compile: compile the transformer blocks; pays off on GPUs.
        max_time: minutes after which a run stops early; none for no limit.
        checkpoint_every: samples between resumable checkpoints.
        keep_checkpoints: how many of them are kept.
        max_bad_steps: non-finite steps in a row that are left out before the run ends.
        spike: robust deviations from the newest losses beyond which a loss is noted as a spike.
        select: weights of the last step, or of the epoch that the online probe liked best.
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
    keep_checkpoints: Positive = 2
    max_bad_steps: Positive = 10
    spike: Annotated[float, Field(gt=0)] = 10.0
    accumulate: Positive = 1
    compile: bool = False
    select: Literal["last", "best"] = "last"
    probe: ProbeParams = ProbeParams()
    collapse: CollapseParams = CollapseParams()

    @model_validator(mode="after")
    def _fits_together(self) -> PretrainParams:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} does not divide into accumulate {self.accumulate} pieces")
        if self.select == "best" and not self.probe.targets:
            raise ValueError("select 'best' needs probe.targets to choose by")
        return self


Mode = Literal["linear", "attentive", "full", "scratch"]
"""How a model is fine-tuned (``docs/finetuning.md``)."""
ClassWeight = Literal["none", "balanced"]
"""Of recordings in the loss: all alike, or so that every class weighs the same in all."""


class LinearParams(Section):
    """Regression on frozen embeddings: logistic for labels and classes, ridge for numbers.

    ``C`` is the inverse penalty as scikit-learn has it, for ridge 1 / alpha on standardised embeddings. C and class weight
    are chosen on validation; ridge has no class weight.
    """

    C: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.001, 0.01, 0.1, 1.0, 10.0]
    class_weight: Annotated[list[ClassWeight], Field(min_length=1)] = ["none", "balanced"]


class EpochParams(Section):
    """A loop over epochs whose best one on validation is kept.

    Args:
        epochs: at most.
        batch_size: recordings of a step.
        learning_rate: at its highest, after the warm-up; half a cosine to 0 follows.
        weight_decay: of matrices.
        warmup: share of all steps.
        patience: epochs without a better score on validation after which it ends.
        class_weight: in the loss, by the train recordings; a regression has none.
    """

    epochs: Positive
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.05
    warmup: Ratio = 0.1
    patience: Positive
    class_weight: ClassWeight = "none"


class AttentiveParams(EpochParams):
    """Learned queries over the tokens of a frozen encoder (``ecgssl.model.classifier.QueryPooling``).

    The rate is low because the start, a linear probe, is as regularised as validation wants it: on 1,311 real recordings 1e-3
    lost 0.03 of its AUROC in the first epoch.

    Args:
        queries: how many.
        cache_gb: tokens are computed once and kept on disk where they take no more than this; otherwise in every epoch.
    """

    epochs: Positive = 30
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    patience: Positive = 6
    queries: Annotated[int, Field(ge=1, le=64)] = 4
    cache_gb: NonNegative = 8.0


class FullParams(EpochParams):
    """Fine-tuning of the whole encoder.

    Args:
        layer_decay: rate of a layer over that of the layer above it.
        drop_path: stochastic depth of the last block.
        shift: roll every training recording in time by a random number of samples, as in pretraining.
        sampling: of train recordings: ``shuffled``, each once an epoch, or ``balanced``, drawn in proportion to how rare
            the rarest of a recording's classes is; a regression is always shuffled.
        crops: views of a recording, shifted in time by equal parts, whose outputs are averaged; part of the model.
    """

    epochs: Positive = 10
    patience: Positive = 4
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    drop_path: Ratio = 0.1
    shift: bool = True
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    crops: Annotated[int, Field(ge=1, le=16)] = 1


class FinetuneParams(Section):
    """How encoders are fine-tuned.

    ``overlap`` is what follows where recordings or patients of validation or test are among those that the encoder was
    pretrained on: an ``error``, or ``warn``. Leaving some out, as ``data.overlap`` can, is no choice here: what an encoder
    has learned stays learned.

    Args:
        fractions: shares of the train patients whose labels are used, the first of them the one that the others are
            compared with and that is exported.
        draws: how often a share below 1 is drawn anew.
        lead_sets: recorded leads (``ecgssl.signal.lead_sets``), the first as for ``fractions``.
        folds, repeats: of the cross-validation of a small cohort (``ecgssl.finetuning.cross_validation``).
    """

    modes: Annotated[list[Mode], Field(min_length=1)] = ["linear", "full"]
    linear: LinearParams = LinearParams()
    attentive: AttentiveParams = AttentiveParams()
    full: FullParams = FullParams()
    overlap: Literal["error", "warn"] = "error"
    fractions: Annotated[list[Annotated[int | float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0]
    draws: Positive = 1
    lead_sets: Annotated[list[LeadSet], Field(min_length=1)] = ["12lead"]
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def _references_first(self) -> FinetuneParams:
        for name in ("fractions", "lead_sets"):
            values: list[Any] = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} {values} names one twice")
        if self.fractions[0] != max(self.fractions):
            raise ValueError(
                f"fractions {self.fractions}: the first is the one the others are compared with, so the largest"
            )
        return self


class EvaluateParams(Section):
    """How predictions become numbers (docs/evaluation.md).

    Args:
        bootstrap: resamples of patients, and permutations of a comparison.
        confidence: width of the intervals.
        calibration: fitted on validation; ``platt`` also mends the shift that balanced class weights leave, which a
            temperature cannot, and needs a tenth of the events that ``isotonic`` does.
        sensitivities, specificities: wanted on validation, of thresholds beside Youden's.
        subgroups: columns of the store by which results are told apart; those it lacks are left out.
        age_bands: years at which a band of ages begins.
        one_per_patient: only the first recording of each patient counts, in the order of ``record_id``.
    """

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "platt"
    sensitivities: list[Annotated[float, Field(gt=0, lt=1)]] = [0.9]
    specificities: list[Annotated[float, Field(gt=0, lt=1)]] = [0.9]
    subgroups: list[str] = ["sex", "age", "site", "device"]
    age_bands: list[Annotated[float, Field(gt=0)]] = [18, 40, 65, 75]
    one_per_patient: bool = False

    @model_validator(mode="after")
    def _rising(self) -> EvaluateParams:
        if sorted(set(self.age_bands)) != self.age_bands:
            raise ValueError(f"age_bands {self.age_bands} must rise")
        return self


class ExportParams(Section):
    """What the export stage bundles: the classifier of ``task`` and ``mode``, beside the pretrained encoder.

    Args:
        tolerance: largest difference allowed between the file pipeline in torch and a graph in onnxruntime.
        opset: of ONNX.
        raw_rates: Hz; for each a graph whose input is raw recordings of that sampling rate.
        pt2: add the model as a program of torch.export.
        int8: add a graph with weights and activations of 8 bits, measured on validation.
        int8_loss: largest fall of its macro AUROC (of a regression, of R2; of an encoder, of the embeddings' cosine
            similarity from 1) that it is still written with.
    """

    task: str | None = None
    mode: Mode | None = None

    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    opset: Annotated[int, Field(ge=18)] = 20
    raw_rates: list[Annotated[float, Field(gt=0, le=4000)]] = [500.0]
    pt2: bool = True
    int8: bool = False
    int8_loss: Annotated[float, Field(ge=0, lt=1)] = 0.01


class TrackingParams(Section):
    backend: Literal["mlflow", "none"] = "mlflow"
    experiment: str = "ecgssl"
