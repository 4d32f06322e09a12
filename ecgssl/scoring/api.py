"""A bundle as a Python object: recordings in memory in, numbers out, under the same contract as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected
from ecgssl.scoring.preprocess import prepare_one
from ecgssl.signal.spec import SignalSpec


@dataclass(frozen=True)
class Scores:
    """What a classifier says of one recording.

    Args:
        scores: by label: calibrated probability; of exclusive classes they add up to 1; of a regression the value, in the
            target's unit.
        calls: by label and name of threshold: whether the probability reaches it. Thresholds were chosen on validation;
            one that was not to be had there is absent.
        predicted: the likeliest of exclusive classes; none for other kinds.
    """

    scores: dict[str, float]
    calls: dict[str, dict[str, bool]]
    predicted: str | None = None


class Predictor:
    """Scores recordings one at a time.

    Args:
        path: folder of ``ecgssl.export.bundle.export_bundle``.

    Raises:
        InputError: naming each file that is missing, altered, surplus or unusable.
    """

    def __init__(self, path: Path | str) -> None:
        self.bundle: Bundle = load_bundle(path)

    @property
    def spec(self) -> SignalSpec:
        """The signal contract that recordings are brought under."""
        return self.bundle.spec

    @property
    def targets(self) -> tuple[str, ...]:
        """What ``predict`` gives probabilities of; empty for an encoder."""
        return self.bundle.targets

    @property
    def version(self) -> str:
        """What to note beside a result, see ``Bundle.version``."""
        return self.bundle.version

    def embed(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> NDArray[np.float32]:
        """Embedding of one raw recording.

        Args:
            signal: (leads, samples) in mV as recorded: neither filtered nor scaled; NaN for "no value".
            sampling_rate: Hz.
            leads: a name per row, in any order and usual spelling; rows of other names are ignored, limb leads that are
                absent are derived from any two.

        Returns:
            (E,) float32.

        Raises:
            RecordingError: the recording breaks the contract; ``reason`` is what a score file would say.
            ValueError: signal and leads do not match.
        """
        return self._run(signal, sampling_rate, leads)["embedding"][0]

    def predict(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> Scores:
        """Calibrated scores of one raw recording, and what is called at each threshold; arguments and errors as ``embed``.

        Raises:
            InputError: the bundle holds an encoder only.
        """
        decision = self.bundle.decision
        if decision is None:
            raise InputError(Problem("bundle", "kind", "is an encoder, it has no targets to score", "Use embed"))
        logits = self._run(signal, sampling_rate, leads)["logits"]
        scores = dict(zip(decision.names, decision.probabilities(logits)[0].tolist(), strict=True))
        calls: dict[str, dict[str, bool]] = {}
        for k, label in enumerate(decision.labels):
            given = [name for name, cut in label.thresholds.items() if cut.value is not None]
            calls[label.name] = {name: bool(decision.calls(logits, name)[0, k]) for name in given}
        likeliest = max(scores, key=lambda name: scores[name]) if decision.kind == "multiclass" else None
        return Scores(scores, calls, likeliest)

    def _run(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        array = np.asarray(signal, dtype=np.float32)
        recording = Recording(array, float(sampling_rate), tuple(leads), "in memory")
        bundle = self.bundle
        try:
            ecg, lead_mask = prepare_one(recording, bundle.spec, bundle.quality, bundle.lsb)
        except Rejected as refusal:
            remedy = "Leave it out, or mend it at its source"
            raise RecordingError(
                refusal.reason, Problem("recording", refusal.stage, refusal.detail, remedy)
            ) from refusal
        return bundle.graph.run(ecg, lead_mask)
