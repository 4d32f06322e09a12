"""What every section of ``params.yaml`` shares: unknown keys are errors, and values are finite."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]


def _some_processes(value: int) -> int:
    if value == 0:
        raise ValueError("0 processes do nothing; -1 takes one per core")
    return value


Workers = Annotated[int, Field(ge=-1), AfterValidator(_some_processes)]


class Section(BaseModel):
    """A section of ``params.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
