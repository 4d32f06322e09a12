"""Windows of long recordings: consecutive complete parts of the duration in the preprocessing settings."""

from __future__ import annotations

import math

from ecgssl.signal.spec import SignalSpec


def samples_after(samples: int, sampling_rate: float, spec: SignalSpec) -> int:
    """Return the number of samples of a recording after it is resampled to ``spec.sampling_rate``.

    Args:
        samples: length of the raw recording.
        sampling_rate: its sampling rate in Hz.
        spec: preprocessing settings.
    """
    return math.ceil(samples * spec.sampling_rate / sampling_rate - 1e-6)


def short_text(count: int, spec: SignalSpec) -> str:
    """Return the sentence on the number of recordings that are shorter than the window."""
    what = "recording is" if count == 1 else "recordings are"
    return (
        f"{count:,} {what} shorter than {spec.duration:g} s (signal.duration); the rest of the window counts as absent"
    )


def window_count(samples: int, spec: SignalSpec) -> int:
    """Return how many rows a recording has in a store: all its complete windows for ``signal.windows: all``, otherwise 1.

    Args:
        samples: length of the recording in samples at ``spec.sampling_rate``.
        spec: preprocessing settings.
    """
    return max(1, samples // spec.samples) if spec.windows == "all" else 1


def window_start(samples: int, spec: SignalSpec, window: int | None = None) -> int:
    """Return the first sample of a window, at ``spec.sampling_rate``.

    Args:
        samples: length of the recording in samples at ``spec.sampling_rate``.
        spec: preprocessing settings. With ``crop: center``, all windows together are in the middle of the recording.
        window: number of the window, from 0; by default the only window of ``signal.windows: first``.
    """
    count = 1 if window is None else max(1, samples // spec.samples)
    spare = max(0, samples - count * spec.samples)
    return (spare // 2 if spec.crop == "center" else 0) + (window or 0) * spec.samples
