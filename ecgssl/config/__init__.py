"""Typed parameters of ``params.yaml``: one error lists all unknown keys and all invalid values.

Most sections are defined in the file of the same name, such as ``config/pretrain.py``. ``fda``, ``stdm`` and ``objective``
are in ``config/model.py``, ``tasks`` in ``config/sets.py``, ``tracking`` in ``config/export.py``, and ``signal`` and
``quality`` in ``ecgssl.signal``. ``docs/parameters.md`` lists all keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from ecgssl.config.evaluate import EvaluateParams
from ecgssl.config.export import ExportParams, TrackingParams
from ecgssl.config.finetune import AttentiveParams, FinetuneParams, FullParams, LinearParams, Mode
from ecgssl.config.manifest import ManifestParams, Target
from ecgssl.config.model import (
    MOST_TOKENS,
    AutocorrelationParams,
    DecoderParams,
    FDAParams,
    ModelParams,
    ObjectiveParams,
    STDMParams,
    StemParams,
)
from ecgssl.config.params_file import override, problem_of, read_mapping
from ecgssl.config.pretrain import CollapseParams, DivergenceParams, PretrainParams
from ecgssl.config.set_names import (
    DEFAULT_SET,
    UnknownSets,
    convert_old_form,
    fill_set_names,
    name_problems,
    reader_of,
    set_names,
)
from ecgssl.config.sets import MerlParams, Name, SetParams, TaskParams
from ecgssl.config.store import StoreParams
from ecgssl.config.synthetic import SyntheticParams
from ecgssl.errors import InputError, Problem
from ecgssl.params_base import Section
from ecgssl.signal.quality_params import QualityParams
from ecgssl.signal.reasons import ReasonCode
from ecgssl.signal.spec import SignalSpec

__all__ = [
    "BUILT_IN",
    "AttentiveParams",
    "AutocorrelationParams",
    "CollapseParams",
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
    "OneSet",
    "Params",
    "PretrainParams",
    "QualityParams",
    "ReasonCode",
    "STDMParams",
    "SetParams",
    "SignalSpec",
    "StemParams",
    "StoreParams",
    "SyntheticParams",
    "Target",
    "TaskParams",
    "TrackingParams",
    "load_one_set",
    "load_params",
    "parse_params",
]

BUILT_IN: dict[str, Any] = {"tasks": {}, "tracking": {"backend": "none"}}
"""Content that most commands use in place of a ``params.yaml`` that does not exist: class defaults, without MLflow."""
_NO_FILE = "command line (no params.yaml)"
"""Name of the built-in parameters in messages. Only an override can be invalid there."""


class Params(Section):
    """All parameters of a run.

    Args:
        seed: seed of weights, batches, masks and random splits.
        sets: named sets of recordings, with their files and splits.
        signal: preprocessing settings, stored with every model.
        quality: limits and actions of the quality checks.
        store: format of the preprocessed recordings, and the processes that write them.
        model: encoder and decoder.
        fda: Frequency Dynamic Augmentation.
        stdm: Spatio-Temporal Dual Masking.
        objective: loss function of pretraining.
        pretrain: pretraining run.
        tasks: named downstream tasks: targets to predict on a set.
        finetune: fine-tuning and its protocol.
        evaluate: evaluation of predictions.
        export: exported files.
        tracking: experiment tracking.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    sets: Annotated[dict[Name, SetParams], Field(min_length=1)] = {DEFAULT_SET: SetParams()}
    signal: SignalSpec = SignalSpec()
    quality: QualityParams = QualityParams()
    store: StoreParams = StoreParams()
    model: ModelParams = ModelParams()
    fda: FDAParams = FDAParams()
    stdm: STDMParams = STDMParams()
    objective: ObjectiveParams = ObjectiveParams()
    pretrain: PretrainParams = PretrainParams()
    tasks: dict[Name, TaskParams]
    finetune: FinetuneParams = FinetuneParams()
    evaluate: EvaluateParams = EvaluateParams()
    export: ExportParams = ExportParams()
    tracking: TrackingParams = TrackingParams()

    @model_validator(mode="before")
    @classmethod
    def _fill_set_names(cls, data: Any) -> Any:
        return fill_set_names(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _sets_exist(self) -> Params:
        if found := name_problems(self.model_dump(include={"sets", "pretrain", "tasks"}), "parameters"):
            raise UnknownSets("; ".join(f"{problem.field}: {problem.what}. {problem.remedy}" for problem in found))
        return self

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

    def one_set(self, name: str | None = None) -> OneSet:
        """Return a set by name; by default the only set.

        Raises:
            InputError: the name is unknown, or there are several sets and no name is given.
        """
        if name is None and len(self.sets) == 1:
            name = next(iter(self.sets))
        if name not in self.sets:
            what = f"has {len(self.sets)} sets" if name is None else f"has no set {name!r}"
            raise InputError(Problem("params.yaml", "sets", what, f"Choose one of: {', '.join(self.sets)}"))
        return OneSet(self, name)

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


@dataclass(frozen=True)
class OneSet:
    """Parameters, and the set that a command reads.

    Args:
        params: all parameters.
        name: name of the set in ``params.sets``.
    """

    params: Params
    name: str

    @property
    def data(self) -> SetParams:
        """Return the section of the set."""
        return self.params.sets[self.name]

    @contextmanager
    def messages(self) -> Iterator[None]:
        """Replace ``sets.NAME`` by the name of the set in the messages of an ``InputError``."""
        try:
            yield
        except InputError as error:
            error.replace_text("sets.NAME", f"sets.{self.name}")
            raise


def load_params(
    path: Path | str = "params.yaml", overrides: Sequence[str] | None = None, default: dict[str, Any] | None = None
) -> Params:
    """Read and check a parameter file.

    Args:
        path: YAML file.
        overrides: ``section.key=value`` strings, applied before the check; values are YAML.
        default: content used if ``path`` is ``params.yaml`` and this file does not exist, as outside a project folder;
            ``None`` if the file is required.

    Raises:
        InputError: the file is missing or is not YAML, an override has the wrong form, or there are unknown keys or
            invalid values. The message lists all unknown keys and invalid values.
    """
    data, where = _content(Path(path), default)
    _require_new_form(overrides, "NAME")
    for item in overrides or []:
        override(data, item)
    return parse_params(data, where)


def load_one_set(
    path: Path | str = "params.yaml",
    overrides: Sequence[str] | None = None,
    default: dict[str, Any] | None = None,
    *,
    dataset: str | None = None,
    reader: str | None = None,
    given: Sequence[str] = (),
) -> OneSet:
    """Read and check a parameter file, and choose the one set that a command reads.

    The set is ``dataset``; by default, the only set of the file. If the command line describes recordings (``reader``), it is
    the only set with this reader, whose other keys are kept, or a new set with the name of the reader.

    Args:
        path, overrides, default: see ``load_params``.
        dataset: value of the option ``--dataset``.
        reader: reader of the recordings that the command line describes; ``None`` if it describes none.
        given: ``key=value`` strings for the section of the set, applied after ``overrides``.

    Raises:
        InputError: see ``load_params``; ``dataset`` is unknown; the set is not unique; or an override changes another set.
    """
    data, where = _content(Path(path), default)
    if "data" in data:
        parse_params(data, where)
    name = _choose(data, where, dataset, reader)
    given = [*([f"reader={reader}"] if reader else []), *given]
    _require_new_form(overrides, name)
    _require_own_keys(overrides, name)
    if "sets" not in data:
        data = fill_set_names({**data, "sets": {name: {}}})
    for item in [*(overrides or []), *(f"sets.{name}.{entry}" for entry in given)]:
        override(data, item)
    return parse_params(data, where).one_set(name)


def _content(path: Path, default: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """Return the content of a parameter file or the default, and its name for messages.

    Names of the only set are filled before overrides.
    """
    if default is not None and path == Path("params.yaml") and not path.exists():
        return deepcopy(default), _NO_FILE
    data = read_mapping(path, "Write it with 'ecgssl profile use quickstart'")
    return fill_set_names(data) if "sets" in data else data, str(path)


def _choose(data: dict[str, Any], path: str, dataset: str | None, reader: str | None) -> str:
    """Return the name of the set that a command reads; see ``load_one_set``."""
    names = set_names(data) if "sets" in data else []
    if dataset is not None:
        if dataset not in names:
            known = f"Use one of: {', '.join(names)}" if names else "Remove --dataset"
            raise InputError(
                Problem("command line", "--dataset", f"{dataset!r} is not in section sets of {path}", known)
            )
        return dataset
    if reader is not None and names:
        names = [str(name) for name, section in data["sets"].items() if reader_of(section) == reader]
    if len(names) > 1:
        what = f"has {len(names)} sets{f' with reader {reader!r}' if reader else ''}, and this command reads one"
        raise InputError(Problem(path, "sets", what, f"Choose one with --dataset: {', '.join(names)}"))
    return names[0] if names else reader or DEFAULT_SET


def _require_new_form(overrides: Sequence[str] | None, name: str) -> None:
    """Raise an error for overrides of section ``data``, which earlier releases had."""
    problems = []
    for item in overrides or ():
        section, dot, rest = item.partition(".")
        if section == "data" and dot:
            key = "reader" + rest.removeprefix("set") if rest.partition("=")[0] == "set" else rest
            what = "has the form of an earlier release; recordings are described in section sets"
            problems.append(Problem("--set", item.partition("=")[0], what, f"Use --set sets.{name}.{key}"))
    if problems:
        raise InputError(problems)


def _require_own_keys(overrides: Sequence[str] | None, name: str) -> None:
    """Raise an error for overrides of sets that the command does not read."""
    keys = [item.partition("=")[0] for item in overrides or ()]
    others = [key for key in keys if key.startswith("sets.") and key.split(".")[1] != name]
    if others:
        what = f"the command reads the set {name!r}, and the override would be ignored"
        fixes = [".".join(["sets", name, *key.split(".")[2:]]) for key in others]
        raise InputError(
            Problem("--set", k, what, f"Use --set {fix}=...") for k, fix in zip(others, fixes, strict=True)
        )


def parse_params(data: dict[str, Any], where: str = "params.yaml") -> Params:
    """Check a mapping of parameters, and return it as ``Params``.

    Raises:
        InputError: there are unknown keys or invalid values. The message lists all of them and names ``where``.
    """
    data, problems = convert_old_form(data, where)
    data = fill_set_names(data)
    problems += name_problems(data, where)
    try:
        params = Params.model_validate(data)
    except ValidationError as error:
        # wrong references to sets are already in the list, with their fields
        others = (e for e in error.errors() if not isinstance(e.get("ctx", {}).get("error"), UnknownSets))
        problems += [problem_of(where, e, Params) for e in others]
    if problems:
        raise InputError(problems)
    return params
