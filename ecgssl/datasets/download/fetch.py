"""One file of a release to disk: resumed where it broke off, put in place only when its checksum is right."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from ecgssl.datasets.download.polite import BLOCK, Again, Polite, Refused
from ecgssl.datasets.download.release_files import RemoteFile, is_inside

PART = ".part"
_RATIO = 200
"""A zip member may grow this much; recordings compress three times."""


def fetch(
    http: Polite, remote: RemoteFile, target: Path, advance: Callable[[int], None], stop: threading.Event
) -> None:
    """Fetch a file; what was there before stays until the new one is verified.

    A part that an earlier run left is continued. Content that does not match is fetched from the start once more.

    Args:
        http: the session.
        remote: what to fetch.
        target: where to put it.
        advance: called with the bytes received; negative where bytes had to be thrown away.
        stop: when set, the work ends with the part kept.

    Raises:
        Refused: with the reason, where it cannot be had or does not match its checksum.
        OSError: where the disk is full or refuses.
    """
    part = target.with_name(target.name + PART)
    target.parent.mkdir(parents=True, exist_ok=True)
    mismatches = 0

    def size() -> int:
        return part.stat().st_size if part.exists() else 0

    def attempt() -> None:
        nonlocal mismatches
        start = size()
        if remote.size is None or start < remote.size or start == 0:
            _receive(http, remote, part, start, advance, stop)
        if digest_of(part, remote.algorithm) == remote.digest:
            return
        advance(-size())
        part.unlink()
        mismatches += 1
        if mismatches > 1:
            raise Refused(f"its content does not match the release's checksum ({remote.algorithm})")
        raise Again("the content did not match", None)

    http.retrying(attempt, size)
    part.replace(target)


def _receive(
    http: Polite,
    remote: RemoteFile,
    part: Path,
    start: int,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    with http.stream(remote.url, start) as answer:
        if answer.status_code == 416:
            return  # nothing beyond what is there; the checksum decides
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if answer.status_code == 206 and not resumed:
            raise Refused("the server answered with another range than asked for")
        if start and not resumed:
            advance(-start)
        with part.open("ab" if resumed else "wb") as stream:
            for block in answer.iter_content(BLOCK):
                if stop.is_set():
                    raise Refused("stopped; the same command continues")
                stream.write(block)
                advance(len(block))
                if remote.size is not None and stream.tell() > remote.size:
                    break  # more than the release says: the checksum will tell


def digest_of(path: Path, algorithm: str) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def unpack(archive: Path) -> list[Path]:
    """Unpack a zip beside itself; only plain files that stay in the folder and do not swell beyond reason.

    Returns:
        The files.

    Raises:
        Refused: naming the member that is refused; nothing is unpacked then.
    """
    made = []
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not m.is_dir()]
            for member in members:
                linked = (member.external_attr >> 16) & 0o170000 not in (0, 0o100000)
                if not is_inside(member.filename) or linked or member.flag_bits & 1:
                    raise Refused(f"{archive.name}: member {member.filename[:80]!r} is no plain file inside the folder")
                if member.file_size > _RATIO * max(member.compress_size, 1):
                    raise Refused(f"{archive.name}: member {member.filename[:80]!r} swells {_RATIO} times and more")
            for member in members:
                target = archive.parent / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(target.name + PART)
                with opened.open(member) as source, part.open("wb") as stream:
                    # zipfile checks each member's CRC, and stops at the size that the directory states
                    while block := source.read(BLOCK):
                        stream.write(block)
                part.replace(target)
                made.append(target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise Refused(f"{archive.name}: is no sound zip ({type(error).__name__})") from None
    return made
