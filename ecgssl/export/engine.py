"""Choice of the library that runs the model of a bundle, and of its number of threads. This module does not import torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal, get_args

from ecgssl.errors import InputError, Problem
from ecgssl.extras import installed

Engine = Literal["auto", "torch", "onnxruntime"]
Device = Literal["auto", "cpu", "cuda"]

_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Device files on Linux of the drivers of NVIDIA and AMD, and of GPUs in WSL."""


def require_known(where: str, engine: str, device: str) -> None:
    """Check the names of an engine and a device.

    Raises:
        InputError: the engine or the device is not known.
    """
    problems = []
    for field, value, known in (("engine", engine, get_args(Engine)), ("device", device, get_args(Device))):
        if value not in known:
            remedy = f"Use one of: {', '.join(known)}"
            problems.append(Problem(where, field, f"is {value!r}, which is not known", remedy))
    if problems:
        raise InputError(problems)


def choose_engine(engine: Engine, device: Device, graph: Path) -> Literal["torch", "onnxruntime"]:
    """Return the library that runs a model.

    ``auto`` selects onnxruntime on a CPU, because importing torch takes several times as long as loading a model. It
    selects torch on a GPU, or if the bundle has no ONNX file or onnxruntime is not installed.

    Args:
        engine: library that the user asks for.
        device: device that the user asks for; with ``auto``, torch is imported only if the machine has a GPU driver.
        graph: ONNX file of the model, which may be missing.
    """
    if engine != "auto":
        return engine
    if not installed("torch"):
        return "onnxruntime"
    on_gpu = device == "cuda" or (device == "auto" and _has_gpu())
    return "torch" if on_gpu or not graph.is_file() or not installed("onnxruntime") else "onnxruntime"


def thread_count() -> int:
    """Return the number of threads for onnxruntime; 0 for its default, the number of physical cores.

    It is the number of threads of torch if torch is imported, otherwise ``OMP_NUM_THREADS``. The default is not used in a
    process that is limited to some of the cores, because onnxruntime does not respect this limit.
    """
    if (torch := sys.modules.get("torch")) is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 0 if usable is None or usable == os.cpu_count() else usable


def _has_gpu() -> bool:
    """Return whether torch can use a GPU. Torch is not imported if there is no driver of a GPU."""
    if sys.platform == "darwin" or (sys.platform == "linux" and not any(Path(name).exists() for name in _DRIVERS)):
        return False
    import torch

    return bool(torch.cuda.is_available())
