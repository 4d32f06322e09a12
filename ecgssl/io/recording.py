"""In-memory representation of an ECG recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recording:
    """A multi-lead ECG recording before preprocessing.

    Args:
        signal: (leads, samples) float32 in mV; NaN for missing values.
        sampling_rate: sampling rate in Hz.
        leads: lead names, one per row of ``signal``; most readers keep the spelling of the file.
        record_id: record id, unique within its cohort.
        patient_id: patient id, the same for all recordings of a patient; ``None`` if unknown.
        meta: additional metadata of the file, without patient names and dates.

    Raises:
        ValueError: the numbers of rows and leads differ, or the sampling rate is not positive.
    """

    signal: NDArray[np.float32]
    sampling_rate: float
    leads: tuple[str, ...]
    record_id: str
    patient_id: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads):
            raise ValueError(f"signal {self.signal.shape} does not match {len(self.leads)} leads")
        if not self.sampling_rate > 0:
            raise ValueError(f"sampling_rate {self.sampling_rate} is not positive")

    @property
    def duration(self) -> float:
        """Duration of the recording in s."""
        return self.signal.shape[1] / self.sampling_rate
