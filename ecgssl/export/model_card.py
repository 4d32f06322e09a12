"""Model card of a bundle (``README.md``): model, input, training and intended use."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from ecgssl.config import ExportParams
from ecgssl.evaluation.calibration.decision_text import calibration_text, has_calibrator, threshold_text
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.torch_program import PROGRAM
from ecgssl.export.write_graphs import RAW_NAME, WrittenGraphs
from ecgssl.leakage.identities import FILE
from ecgssl.leakage.overlap import in_words
from ecgssl.model.classifier import Classifier
from ecgssl.signal.normalise import USUAL_VOLTAGE
from ecgssl.signal.spec import SignalSpec
from ecgssl.training.origin import SYNTHETIC_ONLY, data_text, is_synthetic_only, origins, plain_text, started_from

_HARMLESS = re.compile(r"[\w ,.:;/+%()=-]*")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")
_TEMPLATE = """\
---
library_name: ecgssl
tags: [ecg, electrocardiogram, onnx, safetensors]
---

# {title}

{what}

**Intended use: research only.** This is not a medical device. It has not been validated for any clinical decision, and
its metrics are valid for recordings like those it was trained and tested on. Before use at another site, evaluate it on
recordings of that site. {calibrated}

## Input: preprocessing settings

{contract}

Fingerprint `{fingerprint}`. `ecgssl` preprocesses raw recordings with these settings and rejects recordings that violate them.

## Training

{training}

## Use

```python
import ecgssl

model = ecgssl.load("path/to/this/folder")
model.embed(signal, sampling_rate=500, leads=["I", "II", ...])    # raw recording in mV, (leads, samples)
{predict}```
{thresholds}
{graphs}

Each graph takes `ecg`, float32 in mV, and `lead_mask`, bool (batch, {leads}), and returns {outputs}. A raw graph also returns
`signal`, the preprocessed input of the model. Graphs do not check signal quality. During export, onnxruntime and the Python
pipeline agreed within {tolerance:g} for batches of 1, 2 and 7, with all leads and with fewer. Samples halfway between two
rounding steps of the signal are excluded.{int8}

## Files

`SHA256SUMS` lists all files (`sha256sum -c SHA256SUMS`). When the bundle is loaded, `ecgssl`
verifies them and checks that the model reproduces the outputs in `reference.npz`. Weights are in safetensors format, and
`ecgssl` never unpickles a file.{program}
"""

_SCORES = {
    "multilabel": "Independent probabilities of {names} from a 12-lead ECG",
    "multiclass": "Probabilities of the exclusive classes {names} from a 12-lead ECG",
    "regression": "Values of {names} from a 12-lead ECG, in the units of the training data",
}
_PROGRAM = """ `model.pt2` is for libtorch. `torch.export.load` unpickles part of such a
file, so load it only from a source that you trust."""


def model_card(graph: ContractModule, params: ExportParams, about: Mapping[str, Any], made: WrittenGraphs) -> str:
    """Return the text of the model card.

    Args:
        graph: deployed model.
        params: export parameters.
        about: content of ``config.json`` of the model. The card shows, if present: ``task``, ``mode``, ``data`` (name
            of the data set, or a mapping with its name and counts), the data of the encoder that it started from, and
            ``overlap`` (with the pretraining recordings).
            The additional key ``recordings`` is the number of waveform codes in the bundle.
        made: result of ``write_graphs``. The card lists the files, and the loss of accuracy of the 8-bit graph.
    """
    classifies = isinstance(graph.model, Classifier)
    encoder_model = graph.model.encoder if isinstance(graph.model, Classifier) else graph.model
    width, depth, heads = encoder_model.params.shape
    size = sum(p.numel() for p in graph.parameters())
    encoder = f"a vision transformer over patches of leads and time (width {width}, depth {depth}, {heads} heads)"
    if isinstance(graph.model, Classifier):
        names = ", ".join(map(markdown_name, graph.model.targets))
        head = "an attentive head" if graph.model.query_count else "a linear head"
        head = "a linear head and a network with one hidden layer" if graph.model.hidden_units else head
        what = f"{_SCORES[graph.model.kind].format(names=names)}: {encoder} with {head}, {size:,} parameters."
    else:
        what = f"Embeddings of 12-lead ECGs: {encoder}, {size:,} parameters."
    facts = {
        name: markdown_text(plain_text(value)) if (value := about.get(key)) else None
        for name, key in (("Task", "task"), ("Training", "mode"))
    }
    if data := about.get("data"):
        facts["Data"] = markdown_text(data_text(data))
    facts |= {name: markdown_text(said) for name, said in origins(about)}
    if is_synthetic_only(started_from(about)):
        facts["Warning"] = SYNTHETIC_ONLY
    if overlap := about.get("overlap"):
        facts["Overlap with pretraining"] = in_words(overlap)
    if count := about.get("recordings"):
        facts["Recordings"] = (
            f"`{FILE}` contains waveform codes of {count:,}, for `ecgssl overlap` and `ecgssl finetune`"
        )
    training = [f"- {name}: {plain_text(value)}" for name, value in facts.items() if value]
    spec, shortest = graph.spec, graph.shortest / graph.spec.sampling_rate
    return _TEMPLATE.format(
        title="ECG classifier" if classifies else "ECG encoder",
        what=what,
        contract=_contract(spec, shortest),
        fingerprint=spec.fingerprint,
        calibrated=_calibrated(graph),
        training="\n".join(training) or "Not recorded.",
        predict="model.predict(signal, sampling_rate=500, leads=[...])             # scores and calls by target\n"
        if classifies
        else "",
        thresholds=_thresholds(graph),
        graphs="\n".join(_inputs(name, spec, shortest) for name in made.size if name.endswith(".onnx")),
        leads=len(spec.leads),
        outputs=", ".join(f"`{name}`" for name in graph.outputs),
        tolerance=params.tolerance,
        int8=_int8(made),
        program=_PROGRAM if PROGRAM in made.size else "",
    )


def _inputs(name: str, spec: SignalSpec, shortest: float) -> str:
    leads = len(spec.leads)
    if match := RAW_NAME.search(name):
        length = f"at {match[1]} Hz, of {shortest:g} s or more"
        return f"- `{name}`: `ecg` (batch, {leads}, samples) {length}, raw."
    batch = 1 if ".int8." in name else "batch"
    return f"- `{name}`: `ecg` ({batch}, {leads}, {spec.samples}), preprocessed as above, not normalised."


def _int8(made: WrittenGraphs) -> str:
    if not made.int8:
        return ""
    f = made.int8
    text = (
        " The 8-bit graph takes one recording at a time and is less accurate: its {metric} on {recordings} validation "
    )
    text += "recordings is {int8:.4f} instead of {float:.4f}; scores differ by up to {largest_difference:.2g}."
    return text.format(**f)


def _calibrated(graph: ContractModule) -> str:
    """Return the sentence of the model card that states whether the outputs are calibrated."""
    if not isinstance(graph.model, Classifier):
        return "It has no outputs other than embeddings."
    outputs = "Values" if graph.model.kind == "regression" else "Probabilities"
    if graph.decision is None or not has_calibrator(graph.decision):
        return f"{outputs} are not calibrated."
    return f"{outputs} are not calibrated for the prevalence of another population."


def _thresholds(graph: ContractModule) -> str:
    """Return the calibration methods as text and the thresholds as a Markdown table; empty for an encoder."""
    if graph.decision is None:
        return ""
    rows = [
        f"| {markdown_name(label.name)} | {name} | {cut.value:.4f} | {cut.sensitivity:.3f} | {cut.specificity:.3f} |"
        for label in graph.decision.labels
        for name, cut in label.thresholds.items()
        if cut.value is not None
    ]
    calibration = f"\nCalibration: {calibration_text(graph.decision)}.\n"
    if graph.decision.kind == "regression":
        return calibration
    chosen = f"Thresholds: {threshold_text(graph.decision)}."
    if not rows:
        return f"{calibration}\n{chosen}\n"
    head = "| target | threshold | probability from | sensitivity | specificity |\n|---|---|---|---|---|\n"
    note = "Sensitivity and specificity are those on the recordings on which the thresholds were chosen."
    return f"{calibration}\n{chosen} {note}\n\n{head}" + "\n".join(rows) + "\n"


def _contract(spec: SignalSpec, shortest: float) -> str:
    """Return the preprocessing settings as a Markdown list; ``shortest`` is the shortest accepted duration in s."""
    low, high = spec.clean.band
    clean = f"band-pass {low:g} to {high:g} Hz, zero phase" if spec.clean.method == "fir" else f"`{spec.clean.method}`"
    mains = f", notch at {spec.clean.mains} Hz" if spec.clean.mains else ""
    scale = {
        "recording": "one root mean square for the whole recording, which keeps the voltage ratios between leads",
        "lead": "the root mean square of each lead",
        "fixed": f"{USUAL_VOLTAGE:g} mV for all recordings, so that the model receives the voltages themselves",
        "none": "none, values in mV",
    }[spec.normalise.method]
    absent = "are marked in the lead mask" if spec.missing_leads == "mask" else "are rejected"
    short = f"Recordings shorter than {shortest:g} s are rejected."
    if shortest < spec.duration:
        short += f" In recordings shorter than {spec.duration:g} s, the missing end is marked as not recorded."
    return "\n".join(
        [
            f"- Leads, in this order: {', '.join(spec.leads)}; absent ones {absent}.",
            f"- {spec.duration:g} s at {spec.sampling_rate:g} Hz ({spec.samples} samples), in mV. {short} "
            f"The {'first' if spec.crop == 'start' else 'middle'} part of longer ones is kept.",
            f"- Cleaning of the whole recording: {clean}{mains}, resampled.",
            f"- Amplitude scale: {scale}.",
        ]
    )


def markdown_text(text: str) -> str:
    """Escape Markdown and HTML in a text and return it in one line. Names of tables and targets may contain markup."""
    if _HARMLESS.fullmatch(text):
        return text
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def markdown_name(name: str) -> str:
    """Return a name as Markdown code, or as escaped text if it contains characters that could end the code or a cell."""
    return f"`{name}`" if _HARMLESS.fullmatch(name) else markdown_text(name)
