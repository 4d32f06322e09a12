"""Keyed hashes of patient ids, which group the recordings of a patient without revealing the id."""

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
    """Load the secret key for patient ids, or create a random key that only its owner can read.

    Args:
        path: file with the key in hex. Keep it outside of stores, because patient ids can be guessed with the key.

    Raises:
        InputError: the file cannot be read or created, or does not contain a key.
    """
    path = Path(path)
    try:
        if not path.exists():
            _create(path)
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise InputError(
            Problem(str(path), "patient key", f"cannot be read or created ({error.strerror})", "Set data.patient_key")
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
                "Restore the file; with another key, earlier stores cannot be matched by patient",
            )
        )
    return key


def patient_hash(key: bytes, patient_id: str) -> str:
    """Return the first 16 hex digits of the HMAC-SHA256 of a patient id."""
    return hmac.new(key, patient_id.encode(), hashlib.sha256).hexdigest()[:16]


def numbering_check(key: bytes, numbering: str) -> str:
    """Return 16 hex digits that are equal only for the same key and the same numbering of patients.

    Compare patient hashes only if this value is equal: patient 17 of one data set is not patient 17 of another.

    Args:
        key: secret key for patient ids.
        numbering: name of the public data set that assigned the ids; empty for ids of a local cohort.
    """
    # no patient id begins with a NUL
    return hmac.new(key, b"\0numbering of " + numbering.encode(), hashlib.sha256).hexdigest()[:16]


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates the file with mode 0600; link fails if another process created the key first, which is then used
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
