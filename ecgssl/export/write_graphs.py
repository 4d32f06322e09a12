"""The executable files of a bundle: ONNX graphs and the program of torch.export, each checked before it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgssl.config import ExportParams, QualityParams
from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.onnx_check import compare_with_pipeline
from ecgssl.export.onnx_export import onnx_bytes, require_opset, traced
from ecgssl.export.quantised import quantised
from ecgssl.export.raw_module import RawModule
from ecgssl.export.test_signals import make_test_signals
from ecgssl.export.torch_program import PROGRAM, compare_program, program_bytes
from ecgssl.export.validation_recordings import ValidationRecordings
from ecgssl.files import write_atomic
from ecgssl.model.classifier import Classifier

RAW_NAME = re.compile(r"\.raw-([0-9.e+]+)\.onnx$")
"""Of the file names of raw graphs; the group is the sampling rate in Hz."""


@dataclass
class WrittenGraphs:
    """What was written.

    Args:
        worst: largest differences by file, source and output (``compare_with_pipeline``; of ``model.pt2`` one number).
        size: bytes by file.
        int8: what 8 bits cost (``ecgssl.export.quantised``); empty without.
    """

    worst: dict[str, Any] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    int8: dict[str, Any] = field(default_factory=dict)


def graph_name(graph: ContractModule, rate: float | None = None) -> str:
    """File name of a graph, such as ``classifier.onnx`` or ``classifier.raw-500.onnx``."""
    stem = "classifier" if isinstance(graph.model, Classifier) else "encoder"
    return f"{stem}.onnx" if rate is None else f"{stem}.raw-{rate:g}.onnx"


def write_graphs(
    folder: Path,
    graph: ContractModule,
    params: ExportParams,
    quality: QualityParams,
    lsb: float,
    validation: ValidationRecordings,
    shown: Path,
) -> WrittenGraphs:
    """Export, check and write every graph that the parameters ask for.

    Args:
        folder: of the bundle in the making.
        graph: the model.
        params: which graphs; tolerance; opset.
        quality, lsb: of the file pipeline.
        validation: what to try them on.
        shown: the bundle's path, for messages.

    Raises:
        InputError: with what is wrong with the first graph that fails; the contract cannot be in a graph, or takes none
            of a sampling rate asked for.
    """
    require_opset(params)
    made = WrittenGraphs()
    raws = [_raw(graph, rate, lsb) for rate in params.raw_rates]

    def keep(name: str, content: bytes) -> None:
        write_atomic(folder / name, content)
        made.size[name] = len(content)

    program = traced(graph)
    name = graph_name(graph)
    content = onnx_bytes(graph, params, program)
    where = str(shown / name)
    known = make_test_signals(graph, validation.examples, validation.raw, quality)
    made.worst[name] = compare_with_pipeline(content, graph, params, known, where)
    keep(name, content)
    if params.int8:
        if validation.labelled is None:
            what = "is asked for without recordings to measure its loss on"
            raise InputError(Problem(where, "export.int8", what, "Name the store: ecgssl export --store"))
        small, made.int8 = quantised(content, graph, params, validation.labelled, where)
        keep(name.replace(".onnx", ".int8.onnx"), small)
    for raw in raws:
        name = graph_name(graph, raw.sampling_rate)
        content = onnx_bytes(raw, params)
        known = make_test_signals(raw, validation.examples, validation.raw, quality)
        made.worst[name] = compare_with_pipeline(content, raw, params, known, str(shown / name))
        keep(name, content)
    if params.pt2:
        content = program_bytes(program)
        made.worst[PROGRAM] = compare_program(content, graph, params.tolerance, str(shown / PROGRAM))
        keep(PROGRAM, content)
    return made


def _raw(graph: ContractModule, rate: float, lsb: float) -> RawModule:
    try:
        return RawModule(graph, rate, lsb)
    except RecordingError as error:
        what = f"{rate:g}: {error.problems[0].what}"
        raise InputError(Problem("params.yaml", "export.raw_rates", what, "Leave it out")) from error
