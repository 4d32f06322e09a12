"""Keyed hashes of patient ids, used to group the recordings of a patient without storing the id."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular

KEY_BYTES = 32


def load_or_make_key(path: Path | str) -> bytes:
    """Load the secret key for hashing patient ids. Create a random key if the file does not exist.

    Args:
        path: file with the key in hex. Do not distribute it with a store, because patient ids can be guessed with the
            key.

    Raises:
        InputError: the file cannot be read or created, or does not contain a valid key.
    """
    path = Path(path)
    require_regular(path)
    try:
        if not path.exists():
            _create(path)
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise InputError(
            Problem(
                str(path), "patient key", f"cannot be read or created ({error.strerror})", "Set sets.NAME.patient_key"
            )
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
                "Restore the file. With another key, patients cannot be compared with earlier stores",
            )
        )
    return key


def patient_hash(key: bytes, patient_id: str) -> str:
    """Return a keyed hash of a patient id: the first 16 hex digits of its HMAC-SHA256."""
    return hmac.new(key, patient_id.encode(), hashlib.sha256).hexdigest()[:16]


def numbering_check(key: bytes, numbering: str) -> str:
    """Return an identifier (16 hex digits) of the hash key and the source of the patient ids.

    Patient hashes can be compared only if their identifiers are equal, because patient 17 of one data set is not
    patient 17 of another data set.

    Args:
        key: secret key for patient ids.
        numbering: name of the public data set that defines the patient ids; empty for a local cohort.
    """
    # patient ids never start with a NUL character, so this hash differs from all patient hashes
    return hmac.new(key, b"\0numbering of " + numbering.encode(), hashlib.sha256).hexdigest()[:16]


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates a file that only the owner can read; link fails if another process has created the key first
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
