"""Cleaning of raw recordings: zero-phase band-pass filtering and resampling in one linear operator.

The operator is defined by its frequency response (``response``). The gain is the product of the squared magnitudes of a
Butterworth high-pass and low-pass, as in forward-backward filtering (``scipy.signal.sosfiltfilt``), an optional mains
notch and an anti-alias roll-off. The impulse response is truncated to ``clean.support`` and sampled at the least common
multiple of input and output rate. Therefore filtering and resampling are one step (polyphase resampling: Crochiere and
Rabiner 1981). The signal is extended at both ends by even reflection. This module applies the operator with one FFT per
recording; ``cleaning_torch`` applies it as a convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.signal.spec import CleanSpec, SignalSpec
from ecgssl.signal.windows import window_start

NOTCH_Q = 30.0
"""Quality factor of the mains notch. At 50 Hz, the notch is 1.7 Hz wide."""

_LARGEST_FACTOR = 1000
_EDGE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Kernel:
    """Impulse response of the cleaning operator, sampled at ``up * rate_in = down * rate_out``.

    Args:
        taps: (2 * half + 1,) float64 filter coefficients, symmetric about the middle.
        half: number of taps on each side of the middle.
        up, down: coprime integers; ``rate_out / rate_in = up / down``.
    """

    taps: NDArray[np.float64]
    half: int
    up: int
    down: int

    @property
    def reach(self) -> int:
        """Number of input samples on each side that affect an output sample."""
        return -(-self.half // self.up)

    def samples_out(self, samples: int) -> int:
        """Return the number of output samples for ``samples`` input samples."""
        return -(-samples * self.up // self.down)


def response(frequency: NDArray[np.float64], spec: CleanSpec | None, nyquist: float) -> NDArray[np.float64]:
    """Return the gain of the cleaning operator at the given frequencies, before its impulse response is truncated.

    Args:
        frequency: frequencies in Hz, at least 0.
        spec: band edges, order and notch; ``None`` for only the anti-alias roll-off.
        nyquist: half of the lower of the two sampling rates, in Hz.

    Returns:
        Real gain (zero phase); 0 from ``nyquist`` upwards. With a ``spec``, it is also 0 at 0 Hz and at the mains frequency
        (if set), and about 1/2 at a band edge. Without one, it is 1 at 0 Hz.
    """
    f = np.asarray(frequency, dtype=np.float64)
    gain = 0.5 + 0.5 * np.cos(np.pi * np.clip((f / nyquist - 0.8) / 0.2, 0.0, 1.0))
    if spec is None:
        return gain
    low, high = spec.band
    power = (f / low) ** (2 * spec.order)
    gain = gain * power / (1.0 + power) / (1.0 + (f / high) ** (2 * spec.order))
    if spec.mains is not None:
        detuning = (f**2 - spec.mains**2) ** 2
        gain = gain * detuning / (detuning + (f * spec.mains / NOTCH_Q) ** 2)
    return gain


@lru_cache(maxsize=64)
def design(rate_in: float, rate_out: float, spec: CleanSpec | None, support: float) -> Kernel:
    """Return the impulse response of the cleaning operator for an input and an output sampling rate.

    Args:
        rate_in, rate_out: sampling rates in Hz.
        spec: filter settings; ``None`` to resample only.
        support: length in s of the impulse response on each side; the last twentieth is tapered. With the default
            settings, the gain differs from ``response`` by at most 0.011. The gain at 0 Hz is 0 with a ``spec``, and 1
            without one.

    Raises:
        RecordingError: reason ``sampling_rate`` if the ratio of the rates is not a ratio of integers up to 1000, or if the
            input rate is not above twice the upper band edge.
        InputError: ``support`` is too short: the gain at a band edge differs from ``response`` by more than 0.05.
    """
    up, down = _ratio(rate_in, rate_out)
    if spec is not None and spec.band[1] >= rate_in / 2:
        raise RecordingError(
            "sampling_rate",
            Problem(
                "recording",
                "sampling_rate",
                f"{rate_in:g} Hz is too low for the passband up to {spec.band[1]:g} Hz (signal.clean.band)",
                "Use recordings of a higher rate, or lower signal.clean.band",
            ),
        )
    rate = up * rate_in
    nyquist = min(rate_in, rate_out) / 2
    half = int(support * rate)
    # the FFT is long enough for the impulse response of the high-pass to decay before it wraps around
    period = 2 * half + round(rate * max(support, 10.0 / (spec.band[0] if spec else 1.0)))
    period = scipy.fft.next_fast_len(period, real=True)
    grid = np.arange(period // 2 + 1) * (rate / period)
    circular = scipy.fft.irfft(response(grid, spec, nyquist), period) * up
    one_side = circular[: half + 1]
    time = np.arange(half + 1) / half
    one_side = one_side * (0.5 + 0.5 * np.cos(np.pi * np.clip((time - 0.95) / 0.05, 0.0, 1.0)))
    taps = np.concatenate([one_side[:0:-1], one_side])
    taps = _fix_offset_gain(taps, half, up, 0.0 if spec else 1.0)
    if spec is not None:
        _require_edges(taps, half, rate, up, spec, nyquist)
    taps.setflags(write=False)
    return Kernel(taps, half, up, down)


def clean(signal: NDArray[np.float32], sampling_rate: float, spec: SignalSpec) -> NDArray[np.float32]:
    """Return the band-pass filtered and resampled leads of a recording.

    Args:
        signal: (leads, samples) in mV.
        sampling_rate: sampling rate of ``signal`` in Hz.
        spec: preprocessing settings.

    Returns:
        (leads, ceil(samples * spec.sampling_rate / sampling_rate)) float32 in mV, not cropped.

    Raises:
        ValueError: the signal is not two-dimensional, has no samples, or contains NaN or infinity.
        RecordingError, InputError: see ``design``.
    """
    signal = np.asarray(signal)
    if signal.ndim != 2 or signal.shape[1] == 0:
        raise ValueError(f"signal of shape {signal.shape} is not (leads, samples)")
    # the band-pass removes the offset; subtracting it before filtering preserves float32 precision
    with np.errstate(over="ignore", invalid="ignore"):
        offset = signal.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    # if the offsets are finite, all samples are finite
    if not np.isfinite(offset).all() and not np.isfinite(signal).all():
        raise ValueError("signal contains NaN or infinity; run the quality checks first")
    method: CleanSpec | None = spec.clean
    if spec.clean.method != "fir":
        from ecgssl.signal.quality import neurokit_clean

        signal = neurokit_clean(signal, sampling_rate, spec.clean.method)
        if sampling_rate == spec.sampling_rate:
            return signal
        method, offset = None, signal.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    plan = _plan(float(sampling_rate), spec.sampling_rate, method, spec.clean.support, signal.shape[1])
    spectrum = scipy.fft.rfft(_continued(signal, offset, plan), axis=1, overwrite_x=True)[:, : plan.gain.size]
    cleaned = scipy.fft.irfft(spectrum * plan.gain, plan.length_out, axis=1, overwrite_x=True)[:, plan.kept]
    return cleaned + offset if method is None else np.ascontiguousarray(cleaned)


def crop(
    signal: NDArray[np.float32], spec: SignalSpec, min_duration: float | None = None, window: int | None = None
) -> NDArray[np.float32]:
    """Return the part of a cleaned recording that is kept by ``spec.crop`` and ``spec.duration``.

    Args:
        signal: (leads, samples) in mV at ``spec.sampling_rate``.
        spec: preprocessing settings.
        min_duration: shortest accepted recording in s (``quality.min_duration``); by default ``spec.duration``.
        window: number of one of the complete windows of a long recording (``ecgssl.signal.windows``), which is returned
            instead.

    Returns:
        View of ``signal`` with shape (leads, spec.samples), or (leads, samples) for a shorter recording.

    Raises:
        RecordingError: reason ``too_short`` if the recording is shorter than ``min_duration`` and ``spec.duration``.
    """
    samples = signal.shape[1]
    least = spec.duration if min_duration is None else min(min_duration, spec.duration)
    if samples < spec.fewest_samples(least):
        setting = "signal.duration" if least == spec.duration else "quality.min_duration"
        raise RecordingError(
            "too_short",
            Problem(
                "recording",
                "duration",
                f"{samples / spec.sampling_rate:g} s, shorter than the required {least:g} s ({setting})",
                f"Remove the recording, or shorten {setting}",
            ),
        )
    start = window_start(samples, spec, window)
    return signal[:, start : start + spec.samples]


def reflection(samples: int, before: int, after: int) -> NDArray[np.intp]:
    """Return sample indices that extend a recording at both ends by even reflection.

    Args:
        samples: length of the recording.
        before, after: number of samples to add at the start and at the end; may exceed ``samples``.

    Returns:
        (before + samples + after,) indices in 0..samples-1.
    """
    period = max(2 * (samples - 1), 1)
    index = np.arange(-before, samples + after) % period
    return np.where(index < samples, index, period - index).astype(np.intp)


@dataclass(frozen=True)
class _Plan:
    """FFT settings for recordings of one length and sampling rate: padding, gain and output range."""

    before: int
    after: int
    gain: NDArray[np.float32]
    length_out: int
    kept: slice


@lru_cache(maxsize=64)
def _plan(rate_in: float, rate_out: float, spec: CleanSpec | None, support: float, samples: int) -> _Plan:
    kernel = design(rate_in, rate_out, spec, support)
    samples_out = kernel.samples_out(samples)
    # the padded signal starts and ends at times that are sampled at both rates
    before = -(-kernel.reach // kernel.down) * kernel.down
    last = (samples_out - 1) * kernel.down // kernel.up
    blocks = scipy.fft.next_fast_len(-(-(before + last + 1 + kernel.reach) // kernel.down), real=True)
    length, length_out = blocks * kernel.down, blocks * kernel.up
    circular = np.zeros(length * kernel.up)
    circular[: kernel.half + 1] = kernel.taps[kernel.half :]
    circular[-kernel.half :] = kernel.taps[: kernel.half]
    bins = (min(length, length_out) - 1) // 2 + 1
    gain = scipy.fft.rfft(circular).real[:bins] * (length_out / length / kernel.up)
    return _Plan(
        before,
        length - before - samples,
        gain.astype(np.float32),
        length_out,
        slice(before // kernel.down * kernel.up, before // kernel.down * kernel.up + samples_out),
    )


def _continued(signal: NDArray[np.float32], offset: NDArray[np.float32], plan: _Plan) -> NDArray[np.float32]:
    """Return ``signal - offset``, extended at both ends by reflection."""
    leads, samples = signal.shape
    before, after = plan.before, plan.after
    if max(before, after) >= samples:
        centred = np.subtract(signal, offset, dtype=np.float32)
        return centred.take(reflection(samples, before, after), axis=1)
    # if one reflection is enough, copying reversed slices is three times as fast as indexing
    out = np.empty((leads, before + samples + after), dtype=np.float32)
    np.subtract(signal, offset, out=out[:, before : before + samples], dtype=np.float32)
    out[:, :before] = out[:, 2 * before : before : -1]
    last = before + samples - 1
    out[:, last + 1 :] = out[:, last - after : last][:, ::-1]
    return out


def _ratio(rate_in: float, rate_out: float) -> tuple[int, int]:
    exact_in, exact_out = (Fraction(rate).limit_denominator(_LARGEST_FACTOR) for rate in (rate_in, rate_out))
    ratio = exact_out / exact_in if exact_in else Fraction(_LARGEST_FACTOR + 1)
    inexact = any(abs(float(e) - r) > 1e-9 * r for e, r in ((exact_in, rate_in), (exact_out, rate_out)))
    if inexact or max(ratio.numerator, ratio.denominator) > _LARGEST_FACTOR:
        raise RecordingError(
            "sampling_rate",
            Problem(
                "recording",
                "sampling_rate",
                f"the ratio of {rate_in!r} Hz to {rate_out!r} Hz is not a ratio of integers up to {_LARGEST_FACTOR}",
                "Set the nominal sampling rate of the device",
            ),
        )
    return ratio.numerator, ratio.denominator


def _fix_offset_gain(taps: NDArray[np.float64], half: int, up: int, wanted: float) -> NDArray[np.float64]:
    """Return taps whose sum in each polyphase branch is ``wanted``, by adding a multiple of a smooth window."""
    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(-half, half + 1) / (half + 1))
    branch = np.arange(-half, half + 1) % up
    lacking = wanted - np.bincount(branch, taps, up)
    return taps + window * (lacking / np.bincount(branch, window, up))[branch]


def _require_edges(taps: NDArray[np.float64], half: int, rate: float, up: int, spec: CleanSpec, nyquist: float) -> None:
    time = np.arange(-half, half + 1) / rate
    edges = np.array(spec.band)
    real = np.array([taps @ np.cos(2 * np.pi * f * time) for f in edges]) / up
    off = np.abs(real - response(edges, spec, nyquist))
    if off.max() > _EDGE_TOLERANCE:
        edge = edges[off.argmax()]
        raise InputError(
            Problem(
                "signal contract",
                "clean.support",
                f"with {spec.support:g} s, the gain at the {edge:g} Hz band edge is wrong by {off.max():.2f}",
                "Increase clean.support to about 1 / (low edge), or increase the low edge",
            )
        )
