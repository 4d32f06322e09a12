"""Self-test of a bundle: ``reference.npz`` contains noise and the model's outputs, which every machine must reproduce."""

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
    """Return an npz file of noise in mV, one recording per lead set, with the model's outputs. It has no real recording.

    Raises:
        InputError: an output is not finite; all such outputs are listed.
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
        folder: folder of the bundle.
        graph: model of the bundle.
        tolerance: largest accepted absolute difference.

    Raises:
        InputError: the file is unusable, or an output differs; all such outputs are listed.
    """
    path = folder / SELF_TEST_FILE
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("ecg", "lead_mask", *graph.outputs)}
        found = graph.run(arrays["ecg"], arrays["lead_mask"])
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, zipfile.BadZipFile) as error:
        what = f"does not fit this model ({type(error).__name__})"
        raise InputError(Problem(str(path), "content", what, "Copy the complete bundle again")) from error
    problems = []
    for name, value in found.items():
        expected = arrays[name]
        difference = float(np.abs(value - expected).max()) if value.shape == expected.shape else float("inf")
        # written so that NaN fails the check too
        if not difference <= tolerance:
            what = f"the model's output differs from it by {difference:.2g}; the limit is {tolerance:.2g}"
            problems.append(Problem(str(path), name, what, _REMEDY))
    if problems:
        raise InputError(problems)
