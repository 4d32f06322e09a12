"""Names of the shipped models, and the folder of a model that is given by name or by path."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgssl.errors import InputError, Problem

if TYPE_CHECKING:
    from ecgssl.encoders.card import Card

FOLDER = Path(__file__).parent
"""Folder of the package with one subfolder per shipped model."""
CARD = "card.json"
"""Name of the card in the folder of a shipped model."""
_SUMS = "SHA256SUMS"
_SEPARATORS = ("/", "\\")


@dataclass(frozen=True)
class Shipped:
    """Shipped model.

    Args:
        card: content of ``card.json``.
        path: folder of the bundle.
        size: size of all its files in bytes.
        checksum: SHA-256 (hex) of its file ``SHA256SUMS``, which identifies the content of all files.
    """

    card: Card
    path: Path
    size: int
    checksum: str

    def row(self) -> dict[str, Any]:
        """Return the entry of ``ecgssl encoders --json``."""
        card = self.card
        return {
            "name": card.name,
            "kind": card.kind,
            "summary": card.summary,
            "parameters": card.parameters,
            "bytes": self.size,
            "data": [entry.model_dump(mode="json") for entry in card.data],
            "licence": card.licence,
            "targets": list(card.targets),
            "sha256": self.checksum,
        }


def shipped_names() -> tuple[str, ...]:
    """Return the names of all shipped models in alphabetical order."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"[!.]*/{CARD}")))


def shipped_models() -> tuple[Shipped, ...]:
    """Return all shipped models in alphabetical order.

    Raises:
        InputError: a card or the checksums of a model are missing or invalid.
    """
    return tuple(shipped_model(name) for name in shipped_names())


def shipped_model(name: str) -> Shipped:
    """Return the shipped model with this name.

    Raises:
        InputError: no such model is shipped, or its files are missing or invalid.
    """
    # import here, because a model is loaded by its name without its card
    from ecgssl.encoders.card import read_card

    if name not in shipped_names():
        what = "is not the name of a shipped model"
        raise InputError(Problem("ecgssl encoders", name, what, _choice()))
    folder = FOLDER / name
    try:
        sums = (folder / _SUMS).read_bytes()
    except OSError:
        what, remedy = f"has no readable {_SUMS}", "Install ecgssl again"
        raise InputError(Problem(str(folder), "file", what, remedy)) from None
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Shipped(read_card(folder), folder, size, hashlib.sha256(sums).hexdigest())


def model_folder(model: Path | str, where: str = "model") -> Path:
    """Return the folder of a model that is given by the name of a shipped model or by a path.

    A text without a path separator that is the name of a shipped model is this model. Everything else is a path. A local
    folder with the name of a shipped model is therefore written ``./NAME``, or given as a ``Path``.

    Args:
        model: name or path as text, or a ``Path``, which is never a name.
        where: command, function or parameter that takes the model, for the error message.

    Raises:
        InputError: the text has no path separator, and neither a shipped model nor a local folder has this name, or ``model``
            is neither a text nor a path.
    """
    if not isinstance(model, str | os.PathLike):
        what = f"is of type {type(model).__name__}, not a name or path"
        raise InputError(Problem(where, "name", what, _choice()))
    if not isinstance(model, str) or any(separator in model for separator in _SEPARATORS):
        return Path(model)
    if model in shipped_names():
        return FOLDER / model
    if not model or not Path(model).exists():
        what = "is neither the name of a shipped model nor a folder"
        raise InputError(Problem(where, model or "(empty)", what, _choice()))
    return Path(model)


def _choice() -> str:
    names = ", ".join(shipped_names())
    return f"Use one of: {names}" if names else "This release ships no model: use the folder of an encoder or bundle"
