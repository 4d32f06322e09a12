"""Resumable download of a single file with checksum verification."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from ecgssl.datasets.download.release_files import RemoteFile, is_inside
from ecgssl.datasets.download.session import BLOCK, Refused, ReleaseSession

PART = ".part"
_ATTEMPTS = 2
"""Number of times that a file is downloaded completely before a wrong checksum is an error."""
_RATIO = 200
"""Maximum compression ratio of a zip member, as protection against zip bombs. Recordings have a ratio of about 3."""


def fetch(
    session: ReleaseSession, remote: RemoteFile, target: Path, advance: Callable[[int], None], stop: threading.Event
) -> None:
    """Download a file, and replace ``target`` only after the checksum was verified.

    A partial file of an earlier run is resumed. If the checksum is wrong, the file is deleted and downloaded once more.

    Args:
        session: HTTP session.
        remote: file to download.
        target: local path of the file.
        advance: function called with the number of bytes received (negative if received bytes are discarded).
        stop: event that stops the download; the partial file is kept.

    Raises:
        Refused: the file cannot be downloaded, its checksum is wrong twice, or ``stop`` is set.
        OSError: the file cannot be written, for example because the disk is full.
    """
    part = target.with_name(target.name + PART)
    target.parent.mkdir(parents=True, exist_ok=True)

    def size() -> int:
        return part.stat().st_size if part.exists() else 0

    def receive() -> None:
        start = size()
        if remote.size is None or start < remote.size or start == 0:
            _receive(session, remote, part, start, advance, stop)

    for _ in range(_ATTEMPTS):
        session.resuming(remote.url, receive, size)
        if digest_of(part, remote.algorithm) == remote.digest:
            part.replace(target)
            return
        advance(-size())
        part.unlink()
    raise Refused(f"its content does not match the checksum of the release ({remote.algorithm})")


def _receive(
    session: ReleaseSession,
    remote: RemoteFile,
    part: Path,
    start: int,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    with session.stream(remote.url, start) as response:
        if response.status_code == 416:
            return  # the partial file is already complete; the caller verifies its checksum
        resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        )
        if response.status_code == 206 and not resumed:
            raise Refused("the server sent a different byte range than requested")
        if start and not resumed:
            advance(-start)
        with part.open("ab" if resumed else "wb") as stream:
            for block in response.iter_content(BLOCK):
                if stop.is_set():
                    raise Refused("stopped; run the same command to continue")
                stream.write(block)
                advance(len(block))
                if remote.size is not None and stream.tell() > remote.size:
                    break  # the file is longer than listed, so its checksum will be wrong


def digest_of(path: Path, algorithm: str) -> str:
    """Compute the checksum of a file, and return it in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def unpack(archive: Path) -> None:
    """Unpack a zip file into the folder that contains it.

    Raises:
        Refused: the zip file is invalid, or a member is encrypted, is not a regular file, has a path outside the folder
            or has a compression ratio above 200.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not m.is_dir()]
            for member in members:
                linked = (member.external_attr >> 16) & 0o170000 not in (0, 0o100000)
                if not is_inside(member.filename) or linked or member.flag_bits & 1:
                    raise Refused(
                        f"{archive.name}: member {member.filename[:80]!r} is not a plain file inside the folder"
                    )
                if member.file_size > _RATIO * max(member.compress_size, 1):
                    raise Refused(f"{archive.name}: member {member.filename[:80]!r} expands more than {_RATIO} times")
            for member in members:
                target = archive.parent / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(target.name + PART)
                with opened.open(member) as source, part.open("wb") as stream:
                    # zipfile verifies the CRC of each member and reads at most the listed size
                    while block := source.read(BLOCK):
                        stream.write(block)
                part.replace(target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise Refused(f"{archive.name}: is not a valid zip file ({type(error).__name__})") from None
