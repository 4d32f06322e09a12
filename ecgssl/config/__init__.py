"""Typed parameters of ``params.yaml``: one error lists all unknown keys and all invalid values.

Most sections are defined in the file of the same name, such as ``config/pretrain.py``. ``fda``, ``stdm`` and ``objective``
are in ``config/model.py``, ``store`` in ``config/data.py``, ``tracking`` in ``config/export.py``, and ``signal`` and
``quality`` in ``ecgssl.signal``. ``docs/parameters.md`` lists all keys.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from ecgssl.config.data import DataParams, MerlParams, StoreParams
from ecgssl.config.evaluate import EvaluateParams
from ecgssl.config.export import ExportParams, TrackingParams
from ecgssl.config.finetune import AttentiveParams, FinetuneParams, FullParams, LinearParams, Mode
from ecgssl.config.manifest import ManifestParams, Target
from ecgssl.config.model import MOST_TOKENS, DecoderParams, FDAParams, ModelParams, ObjectiveParams, STDMParams
from ecgssl.config.pretrain import CollapseParams, DivergenceParams, PretrainParams
from ecgssl.config.synthetic import SyntheticParams
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular
from ecgssl.params_base import Section
from ecgssl.signal.quality_params import QualityParams
from ecgssl.signal.reasons import ReasonCode
from ecgssl.signal.spec import SignalSpec

__all__ = [
    "AttentiveParams",
    "CollapseParams",
    "DataParams",
    "DecoderParams",
    "DivergenceParams",
    "EvaluateParams",
    "ExportParams",
    "FDAParams",
    "FinetuneParams",
    "FullParams",
    "LinearParams",
    "ManifestParams",
    "MerlParams",
    "ModelParams",
    "ObjectiveParams",
    "Params",
    "PretrainParams",
    "QualityParams",
    "ReasonCode",
    "STDMParams",
    "SignalSpec",
    "StoreParams",
    "SyntheticParams",
    "Target",
    "TrackingParams",
    "load_params",
    "load_targets_file",
    "parse_params",
]


class Params(Section):
    """All parameters of a run.

    Args:
        seed: seed of weights, batches, masks and random splits.
        data: data set, files and splits.
        signal: preprocessing settings, stored with every model.
        quality: limits and actions of the quality checks.
        store: format of the preprocessed recordings, and the processes that write them.
        model: encoder and decoder.
        fda: Frequency Dynamic Augmentation.
        stdm: Spatio-Temporal Dual Masking.
        objective: loss function of pretraining.
        pretrain: pretraining run.
        tasks: name of each task and the targets that it predicts.
        finetune: fine-tuning and its protocol.
        evaluate: evaluation of predictions.
        export: exported files.
        tracking: experiment tracking.
    """

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
            raise ValueError(f"export.task '{self.export.task}' is not one of the tasks {list(self.tasks)}")
        if self.export.mode is not None and self.export.mode not in self.finetune.modes:
            raise ValueError(f"export.mode '{self.export.mode}' is not one of finetune.modes {self.finetune.modes}")
        return self

    @property
    def exported(self) -> tuple[str, Mode]:
        """Task and mode of the exported classifier: those of ``export``, or the first of ``tasks`` and ``finetune.modes``."""
        return self.export.task or next(iter(self.tasks)), self.export.mode or self.finetune.modes[0]

    @model_validator(mode="after")
    def _patches_fit(self) -> Params:
        if self.signal.samples % self.model.patch:
            raise ValueError(
                f"signal of {self.signal.samples} samples is not divisible into patches of {self.model.patch} samples"
            )
        tokens = len(self.signal.leads) * (self.signal.samples // self.model.patch)
        if tokens > MOST_TOKENS:
            raise ValueError(f"{tokens} patches per recording exceed the limit of {MOST_TOKENS}; raise model.patch")
        return self

    @model_validator(mode="after")
    def _something_to_learn(self) -> Params:
        hides = self.stdm.kind != "none" and (self.stdm.time_ratio > 0 or self.stdm.lead_ratio > 0)
        if self.objective.kind == "reconstruction" and not hides:
            raise ValueError("objective 'reconstruction' needs hidden patches; set stdm.kind and its ratios")
        return self


def load_params(
    path: Path | str = "params.yaml", overrides: list[str] | None = None, default: dict[str, Any] | None = None
) -> Params:
    """Read and check a parameter file.

    Args:
        path: YAML file.
        overrides: ``section.key=value`` strings, applied before the check; values are YAML.
        default: content used if ``path`` is ``params.yaml`` and this file does not exist, as outside a project folder.

    Raises:
        InputError: the file is missing or is not YAML, an override has the wrong form, or there are unknown keys or
            invalid values. The message lists all unknown keys and invalid values.
    """
    path = Path(path)
    if default is not None and path == Path("params.yaml") and not path.exists():
        data = dict(default)
    else:
        data = _read_mapping(path, "Write it with 'ecgssl profile use quickstart'")
    for item in overrides or []:
        _override(data, item)
    return parse_params(data, str(path))


def load_targets_file(path: Path | str) -> ManifestParams:
    """Read and check the YAML file that describes the columns of a manifest.

    Raises:
        InputError: the file is missing, is not YAML, or has unknown keys or invalid values.
    """
    data = _read_mapping(Path(path), "Write it, or remove targets_file")
    try:
        return ManifestParams.model_validate(data)
    except ValidationError as error:
        raise InputError(_problem(str(path), e, ManifestParams) for e in error.errors()) from None


def _read_mapping(path: Path, remedy: str) -> dict[str, Any]:
    require_regular(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read as UTF-8 text ({type(error).__name__})"
        raise InputError(Problem(str(path), "file", what, "Use a YAML file")) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(str(path), "YAML", " ".join(str(error).split()), "Correct the syntax")) from None
    if not isinstance(data, dict):
        raise InputError(
            Problem(
                str(path),
                "content",
                "is not a mapping of sections",
                "Create params.yaml from a profile with 'ecgssl profile use NAME'",
            )
        )
    return data


def parse_params(data: dict[str, Any], where: str = "params.yaml") -> Params:
    """Check a mapping of parameters, and return it as ``Params``.

    Raises:
        InputError: there are unknown keys or invalid values. The message lists all of them and names ``where``.
    """
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise InputError(_problem(where, e) for e in error.errors()) from None


def _override(data: dict[str, Any], item: str) -> None:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise InputError(
            Problem(
                "--set", item, "is not of the form section.key=value", "Use for example --set pretrain.samples=1000"
            )
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


def _problem(where: str, error: Any, root: type[BaseModel] = Params) -> Problem:
    location = [str(p) for p in error["loc"]]
    field = ".".join(location) or "parameters"
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], _known_keys(location[:-1], root), n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "Remove it"
        return Problem(where, field, "unknown key", hint)
    if error["type"] == "missing":
        return Problem(where, field, "is missing", "Add the key, or copy it from a profile")
    message = error["msg"].removeprefix("Value error, ")
    value = error.get("input")
    shown = "" if isinstance(value, dict | BaseModel) or value is None else f" (got {value!r})"
    return Problem(where, field, message + shown, "Correct the value")


def _known_keys(location: list[str], model: type[BaseModel]) -> list[str]:
    parts = iter(location)
    for part in parts:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if get_origin(annotation) is dict:
            # skip the next part of the location, which is a key chosen by the user, such as the name of a task
            annotation = get_args(annotation)[1]
            next(parts, None)
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
