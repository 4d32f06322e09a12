"""Base class for the sections of ``params.yaml``. Unknown keys and non-finite values are errors."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]


def _some_processes(value: int) -> int:
    if value == 0:
        raise ValueError("must be 1 or more, or -1 for one process per core")
    return value


Workers = Annotated[int, Field(ge=-1), AfterValidator(_some_processes)]


class Section(BaseModel):
    """Base class for a section of ``params.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
