"""In-memory representation of an ECG recording, with its drawing, cleaning and quality checks."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.io.recording_checks import check_recording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecgssl.signal.heart_rate import PageChecks
    from ecgssl.signal.quality import Quality
    from ecgssl.signal.quality_params import QualityParams
    from ecgssl.signal.spec import SignalSpec

_BASELINE = 60.0
"""Time in s from which the offset of a lead is computed for a drawing."""


@dataclass(frozen=True, repr=False)
class Recording:
    """A multi-lead ECG recording before preprocessing.

    Args:
        signal: (leads, samples) float32 in mV; NaN for missing values.
        sampling_rate: sampling rate in Hz.
        leads: names of the twelve leads, one per row of ``signal``, in any order and any common spelling; most readers keep
            the spelling of the file. A list is stored as a tuple.
        record_id: record id, unique within its cohort.
        patient_id: patient id, the same for all recordings of a patient; ``None`` if unknown.
        meta: additional metadata of the file, without patient names and dates.

    Raises:
        RecordingError: ``signal`` is no array of real numbers or has not one row per lead, a lead name is unknown or occurs
            twice, the sampling rate is not between 1 and 100000 Hz, or the record id is no text. The error lists all problems.

    Example:
        >>> import ecgssl
        >>> recording = ecgssl.read("ecg.hea")
        >>> recording
        <Recording ecg: 12 leads, 250 Hz, 10 s>
        >>> recording.signal.shape
        (12, 2500)
    """

    signal: NDArray[np.float32]
    sampling_rate: float
    leads: tuple[str, ...]
    record_id: str
    patient_id: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        leads = check_recording(self.signal, self.sampling_rate, self.leads, self.record_id)
        object.__setattr__(self, "leads", leads)

    @property
    def duration(self) -> float:
        """Duration of the recording in s."""
        return self.signal.shape[1] / self.sampling_rate

    def plot(self) -> Figure:
        """Return a figure of the first ten seconds on millimetre paper, at 25 mm/s.

        The figure states the filters, the heart rate, and whether the recording fails the quality checks. Unless the recording
        comes from ``clean``, the signal is not filtered, and the median of the first minute of each lead is subtracted. Absent
        limb leads are computed if two are recorded.

        Returns:
            Matplotlib figure. ``figure.savefig("ecg.pdf")`` preserves the scale for printing.

        Raises:
            RecordingError: reason ``too_short`` if there are no samples, or ``nan`` if all values are missing.

        Example:
            >>> import ecgssl
            >>> ecgssl.read("ecg.hea").plot().savefig("ecg.png")
        """
        # import here, because matplotlib takes half a second and most readers of files do not draw
        from ecgssl.signal.drawing import UNFILTERED, centred, draw_12_lead, filter_text
        from ecgssl.signal.leads import LEADS, arrange

        self._require_samples()
        if not np.isfinite(self.signal).any():
            raise _unusable(self, "nan", "signal", "has no values, all are NaN or infinite")
        signal, present = arrange(self.signal[:, : round(_BASELINE * self.sampling_rate)], self.leads)
        filters = self.meta.get("cleaned_with")
        shown, text = (centred(signal), UNFILTERED) if filters is None else (signal, filter_text(filters))
        return draw_12_lead(
            shown, self.sampling_rate, LEADS, present,
            title=self.record_id, filters=text, duration=self.duration, checks=page_checks(self),
        )  # fmt: skip

    def clean(self, settings: SignalSpec | None = None, limits: QualityParams | None = None) -> Recording:
        """Return the filtered and resampled recording, in its full length.

        The leads are those of the settings that are recorded or can be computed, in the order of the settings. Leads that
        ``limits`` mask, for example flat ones, are left out. Short gaps are interpolated.

        Args:
            settings: preprocessing settings, such as ``ecgssl.load(NAME).spec``; by default 0.5 to 40 Hz at 100 Hz.
            limits: quality limits; the defaults of section ``quality`` if ``None``.

        Raises:
            RecordingError: reason ``min_leads`` if no lead is usable, or ``too_short`` if there are no samples.

        Example:
            >>> import ecgssl
            >>> ecgssl.read("ecg.hea").clean(ecgssl.SignalSpec(sampling_rate=500))
            <Recording ecg: 12 leads, 500 Hz, 10 s>
        """
        from ecgssl.signal.cleaning import clean

        spec = _settings(settings)
        quality, usable = self._assess_raw(spec, limits)
        kept = np.flatnonzero(quality.lead_mask)
        cleaned = clean(usable, self.sampling_rate, spec)[kept]
        leads = tuple(spec.leads[i] for i in kept)
        meta = self.meta | {"cleaned_with": spec.clean}
        return replace(self, signal=cleaned, sampling_rate=spec.sampling_rate, leads=leads, meta=meta)

    def quality(self, limits: QualityParams | None = None, settings: SignalSpec | None = None) -> Quality:
        """Return the quality figures, the findings and the usable leads of the part that preprocessing keeps.

        Args:
            limits: quality limits and policy; the defaults of section ``quality`` if ``None``.
            settings: preprocessing settings; see ``clean``.

        Raises:
            RecordingError: reason ``min_leads`` if no lead is usable, or ``too_short`` if the recording is shorter than
                ``limits.min_duration``.

        Example:
            >>> import ecgssl
            >>> found = ecgssl.read("ecg.hea").quality()
            >>> found.rejected is None, found.reasons
            (True, ())
            >>> sorted(found.figures)[:3]
            ['amplitude', 'beats', 'chest_swap']
        """
        from ecgssl.signal.cleaning import clean, crop
        from ecgssl.signal.quality import assess_cleaned
        from ecgssl.signal.quality_params import QualityParams

        spec, limits = _settings(settings), limits or QualityParams()
        if 0 < self.duration < min(limits.min_duration, spec.duration, limits.flat_seconds):
            # all leads of such a recording would be flat, although each is flat for less than the allowed time
            what = f"{self.duration:g} s, shorter than limits.min_duration, {limits.min_duration:g} s"
            raise _unusable(self, "too_short", "duration", what)
        quality, usable = self._assess_raw(spec, limits)
        cleaned = crop(clean(usable, self.sampling_rate, spec), spec, limits.min_duration)
        return assess_cleaned(cleaned, quality, limits, spec)

    def _assess_raw(self, spec: SignalSpec, limits: QualityParams | None) -> tuple[Quality, NDArray[np.float32]]:
        from ecgssl.signal.leads import arrange, measured
        from ecgssl.signal.quality import assess_raw
        from ecgssl.signal.quality_params import QualityParams

        self._require_samples()
        raw, present = arrange(self.signal, self.leads, spec.leads)
        there = measured(self.leads, spec.leads)
        quality, usable = assess_raw(raw, self.sampling_rate, present, there, limits or QualityParams(), spec)
        if not quality.lead_mask.any():
            what = f"none is usable; reason codes: {', '.join(quality.reasons) or 'no known lead'}"
            raise _unusable(self, "min_leads", "leads", what)
        return quality, usable

    def _require_samples(self) -> None:
        if not self.signal.size:
            raise _unusable(self, "too_short", "duration", "0 s, there are no samples")

    def __repr__(self) -> str:
        count = f"{len(self.leads)} lead{'s' if len(self.leads) != 1 else ''}"
        return f"<Recording {self.record_id}: {count}, {self.sampling_rate:g} Hz, {self.duration:.4g} s>"

    def _repr_html_(self) -> str:
        """Return the drawing for a notebook, as HTML with an embedded PNG."""
        from ecgssl.signal.figure_file import png_bytes

        image = base64.b64encode(png_bytes(self.plot())).decode("ascii")
        text = html.escape(repr(self)[1:-1])
        return f'<figure><img alt="{text}" src="data:image/png;base64,{image}"><figcaption>{text}</figcaption></figure>'


def page_checks(recording: Recording) -> PageChecks | None:
    """Return the results of the quality checks of the first part of a recording, for its drawing.

    Args:
        recording: recording as read. For a recording from ``clean``, the result is ``None``.
    """
    from ecgssl.signal.heart_rate import PageChecks

    if "cleaned_with" in recording.meta:
        return None
    part = replace(recording, signal=recording.signal[:, : round(_BASELINE * recording.sampling_rate)])
    try:
        found = part.quality()
    except RecordingError as error:
        return PageChecks(error.reason, None)
    rate = found.figures["heart_rate"]
    return PageChecks(found.rejected or "", None if np.isnan(rate) else float(rate))


def _settings(given: SignalSpec | None) -> SignalSpec:
    from ecgssl.signal.spec import SignalSpec

    return given or SignalSpec()


def _unusable(recording: Recording, reason: str, field: str, what: str) -> RecordingError:
    return RecordingError(reason, Problem(recording.record_id, field, what, "Use another recording"))
