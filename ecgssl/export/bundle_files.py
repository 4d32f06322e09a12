"""Typed content of the JSON files of a bundle, and checks of all its files before a model is made from them.

The checks need neither torch nor onnxruntime. They read no weights and no samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.checked_json import validated
from ecgssl.config import ExportParams, ModelParams, QualityParams
from ecgssl.errors import ContractMismatch, InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.export_again import EXPORT_AGAIN
from ecgssl.export.labels import read_labels
from ecgssl.export.lead_names import LEAD_NAMES, require_known_names
from ecgssl.export.onnx_metadata import require_metadata
from ecgssl.export.statistics_file import STATISTICS, read_statistics
from ecgssl.leakage.identities import FILE as IDENTITIES
from ecgssl.leakage.identities import require_identities
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.model_folder import (
    CONFIG,
    WEIGHTS,
    Head,
    load_head,
    load_model_params,
    load_signal,
    read_json,
    require_weights,
)
from ecgssl.training.origin import encoder_text

Value = TypeVar("Value")


class BundleConfig(BaseModel):
    """Entries of ``config.json`` that every bundle has. The file may have further entries, which are not used."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    kind: Literal["encoder", "classifier"]
    quality: QualityParams
    lsb: Annotated[float, Field(gt=0, le=0.01)]
    export: ExportParams


@dataclass(frozen=True)
class BundleFiles:
    """Checked content of the files of a bundle.

    Args:
        spec: preprocessing settings.
        params: sizes of the encoder.
        config: quality limits, rounding step and export settings.
        head: outputs of a classifier; ``None`` for an encoder.
        decision: calibrators and thresholds of a classifier; ``None`` for an encoder.
        encoder: name and pretraining data of the encoder (``ecgssl.training.origin.encoder_text``).
    """

    spec: SignalSpec
    params: ModelParams
    config: BundleConfig
    head: Head | None
    decision: Decision | None
    encoder: str

    @property
    def embed_dim(self) -> int:
        """Number of values in an embedding."""
        return self.params.embed_dim(len(self.spec.leads))


def check_files(path: Path) -> BundleFiles:
    """Check the content of every file of a bundle and return the content that scoring needs.

    Args:
        path: folder of a bundle whose checksums were verified.

    Raises:
        InputError: a file is missing or its content is invalid. The error lists the problems of all files.
        ContractMismatch: the bundle was made with another version of the cleaning code.
    """
    problems: list[Problem] = []

    def checked(read: Callable[[], Value]) -> Value | None:
        try:
            return read()
        except ContractMismatch:
            raise
        except InputError as error:
            problems.extend(one for one in error.problems if one not in problems)
            return None

    spec = checked(lambda: load_signal(path))
    data = checked(lambda: read_json(path / CONFIG))
    config = head = decision = params = None
    if data is not None:
        given = _with_shortest_duration(data, spec)
        config = checked(lambda: validated(BundleConfig, given, str(path / CONFIG), EXPORT_AGAIN))
    if config is not None and config.kind == "classifier":
        head = checked(lambda: load_head(path))
    if head is not None:
        decision = checked(partial(read_labels, path, head))
    if spec is not None and data is not None:
        params = checked(partial(load_model_params, path, spec))
        if params is not None:
            checked(partial(require_weights, path / WEIGHTS, params))
    if (path / LEAD_NAMES).exists():
        checked(lambda: require_known_names(path / LEAD_NAMES, read_json(path / LEAD_NAMES)))
    if (path / STATISTICS).exists():
        width = None if params is None or spec is None else params.embed_dim(len(spec.leads))
        checked(lambda: read_statistics(path, width))
    if (path / IDENTITIES).exists():
        checked(lambda: require_identities(path / IDENTITIES))
    if spec is not None and config is not None and (config.kind == "encoder") == (decision is None):
        for graph in sorted(path.glob("*.onnx")):
            checked(partial(require_metadata, graph, spec, decision))
    if problems:
        raise InputError(problems)
    assert spec is not None
    assert params is not None
    assert config is not None
    assert data is not None
    return BundleFiles(spec, params, config, head, decision, encoder_text(data))


def _with_shortest_duration(data: dict[str, Any], spec: SignalSpec | None) -> dict[str, Any]:
    """Return the content of ``config.json`` with the shortest accepted duration of releases that accept whole windows only."""
    quality = data.get("quality")
    if spec is None or not isinstance(quality, dict) or "min_duration" in quality:
        return data
    return data | {"quality": quality | {"min_duration": max(1.0, spec.duration)}}
