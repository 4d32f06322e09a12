"""Export of the ONNX graphs and the torch.export program of a bundle. Each is checked before it is written."""

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
"""Pattern of the file names of raw graphs; its group is the sampling rate in Hz."""


@dataclass
class WrittenGraphs:
    """Sizes of the written files and results of their checks.

    Args:
        worst: largest differences by file, source and output, from ``compare_with_pipeline``; one number for
            ``model.pt2``.
        size: size in bytes by file.
        int8: loss of accuracy of the 8-bit graph, from ``ecgssl.export.quantised``; empty without such a graph.
    """

    worst: dict[str, Any] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    int8: dict[str, Any] = field(default_factory=dict)


def graph_name(graph: ContractModule, rate: float | None = None) -> str:
    """Return the file name of a graph, such as ``classifier.onnx`` or ``classifier.raw-500.onnx``."""
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
    """Export, check and write the graphs selected in the parameters.

    Args:
        folder: temporary folder of the bundle.
        graph: model to export.
        params: graphs to export, and their tolerance and opset.
        quality, lsb: quality limits and rounding step (mV) of preprocessing.
        validation: recordings for the checks.
        shown: path of the bundle for error messages.

    Raises:
        InputError: a graph fails its check, the opset is not supported, the cleaning method cannot be exported, the
            preprocessing settings do not support a sampling rate in ``export.raw_rates``, or ``export.int8`` is set
            without ``validation.labelled``.
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
            what = "needs recordings with targets to measure the loss of accuracy"
            raise InputError(
                Problem(
                    where, "export.int8", what, "Add the option --store to 'ecgssl export', or set export.int8: false"
                )
            )
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
        raise InputError(Problem("params.yaml", "export.raw_rates", what, "Remove this sampling rate")) from error
