"""Self-supervised representation learning for the 12-lead ECG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecgssl.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from ecgssl.scoring.api import Predictor

__all__ = ["__version__", "load"]


def load(path: Path | str, *, require_signature: Path | str | None = None) -> Predictor:
    """Load a model to score recordings in memory. Example: ``load("ptbxl-tiny").embed(signal, sampling_rate, leads)``.

    Args:
        path: name of a shipped model (``ecgssl encoders``), or folder of a bundle written by ``ecgssl export``. A text
            without a path separator that is the name of a shipped model is this model; write ``./NAME`` for a local folder.
        require_signature: file of a public key, which must have signed the bundle (``ecgssl sign``); ``None`` to check no
            signature.

    Raises:
        InputError: no model has this name, a file of the bundle is missing, altered, invalid or not listed in
            ``SHA256SUMS``, or the required signature is missing or invalid.
    """
    # import here, because importing the libraries takes about a second
    from ecgssl.scoring.api import Predictor

    return Predictor(path, require_signature=require_signature)
