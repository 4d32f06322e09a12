"""``reference.npz``: an input and what the model made of it, so that every machine can see that it computes the same."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule, lead_subsets

SELF_TEST_FILE = "reference.npz"
_REMEDY = "Copy the bundle again; if it is whole, this machine's torch computes something else: use the pinned versions"


def self_test_bytes(graph: ContractModule) -> bytes:
    """Noise in mV, one recording per set of leads, with the model's outputs; without any real recording.

    Raises:
        InputError: with every output that is not finite.
    """
    spec = graph.spec
    mask = np.stack(list(lead_subsets(spec).values()))
    noise = np.random.default_rng(1).standard_normal((*mask.shape, spec.samples)) * 0.3
    ecg = np.where(mask[..., None], noise, 0.0).astype(np.float32)
    outputs = graph.run(ecg, mask)
    wrong = [name for name, value in outputs.items() if not np.isfinite(value).all()]
    if wrong:
        raise InputError(
            Problem("model", name, "is not finite on plain noise", "Train the model again") for name in wrong
        )
    buffer = io.BytesIO()
    np.savez(buffer, ecg=ecg, lead_mask=mask, **outputs)  # type: ignore[arg-type]
    return buffer.getvalue()


def verify_self_test(folder: Path, graph: ContractModule, tolerance: float) -> None:
    """Compute the reference again.

    Args:
        folder: of the bundle.
        graph: its model.
        tolerance: largest absolute difference.

    Raises:
        InputError: the file is unusable, or an output differs, with its name.
    """
    path = folder / SELF_TEST_FILE
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("ecg", "lead_mask", *graph.outputs)}
        found = graph.run(arrays["ecg"], arrays["lead_mask"])
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, zipfile.BadZipFile) as error:
        what = f"is not a reference of this model ({type(error).__name__})"
        raise InputError(Problem(str(path), "content", what, "Copy the bundle again, whole")) from error
    problems = []
    for name, value in found.items():
        stated = arrays[name]
        off = float(np.abs(value - stated).max()) if value.shape == stated.shape else float("inf")
        # true of NaN as well
        if not off <= tolerance:
            what = f"the model differs from it by {off:.2g}, {tolerance:.2g} is allowed"
            problems.append(Problem(str(path), name, what, _REMEDY))
    if problems:
        raise InputError(problems)
