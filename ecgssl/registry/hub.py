"""Upload and download of bundles on the Hugging Face Hub (extra ``hub``).

The checksums of a downloaded bundle are verified, and no file in it is unpickled or executed. Set ``digest`` to accept
only one specific bundle.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ecgssl.encoders.shipped import model_folder, shipped_names
from ecgssl.errors import InputError, Problem, require
from ecgssl.export.bundle import verify_bundle
from ecgssl.export.checksums import SUMS, verify_sums
from ecgssl.files import atomic_directory
from ecgssl.scoring.api import Predictor

_HUB_FILES = [".gitattributes", ".gitignore"]
"""Git files of a repository that are not part of the bundle; they are not downloaded."""


def save_pretrained(bundle: Path | str, out: Path | str) -> None:
    """Verify a bundle and copy it to the folder ``out``. The copy is written atomically.

    Raises:
        InputError: the bundle is damaged or invalid, or ``out`` is not empty and not a bundle.
    """
    source = model_folder(bundle, "save_pretrained")
    verify_bundle(source)
    with atomic_directory(out, marker=SUMS) as folder:
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, folder / path.name)


def from_pretrained(
    name: str, *, revision: str | None = None, digest: str | None = None, require_signature: Path | str | None = None
) -> Predictor:
    """Load a shipped model, or a bundle from a folder or the Hugging Face Hub, as a ``Predictor``.

    Args:
        name: name of a shipped model, path of a folder, or ``owner/repository``.
        revision: commit, tag or branch on the Hub.
        digest: expected SHA-256 (hex) of the file ``SHA256SUMS``, or at least its first 16 digits (``Bundle.version``).
            If ``None``, any valid bundle is accepted.
        require_signature: public key that must have signed the bundle; ``None`` to check no signature.

    Raises:
        InputError: no model has this name, the extra is not installed, the repository cannot be downloaded, or the bundle
            is damaged, invalid, has another digest, or lacks the required signature.
    """
    hosted = name not in shipped_names() and not Path(name).is_dir() and name.count("/") == 1
    folder = _download(name, revision) if hosted else model_folder(name, "from_pretrained")
    found = verify_sums(folder)
    if digest is not None and (len(digest) < 16 or not found.startswith(digest.lower())):
        what = f"is {found[:16]}..., not {digest}"
        remedy = "Use the digest of the intended bundle, with 16 digits or more"
        raise InputError(Problem(name, "digest", what, remedy))
    return Predictor(folder, require_signature=require_signature)


def push(bundle: Path | str, repository: str, *, private: bool = True) -> str:
    """Verify a bundle and upload it to the Hub as one commit. Create the repository if it does not exist.

    Args:
        bundle: folder written by ``export_bundle``.
        repository: repository name ``owner/name``. Log in first with ``hf auth login``.
        private: whether a new repository is private.

    Returns:
        URL of the commit.

    Raises:
        InputError: the extra is not installed, the bundle is damaged or invalid, or the upload fails.
    """
    verify_bundle(bundle)
    hub = _client()
    api = hub.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=str(bundle),
            commit_message=f"Bundle {verify_sums(Path(bundle))[:16]}",
            # remove files of an earlier bundle; the verification rejects files that are not in the checksums
            delete_patterns="*",
        )
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _no_access(repository, error) from None
    return str(commit.commit_url)


def _download(name: str, revision: str | None) -> Path:
    hub = _client()
    try:
        return Path(hub.snapshot_download(name, revision=revision, ignore_patterns=_HUB_FILES))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _no_access(name, error) from None


def _no_access(name: str, error: Exception) -> InputError:
    what = f"the Hub denies access ({type(error).__name__})"
    return InputError(Problem(name, "repository", what, "Check name, revision, network and 'hf auth login'"))


def _client() -> Any:
    require("Hugging Face Hub", "huggingface_hub")
    import huggingface_hub

    return huggingface_hub
