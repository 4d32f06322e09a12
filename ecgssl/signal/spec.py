"""Preprocessing settings (the "signal contract") and their fingerprint.

Every store, model, bundle and score file records its preprocessing settings. Combining files with different settings is an
error that prints both.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ecgssl.errors import ContractMismatch, Problem
from ecgssl.signal.leads import LEADS, canonical

CLEANING_VERSION = 1
"""Raised whenever the numbers that cleaning produces change; part of the fingerprint."""


_REMEDY = (
    "Make the store again with 'ecgssl preprocess' and the model with 'ecgssl pretrain' and 'ecgssl finetune', or use the "
    "ecgssl release that made it"
)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CleanSpec(_Frozen):
    """Zero-phase band-pass with Butterworth magnitude, as a symmetric FIR (``ecgssl.signal.cleaning``).

    Args:
        method: ``fir`` (ours, exportable in-graph) or a cleaner of neurokit2 for comparison (not exportable).
        band: (low, high) edges in Hz. As with ``sosfiltfilt``, the gain at an edge is one half.
        order: Butterworth order of one pass; the zero-phase filter has its magnitude squared.
        mains: centre of the mains notch in Hz, or none.
        support: the impulse response is cut at plus and minus this many seconds.
    """

    method: Literal["fir", "neurokit", "biosppy", "pantompkins1985", "hamilton2002"] = "fir"
    band: tuple[float, float] = (0.5, 40.0)
    order: Annotated[int, Field(ge=1, le=8)] = 2
    mains: Literal[50, 60] | None = None
    support: Annotated[float, Field(ge=0.5, le=5)] = 2.0

    @model_validator(mode="after")
    def _edges_ascend(self) -> CleanSpec:
        low, high = self.band
        if not 0 < low < high:
            raise ValueError(f"band edges must satisfy 0 < low < high, got {low} and {high} Hz")
        return self


class NormaliseSpec(_Frozen):
    """Amplitude normalisation; the band-pass has already removed the offset.

    Args:
        method: ``recording`` divides the whole leads x samples array by its standard deviation, so that voltage ratios
            between leads and the limb-lead laws survive; ``lead`` divides each lead by its own; ``none`` leaves mV.
        floor: smallest divisor in mV, so that noise in silent recordings is not amplified.
    """

    method: Literal["recording", "lead", "none"] = "recording"
    floor: Annotated[float, Field(gt=0, le=1)] = 0.02


class SignalSpec(_Frozen):
    """Preprocessing settings from a raw recording to the input of the encoder.

    Args:
        leads: canonical names in the order of the array's rows.
        sampling_rate: Hz of the cleaned signal.
        duration: seconds; ``samples`` is their product.
        unit: always mV.
        clean, normalise: see their classes.
        crop: which window of a longer recording is kept, after filtering the whole of it.
        missing_leads: ``mask`` lets absent leads travel as a lead mask; ``reject`` refuses the recording.

    A recording shorter than ``duration`` is rejected (``too_short``) and not padded.
    """

    leads: tuple[str, ...] = LEADS
    sampling_rate: Annotated[float, Field(gt=0, le=2000)] = 100.0
    duration: Annotated[float, Field(gt=0, le=60)] = 10.0
    unit: Literal["mV"] = "mV"
    clean: CleanSpec = CleanSpec()
    normalise: NormaliseSpec = NormaliseSpec()
    crop: Literal["start", "center"] = "start"
    missing_leads: Literal["mask", "reject"] = "mask"

    @field_validator("leads", mode="before")
    @classmethod
    def _known_leads(cls, value: Any) -> Any:
        names = [canonical(str(v)) for v in value]
        unknown = [str(v) for v, n in zip(value, names, strict=True) if n is None]
        if unknown:
            raise ValueError(f"unknown leads {unknown}; known are {list(LEADS)}")
        if len(set(names)) != len(names) or not names:
            raise ValueError("leads must be distinct and at least one")
        return tuple(names)

    @model_validator(mode="after")
    def _consistent(self) -> SignalSpec:
        if self.clean.band[1] >= self.sampling_rate / 2:
            raise ValueError(f"band edge {self.clean.band[1]} Hz is not below half of {self.sampling_rate} Hz")
        exact = self.sampling_rate * self.duration
        if abs(exact - round(exact)) > 1e-6:
            raise ValueError(f"{self.sampling_rate} Hz x {self.duration} s is not a whole number of samples")
        return self

    @property
    def samples(self) -> int:
        """Samples per lead of a contract signal."""
        return round(self.sampling_rate * self.duration)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings in JSON types; ``SignalSpec.from_dict`` is the inverse."""
        return {"cleaning_version": CLEANING_VERSION, **self.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "signal contract") -> SignalSpec:
        """Return the settings of ``to_dict``.

        Raises:
            ContractMismatch: they were written by another version of the cleaning code.
        """
        fields = dict(data)
        version = fields.pop("cleaning_version", None)
        fields.pop("fingerprint", None)
        if version != CLEANING_VERSION:
            raise ContractMismatch(
                Problem(
                    where,
                    "cleaning_version",
                    f"made by version {version} of the cleaning code, this is version {CLEANING_VERSION}",
                    _REMEDY,
                )
            )
        return cls(**fields)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the contract and the version of the cleaning code."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def require_same(self, other: SignalSpec, here: str, there: str) -> None:
        """Raise an error if two settings differ.

        Args:
            other: the contract met.
            here, there: what each belongs to, for the message.

        Raises:
            ContractMismatch: listing every differing field with both values.
        """
        if self.fingerprint == other.fingerprint:
            return
        mine, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        prints = f"{self.fingerprint[:12]} / {other.fingerprint[:12]}"
        raise ContractMismatch(
            Problem(
                f"{here} against {there}",
                f"signal contract: {key}",
                f"{mine.get(key)!r} here, {theirs.get(key)!r} there ({prints})",
                "Preprocess the recordings under the model's contract, or train a model under this one",
            )
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        )


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            out.update(_flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out
