"""The ``README.md`` of a bundle: what the model is, what it takes, what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecgssl.config import ExportParams
from ecgssl.deploy.graph import ContractModel
from ecgssl.model.classifier import Classifier
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.identities import FILE
from ecgssl.store.overlap import in_words

_TEMPLATE = """\
# {title}

{what}

**Intended use: research only.** This is not a medical device. It has not been validated for any clinical decision, and
its figures hold for recordings like those it was trained and tested on. Before use elsewhere, evaluate it on recordings
from there. Probabilities are not calibrated for another population's prevalence.

## Input: the signal contract

{contract}

Fingerprint `{fingerprint}`. `ecgssl` makes such input from raw recordings and refuses what breaks the contract.

## Training

{training}

## Use

```python
import ecgssl

model = ecgssl.load("path/to/this/folder")
model.embed(signal, sampling_rate=500, leads=["I", "II", ...])    # raw recording in mV, (leads, samples)
{predict}```

`{onnx}` (ONNX opset {opset}) takes `ecg`, float32 (batch, {leads}, {samples}), in mV, cleaned and cropped as above but not
normalised (that is inside), and `lead_mask`, bool (batch, {leads}). It returns {outputs}. When it was made, onnxruntime and
torch agreed to {tolerance:g} at batch 1, 2 and 7, with twelve leads and fewer.

## Files

`SHA256SUMS` lists all files (`sha256sum -c SHA256SUMS`); loading verifies it, and computes `reference.npz` again.
Nothing here is a pickle.
"""


def model_card(graph: ContractModel, params: ExportParams, about: Mapping[str, Any], onnx_name: str) -> str:
    """Write the card.

    Args:
        graph: the model.
        params: of the export.
        about: ``config.json`` of the model. Shown where present: ``task``, ``mode``, ``data`` (the set's name, or a
            mapping of plain values such as name and counts), ``overlap`` (with the recordings of pretraining), and
            ``recordings`` (how many the bundle holds codes of).
        onnx_name: file name of the graph.
    """
    targets = about.get("targets")
    encoder_model = graph.model.encoder if isinstance(graph.model, Classifier) else graph.model
    width, depth, heads = encoder_model.params.shape
    size = sum(p.numel() for p in graph.parameters())
    encoder = f"a vision transformer over patches of leads and time (width {width}, depth {depth}, {heads} heads)"
    if targets:
        what = f"Probabilities of {', '.join(f'`{name}`' for name in targets)} from a 12-lead ECG, each by itself: {encoder} "
        what += f"with a linear head, {size:,} parameters."
    else:
        what = f"Embeddings of 12-lead ECGs: {encoder}, {size:,} parameters."
    facts = {"Task": about.get("task"), "Training": about.get("mode"), "Data": about.get("data")}
    if overlap := about.get("overlap"):
        facts["Overlap with pretraining"] = in_words(overlap)
    if count := about.get("recordings"):
        facts["Recordings"] = f"`{FILE}` holds waveform codes of {count:,}, for `ecgssl overlap` and `ecgssl finetune`"
    training = [f"- {name}: {_plain(value)}" for name, value in facts.items() if value]
    return _TEMPLATE.format(
        title="ECG classifier" if targets else "ECG encoder",
        what=what,
        contract=_contract(graph.spec),
        fingerprint=graph.spec.fingerprint,
        training="\n".join(training) or "Not stated.",
        predict="model.predict(signal, sampling_rate=500, leads=[...])             # probability by target\n"
        if targets
        else "",
        onnx=onnx_name,
        opset=params.opset,
        leads=len(graph.spec.leads),
        samples=graph.spec.samples,
        outputs=", ".join(f"`{name}`" for name in graph.outputs),
        tolerance=params.tolerance,
    )


def _contract(spec: SignalSpec) -> str:
    low, high = spec.clean.band
    clean = f"band-pass {low:g} to {high:g} Hz, zero phase" if spec.clean.method == "fir" else f"`{spec.clean.method}`"
    mains = f", notch at {spec.clean.mains} Hz" if spec.clean.mains else ""
    scale = {
        "recording": "one root mean square for the whole recording, so voltage ratios between leads survive",
        "lead": "the root mean square of each lead by itself",
        "none": "none, mV as they are",
    }[spec.normalise.method]
    absent = "travel in the lead mask" if spec.missing_leads == "mask" else "are refused"
    return "\n".join(
        [
            f"- Leads, in this order: {', '.join(spec.leads)}; absent ones {absent}.",
            f"- {spec.duration:g} s at {spec.sampling_rate:g} Hz ({spec.samples} samples), in mV; shorter recordings are "
            f"refused, of longer ones the {'first' if spec.crop == 'start' else 'middle'} part is kept.",
            f"- Cleaning of the whole recording: {clean}{mains}, resampled.",
            f"- Amplitude scale: {scale}.",
        ]
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_plain(item) for item in value)
    return str(value)
