"""Self-test of a bundle: ``reference.npz`` holds noise and the model's outputs, which every machine must reproduce."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule, lead_subsets

SELF_TEST_FILE = "reference.npz"
_REMEDY = (
    "Copy the bundle again. If it is complete, torch on this machine computes other values: use the pinned versions"
)


def self_test_bytes(graph: ContractModule) -> bytes:
    """Return noise in mV, one recording per set of leads, with the model's outputs. No real recording is used.

    Raises:
        InputError: lists every output that is not finite.
    """
    spec = graph.spec
    mask = np.stack(list(lead_subsets(spec).values()))
    noise = np.random.default_rng(1).standard_normal((*mask.shape, spec.samples)) * 0.3
    ecg = np.where(mask[..., None], noise, 0.0).astype(np.float32)
    outputs = graph.run(ecg, mask)
    wrong = [name for name, value in outputs.items() if not np.isfinite(value).all()]
    if wrong:
        raise InputError(Problem("model", name, "is not finite on noise", "Train the model again") for name in wrong)
    buffer = io.BytesIO()
    np.savez(buffer, ecg=ecg, lead_mask=mask, **outputs)  # type: ignore[arg-type]
    return buffer.getvalue()


def verify_self_test(folder: Path, graph: ContractModule, tolerance: float) -> None:
    """Compare the model's outputs with the stored ones.

    Args:
        folder: the bundle.
        graph: its model.
        tolerance: largest absolute difference.

    Raises:
        InputError: the file is unusable, or lists every output that differs.
    """
    path = folder / SELF_TEST_FILE
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("ecg", "lead_mask", *graph.outputs)}
        found = graph.run(arrays["ecg"], arrays["lead_mask"])
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, zipfile.BadZipFile) as error:
        what = f"is not a reference of this model ({type(error).__name__})"
        raise InputError(Problem(str(path), "content", what, "Copy the complete bundle again")) from error
    problems = []
    for name, value in found.items():
        expected = arrays[name]
        difference = float(np.abs(value - expected).max()) if value.shape == expected.shape else float("inf")
        # also true for NaN
        if not difference <= tolerance:
            what = f"the model differs from it by {difference:.2g}, {tolerance:.2g} is allowed"
            problems.append(Problem(str(path), name, what, _REMEDY))
    if problems:
        raise InputError(problems)
