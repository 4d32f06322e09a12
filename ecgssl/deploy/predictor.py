"""A bundle as a Python object: recordings in memory in, numbers out, under the same contract as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgssl.deploy.bundle import Bundle, load_bundle
from ecgssl.deploy.prepared import prepare_one
from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.io.recording import Recording
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.prepare import Rejected


class Predictor:
    """Scores recordings one at a time.

    Args:
        path: folder of ``ecgssl.deploy.bundle.export_bundle``.

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

    def predict(self, signal: ArrayLike, sampling_rate: float, leads: Sequence[str]) -> dict[str, float]:
        """Probability of each target for one raw recording; arguments and errors as ``embed``.

        Raises:
            InputError: the bundle holds an encoder only.
        """
        if not self.targets:
            raise InputError(Problem("bundle", "kind", "is an encoder, it has no targets to score", "Use embed"))
        outputs = self._run(signal, sampling_rate, leads)
        return dict(zip(self.targets, outputs["probability"][0].tolist(), strict=True))

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
