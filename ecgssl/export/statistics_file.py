"""Typed content of ``reference_statistics.json`` of a bundle (``ecgssl.monitoring.reference`` computes it)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ecgssl.checked_json import shortened, validated
from ecgssl.errors import InputError, Problem
from ecgssl.export.export_again import EXPORT_AGAIN
from ecgssl.training.model_folder import read_json

STATISTICS = "reference_statistics.json"
FORMAT = "ecgssl-reference-statistics"
VERSION = 1
_SMALLEST_SPREAD = 1e-12

_Name = Annotated[str, Field(max_length=500)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]
_Whole = Annotated[int, Field(ge=0, le=10**9)]
_Total = Annotated[int, Field(ge=1, le=10**9)]
_Count = _Whole | tuple[_Whole, _Whole]
_Vector = Annotated[tuple[_Number, ...], Field(min_length=1, max_length=100_000)]
_Matrix = Annotated[tuple[_Vector, ...], Field(min_length=1, max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _range(count: Any) -> tuple[int, int]:
    return (count, count) if isinstance(count, int) else count


def _require_counts(counts: dict[str, Any], total: int) -> None:
    for name, count in counts.items():
        low, high = _range(count)
        if not low <= high <= total:
            raise ValueError(f"the count of {shortened(name)} must be a number or a range from 0 to {total}")


class Histogram(_Part):
    """Histogram of a number. With too few known values, it has only ``known``."""

    known: _Count
    mean: _Number | None = None
    sd: Annotated[float, Field(ge=0, le=1e12)] | None = None
    edges: Annotated[tuple[_Number, ...], Field(max_length=1000)] | None = None
    counts: Annotated[tuple[_Whole, ...], Field(min_length=1, max_length=1001)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Histogram:
        given = [getattr(self, name) is not None for name in ("mean", "sd", "edges", "counts")]
        if not any(given):
            return self
        if not all(given):
            raise ValueError("a histogram needs mean, sd, edges and counts")
        edges, counts, sd = self.edges or (), self.counts or (), self.sd or 0.0
        if any(a >= b for a, b in pairwise(edges)):
            raise ValueError("edges must increase")
        low, high = _range(self.known)
        if len(counts) != len(edges) + 1 or not max(low, 1) <= sum(counts) <= high:
            raise ValueError("counts must have one number per bin, and their sum must be the known values")
        if 0 < sd < _SMALLEST_SPREAD:
            raise ValueError(f"sd must be 0 or at least {_SMALLEST_SPREAD}")
        return self


class Embedding(_Part):
    """Distribution of embeddings along their principal directions."""

    center: _Vector
    directions: _Matrix
    recordings: Annotated[int, Field(ge=2, le=10**9)]
    mean: _Vector
    covariance: _Matrix
    distance: Histogram
    residual: Histogram
    chance: Annotated[
        dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")], tuple[_Number, _Number]],
        Field(min_length=1, max_length=100),
    ]

    @model_validator(mode="after")
    def _fits(self) -> Embedding:
        width, count = len(self.center), len(self.directions)
        if {len(row) for row in self.directions} != {width}:
            raise ValueError(f"each direction must have {width} values, as center")
        if len(self.mean) != count or [len(row) for row in self.covariance] != [count] * count:
            raise ValueError(f"mean must have {count} values and covariance {count} x {count}, as there are directions")
        pairs = [(i, j) for i in range(count) for j in range(i)]
        scale = max(abs(self.covariance[i][i]) for i in range(count))
        if any(abs(self.covariance[i][j] - self.covariance[j][i]) > 1e-6 * scale for i, j in pairs):
            raise ValueError("covariance must be symmetric")
        if any(self.covariance[i][i] < 0 or 0 < self.covariance[i][i] < 1e-30 for i in range(count)):
            raise ValueError("the variances in covariance must not be negative or below 1e-30")
        if any(not 0 <= low <= high for low, high in self.chance.values()):
            raise ValueError("each value of chance must be a median and a limit, the smaller one first")
        for histogram in (self.distance, self.residual):
            _require_counts({"known": histogram.known}, self.recordings)
        return self


class Rejected(_Part):
    """Number of recordings in the cohort, and of rejected recordings by reason code."""

    recordings: _Total
    counts: Annotated[dict[_Name, _Count], Field(max_length=1000)]

    @model_validator(mode="after")
    def _fits(self) -> Rejected:
        _require_counts(self.counts, self.recordings)
        return self


class Statistics(_Part):
    """Content of ``reference_statistics.json``."""

    format: Literal["ecgssl-reference-statistics"]
    version: Literal[1]
    recordings: _Total
    smallest_cell: Annotated[int, Field(ge=1, le=1000)]
    rejected: Rejected
    shares: Annotated[dict[_Name, _Count], Field(max_length=200_000)]
    categories: Annotated[
        dict[_Name, Annotated[dict[_Name, _Whole], Field(min_length=1, max_length=10_000)]], Field(max_length=1000)
    ]
    numbers: Annotated[dict[_Name, Histogram], Field(max_length=10_000)]
    embedding: Embedding | None

    @model_validator(mode="after")
    def _fits(self) -> Statistics:
        _require_counts(self.shares, self.recordings)
        _require_counts({name: histogram.known for name, histogram in self.numbers.items()}, self.recordings)
        for name, counts in self.categories.items():
            if not 1 <= sum(counts.values()) <= self.recordings:
                raise ValueError(f"the counts of {shortened(name)} must have a sum from 1 to {self.recordings}")
        return self


def read_statistics(bundle: Path, embed_dim: int | None = None) -> dict[str, Any]:
    """Return the checked reference statistics of a bundle.

    Args:
        bundle: folder of the bundle.
        embed_dim: number of values in an embedding of the model; ``None`` to accept any.

    Raises:
        InputError: the file is missing or invalid, has another format or version, or belongs to another model.
    """
    path = bundle / STATISTICS
    data = read_json(path)
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        what = f"is {shortened(data.get('format'))} {shortened(data.get('version'))}"
        what += f", but this version of ecgssl reads {FORMAT} {VERSION}"
        raise InputError(Problem(str(path), "format", what, EXPORT_AGAIN))
    found = validated(Statistics, data, str(path), EXPORT_AGAIN)
    if found.embedding is not None and embed_dim not in (None, len(found.embedding.center)):
        what = f"has {len(found.embedding.center)} values, but embeddings of the model have {embed_dim}"
        raise InputError(Problem(str(path), "embedding.center", what, EXPORT_AGAIN))
    return data
