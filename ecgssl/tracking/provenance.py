"""Provenance of a result: tags that identify code, parameters and data."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ecgssl.config import Params
from ecgssl.files import canonical_json, sha256_of

_SOURCES = ("*.py", "*.toml", "*.yaml", "constraints.txt")


@dataclass(frozen=True)
class SourceState:
    """Git commit and uncommitted changes of the source code.

    Args:
        commit: git commit; ``unknown`` outside a repository.
        changes: SHA-256 (hex) of uncommitted changes to tracked code and configuration; empty if there are none.
    """

    commit: str = "unknown"
    changes: str = ""

    def __str__(self) -> str:
        return self.commit + ("+dirty" if self.changes else "")


def source_state() -> SourceState:
    """Return the commit and a hash of the uncommitted changes of the git repository of the working directory.

    Untracked files, and changes of files other than code and configuration, are ignored, because every pipeline
    run rewrites metrics, plots and ``dvc.lock``.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return SourceState()
    top = Path((_git("rev-parse", "--show-toplevel") or b".").decode().strip())
    changes = _git("-C", str(top), "diff", "--no-ext-diff", "--no-color", "HEAD", "--", *_SOURCES)
    return SourceState(commit.decode().strip(), hashlib.sha256(changes).hexdigest() if changes else "")


def provenance(params: Params) -> dict[str, str]:
    """Return tags that identify code, parameters and data. They contain digests and versions, but no paths or names.

    Args:
        params: all parameters.

    Returns:
        ``git_sha`` (with ``+dirty`` if there are changes), ``params_sha``, ``signal_fingerprint`` and ``ecgssl_version``;
        ``dvc_lock_sha`` and ``data_fingerprint`` (of all sets) of the working directory (``absent`` if a file does not
        exist); and
        ``pipeline``, which is equal for all stages run from the same parameters, commit and uncommitted changes.
    """
    source = source_state()
    params_sha = _sha(canonical_json(params.model_dump(mode="json"), digits=None))
    fingerprints = [Path("data/fingerprints") / f"{name}.json" for name in params.sets]
    return {
        "git_sha": str(source),
        "params_sha": params_sha,
        "signal_fingerprint": params.signal.fingerprint,
        "ecgssl_version": version("ecgssl"),
        "pipeline": _sha(f"{params_sha} {source.commit} {source.changes}"),
        "dvc_lock_sha": _of_files([Path("dvc.lock")]),
        "data_fingerprint": _of_files(fingerprints),
    }


def _of_files(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of a file or, for several files, of their hashes."""
    if not all(path.is_file() for path in paths):
        return "absent"
    hashes = [sha256_of(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else _sha(" ".join(hashes))


def _git(*arguments: str) -> bytes | None:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
