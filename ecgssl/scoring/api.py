"""Predictor: scores and embeddings of raw recordings, computed with the model of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem, RecordingError
from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.inputs import Listed
from ecgssl.preprocessing.prepare import Rejected, read_or_reject
from ecgssl.scoring.preprocess import COLUMNS, PreparedRecording, Windows, prepare_recording, rejected
from ecgssl.scoring.results import Results, Scores
from ecgssl.scoring.scores import (
    Output,
    recording_outputs,
    require_policy,
    require_targets,
    score_cells,
)
from ecgssl.scoring.sources import Source, Sources, list_sources
from ecgssl.signal.findings import distinct_findings
from ecgssl.signal.spec import SignalSpec

Many = list[str] | list[Path] | list[Recording] | list[NDArray[Any]]
"""Several recordings whose result is certainly ``Results``."""


class Predictor:
    """Model of a bundle that scores or embeds recordings.

    Args:
        path: folder written by ``ecgssl.export.bundle.export_bundle``, or name of a shipped model.
        engine: library that runs the model, see ``ecgssl.export.bundle.load_bundle``.
        device: ``cpu``, ``cuda``, or ``auto`` to use a GPU if there is one.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.

    Raises:
        InputError, ContractMismatch: the bundle cannot be loaded, see ``ecgssl.export.bundle.load_bundle``, or there is no
            such device.

    Example:
        >>> import ecgssl
        >>> model = ecgssl.load("ptbxl-superclass")
        >>> model.targets
        ('NORM', 'MI', 'STTC', 'CD', 'HYP')
        >>> sorted(model.predict("ecg.hea").scores)
        ['CD', 'HYP', 'MI', 'NORM', 'STTC']
        >>> model.embed(ecgssl.read("ecg.hea")).dtype
        dtype('float32')
    """

    def __init__(
        self,
        path: Path | str,
        *,
        engine: Literal["auto", "torch", "onnxruntime"] = "auto",
        device: Literal["auto", "cpu", "cuda"] = "cpu",
        require_signature: Path | str | None = None,
    ) -> None:
        self.bundle: Bundle = load_bundle(path, engine, device=device, require_signature=require_signature)

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

    @overload
    def embed(self, source: Recording, *, windows: Windows = ...) -> NDArray[np.float32]: ...
    @overload
    def embed(
        self,
        source: Many,
        sampling_rate: float | None = ...,
        leads: Sequence[str] | None = ...,
        *,
        windows: Windows = ...,
        batch_size: int = ...,
    ) -> Results: ...
    @overload
    def embed(
        self,
        source: Source,
        sampling_rate: float | None = ...,
        leads: Sequence[str] | None = ...,
        *,
        windows: Windows = ...,
        batch_size: int = ...,
    ) -> Any: ...
    def embed(
        self,
        source: Source,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
        *,
        windows: Windows = "contract",
        batch_size: int = 32,
    ) -> Any:
        """Return the embedding of a recording, or the embeddings of several.

        Args:
            source: path of a file, ``Recording``, or array (leads, samples) in mV, not filtered or scaled, with NaN for missing
                values. Several recordings: folder, glob pattern, table, array (recordings, leads, samples), or list of these.
            sampling_rate: sampling rate of arrays in Hz.
            leads: lead names of the rows of arrays, in any order and in any common spelling. Missing limb leads are computed
                if two limb leads are present.
            windows: window policy for recordings at least twice as long as the input of the model
                (``ecgssl.scoring.preprocess.Windows``).
            batch_size: number of recordings that are read, preprocessed and then scored together. On a CPU, the results do not
                depend on it.

        Returns:
            (E,) float32 for one recording; ``Results`` for several. Rejected recordings of several have a row of NaN.
            The array does not state quality flags and used leads; ``embed([source]).table`` has them in the columns
            ``flags`` and ``leads``.

        Raises:
            RecordingError: the only recording cannot be read, or preprocessing rejects it. Its ``reason`` contains the
                reason codes, as in score files. For arrays, the code is ``leads`` for unknown lead names, ``duplicate_lead``
                for a lead that occurs twice, and ``malformed`` for an array that has not one row per lead.
            InputError: the input or the policy is invalid, see ``ecgssl.scoring.sources.list_sources``.

        Example:
            >>> import ecgssl
            >>> model = ecgssl.load("ptbxl-tiny")
            >>> recording = ecgssl.read("ecg.hea")
            >>> one = model.embed(recording.signal, sampling_rate=250, leads=recording.leads)
            >>> several = model.embed("folder")
            >>> several.values.shape == (2, len(one))
            True
        """
        sources = list_sources(source, sampling_rate, leads)
        require_policy(self.bundle, windows, "embedding")
        values, columns, _ = self._run(sources, "embedding", windows, batch_size)
        if sources.single:
            return values[0]
        names = tuple(f"emb_{i:04d}" for i in range(self.bundle.embed_dim))
        scored = [status == "ok" for status in columns["status"]]
        for name, column in zip(names, values.T, strict=True):
            columns[name] = [value if ok else None for value, ok in zip(column, scored, strict=True)]
        return Results(values, names, columns)

    @overload
    def predict(self, source: Recording, *, windows: Windows = ...) -> Scores: ...
    @overload
    def predict(
        self,
        source: Many,
        sampling_rate: float | None = ...,
        leads: Sequence[str] | None = ...,
        *,
        windows: Windows = ...,
        batch_size: int = ...,
    ) -> Results: ...
    @overload
    def predict(
        self,
        source: Source,
        sampling_rate: float | None = ...,
        leads: Sequence[str] | None = ...,
        *,
        windows: Windows = ...,
        batch_size: int = ...,
    ) -> Any: ...
    def predict(
        self,
        source: Source,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
        *,
        windows: Windows = "contract",
        batch_size: int = 32,
    ) -> Any:
        """Return calibrated scores and binary predictions. The arguments are those of ``embed``.

        Returns:
            ``Scores`` for one recording, with quality flags and used leads; ``Results`` for several, whose ``values`` are the
            calibrated scores.

        Raises:
            InputError: the bundle contains an encoder, not a classifier.
            InputError, RecordingError: see ``embed``.

        Example:
            >>> import ecgssl
            >>> model = ecgssl.load("ptbxl-superclass")
            >>> found = model.predict("folder")
            >>> list(found.table.index), found.names
            (['a', 'b'], ('NORM', 'MI', 'STTC', 'CD', 'HYP'))
        """
        decision = require_targets(self.bundle, "bundle")
        require_policy(self.bundle, windows, "logits")
        sources = list_sources(source, sampling_rate, leads)
        logits, columns, findings = self._run(sources, "logits", windows, batch_size)
        columns |= score_cells(decision, logits)
        if not sources.single:
            known = ~np.isnan(logits).any(axis=1)
            values = np.full(logits.shape, np.nan, dtype=np.float32)
            values[known] = decision.probabilities(logits[known])
            return Results(values, decision.names, columns)
        scores = dict(zip(decision.names, decision.probabilities(logits)[0].tolist(), strict=True))
        calls: dict[str, dict[str, bool]] = {}
        for k, label in enumerate(decision.labels):
            available = [name for name, threshold in label.thresholds.items() if threshold.value is not None]
            calls[label.name] = {name: bool(decision.calls(logits, name)[0, k]) for name in available}
        predicted = max(scores, key=lambda name: scores[name]) if decision.kind == "multiclass" else None
        flags = tuple(filter(None, columns["flags"][0].split(";")))
        leads = tuple(columns["leads"][0].split())
        missing = tuple(lead for lead in self.spec.leads if lead not in leads)
        return Scores(scores, calls, predicted, flags, distinct_findings(findings[0]), leads, missing, columns)

    def _run(
        self, sources: Sources, output: Output, windows: Windows, batch_size: int
    ) -> tuple[NDArray[np.float32], dict[str, list[Any]], list[tuple[str, ...]]]:
        """Return the outputs of all recordings, the columns that describe them, and the findings of their windows."""
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise InputError(Problem("batch_size", "value", f"is {batch_size!r}", "Use a whole number from 1"))
        outputs: list[NDArray[np.float32]] = []
        rows: list[dict[str, Any]] = []
        findings: list[tuple[str, ...]] = []
        for start in range(0, len(sources.items), batch_size):
            chunk = sources.items[start : start + batch_size]
            prepared = [self._prepare(item, windows, sources.single) for item in chunk]
            outputs.append(recording_outputs(self.bundle, prepared, output, windows))
            rows += [one.row for one in prepared]
            findings += [one.findings for one in prepared]
        return np.concatenate(outputs), {name: [row.get(name) for row in rows] for name in COLUMNS}, findings

    def _prepare(self, item: Listed | Recording, windows: Windows, single: bool) -> PreparedRecording:
        bundle = self.bundle
        about: dict[str, Any] = {"record_id": item.record_id}
        try:
            recording = item if isinstance(item, Recording) else read_or_reject(item.path, item.overrides)
            about |= {"sampling_rate": recording.sampling_rate, "duration": recording.duration}
            found = prepare_recording(recording, bundle.spec, bundle.quality, bundle.lsb, windows)
        except Rejected as error:
            if single:
                where, remedy = (
                    ("recording", "Correct the signal, or use another recording")
                    if isinstance(item, Recording)
                    else (item.path, "Remove the recording, or correct its source")
                )
                problem = Problem(where, error.stage, error.detail, remedy)
                raise RecordingError(error.reason, problem) from error
            found = rejected(bundle.spec, error.reason, error.detail)
        return PreparedRecording(found.digital, found.lead_mask, found.recorded, about | found.row, found.findings)
