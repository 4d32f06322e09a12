"""Logging of ONNX graphs as MLflow models, and registration of bundles in the MLflow model registry."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import numpy as np

from ecgssl.tracking.runs import TrackedRun

ALIAS = "candidate"
"""Alias of the newest registered model version. Use another alias for approved versions."""


def log_onnx(run: TrackedRun, path: Path | str, name: str, pip_requirements: Sequence[str] = ()) -> None:
    """Log an ONNX file as an MLflow model, with a signature derived from the graph.

    Args:
        run: MLflow run to log to.
        path: path of the ``.onnx`` file.
        name: name of the model.
        pip_requirements: requirements of the model; by default the installed versions of numpy, onnx and onnxruntime.
    """
    run.call_mlflow("logging the model", lambda _: _log_onnx(Path(path), name, pip_requirements))


def register_bundle(run: TrackedRun, bundle: Path | str, name: str) -> None:
    """Log a bundle as an MLflow model for raw recordings, and register it with the alias ``candidate``.

    Args:
        run: MLflow run to log to.
        bundle: folder written by ``ecgssl.export.bundle.export_bundle``.
        name: name of the registered model.
    """
    run.call_mlflow("registering the model", lambda client: _log_bundle(Path(bundle), name, client))


def _log_onnx(path: Path, name: str, pip_requirements: Sequence[str]) -> None:
    import onnx
    from mlflow import onnx as onnx_flavor

    model = onnx.load(path)
    needs = list(pip_requirements) or [f"{p}=={version(p)}" for p in ("numpy", "onnx", "onnxruntime")]
    onnx_flavor.log_model(
        model, name=name, save_as_external_data=False, signature=_graph_signature(model), pip_requirements=needs
    )


def _log_bundle(bundle: Path, name: str, client: Any) -> None:
    from mlflow import pyfunc

    from ecgssl.export.bundle import load_bundle
    from ecgssl.scoring.dataframe import STATUS_COLUMNS, example_frame
    from ecgssl.scoring.scores import score_columns

    loaded = load_bundle(bundle)
    columns = STATUS_COLUMNS if loaded.decision is None else STATUS_COLUMNS | score_columns(loaded.decision)
    # suppress the message that MLflow prints for each registered version
    with redirect_stderr(io.StringIO()), _without_bytecode():
        info = pyfunc.log_model(
            name=name,
            python_model=str(Path(__file__).with_name("mlflow_model.py")),
            artifacts={"bundle": str(bundle)},
            signature=_bundle_signature(columns, loaded.decision is not None),
            input_example=example_frame(loaded.spec),
            pip_requirements=_pinned(),
            registered_model_name=name,
            metadata={"bundle": loaded.version, "fingerprint": loaded.fingerprint},
        )
    client.set_registered_model_alias(name, ALIAS, str(info.registered_model_version))


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Write no compiled modules, which MLflow would upload, with paths of this machine, after importing the model's code."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _pinned() -> list[str]:
    """Return pip requirements with the installed versions of ecgssl, its dependencies without extras, and MLflow."""
    names = [line for line in requires("ecgssl") or [] if "extra ==" not in line]
    plain = ["".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0] for line in names]
    return [f"{name}=={version(name)}" for name in ("ecgssl", "mlflow", *plain)]


def _bundle_signature(columns: dict[str, type], classifies: bool) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    inputs: list[Any] = [
        ColSpec(Array(Array(DataType.double)), "signal"),
        ColSpec(DataType.double, "sampling_rate"),
        ColSpec(Array(DataType.string), "leads"),
    ]
    types = {str: DataType.string, int: DataType.long, float: DataType.double}
    output_types: dict[str, Any] = {name: types[kind] for name, kind in columns.items()}
    if not classifies:
        output_types["embedding"] = Array(DataType.double)
    outputs: list[Any] = [ColSpec(kind, name, required=False) for name, kind in output_types.items()]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _graph_signature(model: Any) -> Any:
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(values: Any) -> Schema:
        specs: list[Any] = []
        for value in values:
            tensor = value.type.tensor_type
            shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
            specs.append(TensorSpec(dtype, shape, value.name))
        return Schema(specs)

    return ModelSignature(inputs=schema(model.graph.input), outputs=schema(model.graph.output))
