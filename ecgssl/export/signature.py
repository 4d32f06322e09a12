"""Detached Ed25519 signatures (RFC 8032) of the checksum file of a bundle, and files of keys.

Checksums show damage. A signature shows who made the bundle: only the holder of the private key can make one, and it is
valid only for this ``SHA256SUMS``, which covers every other file. Keys are PEM files and the signature has 64 bytes, so
``openssl`` can verify it as well (``docs/deployment.md``).
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ecgssl.errors import InputError, Problem, cannot_write, require
from ecgssl.files import make_folder, require_regular, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "SHA256SUMS.sig"
PUBLIC_SUFFIX = ".pub"
_SIGNATURE_BYTES = 64
_MOST_KEY_BYTES = 16 << 10
_NEW_KEY = "Make a key with 'ecgssl sign --new-key FILE'"
_SIGN_AGAIN = "Get the bundle from its author again, or use the public key of its author"


def write_new_key(path: Path) -> Path:
    """Make a key pair. Write the private key to ``path``, readable only by its owner, and the public key next to it.

    Args:
        path: file of the private key; it must not exist. The public key gets the name with the suffix ``.pub``.

    Returns:
        Path of the public key.

    Raises:
        InputError: a file exists or cannot be written, or the extra ``sign`` is not installed.
    """
    require("ecgssl sign", "cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    public = path.with_name(path.name + PUBLIC_SUFFIX)
    problems = [
        Problem(str(one), "key", "exists, and a key is never replaced", "Use another file name")
        for one in (path, public)
        if os.path.lexists(one)
    ]
    if problems:
        raise InputError(problems)
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    make_folder(path.parent)
    try:
        # set the mode when the file is created, so that no other user can open it in between
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from None
    return write_atomic(public, _public_pem(key.public_key()))


def sign(content: bytes, key_file: Path) -> tuple[bytes, str]:
    """Sign the content of a checksum file.

    Args:
        content: bytes of ``SHA256SUMS``.
        key_file: private key, made by ``write_new_key`` or ``openssl genpkey -algorithm ed25519``.

    Returns:
        Signature (64 bytes) and identifier of the key, see ``key_identifier``.

    Raises:
        InputError: the key cannot be used, other users can read it, or the extra ``sign`` is not installed.
    """
    key = _private_key(key_file)
    return key.sign(content), key_identifier(key.public_key())


def verify(content: bytes, signature_file: Path, key_file: Path) -> None:
    """Check a signature.

    Args:
        content: bytes of ``SHA256SUMS``.
        signature_file: file with the signature.
        key_file: public key.

    Raises:
        InputError: the signature is missing, or is not a signature of this content by this key, or the key cannot be
            used.
    """
    key = _public_key(key_file)
    from cryptography.exceptions import InvalidSignature

    require_regular(signature_file)
    try:
        with signature_file.open("rb") as file:
            signature = file.read(_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        what = "is missing, so the bundle is not signed"
        remedy = "Sign it with 'ecgssl sign', or get a signed bundle from its author"
        raise InputError(Problem(str(signature_file), "signature", what, remedy)) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise InputError(Problem(str(signature_file), "signature", what, _SIGN_AGAIN)) from None
    try:
        key.verify(signature, content)
    except (InvalidSignature, ValueError):
        what = (
            f"was not made by the key {key_identifier(key)} ({key_file.name}) for this SHA256SUMS: the bundle was "
            "altered or signed with another key"
        )
        raise InputError(Problem(str(signature_file), "signature", what, _SIGN_AGAIN)) from None


def key_identifier(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of a public key, for messages."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _public_key(path: Path) -> Ed25519PublicKey:
    require("--require-signature", "cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _key_bytes(path, f"Use the file with the suffix {PUBLIC_SUFFIX} that 'ecgssl sign --new-key' wrote")
    if b"PRIVATE KEY" in content:
        what = "is a private key; it must stay with its owner"
        raise InputError(Problem(str(path), "public key", what, f"Use the public key, {path.name}{PUBLIC_SUFFIX}"))
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(Problem(str(path), "public key", "is not an Ed25519 public key in PEM format", _NEW_KEY))
    return key


def _private_key(path: Path) -> Ed25519PrivateKey:
    require("ecgssl sign", "cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _key_bytes(path, _NEW_KEY)
    mode = stat.S_IMODE(path.stat().st_mode)
    # Windows has no such mode
    if os.name != "nt" and mode & 0o077:
        what = f"can be used by other users of this machine (mode {mode:04o})"
        raise InputError(Problem(str(path), "private key", what, f"Run: chmod 600 {path}"))
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        what = "is encrypted with a password, which is not supported"
        raise InputError(Problem(str(path), "private key", what, "Decrypt it with 'openssl pkey'")) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _no_private_key(path) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_private_key(path)
    return key


def _no_private_key(path: Path) -> InputError:
    return InputError(Problem(str(path), "private key", "is not an Ed25519 private key in PEM format", _NEW_KEY))


def _key_bytes(path: Path, remedy: str) -> bytes:
    require_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_KEY_BYTES + 1)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "key", "does not exist", remedy)) from None
    except OSError as error:
        raise InputError(Problem(str(path), "key", f"cannot be read ({error.strerror})", remedy)) from None
    if len(content) > _MOST_KEY_BYTES:
        raise InputError(Problem(str(path), "key", "is too large for a key", remedy))
    return content


def _public_pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
