"""Checksum file ``SHA256SUMS`` of a folder, in the format of ``sha256sum``."""

from __future__ import annotations

import re
from pathlib import Path

from ecgssl.errors import InputError, Problem
from ecgssl.files import require_regular, sha256_of, write_atomic

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")
_REMEDY = "Copy the complete bundle again, or make it again with 'ecgssl export'"


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every other file in ``folder`` to its file ``SHA256SUMS``."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    write_atomic(folder / SUMS, "".join(f"{sha256_of(path)}  {path.name}\n" for path in files))


def verify_sums(folder: Path) -> str:
    """Check that ``folder`` contains exactly the files listed in ``SHA256SUMS``, and that all are unchanged.

    Returns:
        SHA-256 of ``SHA256SUMS`` in hexadecimal; it identifies the content of the folder.

    Raises:
        InputError: ``SHA256SUMS`` is missing or unreadable, or files are missing, altered or not in the list. The error
            names all such files.
    """
    sums = folder / SUMS
    require_regular(sums)
    try:
        lines = sums.read_text().splitlines()
    except FileNotFoundError:
        what = "does not exist, so the folder is not a bundle" if folder.is_dir() else "does not exist"
        where, remedy = sums if folder.is_dir() else folder, "Use a folder made by 'ecgssl export'"
        raise InputError(Problem(str(where), "file", what, remedy)) from None
    except (OSError, UnicodeDecodeError):
        raise InputError(Problem(str(sums), "content", "cannot be read as a list of checksums", _REMEDY)) from None
    listed: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if match := _LINE.fullmatch(line):
            listed[match[2]] = match[1]
        else:
            problems.append(Problem(str(sums), f"line {number}", "does not have the form 'SHA-256  name'", _REMEDY))
    for name, digest in sorted(listed.items()):
        path = folder / name
        if not path.is_file():
            problems.append(Problem(str(path), "file", f"is missing; {SUMS} lists it", _REMEDY))
        elif sha256_of(path) != digest:
            problems.append(
                Problem(str(path), "content", f"does not match {SUMS}; the file was altered or truncated", _REMEDY)
            )
    for path in sorted(folder.iterdir()):
        if path.name not in listed and path.name != SUMS:
            problems.append(Problem(str(path), "file", f"is not listed in {SUMS}", "Remove the file"))
    if problems:
        raise InputError(problems)
    return sha256_of(sums)
