"""Predictor: scores and embeddings of raw recordings in memory, computed with the model of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.errors import Problem, RecordingError
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.preprocessing.prepare import Rejected
from ecgssl.scoring.in_memory import memory_recording
from ecgssl.scoring.preprocess import prepare_recording
from ecgssl.scoring.scores import require_targets
from ecgssl.signal.spec import SignalSpec


@dataclass(frozen=True)
class Scores:
    """Scores of one recording.

    Args:
        scores: calibrated probability by label; the values of exclusive classes sum to 1. For a regression, the
            predicted value in the target's unit.
        calls: binary predictions by label and name of the threshold; true if the probability is at or above the
            threshold. Thresholds without a value are omitted. Only multilabel tasks have thresholds.
        predicted: most probable class of a multiclass task; ``None`` for other tasks.
    """

    scores: dict[str, float]
    calls: dict[str, dict[str, bool]]
    predicted: str | None = None


class Predictor:
    """Model of a bundle that scores or embeds one recording at a time.

    Args:
        path: folder written by ``ecgssl.export.bundle.export_bundle``, or name of a shipped model.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.

    Raises:
        InputError, ContractMismatch: the bundle cannot be loaded, see ``ecgssl.export.bundle.load_bundle``.
    """

    def __init__(self, path: Path | str, *, require_signature: Path | str | None = None) -> None:
        self.bundle: Bundle = load_bundle(path, require_signature=require_signature)

    @property
    def spec(self) -> SignalSpec:
        """Preprocessing settings of the model. They are applied to every recording."""
        return self.bundle.spec

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the outputs of ``predict``; empty for an encoder."""
        return self.bundle.targets

    @property
    def version(self) -> str:
        """Version of the model (see ``Bundle.version``). Store it together with each result."""
        return self.bundle.version

    def embed(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> NDArray[np.float32]:
        """Return the embedding of one raw recording.

        Args:
            signal: (leads, samples) in mV, not filtered or scaled; NaN for missing values.
            sampling_rate: sampling rate in Hz.
            leads: lead names of the rows, in any order and in any common spelling. Missing limb leads are computed if two
                limb leads are present.

        Returns:
            (E,) float32 embedding.

        Raises:
            RecordingError: preprocessing rejects the recording. Its ``reason`` contains the reason codes, as in score
                files. For example, the code is ``leads`` for unknown lead names, and ``duplicate_lead`` for a lead that
                occurs twice.
            ValueError: ``signal`` and ``leads`` have different numbers of rows.
        """
        return self._run(signal, sampling_rate, leads)["embedding"][0]

    def predict(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> Scores:
        """Return calibrated scores and binary predictions for one raw recording. The arguments are those of ``embed``.

        Raises:
            InputError: the bundle contains an encoder, not a classifier.
            RecordingError, ValueError: see ``embed``.
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
        recording = memory_recording(array, float(sampling_rate), leads)
        bundle = self.bundle
        try:
            prepared = prepare_recording(recording, bundle.spec, bundle.quality, bundle.lsb)
        except Rejected as error:
            problem = Problem("recording", error.stage, error.detail, "Remove the recording, or correct its source")
            raise RecordingError(error.reason, problem) from error
        return bundle.graph.run(prepared.digital * np.float32(bundle.lsb), prepared.lead_mask, prepared.recorded)
