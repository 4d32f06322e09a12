"""Deployed model run by onnxruntime on a CPU. This module does not import torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.detached_weights import detached_weights
from ecgssl.export.export_again import EXPORT_AGAIN
from ecgssl.export.onnx_session import open_session, run_session
from ecgssl.export.unrecorded import mark_unrecorded
from ecgssl.extras import install_line, installed
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.model_folder import WEIGHTS

ENGINE = "onnxruntime"


class OnnxGraph:
    """ONNX graph of a bundle with the interface of ``ContractModule`` that scoring uses. It runs on the CPU.

    The export compares the graph with the torch model. ``load_bundle`` compares it with ``reference.npz``.

    Args:
        path: ONNX file whose input is preprocessed recordings. Weights that it lacks are read from ``model.safetensors`` in
            the same folder.
        spec: preprocessing settings of the bundle.
        decision: calibrators and thresholds of a classifier; ``None`` for an encoder.

    Attributes:
        outputs: names of the outputs that scoring uses: ``logits`` (classifier) and ``embedding``. Probabilities are
            computed from the logits by ``decision``.
        embed_dim: number of values in an embedding.

    Raises:
        InputError: the file is missing, cannot be run, lacks a required output, or was made for other settings or targets.
    """

    on_gpu = False

    def __init__(self, path: Path, spec: SignalSpec, decision: Decision | None) -> None:
        self.spec, self.decision = spec, decision
        self.outputs: tuple[str, ...] = ("embedding",) if decision is None else ("logits", "embedding")
        self._where = str(path)
        if not path.is_file():
            raise InputError(Problem(self._where, "file", f"is missing; {ENGINE} runs this graph", EXPORT_AGAIN))
        weights = detached_weights(path, path.with_name(WEIGHTS))
        self._session = open_session(path.read_bytes(), self._where, weights)
        self._require_match()
        widths = {output.name: output.shape[-1] for output in self._session.get_outputs()}
        self.embed_dim = int(widths["embedding"])

    def use_device(self, name: Literal["auto", "cpu", "cuda"]) -> str:
        """Return ``onnxruntime``, the name of the engine. The graph always runs on the CPU.

        Raises:
            InputError: ``name`` is ``cuda``.
        """
        if name == "cuda":
            what = "is not available with onnxruntime, which runs on the CPU"
            remedy = "engine='torch'" if installed("torch") else f"run: {install_line('torch')}"
            raise InputError(Problem("device", name, what, f"Use 'auto' or 'cpu', or {remedy}"))
        return ENGINE

    def run(
        self,
        ecg: NDArray[np.float32],
        lead_mask: NDArray[np.bool_],
        recorded: NDArray[np.integer] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return the outputs as a dictionary of float32 arrays, see ``ContractModule.run``.

        Graphs of earlier releases return NaN for a recording that is shorter than the window.
        """
        ecg = mark_unrecorded(ecg, recorded)
        found = run_session(self._session, self.outputs, ecg, lead_mask, self._where)
        # set NaN here, because graphs of earlier releases return numbers for a recording without leads
        empty = np.logical_not(lead_mask.any(axis=1, keepdims=True))
        return {name: np.where(empty, np.float32(np.nan), values) for name, values in found.items()}

    def _require_match(self) -> None:
        about = self._session.get_modelmeta().custom_metadata_map
        targets = None if self.decision is None else list(self.decision.names)
        try:
            labels = json.loads(about["ecgssl.labels"])["targets"] if "ecgssl.labels" in about else None
        except (ValueError, KeyError, TypeError):
            labels = "unreadable"
        problems = []
        if about.get("ecgssl.fingerprint") != self.spec.fingerprint:
            what = "differs from the fingerprint in signal.json"
            problems.append(Problem(self._where, "fingerprint", what, EXPORT_AGAIN))
        if labels != targets:
            problems.append(Problem(self._where, "targets", "differ from those in labels.json", EXPORT_AGAIN))
        missing = set(self.outputs) - {output.name for output in self._session.get_outputs()}
        problems += [
            Problem(self._where, name, "is not an output of the graph", EXPORT_AGAIN) for name in sorted(missing)
        ]
        if problems:
            raise InputError(problems)
