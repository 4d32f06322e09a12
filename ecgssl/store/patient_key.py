"""Keyed hashes of patient ids: they group recordings of one person without saying whose they are."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from ecgssl.errors import InputError, Problem

KEY_BYTES = 32


def load_or_make_key(path: Path | str) -> bytes:
    """The key that patient ids are hashed with; made at random, readable by its owner only, where there is none.

    Args:
        path: file with the key in hex. Keep it outside of stores: whoever has it can try patient ids.

    Raises:
        InputError: where the file cannot be read or written, or holds no key.
    """
    path = Path(path)
    try:
        if not path.exists():
            _make(path)
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise InputError(
            Problem(str(path), "patient key", f"cannot be read or made ({error.strerror})", "Set data.patient_key")
        ) from error
    except UnicodeDecodeError:
        text = ""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(
            Problem(
                str(path),
                "patient key",
                f"is not {KEY_BYTES} bytes in hex",
                "Restore it; with another key, stores made before cannot be matched by patient",
            )
        )
    return key


def patient_hash(key: bytes, patient_id: str) -> str:
    """HMAC-SHA256 of a patient id, its first 16 hex digits."""
    return hmac.new(key, patient_id.encode(), hashlib.sha256).hexdigest()[:16]


def numbering_check(key: bytes, numbering: str) -> str:
    """Says whose hashes can be compared: equal only under one key and for ids of one numbering, 16 hex digits.

    Args:
        key: that patient ids are hashed with.
        numbering: who gave the ids: a public set, or nobody named for those of the holder of the key. Patient 17 of one
            set is not patient 17 of another.
    """
    # no patient id begins with a NUL
    return hmac.new(key, b"\0numbering of " + numbering.encode(), hashlib.sha256).hexdigest()[:16]


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes it with mode 0600; link fails where another process was first, whose key then counts
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
