"""Preprocessing settings (the "signal contract") and their fingerprint.

Every store, model, bundle and score file records its preprocessing settings. Combining files with different settings is
an error that prints both.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ecgssl.errors import ContractMismatch, Problem
from ecgssl.signal.leads import LEADS, canonical

CLEANING_VERSION = 1
"""Version of the cleaning code (part of the fingerprint). Increase it if the output of cleaning changes."""


_REMEDY = (
    "Make the store again with 'ecgssl preprocess' and the model with 'ecgssl pretrain' and 'ecgssl finetune', or use the "
    "ecgssl release that made it"
)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CleanSpec(_Frozen):
    """Settings of cleaning: a zero-phase FIR band-pass filter with Butterworth magnitude (``ecgssl.signal.cleaning``).

    Args:
        method: ``fir``, or a cleaning method of neurokit2 for comparison. Only ``fir`` can be exported to ONNX.
        band: (low, high) edges of the passband in Hz. The gain at an edge is 1/2, as with ``scipy.signal.sosfiltfilt``.
        order: Butterworth order. The gain of the zero-phase filter is the squared magnitude of the Butterworth filter.
        mains: frequency of the mains notch filter in Hz; ``None`` for no notch filter.
        support: length of the impulse response in s, on each side.
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
    """Settings of amplitude normalisation. The offset is not removed, because the band-pass filter has removed it.

    Args:
        method: ``fixed`` divides all recordings by 0.2 mV, a usual standard deviation, so that the encoder receives the
            voltages themselves: criteria of hypertrophy are voltages. ``recording`` divides all leads by the standard
            deviation of the recording, which preserves only the voltage ratios between leads. ``lead`` divides each lead
            by its own standard deviation. ``none`` keeps the signal in mV.
        floor: smallest divisor in mV, which prevents amplification of noise in flat recordings; not used by ``fixed``
            and ``none``.
    """

    method: Literal["fixed", "recording", "lead", "none"] = "fixed"
    floor: Annotated[float, Field(gt=0, le=1)] = 0.02


class SignalSpec(_Frozen):
    """Preprocessing settings that define how raw recordings are converted to the input of the encoder.

    Args:
        leads: canonical names of the leads, in the order of the rows.
        sampling_rate: sampling rate of the cleaned signal in Hz.
        duration: duration of a preprocessed recording in s.
        unit: unit of the cleaned signal; always mV.
        clean, normalise: settings of cleaning and normalisation.
        crop: part of a longer recording to keep. Filtering precedes cropping.
        missing_leads: ``mask`` accepts recordings with missing leads and marks these in the lead mask; ``reject``
            rejects them.
        windows: parts of a longer recording to store: ``first`` stores the part that ``crop`` keeps, ``all`` every
            complete window of ``duration`` as a separate row. It does not change how a window is processed, so it is
            not part of the fingerprint.

    Recordings shorter than ``duration`` are accepted from ``quality.min_duration``. The samples after their end are marked
    as not recorded.
    """

    leads: tuple[str, ...] = LEADS
    sampling_rate: Annotated[float, Field(gt=0, le=2000)] = 100.0
    duration: Annotated[float, Field(gt=0, le=60)] = 10.0
    unit: Literal["mV"] = "mV"
    clean: CleanSpec = CleanSpec()
    normalise: NormaliseSpec = NormaliseSpec()
    crop: Literal["start", "center"] = "start"
    missing_leads: Literal["mask", "reject"] = "mask"
    windows: Literal["first", "all"] = "first"

    @field_validator("leads", mode="before")
    @classmethod
    def _known_leads(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) > len(LEADS):
            raise ValueError(f"leads must be a list of 1 to {len(LEADS)} names")
        names = [canonical(str(v)) for v in value]
        unknown = [str(v) for v, n in zip(value, names, strict=True) if n is None]
        if unknown:
            raise ValueError(f"unknown leads {unknown}; use {list(LEADS)}")
        if len(set(names)) != len(names) or not names:
            raise ValueError("leads must be distinct, and at least one is required")
        return tuple(names)

    @model_validator(mode="after")
    def _consistent(self) -> SignalSpec:
        if self.clean.band[1] >= self.sampling_rate / 2:
            raise ValueError(f"band edge {self.clean.band[1]} Hz is not below half of {self.sampling_rate} Hz")
        exact = self.sampling_rate * self.duration
        if abs(exact - round(exact)) > 1e-6:
            raise ValueError(f"{self.sampling_rate} Hz x {self.duration} s is not a whole number of samples")
        if self.samples < 1:
            raise ValueError(f"{self.sampling_rate} Hz x {self.duration} s is less than one sample")
        return self

    @property
    def samples(self) -> int:
        """Number of samples per lead of a preprocessed recording."""
        return round(self.sampling_rate * self.duration)

    def fewest_samples(self, min_duration: float) -> int:
        """Return the smallest number of samples at ``sampling_rate`` of an accepted recording.

        Args:
            min_duration: smallest duration in s (``quality.min_duration``). If it is above ``duration``, only complete
                recordings are accepted.
        """
        return min(self.samples, max(1, math.ceil(min_duration * self.sampling_rate - 1e-6)))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that determine a window, as a JSON-compatible dictionary for ``SignalSpec.from_dict``."""
        return {"cleaning_version": CLEANING_VERSION, **self.model_dump(mode="json", exclude={"windows"})}

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "signal contract") -> SignalSpec:
        """Create the settings from a dictionary returned by ``to_dict``.

        Raises:
            ContractMismatch: the settings were written by another version of the cleaning code.
            pydantic.ValidationError: a setting is invalid or unknown.
        """
        cls.require_version(data, where)
        return cls(**{name: value for name, value in data.items() if name not in ("cleaning_version", "fingerprint")})

    @staticmethod
    def require_version(data: dict[str, Any], where: str = "signal contract") -> None:
        """Check the version of the cleaning code in a dictionary returned by ``to_dict``.

        Raises:
            ContractMismatch: the settings were written by another version of the cleaning code.
        """
        version = data.get("cleaning_version")
        if type(version) is not int or version != CLEANING_VERSION:
            raise ContractMismatch(
                Problem(
                    where,
                    "cleaning_version",
                    f"written by version {str(version)[:20]} of the cleaning code, but this is version {CLEANING_VERSION}",
                    _REMEDY,
                )
            )

    @property
    def fingerprint(self) -> str:
        """Fingerprint: SHA-256 (hex) of the canonical JSON of the settings and the version of the cleaning code."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def require_same(self, other: SignalSpec, here: str, there: str) -> None:
        """Raise an error if other preprocessing settings differ from these settings.

        Args:
            other: settings to compare with.
            here, there: names of the files or models to which the two settings belong, for the error message.

        Raises:
            ContractMismatch: the settings differ. Lists every differing field with both values.
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
                "Preprocess the recordings with the settings of the model, or train a model with these settings",
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
