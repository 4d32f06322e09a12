"""File ``clinical_baseline.json`` of a fine-tuned model: the clinical baseline, for evaluations on other cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from ecgssl.checked_json import read_object, validated
from ecgssl.config.finetune import MOST_HIDDEN
from ecgssl.config.manifest import OutputKind
from ecgssl.errors import InputError, Problem
from ecgssl.files import write_json
from ecgssl.finetuning.clinical_baseline import PEOPLE, ClinicalBaseline, model_name
from ecgssl.model.classifier import Network
from ecgssl.params_base import Section
from ecgssl.probes.binary import ChosenBy, Probe
from ecgssl.probes.feature_columns import FeatureColumns
from ecgssl.signal.clinical_features import NAMES, VERSION

FILE = "clinical_baseline.json"
FORMAT = "ecgssl-clinical-baseline"

_REMEDY = "Use the unchanged folder of the run, or remove this file to evaluate without the clinical baseline"
_COLUMNS = ("kept", "median", "low", "high", "marked")
_ARRAYS = ("mean", "scale", "weight", "bias")
_CHOICES = ("names", "C", "class_weight", "chosen_by")
_LARGEST = 1e12
"""Limit of all numbers; a positive one is also at least the inverse. The network computes with 32 bits."""
_Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
_Positive = Annotated[float, Field(ge=1 / _LARGEST, le=_LARGEST, allow_inf_nan=False)]
_Place = Annotated[int, Field(ge=0)]


class _StoredNetwork(Section):
    """Weights of the network of a nonlinear baseline, named as in ``ecgssl.model.classifier.Network``; H hidden units."""

    to_hidden_weight: Annotated[list[list[_Number]], Field(min_length=1, max_length=MOST_HIDDEN)]
    to_hidden_bias: list[_Number]
    norm_weight: list[_Number]
    norm_bias: list[_Number]
    to_outputs_weight: list[list[_Number]]
    to_outputs_bias: list[_Number]


class _Stored(Section):
    """Content of the file; the arguments are those of ``ClinicalBaseline``, ``FeatureColumns`` and ``Probe``."""

    format: Literal["ecgssl-clinical-baseline"]
    version: Literal[1]
    measurements: int
    model: str
    inputs: list[str]
    kept: list[_Place]
    median: list[_Number]
    low: list[_Number]
    high: list[_Number]
    marked: list[_Place]
    kind: OutputKind
    names: Annotated[list[str], Field(min_length=1)]
    mean: list[_Number]
    scale: list[_Positive]
    weight: list[list[_Number]]
    bias: list[_Number]
    C: list[_Positive]
    class_weight: list[Literal["none", "balanced"]]
    chosen_by: list[ChosenBy]
    offset: list[_Number] | None
    spread: list[_Positive] | None
    network: _StoredNetwork | None = None

    @model_validator(mode="after")
    def _consistent(self) -> _Stored:
        problems = [*self._sizes(), *self._places(), *self._people()]
        if any(low > high for low, high in zip(self.low, self.high, strict=False)):
            problems.append("low is above high")
        if problems:
            raise ValueError("; ".join(dict.fromkeys(problems)))
        return self

    def _sizes(self) -> list[str]:
        columns, outputs, width = len(self.kept), len(self.names), max(len(self.kept) + len(self.marked), 1)
        wanted = dict.fromkeys(("median", "low", "high"), columns) | dict.fromkeys(("mean", "scale"), width)
        wanted |= dict.fromkeys(("weight", "bias", "C", "class_weight", "chosen_by"), outputs)
        regression = ("offset", "spread")
        if self.kind == "regression" and None not in (self.offset, self.spread):
            wanted |= dict.fromkeys(regression, outputs)
        elif self.kind == "regression" or any(getattr(self, name) is not None for name in regression):
            return ["offset and spread are required for a regression, and must be null for another kind"]
        found = [(name, len(getattr(self, name)), count) for name, count in wanted.items()]
        found += [("a row of weight", len(row), width) for row in self.weight]
        if (network := self.network) is not None:
            hidden = len(network.to_hidden_weight)
            sizes = {"to_hidden_bias": hidden, "norm_weight": hidden, "norm_bias": hidden}
            sizes |= {"to_outputs_weight": outputs, "to_outputs_bias": outputs}
            found += [(f"network.{name}", len(getattr(network, name)), count) for name, count in sizes.items()]
            found += [("a row of network.to_hidden_weight", len(row), width) for row in network.to_hidden_weight]
            found += [("a row of network.to_outputs_weight", len(row), hidden) for row in network.to_outputs_weight]
        return [f"{name} has {count} values instead of {right}" for name, count, right in found if count != right]

    def _places(self) -> list[str]:
        count, problems = len(self.inputs), []
        for name in ("kept", "marked"):
            places = getattr(self, name)
            if places != sorted(set(places)) or any(place >= count for place in places):
                problems.append(f"{name} is not an ascending list of places below {count}")
        if not set(self.marked) <= set(self.kept):
            problems.append("marked contains places that are not in kept")
        return problems

    def _people(self) -> list[str]:
        people = [name for name in PEOPLE if name in self.inputs]
        if len(set(self.inputs)) < len(self.inputs) or self.inputs[len(self.inputs) - len(people) :] != people:
            return ["inputs are not measurements followed by age and sex"]
        return [] if self.model == model_name(people) else [f"model is not {model_name(people)!r}, as the inputs state"]


def write_baseline(baseline: ClinicalBaseline, folder: Path) -> None:
    """Write the clinical baseline to ``clinical_baseline.json`` in a folder."""
    columns, probe = baseline.columns, baseline.probe
    content: dict[str, Any] = {"format": FORMAT, "version": 1, "measurements": VERSION}
    content |= {"model": baseline.model, "inputs": list(baseline.inputs), "kind": probe.kind}
    content |= {name: getattr(columns, name).tolist() for name in _COLUMNS}
    content |= {name: getattr(probe, name).tolist() for name in _ARRAYS}
    content |= {name: list(getattr(probe, name)) for name in _CHOICES}
    for name in ("offset", "spread"):
        value = getattr(probe, name)
        content[name] = None if value is None else value.tolist()
    if baseline.network is not None:
        weights = baseline.network.state_dict()
        content["network"] = {name.replace(".", "_"): _nine_digits(weight.tolist()) for name, weight in weights.items()}
    write_json(folder / FILE, content, digits=None)


def _nine_digits(values: list[Any]) -> list[Any]:
    """Return nested lists of float32 values with nine digits, which are enough to read the same values again."""
    return [_nine_digits(value) if isinstance(value, list) else float(f"{value:.9g}") for value in values]


def read_baseline(
    folder: Path, names: Sequence[str], kind: OutputKind
) -> tuple[ClinicalBaseline, Literal[""]] | tuple[None, str]:
    """Return the clinical baseline of a fine-tuned model.

    Args:
        folder: folder of the classifier.
        names, kind: names of the classifier's outputs, and kind of its task.

    Returns:
        The baseline and an empty text; or ``None`` and the reason: the folder has no such file, or this release computes
        other measurements.

    Raises:
        InputError: the file is invalid, or has other outputs or another kind than the classifier.
    """
    path = folder / FILE
    if not path.exists() and not path.is_symlink():
        return None, f"the model has no {FILE}"
    stored = validated(_Stored, read_object(path, _REMEDY), str(path), _REMEDY)
    if (stored.names, stored.kind) != (list(names), kind):
        what = f"has {stored.kind} outputs {', '.join(stored.names)}; the classifier has {kind} {', '.join(names)}"
        raise InputError(Problem(str(folder), FILE, what, _REMEDY))
    if stored.measurements != VERSION:
        return None, f"{FILE} has measurements of version {stored.measurements}; this release has version {VERSION}"
    if tuple(name for name in stored.inputs if name not in PEOPLE) != NAMES:
        return None, f"the measurements in {FILE} are not those of this release"
    columns = FeatureColumns(
        tuple(stored.inputs), np.array(stored.kept, dtype=np.int64), np.array(stored.median), np.array(stored.low),
        np.array(stored.high), np.array(stored.marked, dtype=np.int64),
    )  # fmt: skip
    offset, spread = (None if v is None else np.array(v) for v in (stored.offset, stored.spread))
    probe = Probe(
        tuple(stored.names), np.array(stored.mean), np.array(stored.scale), np.array(stored.weight),
        np.array(stored.bias), tuple(stored.C), tuple(stored.class_weight), tuple(stored.chosen_by),
        stored.kind, offset, spread,
    )  # fmt: skip
    network = None if stored.network is None else _network(stored.network)
    return ClinicalBaseline(stored.model, tuple(stored.inputs), columns, probe, network), ""


def _network(stored: _StoredNetwork) -> Network:
    found = Network(len(stored.to_hidden_weight[0]), len(stored.to_hidden_bias), len(stored.to_outputs_bias))
    weights = {name: torch.tensor(getattr(stored, name.replace(".", "_"))) for name in found.state_dict()}
    found.load_state_dict(weights)
    return found.eval()
