"""Parameter section ``store``: storage of preprocessed recordings and the processes that write them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgssl.params_base import Positive, Section, Workers


class StoreParams(Section):
    """Storage of preprocessed recordings and the processes that write them.

    Args:
        shard_recordings: maximum number of recordings per shard. A worker keeps this many in memory; if it is killed,
            they are processed again.
        lsb: size of one int16 step in mV.
        workers: processes on this machine; -1 for one per core. Not used with ``scheduler``.
        backend: ``loky``; or ``dask`` or ``ray``, if that extra is installed.
        scheduler: address of a running Dask scheduler or Ray cluster, whose machines must all see the same folders. By
            default ``workers`` processes start on this machine.
        max_rejected_fraction: largest fraction of rejected recordings; a run with more of them stops.
    """

    shard_recordings: Positive = 256
    lsb: Annotated[float, Field(gt=0, le=0.01)] = 0.001
    workers: Workers = -1
    backend: Literal["loky", "dask", "ray"] = "loky"
    scheduler: Annotated[str, Field(min_length=1)] | None = None
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)] = 0.2

    @model_validator(mode="after")
    def _loky_has_no_scheduler(self) -> StoreParams:
        if self.scheduler is not None and self.backend == "loky":
            raise ValueError("a scheduler needs backend 'dask' or 'ray': loky starts processes on this machine only")
        return self
