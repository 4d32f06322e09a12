"""Computation of the HTTP responses: scores, embeddings, drawings and attributions."""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.evaluation.calibration.decision_text import fitted_on_text
from ecgssl.export.bundle import Bundle
from ecgssl.extras import install_line, installed
from ecgssl.scoring.preprocess import Windows
from ecgssl.scoring.scores import Output, require_policy, run_windows, window_slices
from ecgssl.serving.read_upload import ReadJob, ReadResult
from ecgssl.serving.reader_pool import ReaderPool
from ecgssl.serving.request_limits import RequestError
from ecgssl.serving.schemas import NOTICE, CallOut, FindingOut, ModelOut, ScoreOut, TargetOut, ThresholdOut
from ecgssl.signal.drawing import UNFILTERED, centred, draw_12_lead, filter_text
from ecgssl.signal.figure_file import png_bytes
from ecgssl.signal.leads import LEADS
from ecgssl.signal.reasons import REASON_TEXTS

if TYPE_CHECKING:
    from ecgssl.report.attribution import Method

MAX_EXPLAIN_SECONDS = 20.0
"""Time limit of integrated gradients in s. Attention rollout is used if the estimated time exceeds it."""

_PASSES = 100.0
"""Estimated cost of integrated gradients in forward passes: a forward and a backward pass for each of 32 points."""
_SHOWN = 0.4
"""The summary lists the leads with the largest attributions until their total share reaches this value."""


class Service:
    """Computation of the responses of the service. The caller limits how many methods run at the same time.

    Args:
        bundle: loaded bundle; its model must already be on the target device.
        readers: pool of processes that preprocess recordings.
    """

    def __init__(self, bundle: Bundle, readers: ReaderPool) -> None:
        self.bundle, self.readers = bundle, readers
        self.method: Method | None = None
        # attributions need the gradients or the attention of a torch model
        if bundle.graph.decision is not None and installed("torch"):
            affordable = _seconds_of_a_pass(bundle) * _PASSES <= MAX_EXPLAIN_SECONDS
            self.method = "integrated_gradients" if affordable else "rollout"

    @property
    def decision(self) -> Decision:
        """Calibrators and thresholds of the classifier.

        Raises:
            RequestError: the bundle contains an encoder.
        """
        if self.bundle.graph.decision is None:
            problem = Problem("service", "model", "is an encoder, which has no targets", "Use /embed")
            raise RequestError(404, problem)
        return self.bundle.graph.decision

    def read(self, job: ReadJob, seconds: float, gone: threading.Event | None = None) -> ReadResult:
        """Return the preprocessed recording of a job; arguments and errors as in ``ReaderPool.submit``."""
        return self.readers.submit(job, seconds, gone)

    def model(self, size: int) -> ModelOut:
        """Return the description of the model; ``size`` is the maximum size of a request in bytes."""
        bundle, decision = self.bundle, self.bundle.graph.decision
        labels = decision.labels if decision is not None else ()
        fitted = fitted_on_text(decision) if decision else ""
        methods = {label.calibrator.method for label in labels}
        note = (
            f"Probabilities are calibrated ({', '.join(sorted(methods))}; fitted on {fitted}). They are valid "
            "for populations with the same prevalence as these recordings."
            if methods - {"none", "linear"}
            else "Scores are not calibrated."
        )
        return ModelOut(
            model=bundle.version,
            fingerprint=bundle.fingerprint,
            kind=decision.kind if decision else "encoder",
            targets=[
                TargetOut(
                    name=label.name,
                    calibration=label.calibrator.method,
                    thresholds=[ThresholdOut(name=name, **asdict(cut)) for name, cut in label.thresholds.items()],
                )
                for label in labels
            ],
            calibration_note=note if decision else "",
            embed_dim=bundle.embed_dim,
            leads=list(bundle.spec.leads),
            sampling_rate=bundle.spec.sampling_rate,
            duration=bundle.spec.duration,
            min_duration=min(bundle.quality.min_duration, bundle.spec.duration),
            explains=self.method,
            largest_request=size,
            notice=NOTICE,
        )

    def require(self, windows: Windows, output: Output) -> None:
        """Check that the bundle provides the output and supports the policy for long recordings.

        Raises:
            RequestError: the output is missing, or the policy cannot be used with it.
        """
        if output == "logits":
            _ = self.decision
        try:
            require_policy(self.bundle, windows, output)
        except InputError as error:
            raise RequestError(422, list(error.problems)) from None

    def about(self, read: ReadResult) -> dict[str, Any]:
        """Return the fields that all responses have in common (``AnswerOut``)."""
        row = read.prepared.row
        cells = dict.fromkeys(cell for one in read.prepared.findings for cell in one.split(";") if cell)
        findings = [_finding(*cell.split(":")) for cell in cells]
        recording = {
            "sampling_rate": read.sampling_rate,
            "duration": read.duration,
            "recorded_seconds": row["recorded_seconds"],
            "leads": row["leads"].split(),
            "heart_rate": row["heart_rate"],
            "windows": row["windows"],
            "windows_rejected": row["windows_rejected"],
            "findings": findings,
        }
        return {
            "model": self.bundle.version,
            "fingerprint": self.bundle.fingerprint,
            "recording": recording,
            "notice": NOTICE,
        }

    def parts(self, read: ReadResult) -> list[slice]:
        """Return slices of the windows of a recording. The windows of one slice pass through the model together."""
        return window_slices(self.bundle, len(read.prepared.digital))

    def run(self, read: ReadResult, part: slice, output: Output) -> NDArray[np.float32]:
        """Return the logits (windows, K) or embeddings (windows, E) for the windows ``part`` of a recording."""
        prepared = read.prepared
        return run_windows(self.bundle, prepared.digital[part], prepared.lead_mask[part], prepared.recorded[part])[
            output
        ]

    def predict(self, read: ReadResult, logits: NDArray[np.float32]) -> dict[str, Any]:
        """Return the scores of a recording (fields of ``PredictionOut``)."""
        decision = self.decision
        values = decision.probabilities(logits[None])[0]
        number = decision.kind == "regression"
        scores = []
        for k, label in enumerate(decision.labels):
            calls = [
                CallOut(threshold=name, value=cut.value, positive=bool(values[k] >= cut.value))
                for name, cut in label.thresholds.items()
                if cut.value is not None
            ]
            value = float(np.float32(values[k]))
            scores.append(
                ScoreOut(
                    target=label.name,
                    logit=None if number else float(logits[k]),
                    probability=None if number else value,
                    value=value if number else None,
                    calls=calls,
                )
            )
        predicted = decision.names[int(values.argmax())] if decision.kind == "multiclass" else None
        return self.about(read) | {"scores": scores, "predicted": predicted}

    def embed(self, read: ReadResult, embedding: NDArray[np.float32]) -> dict[str, Any]:
        """Return the embedding of a recording (fields of ``EmbeddingOut``)."""
        return self.about(read) | {"embedding": embedding.tolist()}

    def draw(self, read: ReadResult, narrow: bool = False) -> str:
        """Return a drawing of the raw recording as a ``data:`` URI of a PNG; ``narrow`` as in ``draw_12_lead``."""
        if read.raw is None or read.raw_mask is None:
            raise ValueError("the job has no raw signal for a drawing; set show=True")
        shown = centred(read.raw)
        figure = draw_12_lead(
            shown, read.sampling_rate, LEADS, read.raw_mask, title="As recorded", filters=UNFILTERED, narrow=narrow
        )
        return _uri(png_bytes(figure))

    def explain(
        self, read: ReadResult, target: str, seconds: float, gone: threading.Event | None = None, narrow: bool = False
    ) -> dict[str, Any]:
        """Return the attributions of one target in the first scored window (fields of ``LookedOut``).

        Args:
            read: recording to explain.
            target: name of a target.
            seconds: time limit in s for the model. It is checked before each pass through the model.
            gone: event that is set if the client disconnects. The next pass through the model does not start.
            narrow: as in ``draw_12_lead``.

        Raises:
            RequestError: the model has no such target, is an encoder, or cannot be explained without torch; the time limit
                is exceeded; or the client disconnected.
        """
        until = time.monotonic() + seconds

        def require_time() -> None:
            if gone is not None and gone.is_set():
                raise RequestError(499, Problem("request", "client", "disconnected", "Wait for the response"))
            if time.monotonic() > until:
                what = f"needs more than {seconds:g} s of the model"
                raise RequestError(422, Problem("recording", "time", what, "Try again later, or raise --model-seconds"))

        decision = self.decision
        if self.method is None:
            remedy = f"On the machine of the service, run: {install_line('torch')}"
            raise RequestError(404, Problem("service", "attribution", "needs torch, which is not installed", remedy))
        import torch

        from ecgssl.model.classifier import Classifier
        from ecgssl.report.attribution import attribute, in_windows, share_by_lead
        from ecgssl.signal.normalise import normalise

        model = self.bundle.model
        if target not in decision.names or not isinstance(model, Classifier):
            problem = Problem(
                "request", "target", "is not a target of the model", f"Use one of {', '.join(decision.names)}"
            )
            raise RequestError(422, problem)
        spec = self.bundle.spec
        signal = read.prepared.digital[:1] * np.float32(self.bundle.lsb)
        mask = read.prepared.lead_mask[:1]
        present, recorded = torch.from_numpy(mask), torch.from_numpy(read.prepared.recorded[:1])
        x = normalise(torch.from_numpy(signal), present, spec.normalise, recorded)
        found = attribute(model, x, present, target, method=self.method, before_pass=require_time, recorded=recorded)
        title, relevance = "Input of the model", in_windows(found.values[0], spec.sampling_rate)
        if self.method == "integrated_gradients":
            title += f", with attributions for and against {target}"
        else:
            # draw attention above the median only, because every part of a recording receives some attention
            title += ", with attention above its median"
            seen = relevance[mask[0], : int(recorded[0])]
            relevance = np.maximum(relevance - np.median(seen), 0)
        require_time()
        signal[..., int(recorded[0]) :] = np.nan
        figure = draw_12_lead(
            signal[0], spec.sampling_rate, spec.leads, mask[0],
            title=title, filters=filter_text(spec.clean), relevance=relevance, narrow=narrow,
        )  # fmt: skip
        shares = dict(zip(spec.leads, share_by_lead(found.values)[0].tolist(), strict=True))
        return self.about(read) | {
            "target": target,
            "method": self.method,
            "drawing": _uri(png_bytes(figure)),
            "shares": shares,
            "in_words": _summary(shares, target, self.method),
        }


def _seconds_of_a_pass(bundle: Bundle) -> float:
    """Return the CPU time in s of a pass of the torch model, divided by the number of threads. The model is loaded here."""
    import torch

    leads, samples = len(bundle.spec.leads), bundle.spec.samples
    device = next(bundle.model.parameters()).device
    x, present = torch.zeros(1, leads, samples, device=device), torch.ones(1, leads, dtype=torch.bool, device=device)
    with torch.inference_mode():
        bundle.model(x, present)
        # measure CPU time, because it does not depend on other programs on the machine
        start = time.process_time()
        bundle.model(x, present).cpu()
        return (time.process_time() - start) / torch.get_num_threads()


def _finding(code: str, lead: str, value: str) -> FindingOut:
    number = float(value)
    return FindingOut(
        code=code,
        meaning=REASON_TEXTS.get(code, code),
        lead=lead or None,
        value=number if np.isfinite(number) else None,
    )


def _summary(shares: dict[str, float], target: str, method: Method) -> str:
    ordered = sorted(shares, key=lambda lead: -shares[lead])
    count = next(
        (n for n in range(1, len(ordered)) if sum(shares[lead] for lead in ordered[:n]) >= _SHOWN), len(ordered)
    )
    listed = ", ".join(f"{lead} ({shares[lead]:.0%})" for lead in ordered[:count])
    if method == "rollout":
        return (
            f"Most attention is on {listed}. Attention shows where the model looked; it is not evidence for {target}."
        )
    return (
        f"Largest attributions for {target}, for or against: {listed}. They show what the model used, "
        "not whether the finding is present."
    )


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
