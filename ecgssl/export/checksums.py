"""Checksum file ``SHA256SUMS`` of a folder, in the format of ``sha256sum``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.export.signature import SIGNATURE, verify
from ecgssl.files import require_regular, sha256_of, write_atomic

SUMS = "SHA256SUMS"
MOST_FILE_BYTES = 8 << 30
"""Largest size of a file of weights or of a graph."""
_MOST_JSON_BYTES = 64 << 20
_MOST_SUMS_BYTES = 1 << 20
_MOST_FILES = 1000
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\\x00-\x1f]{1,255})")
_REMEDY = "Copy the complete bundle again, or make it again with 'ecgssl export'"


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every other file in ``folder``, except a signature, to its file ``SHA256SUMS``."""
    files = sorted(path for path in folder.iterdir() if path.name not in (SUMS, SIGNATURE))
    write_atomic(folder / SUMS, "".join(f"{sha256_of(path)}  {path.name}\n" for path in files))


def verify_sums(folder: Path, require_signature: Path | str | None = None) -> str:
    """Check that ``folder`` contains exactly the files listed in ``SHA256SUMS``, and that all are unchanged.

    Args:
        folder: folder of a bundle. It may also contain a signature of ``SHA256SUMS``.
        require_signature: file of a public key, which must have signed ``SHA256SUMS``; ``None`` to check no signature.

    Returns:
        SHA-256 of ``SHA256SUMS`` in hexadecimal; it identifies the content of the folder.

    Raises:
        InputError: ``SHA256SUMS`` is missing or unreadable, or files are missing, altered or not in the list. The error
            names all such files.
        InputError: the required signature is missing or was made by another key or for other content.
    """
    sums = folder / SUMS
    require_regular(sums)
    try:
        if sums.stat().st_size > _MOST_SUMS_BYTES:
            what = f"is larger than {_MOST_SUMS_BYTES:,} bytes, so it is not a list of checksums"
            raise InputError(Problem(str(sums), "size", what, _REMEDY))
        content = sums.read_bytes()
        # split at line feeds only, as sha256sum does
        lines = content.decode("utf-8").removesuffix("\n").split("\n") if content else []
    except FileNotFoundError:
        what = "does not exist, so the folder is not a bundle" if folder.is_dir() else "does not exist"
        where, remedy = sums if folder.is_dir() else folder, "Use a folder made by 'ecgssl export'"
        raise InputError(Problem(str(where), "file", what, remedy)) from None
    except (OSError, UnicodeDecodeError):
        raise InputError(Problem(str(sums), "content", "cannot be read as a list of checksums", _REMEDY)) from None
    if require_signature is not None:
        verify(content, folder / SIGNATURE, Path(require_signature))
    listed: dict[str, str] = {}
    problems = []
    if len(lines) > _MOST_FILES:
        what = f"has {len(lines):,} lines; a bundle has at most {_MOST_FILES} files"
        raise InputError(Problem(str(sums), "lines", what, _REMEDY))
    for number, line in enumerate(lines, 1):
        if match := _LINE.fullmatch(line):
            if match[2] in listed:
                problems.append(Problem(str(sums), f"line {number}", "repeats the name of another line", _REMEDY))
            listed[match[2]] = match[1]
        else:
            problems.append(Problem(str(sums), f"line {number}", "does not have the form 'SHA-256  name'", _REMEDY))
    for name, digest in sorted(listed.items()):
        path = folder / name
        if not path.is_file():
            problems.append(Problem(str(path), "file", f"is missing; {SUMS} lists it", _REMEDY))
        elif (size := path.stat().st_size) > (most := most_bytes(name)):
            what = f"is {size:,} bytes; the limit for this file is {most:,}"
            problems.append(Problem(str(path), "size", what, _REMEDY))
        elif sha256_of(path) != digest:
            problems.append(
                Problem(str(path), "content", f"does not match {SUMS}; the file was altered or truncated", _REMEDY)
            )
    for path in sorted(folder.iterdir()):
        if path.name not in listed and path.name not in (SUMS, SIGNATURE):
            problems.append(Problem(str(path), "file", f"is not listed in {SUMS}", "Remove the file"))
    if problems:
        raise InputError(problems)
    return hashlib.sha256(content).hexdigest()


def most_bytes(name: str) -> int:
    """Return the largest accepted size of a file of a bundle."""
    return _MOST_JSON_BYTES if name.endswith((".json", ".md", ".npz")) else MOST_FILE_BYTES
