"""Typed ``params.yaml``: unknown keys and out-of-range values are errors, all of them listed in one message.

Every field documents its unit. Values that the paper does not give are marked ``assumption`` in ``params.yaml``.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ecgssl.errors import InputError, Problem
from ecgssl.signal.spec import SignalSpec

Positive = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]


def _some_processes(value: int) -> int:
    if value == 0:
        raise ValueError("0 processes do nothing; -1 takes one per core")
    return value


Workers = Annotated[int, Field(ge=-1), AfterValidator(_some_processes)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SyntheticParams(_Section):
    """The embedded set: how many patients and recordings the vectorcardiogram model makes."""

    patients: Positive = 400
    recordings_per_patient: tuple[Positive, Positive] = (1, 3)
    sampling_rate: Annotated[float, Field(ge=100, le=1000)] = 500.0
    duration: Annotated[float, Field(ge=5, le=60)] = 10.0


class DataParams(_Section):
    """Which recordings: a registered set and where it lies.

    Args:
        set: ``synthetic``, ``ptbxl`` (official layout) or ``cohort`` (a manifest).
        root: folder that holds the recordings; unused by ``synthetic``.
        manifest: the CSV of a ``cohort``.
        patient_key: file with the key that turns patient ids into hashes; made when absent.
    """

    set: Literal["synthetic", "ptbxl", "cohort"] = "synthetic"
    root: Path | None = None
    manifest: Path | None = None
    sampling_rate: Literal[100, 500] = 500
    patient_key: Path = Path("data/patient.key")
    synthetic: SyntheticParams = SyntheticParams()

    @model_validator(mode="after")
    def _complete(self) -> DataParams:
        if self.set == "ptbxl" and self.root is None:
            raise ValueError("set 'ptbxl' needs root: the folder with ptbxl_database.csv")
        if self.set == "cohort" and self.manifest is None:
            raise ValueError("set 'cohort' needs manifest: a CSV with record_id and path")
        return self


Policy = Literal["reject", "mask", "flag"]
ReasonCode = Literal["nan", "flat", "railed", "amplitude", "limb_law", "heart_rate", "no_beats", "noisy"]
_POLICY: dict[ReasonCode, Policy] = {
    "nan": "mask",
    "flat": "mask",
    "railed": "mask",
    "amplitude": "reject",
    "limb_law": "flag",
    "heart_rate": "flag",
    "no_beats": "flag",
    "noisy": "flag",
}


class QualityParams(_Section):
    """Limits past which a figure becomes a reason code, and what follows: reject, mask the lead, or flag.

    Args:
        nan_fraction: largest share of NaN samples in a lead; fewer are bridged by straight lines and flagged.
        flat_sd: a lead whose standard deviation in mV is not above this is flat.
        amplitude: largest plausible absolute value in mV after cleaning.
        railed_fraction: largest share of a lead's samples that sit at its extreme value.
        limb_residual: largest relative residual of the limb-lead laws.
        heart_rate: plausible range in beats per minute.
        template_match: smallest mean correlation of the beats with their mean beat.
        min_leads: recordings with fewer usable leads are rejected.
        policy: by reason code.
    """

    nan_fraction: Ratio = 0.0
    flat_sd: NonNegative = 0.005
    amplitude: Annotated[float, Field(gt=0)] = 10.0
    railed_fraction: Ratio = 0.05
    limb_residual: NonNegative = 0.3
    heart_rate: tuple[float, float] = (20.0, 250.0)
    template_match: Annotated[float, Field(ge=-1, le=1)] = 0.5
    min_leads: Annotated[int, Field(ge=1, le=12)] = 6
    policy: dict[ReasonCode, Policy] = _POLICY

    @field_validator("policy", mode="before")
    @classmethod
    def _codes_left_out_keep_their_policy(cls, value: Any) -> Any:
        return {**_POLICY, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _whole_recording_codes_cannot_mask(self) -> QualityParams:
        wrong = [c for c in ("limb_law", "heart_rate", "no_beats", "noisy") if self.policy.get(c) == "mask"]
        if wrong:
            raise ValueError(f"policy 'mask' needs a finding of one lead; {wrong} concern the whole recording")
        if self.policy["nan"] == "flag":
            raise ValueError("policy 'flag' for nan is impossible: a lead with gaps cannot be cleaned; mask or reject")
        return self


class StoreParams(_Section):
    """How preprocessed recordings lie on disk. ``lsb`` is the mV of one int16 step."""

    shard_recordings: Positive = 1024
    lsb: Annotated[float, Field(gt=0, le=0.01)] = 0.001
    workers: Workers = -1
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)] = 0.2


class DecoderParams(_Section):
    width: Positive = 128
    depth: Positive = 1
    heads: Positive = 4
    scope: Literal["joint", "leadwise", "axial"] = "joint"


class ModelParams(_Section):
    """Encoder and decoder. ``patch`` is in samples; explicit width, depth or heads override the preset."""

    preset: Literal["tiny", "small", "base"] = "tiny"
    width: Positive | None = None
    depth: Positive | None = None
    heads: Positive | None = None
    patch: Positive = 25
    mlp_ratio: Annotated[float, Field(ge=1, le=8)] = 4.0
    decoder: DecoderParams = DecoderParams()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(width, depth, heads) with overrides applied."""
        width, depth, heads = {"tiny": (128, 4, 4), "small": (384, 12, 6), "base": (768, 12, 12)}[self.preset]
        return self.width or width, self.depth or depth, self.heads or heads

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelParams:
        width, _, heads = self.shape
        if width % heads or (width // heads) % 2:
            raise ValueError(f"width {width} must be an even multiple of heads {heads}")
        if self.decoder.width % self.decoder.heads or self.decoder.width % 2:
            raise ValueError(
                f"decoder width {self.decoder.width} must be even and a multiple of heads {self.decoder.heads}"
            )
        return self


class FDAParams(_Section):
    """Frequency Dynamic Augmentation.

    Args:
        kind: ``fda``, or the ablations ``jitter_scale`` and ``none``.
        knots: of the importance map between 0 Hz and Nyquist.
        share: which leads share one map and one draw.
        temperature: of the binary-concrete gate, (start, end) of an exponential schedule.
        strength: largest relative change of amplitude of an unimportant bin.
        keep: target of the kept fraction in the budget term.
        protect_below: Hz under which every bin passes (DC and what the band-pass removed).
        views: perturb one view or both.
    """

    kind: Literal["fda", "jitter_scale", "none"] = "fda"
    knots: Annotated[int, Field(ge=4, le=512)] = 64
    share: Literal["all", "limb", "none"] = "limb"
    temperature: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 0.1)
    strength: Annotated[float, Field(gt=0, le=4)] = 1.0
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    protect_below: NonNegative = 0.5
    views: Literal["one_sided", "two_sided"] = "two_sided"
    learning_rate: Annotated[float, Field(gt=0)] = 0.01


class STDMParams(_Section):
    """Spatio-Temporal Dual Masking: ratios of time columns and of leads that are hidden."""

    kind: Literal["paper", "einthoven", "random", "none"] = "paper"
    time_ratio: Ratio = 0.5
    lead_ratio: Ratio = 0.2


class ObjectiveParams(_Section):
    """L = L_rec + contrastive_weight * L_con + budget_weight * L_budget."""

    kind: Literal["core", "contrastive", "reconstruction"] = "core"
    contrastive_weight: NonNegative = 1.0
    budget_weight: NonNegative = 1.0
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.2
    projector: Positive = 128
    target: Literal["patch_norm", "plain"] = "patch_norm"
    same_patient: Literal["ignore", "positive"] = "ignore"


class PretrainParams(_Section):
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


class LinearParams(_Section):
    """Logistic regression on frozen embeddings; C and class weight are chosen on validation."""

    C: list[Annotated[float, Field(gt=0)]] = [0.001, 0.01, 0.1, 1.0, 10.0]
    class_weight: list[Literal["none", "balanced"]] = ["none", "balanced"]


class FullParams(_Section):
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


class FinetuneParams(_Section):
    modes: Annotated[list[Literal["linear", "full", "scratch"]], Field(min_length=1)] = ["linear", "full"]
    linear: LinearParams = LinearParams()
    full: FullParams = FullParams()


class EvaluateParams(_Section):
    """``bootstrap`` resamples patients; ``confidence`` is the width of the interval."""

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class ExportParams(_Section):
    """What the export stage bundles: the classifier of ``task`` and ``mode``, beside the pretrained encoder.

    ``tolerance`` is the largest difference allowed between torch and onnxruntime.
    """

    task: str | None = None
    mode: Literal["linear", "full", "scratch"] | None = None

    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    opset: Annotated[int, Field(ge=18)] = 20


class TrackingParams(_Section):
    backend: Literal["mlflow", "none"] = "mlflow"
    experiment: str = "ecgssl"


class Params(_Section):
    """All of ``params.yaml``. ``tasks`` maps a task's name to the manifest targets it predicts."""

    seed: Annotated[int, Field(ge=0)] = 0
    data: DataParams = DataParams()
    signal: SignalSpec = SignalSpec()
    quality: QualityParams = QualityParams()
    store: StoreParams = StoreParams()
    model: ModelParams = ModelParams()
    fda: FDAParams = FDAParams()
    stdm: STDMParams = STDMParams()
    objective: ObjectiveParams = ObjectiveParams()
    pretrain: PretrainParams = PretrainParams()
    tasks: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Annotated[list[str], Field(min_length=1)]]
    finetune: FinetuneParams = FinetuneParams()
    evaluate: EvaluateParams = EvaluateParams()
    export: ExportParams = ExportParams()
    tracking: TrackingParams = TrackingParams()

    @model_validator(mode="after")
    def _export_exists(self) -> Params:
        if self.export.task is not None and self.export.task not in self.tasks:
            raise ValueError(f"export.task '{self.export.task}' is none of tasks {list(self.tasks)}")
        if self.export.mode is not None and self.export.mode not in self.finetune.modes:
            raise ValueError(f"export.mode '{self.export.mode}' is none of finetune.modes {self.finetune.modes}")
        return self

    @property
    def exported(self) -> tuple[str, str]:
        """(task, mode) of the classifier to bundle: as named, or the first of each."""
        return self.export.task or next(iter(self.tasks)), self.export.mode or self.finetune.modes[0]

    @model_validator(mode="after")
    def _patches_fit(self) -> Params:
        if self.signal.samples % self.model.patch:
            raise ValueError(
                f"signal of {self.signal.samples} samples is not a whole number of patches of {self.model.patch}"
            )
        return self

    @model_validator(mode="after")
    def _something_to_learn(self) -> Params:
        hides = self.stdm.kind != "none" and (self.stdm.time_ratio > 0 or self.stdm.lead_ratio > 0)
        if self.objective.kind == "reconstruction" and not hides:
            raise ValueError("objective 'reconstruction' learns nothing where stdm hides nothing")
        return self


def load_params(path: Path | str = "params.yaml", overrides: list[str] | None = None) -> Params:
    """Read and check a parameter file.

    Args:
        path: the YAML file.
        overrides: ``section.key=value`` strings, applied before the check; values are YAML.

    Raises:
        InputError: the file is missing or not YAML, or with every unknown key and bad value in it.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            Problem(str(path), "file", "does not exist", "Write one with 'ecgssl profile use quickstart'")
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read as UTF-8 text ({type(error).__name__})"
        raise InputError(Problem(str(path), "file", what, "Name a YAML file")) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(str(path), "YAML", " ".join(str(error).split()), "Mend the syntax")) from None
    if not isinstance(data, dict):
        raise InputError(Problem(str(path), "content", "is not a mapping of sections", "Start from a profile"))
    for item in overrides or []:
        _override(data, item)
    return parse_params(data, str(path))


def parse_params(data: dict[str, Any], where: str = "params.yaml") -> Params:
    """Check a mapping; see ``load_params``."""
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise InputError(_problem(where, e) for e in error.errors()) from None


def _override(data: dict[str, Any], item: str) -> None:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise InputError(
            Problem("--set", item, "is not of the form section.key=value", "For example --set pretrain.samples=1000")
        )
    *sections, last = key.split(".")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise InputError(Problem("--set", key, f"{section} is not a section", "See params.yaml for the sections"))
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(
            Problem("--set", key, f"{value!r} is not YAML", "Quote text with special characters")
        ) from None


def _problem(where: str, error: Any) -> Problem:
    location = [str(p) for p in error["loc"]]
    field = ".".join(location) or "parameters"
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], _known_keys(location[:-1]), n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "Remove it"
        return Problem(where, field, "unknown key", hint)
    if error["type"] == "missing":
        return Problem(where, field, "is missing", "Add it, or start from a profile")
    message = error["msg"].removeprefix("Value error, ")
    value = error.get("input")
    shown = "" if isinstance(value, dict | BaseModel) or value is None else f" (got {value!r})"
    return Problem(where, field, message + shown, "Correct the value")


def _known_keys(location: list[str]) -> list[str]:
    model: type[BaseModel] = Params
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
