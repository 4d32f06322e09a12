"""Bundles as model repositories of the Hugging Face Hub (extra ``hub``). A bundle's folder is laid out as one already.

Nothing is trusted for where it comes from: a download is verified like any other bundle, and nothing in it is unpickled or run.
Whoever wants exactly one bundle names its digest.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ecgssl.errors import InputError, Problem
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import SUMS, verify_sums
from ecgssl.files import atomic_directory
from ecgssl.scoring.api import Predictor

_OF_THE_HUB = [".gitattributes", ".gitignore"]
"""Files that the Hub adds to every repository, and that no bundle lists."""


def save_pretrained(bundle: Path | str, out: Path | str) -> None:
    """Copy a bundle, verified first, all of it or nothing.

    Raises:
        InputError: the bundle is altered or unusable; ``out`` holds something else than a bundle.
    """
    load_bundle(bundle)
    with atomic_directory(out, marker=SUMS) as folder:
        for path in sorted(Path(bundle).iterdir()):
            shutil.copyfile(path, folder / path.name)


def from_pretrained(name: str, *, revision: str | None = None, digest: str | None = None) -> Predictor:
    """Load a bundle from a folder or from the Hub.

    Args:
        name: of a folder that exists, or ``owner/repository``.
        revision: commit, tag or branch on the Hub.
        digest: SHA-256 (hex) that ``SHA256SUMS`` of the bundle must have, or its first 16 digits or more, as in
            ``Bundle.version``. Without it, whatever the repository holds now is loaded, if it is whole.

    Raises:
        InputError: the extra is not installed, the Hub does not answer or has no such repository, the bundle is altered
            or unusable, or not the one of this digest.
    """
    folder = Path(name) if Path(name).is_dir() else _download(name, revision)
    found = verify_sums(folder)
    if digest is not None and (len(digest) < 16 or not found.startswith(digest.lower())):
        what = f"is {found[:16]}..., not {digest}"
        raise InputError(
            Problem(name, "digest", what, "Name the digest of the bundle that you mean, 16 digits or more")
        )
    return Predictor(folder)


def push(bundle: Path | str, repository: str, *, private: bool = True) -> str:
    """Upload a bundle, verified first, as one commit; a private repository is made where there is none.

    Args:
        bundle: folder of ``export_bundle``.
        repository: ``owner/name``. Who one is, the Hub's own client knows (``hf auth login``).
        private: whether a repository that is made is private.

    Returns:
        Address of the commit.

    Raises:
        InputError: the extra is not installed, the bundle is altered or unusable, or the Hub refuses.
    """
    load_bundle(bundle)
    hub = _client()
    api = hub.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=str(bundle),
            commit_message=f"Bundle {verify_sums(Path(bundle))[:16]}",
            # what an earlier bundle had and this one has not would make it unloadable
            delete_patterns="*",
        )
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _refused(repository, error) from None
    return str(commit.commit_url)


def _download(name: str, revision: str | None) -> Path:
    hub = _client()
    try:
        return Path(hub.snapshot_download(name, revision=revision, ignore_patterns=_OF_THE_HUB))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _refused(name, error) from None


def _refused(name: str, error: Exception) -> InputError:
    what = f"the Hub gives no access ({type(error).__name__})"
    return InputError(Problem(name, "repository", what, "Check name, revision, network and 'hf auth login'"))


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        remedy = "Run: pip install 'ecgssl[hub]' -c constraints.txt"
        raise InputError(Problem("huggingface_hub", "package", "is not installed", remedy)) from None
    return huggingface_hub
