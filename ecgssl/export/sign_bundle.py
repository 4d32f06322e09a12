"""Signing of a bundle: verify it, and write the signature of its checksum file next to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ecgssl.errors import InputError, Problem, require
from ecgssl.export.bundle import verify_bundle
from ecgssl.export.checksums import SUMS
from ecgssl.export.signature import SIGNATURE, sign, write_new_key
from ecgssl.files import write_atomic


def sign_bundle(bundle: Path | str, key_file: Path | str) -> str:
    """Verify a bundle and write its signature to ``SHA256SUMS.sig``. An existing signature is replaced.

    The other files and the version of the bundle do not change.

    Args:
        bundle: folder written by ``ecgssl.export.bundle.export_bundle``.
        key_file: private key, outside of the bundle.

    Returns:
        Identifier of the key, see ``ecgssl.export.signature.key_identifier``.

    Raises:
        InputError, ContractMismatch: the bundle cannot be loaded, the key cannot be used or lies in the bundle, or the
            extra ``sign`` is not installed.
    """
    bundle, key_file = Path(bundle), Path(key_file)
    require("ecgssl sign", "cryptography")
    _refuse_inside(key_file, bundle)
    loaded = verify_bundle(bundle)
    content = (bundle / SUMS).read_bytes()
    signature, identifier = sign(content, key_file)
    if not loaded.version.endswith(hashlib.sha256(content).hexdigest()[:16]):
        raise InputError(Problem(str(bundle / SUMS), "content", "changed during signing", "Run the command again"))
    write_atomic(bundle / SIGNATURE, signature)
    return identifier


def new_key(path: Path | str) -> Path:
    """Make a key pair outside of any bundle, see ``ecgssl.export.signature.write_new_key``."""
    path = Path(path)
    for folder in path.absolute().parents:
        if (folder / SUMS).exists():
            _refuse_inside(path, folder)
    return write_new_key(path)


def _refuse_inside(key_file: Path, bundle: Path) -> None:
    if bundle.resolve() in key_file.resolve().parents:
        what = "lies in the folder of a bundle, which is shared with others"
        raise InputError(Problem(str(key_file), "private key", what, "Use a file outside of the bundle"))
