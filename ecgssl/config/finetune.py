"""Parameters of section ``finetune``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import NonNegative, Positive, Ratio, Section
from ecgssl.signal.lead_sets import LeadSet

Mode = Literal["linear", "mlp", "attentive", "full", "scratch"]
"""Fine-tuning mode; ``docs/finetuning.md`` describes the modes."""
ClassWeight = Literal["none", "balanced"]
"""Weights of recordings in the loss: equal (``none``) or inversely proportional to the class frequency (``balanced``)."""


MOST_HIDDEN = 4096
"""Largest number of hidden units of a network, which limits the memory that a model folder can ask for."""


class LinearParams(Section):
    """Linear probe on frozen embeddings: logistic regression for classification, ridge regression for numbers.

    Args:
        solver: for binary targets, ``logistic`` regression or a ``ridge`` classifier. Ridge takes seconds for thousands of
            features and recordings, where logistic regression takes minutes or hours. It chooses one strength for all
            targets from its own candidates. ``auto`` is ``ridge`` if there are more than 2,000 training recordings and more
            than 2,000 features, and otherwise ``logistic``.
        corrections: candidates for the penalty of the logistic regression that corrects a ridge classifier, relative to the
            penalty of the classifier (``ecgssl.probes.logistic_correction``), for example 10, 3, 1, 0.3, 0.1, 0.03. The best
            one, or none, is chosen on the validation split. Without candidates (the default) there is no correction, because it
            gained little or nothing on other recordings (docs/results.md). Only for solver ``ridge``.
        C: candidate values of the inverse regularisation strength as in scikit-learn (ridge: 1 / alpha on standardised
            embeddings). The best value is chosen on the validation split. Not used by solver ``ridge``.
        class_weight: candidate class weights. The best one is chosen on the validation split. Not used by ridge.
        scale_floor: lower limit of the standard deviation by which a feature is divided, as a fraction of the median over
            all features. Without it, a feature that hardly varies in a small cohort can dominate the score of a recording
            that is unlike the cohort. The clinical baseline, whose features have different units, does not use it.
        precision: precision in which the encoder embeds training recordings: ``bf16``, which is faster on hardware that
            supports it, ``fp32``, or ``auto``: bf16 on a GPU that supports it, and fp32 on a CPU. Validation and test
            recordings are embedded in fp32. Cross-validation uses fp32.
    """

    solver: Literal["auto", "logistic", "ridge"] = "auto"
    corrections: list[Annotated[float, Field(gt=0)]] = []
    C: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.0001, 0.001, 0.01, 0.1, 1.0]
    class_weight: Annotated[list[ClassWeight], Field(min_length=1)] = ["none", "balanced"]
    scale_floor: Annotated[float, Field(ge=0, lt=1)] = 0.01
    precision: Literal["auto", "bf16", "fp32"] = "auto"


class EpochParams(Section):
    """Training parameters. The weights of the epoch with the best validation score are kept.

    Args:
        epochs: largest number of epochs.
        batch_size: number of recordings per step.
        learning_rate: peak learning rate after the warm-up; it then falls to 0 along half a cosine.
        weight_decay: weight decay of the weight matrices.
        warmup: fraction of all steps with a linear warm-up of the learning rate.
        patience: number of epochs without a better validation score after which training ends.
        class_weight: weighting of the training recordings in the loss; not used for a regression.
    """

    epochs: Positive
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.05
    warmup: Ratio = 0.1
    patience: Positive
    class_weight: ClassWeight = "none"


class MlpParams(EpochParams):
    """Network with one hidden layer on the frozen embedding; its outputs are averaged with those of the linear probe.

    Args:
        hidden: number of hidden units.
        input_dropout: share of the features that a training step drops at random.
        dropout: share of the hidden units that a training step drops at random.
    """

    epochs: Positive = 12
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.1
    patience: Positive = 12
    hidden: Annotated[int, Field(ge=1, le=MOST_HIDDEN)] = 512
    input_dropout: Ratio = 0.3
    dropout: Ratio = 0.5


class AttentiveParams(EpochParams):
    """Attentive probe: learned queries over the tokens of a frozen encoder (``ecgssl.model.classifier.QueryPooling``).

    Training starts from a trained linear probe, so the learning rate is low. With a learning rate of 1e-3, the AUROC on
    1,311 real recordings decreased by 0.03 in the first epoch.

    Args:
        queries: number of learned queries.
        cache_gb: largest size in GB of a disk cache of the tokens. Larger token sets are computed in every epoch.
    """

    epochs: Positive = 30
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    patience: Positive = 6
    queries: Annotated[int, Field(ge=1, le=64)] = 4
    cache_gb: NonNegative = 8.0


class FullParams(EpochParams):
    """Fine-tuning of the whole encoder.

    Args:
        start: probe from which training starts: ``linear``, or ``mlp`` with the settings of that mode. The head has the same
            form in the trained model.
        layer_decay: learning rate of a layer relative to that of the layer above it.
        drop_path: stochastic depth rate of the last block.
        shift: apply a random circular time shift to every training recording, as in pretraining.
        time_ratio: fraction of the time columns that the encoder does not receive in a training step, as ``stdm.time_ratio``
            in pretraining; 0 for none. Training is faster, because hidden patches are not computed. Validation and prediction
            use all patches.
        sampling: sampling of training recordings: ``shuffled`` (each once per epoch) or ``balanced`` (with probability
            inversely proportional to the frequency of the recording's rarest class). A regression is always shuffled.
        crops: number of time-shifted views of a recording whose outputs are averaged. It is stored in the model.
    """

    epochs: Positive = 3
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    patience: Positive = 3
    start: Literal["linear", "mlp"] = "linear"
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    drop_path: Ratio = 0.0
    shift: bool = True
    time_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    crops: Annotated[int, Field(ge=1, le=16)] = 1


class FinetuneParams(Section):
    """Parameters of fine-tuning.

    Args:
        modes: fine-tuning modes; the first is exported unless ``export.mode`` is set.
        linear: linear probe.
        mlp: nonlinear probe.
        attentive: attentive probe.
        full: fine-tuning of the whole encoder, also for ``scratch``.
        overlap: ``error`` or ``warn`` if recordings or patients of validation or test were used for pretraining. They
            cannot be dropped here, unlike with ``sets.NAME.overlap``, because the encoder is already trained on them.
        fractions: fractions of the train patients whose labels are used. The first is the reference of the comparisons
            and is exported.
        draws: number of random draws of each fraction below 1.
        lead_sets: recorded leads (``ecgssl.signal.lead_sets``); the first is the reference and is exported.
        folds: number of folds in the cross-validation of a small cohort (``ecgssl.finetuning.cross_validation``).
        repeats: number of repetitions of the cross-validation.
        clinical_baseline: also fit a probe on classical ECG measurements, with age and sex where known, and compare each
            model with it. It is nonlinear for mode ``mlp`` and for ``full.start: mlp``, otherwise linear.
    """

    modes: Annotated[list[Mode], Field(min_length=1)] = ["linear", "full"]
    linear: LinearParams = LinearParams()
    mlp: MlpParams = MlpParams()
    attentive: AttentiveParams = AttentiveParams()
    full: FullParams = FullParams()
    overlap: Literal["error", "warn"] = "error"
    fractions: Annotated[list[Annotated[int | float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0]
    draws: Positive = 1
    lead_sets: Annotated[list[LeadSet], Field(min_length=1)] = ["12lead"]
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 5
    clinical_baseline: bool = True

    def baseline_probe(self, mode: Mode) -> Literal["linear", "mlp"]:
        """Return the probe of the baselines of a mode: ``mlp`` if the model has, or starts from, the nonlinear probe."""
        starts = mode in ("full", "scratch") and self.full.start == "mlp"
        return "mlp" if mode == "mlp" or starts else "linear"

    @model_validator(mode="after")
    def _references_first(self) -> FinetuneParams:
        for name in ("fractions", "lead_sets"):
            values: list[Any] = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} {values} has duplicates")
        if self.fractions[0] != max(self.fractions):
            raise ValueError(
                f"fractions {self.fractions}: the first is the reference of the comparisons; put the largest first"
            )
        return self
