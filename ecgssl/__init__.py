"""Self-supervised representation learning for the 12-lead ECG.

The names in ``__all__`` are the public Python interface (``docs/python-api.md``). They are imported on first use, because
torch, pandas and scikit-learn take seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

from ecgssl.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from ecgssl.io import read
    from ecgssl.io.recording import Recording
    from ecgssl.scoring.api import Predictor
    from ecgssl.scoring.dataset import RecordingDataset
    from ecgssl.scoring.embedder import Embedder
    from ecgssl.scoring.pretrained_encoder import encoder
    from ecgssl.signal.leads import LEADS
    from ecgssl.signal.quality_params import QualityParams
    from ecgssl.signal.spec import SignalSpec
    from ecgssl.stages.evaluate import evaluate_predictions as evaluate
    from ecgssl.stages.finetune_and_evaluate import finetune_and_evaluate as finetune
    from ecgssl.stages.preprocess import preprocess_set as preprocess
    from ecgssl.stages.pretrain import pretrain_encoder as pretrain

__all__ = [
    "LEADS",
    "Embedder",
    "Predictor",
    "QualityParams",
    "Recording",
    "RecordingDataset",
    "SignalSpec",
    "__version__",
    "encoder",
    "evaluate",
    "finetune",
    "load",
    "preprocess",
    "pretrain",
    "read",
]

_LAZY = {
    "LEADS": "signal.leads:LEADS",
    "Embedder": "scoring.embedder:Embedder",
    "Predictor": "scoring.api:Predictor",
    "QualityParams": "signal.quality_params:QualityParams",
    "Recording": "io.recording:Recording",
    "RecordingDataset": "scoring.dataset:RecordingDataset",
    "SignalSpec": "signal.spec:SignalSpec",
    "encoder": "scoring.pretrained_encoder:encoder",
    "evaluate": "stages.evaluate:evaluate_predictions",
    "finetune": "stages.finetune_and_evaluate:finetune_and_evaluate",
    "preprocess": "stages.preprocess:preprocess_set",
    "pretrain": "stages.pretrain:pretrain_encoder",
    "read": "io:read",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'ecgssl' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(f"ecgssl.{module}"), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load(
    path: Path | str,
    *,
    engine: Literal["auto", "torch", "onnxruntime"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "cpu",
    require_signature: Path | str | None = None,
) -> Predictor:
    """Load a model to score or embed recordings.

    Args:
        path: name of a shipped model (``ecgssl encoders``), or folder of a bundle written by ``ecgssl export``. A text
            without a path separator that is the name of a shipped model is this model; write ``./NAME`` for a local folder.
        engine: library that runs the model. ``auto`` uses onnxruntime on a CPU, where it loads in a fraction of the time,
            because torch is not imported, and torch on a GPU. It also uses torch if the bundle has no ONNX file. The results
            of the two differ by rounding errors (at most ``export.tolerance``, by default 1e-4).
        device: ``cpu``, ``cuda``, or ``auto`` to use a GPU if there is one.
        require_signature: file of a public key, which must have signed the bundle (``ecgssl sign``); ``None`` to check no
            signature.

    Raises:
        InputError: no model has this name, a file of the bundle is missing, altered, invalid or not listed in
            ``SHA256SUMS``, the required signature is missing or invalid, or the device is not available.

    Example:
        >>> import ecgssl
        >>> model = ecgssl.load("ptbxl-superclass")
        >>> scores = model.predict("ecg.hea").scores
        >>> embedding = model.embed("ecg.hea")
    """
    # import here, because importing the libraries takes about a second
    from ecgssl.scoring.api import Predictor

    return Predictor(path, engine=engine, device=device, require_signature=require_signature)
