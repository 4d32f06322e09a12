"""Figures as bytes of a PNG, PDF or SVG file, identical for identical figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ecgssl.errors import InputError, Problem

SUFFIXES = (".png", ".pdf", ".svg")
"""Suffixes of the file formats of ``figure_bytes``."""


def figure_suffix(path: Path | str) -> str:
    """Return the suffix of a figure file in lower case.

    Raises:
        InputError: the suffix is not one of ``SUFFIXES``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        what = "is not one of " + ", ".join(SUFFIXES)
        raise InputError(Problem(str(path), "suffix", what, "Use a file name with one of these suffixes"))
    return suffix


def figure_bytes(figure: Figure, suffix: str, dpi: int = 120) -> bytes:
    """Return the figure in the format of a file suffix. The bytes are identical for identical figures.

    Args:
        figure: a figure.
        suffix: one of ``SUFFIXES``, in lower case.
        dpi: pixels per inch of a PNG.

    Raises:
        ValueError: the suffix is unknown.
    """
    if suffix == ".png":
        return png_bytes(figure, dpi)
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix {suffix!r} is unknown; use one of {', '.join(SUFFIXES)}")
    from matplotlib import rc_context

    undated: dict[str, Any] = {"CreationDate": None} if suffix == ".pdf" else {"Date": None}
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "ecgssl"}):
        figure.savefig(buffer, format=suffix[1:], metadata=undated)
    return buffer.getvalue()


def png_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """Return the bytes of the figure as a PNG file, without metadata that could differ between installations."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
