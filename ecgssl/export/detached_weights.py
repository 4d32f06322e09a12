"""ONNX graphs whose weights are stored once, in ``model.safetensors`` of the same bundle.

Shipped models have half-precision weights and one copy of them. Their graph names a tensor for each large initializer, and
onnxruntime receives the values when the graph is loaded. Other programs cannot run such a graph; ``ecgssl export --model NAME``
writes complete graphs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ecgssl.checked_json import parse_object, validated
from ecgssl.errors import InputError, Problem
from ecgssl.export.onnx_metadata import read_metadata
from ecgssl.tensor_header import read_tensor_header

KEY = "ecgssl.weights"
"""Entry of the metadata of a graph: JSON with the tensor of each detached initializer."""
_FEWEST = 256
_REMEDY = "Install ecgssl again, or make the bundle again"
_Name = Annotated[str, Field(min_length=1, max_length=256)]


class _Source(BaseModel):
    """Tensor of an initializer; the initializer of a ``transposed`` one has its axes exchanged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tensor: _Name
    transposed: bool


class _Sources(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    initializers: Annotated[dict[_Name, _Source], Field(max_length=10_000)]


def detach_weights(content: bytes, tensors: Mapping[str, NDArray[np.float32]], file: str) -> bytes:
    """Return an ONNX file without the initializers that equal a tensor or its transpose, bit by bit.

    Args:
        content: ONNX file.
        tensors: weights of the model by name. Only those with at least 256 values are detached.
        file: name of the file with the weights in the same folder.
    """
    import onnx
    from onnx import TensorProto

    known = {}
    for name, tensor in tensors.items():
        if tensor.size >= _FEWEST:
            known[(tensor.shape, np.ascontiguousarray(tensor).tobytes())] = _Source(tensor=name, transposed=False)
            if tensor.ndim == 2:
                key = (tensor.T.shape, np.ascontiguousarray(tensor.T).tobytes())
                known.setdefault(key, _Source(tensor=name, transposed=True))
    proto = onnx.load_model_from_string(content)
    sources = {}
    for initializer in proto.graph.initializer:
        source = known.get((tuple(initializer.dims), initializer.raw_data))
        if initializer.data_type == TensorProto.FLOAT and source is not None:
            sources[initializer.name] = source
            initializer.ClearField("raw_data")
            initializer.data_location = TensorProto.EXTERNAL
            initializer.external_data.add(key="location", value=file)
    stated = {name: source.model_dump() for name, source in sorted(sources.items())}
    proto.metadata_props.add(key=KEY, value=json.dumps({"initializers": stated}))
    done: bytes = proto.SerializeToString(deterministic=True)
    return done


def detached_weights(graph: Path, weights: Path) -> dict[str, NDArray[np.float32]]:
    """Return the values of the detached initializers of a graph; empty if the graph contains all its weights.

    Args:
        graph: ONNX file.
        weights: safetensors file with the weights.

    Raises:
        InputError: the metadata of the graph or the weights file are invalid, or a tensor is missing, is not of type F16 or
            F32, or has other than two axes although it has to be transposed.
    """
    from safetensors import SafetensorError, safe_open

    text = read_metadata(graph).get(KEY)
    if text is None:
        return {}
    sources = validated(_Sources, parse_object(text, str(graph), _REMEDY), str(graph), _REMEDY, KEY).initializers
    tensors, _ = read_tensor_header(weights, _REMEDY)
    problems = [
        Problem(str(weights), source.tensor, f"is not a weight that {graph.name} needs", _REMEDY)
        for source in sources.values()
        if source.tensor not in tensors
        or tensors[source.tensor].dtype not in ("F16", "F32")
        or (source.transposed and len(tensors[source.tensor].shape) != 2)
    ]
    if problems:
        raise InputError(problems)
    try:
        with safe_open(weights, framework="numpy") as file:
            return {name: _values(file.get_tensor(source.tensor), source) for name, source in sources.items()}
    except (OSError, SafetensorError, ValueError, TypeError):
        raise InputError(Problem(str(weights), "content", "cannot be read", _REMEDY)) from None


def _values(tensor: NDArray[Any], source: _Source) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.T if source.transposed else tensor).astype(np.float32)
