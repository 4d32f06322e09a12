"""Sessions of onnxruntime for the graphs of a bundle. This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.export.engine import thread_count

INPUTS = ("ecg", "lead_mask")
"""Names of the inputs of every graph."""


def open_session(content: bytes, where: str, weights: Mapping[str, NDArray[np.float32]] | None = None) -> Any:
    """Return an onnxruntime session for an ONNX file, on the CPU.

    Args:
        content: ONNX file.
        where: path of the file, for the error message.
        weights: values of the initializers that the file does not contain (``ecgssl.export.detached_weights``).

    Raises:
        InputError: onnxruntime cannot run the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # disable the log of onnxruntime, because errors are also raised as exceptions
    options.log_severity_level = 4
    options.intra_op_num_threads = thread_count()
    # threads that wait for work do not spin, because they would take the cores from the processes that read recordings
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in (weights or {}).items()}
    if values:
        options.add_external_initializers(list(values), list(values.values()))
    try:
        # with the fallback, onnxruntime would print errors and try the same provider again
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    # the exceptions of onnxruntime have no common base class except Exception
    except Exception as error:
        raise _cannot_run(where, error) from error


def run_session(
    session: Any, names: Sequence[str], ecg: NDArray[np.float32], present: NDArray[np.bool_], where: str
) -> dict[str, NDArray[np.float32]]:
    """Run a session on a batch and return its outputs by name.

    Raises:
        InputError: onnxruntime cannot run the graph on this batch.
    """
    try:
        found = session.run(list(names), dict(zip(INPUTS, (ecg, present), strict=True)))
    except Exception as error:
        raise _cannot_run(where, error) from error
    return dict(zip(names, map(np.asarray, found), strict=True))


def _cannot_run(where: str, error: Exception) -> InputError:
    what = f"onnxruntime cannot run it ({' '.join(str(error).split())[:200]})"
    return InputError(Problem(where, "graph", what, "Use export.opset 20"))
