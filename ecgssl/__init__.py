"""Self-supervised representation learning for the 12-lead ECG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecgssl.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from ecgssl.scoring.api import Predictor

__all__ = ["__version__", "load"]


def load(path: Path | str) -> Predictor:
    """Load a bundle to score recordings in memory. Example: ``load(path).predict(signal, sampling_rate, leads)``.

    Args:
        path: folder of a bundle written by ``ecgssl export``.

    Raises:
        InputError: a file of the bundle is missing, altered, invalid or not listed in ``SHA256SUMS``.
    """
    # import here, because importing the libraries takes about a second
    from ecgssl.scoring.api import Predictor

    return Predictor(path)
