"""Header of a safetensors file: names, types and shapes of its tensors, checked before a tensor is loaded."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ecgssl.checked_json import parse_object, shortened, validated
from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular

MOST_HEADER_BYTES = 16 << 20
_MOST_NAME = 256
_ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}
_Size = Annotated[int, Field(ge=0, le=1 << 40)]


class Tensor(BaseModel):
    """Description of one tensor in the header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: str
    shape: Annotated[tuple[_Size, ...], Field(max_length=8)]
    data_offsets: tuple[_Size, _Size]

    @property
    def kind(self) -> tuple[str, tuple[int, ...]]:
        """Type, such as ``F32``, and shape."""
        return self.dtype, self.shape


def read_tensor_header(path: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file, without reading a tensor.

    Args:
        path: safetensors file.
        remedy: instruction for the error message.

    Raises:
        InputError: the file does not exist or is not in safetensors format, a tensor has an unknown type, or the
            tensors do not fill the file exactly.
    """
    require_regular(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > min(size - 8, MOST_HEADER_BYTES):
                raise ValueError("the header is longer than the file")
            header = parse_object(file.read(length), str(path), remedy)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "file", "does not exist", remedy)) from None
    except (OSError, ValueError, struct.error, InputError):
        raise _damaged(path, remedy) from None
    metadata = header.pop("__metadata__", {})
    tensors: dict[str, Tensor] = {}
    problems: list[Problem] = []
    if not _are_texts(metadata):
        problems.append(Problem(str(path), "__metadata__", "is not a mapping of texts", remedy))
    for name, entry in header.items():
        if len(name) > _MOST_NAME:
            problems.append(Problem(str(path), shortened(name), "is too long for the name of a tensor", remedy))
            continue
        try:
            tensors[name] = validated(Tensor, entry, str(path), remedy, name)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    # the tensors must follow each other without gaps, as in every file that the library writes
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        start, stop = tensor.data_offsets
        if tensor.dtype not in _ITEM_BYTES:
            what = f"has type {shortened(tensor.dtype)}; use one of {', '.join(_ITEM_BYTES)}"
            problems.append(Problem(str(path), name, what, remedy))
        elif start != end or stop - start != math.prod(tensor.shape) * _ITEM_BYTES[tensor.dtype]:
            problems.append(Problem(str(path), name, f"has shape {tensor.shape}, which does not fit its bytes", remedy))
        end = stop
    if problems:
        raise InputError(problems)
    if end != size - 8 - length:
        raise _damaged(path, remedy)
    return tensors, metadata


def _are_texts(metadata: Any) -> bool:
    return isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())


def _damaged(path: Path, remedy: str) -> InputError:
    return InputError(Problem(str(path), "content", "is truncated or not in safetensors format", remedy))
