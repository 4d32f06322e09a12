"""Choice of the key for hashing patient ids: by default a published key for simulated patients, otherwise a private key."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ecgssl.config import SetParams
from ecgssl.datasets.synthetic.published_key import patient_key, seed_of_file
from ecgssl.errors import InputError, Problem
from ecgssl.store.patient_key import load_or_make_key

FIELD = "sets.NAME.patient_key"
REPLACED = (
    "data/raw",
    "data/processed",
    "data/selection",
    "models",
    "exports",
    "runs",
    "plots",
    "metrics",
    "mlartifacts",
    "mlruns",
    "dvc_plots",
)
"""Folders of a project that the pipeline replaces, that ``make clean`` removes, or that DVC and MLflow share."""
_EARLIER = Path("data/patient.key")
"""Default key file of earlier releases."""


def default_key_file() -> Path:
    """Return the default key file of this user: ``ecgssl/patient.key`` in the user configuration folder.

    Raises:
        InputError: the user has no home folder.
    """
    variable = "APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME"
    try:
        folder = Path(os.environ.get(variable) or Path.home() / ".config")
    except RuntimeError:
        what = "no home folder is known, so there is no default key file"
        raise InputError(Problem("params.yaml", FIELD, what, f"Set {FIELD} to a file outside of the project")) from None
    return folder / "ecgssl" / "patient.key"


def choose_key(data: SetParams, seed: int, out: Path | str) -> bytes:
    """Return the key for the patient ids of a set; create a random private key if there is none yet.

    Args:
        data: set of recordings and, optionally, the file of the key.
        seed: seed of the parameters, which determines the published key of simulated patients.
        out: folder of the store to make, which must not contain the key.

    Raises:
        InputError: the key of real patients is a published one; the key file is in a folder that is deleted or shared,
            is not ignored by git, or cannot be read or created; or a key of an earlier release is in the project.
    """
    simulated = data.reader == "synthetic"
    if data.patient_key is None:
        if simulated:
            return patient_key(seed)
        path = default_key_file()
        _require_no_earlier(path)
    else:
        path = data.patient_key
    found = seed_of_file(path, seed)
    if found is not None and not simulated:
        what = f"is the published key of simulated patients (seed {found}); with it, patient ids can be guessed from hashes"
        remedy = (
            f"Remove {FIELD} from the parameters to use {_default()}, and make every store again that was made with it"
        )
        raise InputError(Problem(str(path), FIELD, what, remedy))
    if found is None:
        _require_safe(path, Path(out))
    return load_or_make_key(path)


def _require_no_earlier(path: Path) -> None:
    """Raise an error if ``path`` does not exist and an earlier release created a private key in the project."""
    if path.exists() or not _EARLIER.exists() or seed_of_file(_EARLIER) is not None:
        return
    what = f"an earlier release made the key of this project, but the default is now {path}"
    raise InputError(Problem(str(_EARLIER), FIELD, what, f"Move the file there, or set {FIELD} to {_EARLIER}"))


def _require_safe(path: Path, out: Path) -> None:
    real = path.resolve()
    what = None
    for folder in (*map(Path, REPLACED), out):
        if folder.resolve() in real.parents:
            what = f"is inside {folder}, which is replaced, removed or shared"
            break
    else:
        if _git_would_add(path):
            what = "is in a git repository and not ignored, so it would be shared with the repository"
    if what:
        moved = "Move the file out of it" if path.exists() else "Use a file outside of it"
        remedy = f"{moved} and set {FIELD}, or remove {FIELD} to use {_default()}"
        raise InputError(Problem(str(path), FIELD, what, remedy))


def _git_would_add(path: Path) -> bool:
    """Return true if a path is in a git work tree and no rule ignores it; false also if git cannot be run."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "check-ignore", "-q", str(path.absolute())], capture_output=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return False
    # 0: ignored, 1: not ignored, 128: not in a repository
    return found.returncode == 1


def _default() -> str:
    try:
        return str(default_key_file())
    except InputError:
        return "the default key file"
