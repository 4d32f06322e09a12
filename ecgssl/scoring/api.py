"""Predictor: Python object that scores raw recordings in memory with a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected
from ecgssl.scoring.preprocess import prepare_recording
from ecgssl.scoring.scores import require_targets
from ecgssl.signal.spec import SignalSpec


@dataclass(frozen=True)
class Scores:
    """Scores of one recording.

    Args:
        scores: calibrated probability by label; the values of exclusive classes sum to 1. For a regression, the predicted
            value in the target's unit.
        calls: true if the probability reaches the threshold, by label and threshold. Thresholds without a value are
            omitted.
        predicted: most probable class if classes are exclusive; otherwise ``None``.
    """

    scores: dict[str, float]
    calls: dict[str, dict[str, bool]]
    predicted: str | None = None


class Predictor:
    """Model of a bundle that scores or embeds one recording at a time.

    Args:
        path: folder written by ``ecgssl.export.bundle.export_bundle``.

    Raises:
        InputError: a file is missing, altered, unlisted or unusable; all such files are listed.
    """

    def __init__(self, path: Path | str) -> None:
        self.bundle: Bundle = load_bundle(path)

    @property
    def spec(self) -> SignalSpec:
        """Preprocessing settings of the model, which are applied to recordings."""
        return self.bundle.spec

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the outputs of ``predict``; empty for an encoder."""
        return self.bundle.targets

    @property
    def version(self) -> str:
        """Version of the model to record with a result, see ``Bundle.version``."""
        return self.bundle.version

    def embed(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> NDArray[np.float32]:
        """Return the embedding of one raw recording.

        Args:
            signal: (leads, samples) in mV, neither filtered nor scaled; NaN for missing values.
            sampling_rate: sampling rate in Hz.
            leads: names of the rows, in any order and with any usual spelling. Rows with other names are ignored; missing
                limb leads are computed if two are present.

        Returns:
            (E,) float32 embedding.

        Raises:
            RecordingError: preprocessing rejects the recording; ``reason`` is the code used in score files.
            ValueError: ``signal`` and ``leads`` have different numbers of rows.
        """
        return self._run(signal, sampling_rate, leads)["embedding"][0]

    def predict(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> Scores:
        """Return calibrated scores and thresholded predictions for one raw recording. See ``embed`` for the arguments.

        Raises:
            InputError: the bundle contains an encoder but no classifier.
            RecordingError: preprocessing rejects the recording.
        """
        decision = require_targets(self.bundle, "bundle")
        logits = self._run(signal, sampling_rate, leads)["logits"]
        scores = dict(zip(decision.names, decision.probabilities(logits)[0].tolist(), strict=True))
        calls: dict[str, dict[str, bool]] = {}
        for k, label in enumerate(decision.labels):
            available = [name for name, threshold in label.thresholds.items() if threshold.value is not None]
            calls[label.name] = {name: bool(decision.calls(logits, name)[0, k]) for name in available}
        predicted = max(scores, key=lambda name: scores[name]) if decision.kind == "multiclass" else None
        return Scores(scores, calls, predicted)

    def _run(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        array = np.asarray(signal, dtype=np.float32)
        recording = Recording(array, float(sampling_rate), tuple(leads), "in memory")
        bundle = self.bundle
        try:
            prepared = prepare_recording(recording, bundle.spec, bundle.quality, bundle.lsb)
        except Rejected as error:
            problem = Problem("recording", error.stage, error.detail, "Remove the recording, or correct its source")
            raise RecordingError(error.reason, problem) from error
        return bundle.graph.run(prepared.digital * np.float32(bundle.lsb), prepared.lead_mask)
