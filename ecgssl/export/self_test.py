"""Self-test of a bundle: compare the model's outputs for stored noise with the outputs stored in ``reference.npz``."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgssl.errors import InputError, Problem
from ecgssl.export.lead_subsets import lead_subsets

if TYPE_CHECKING:
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.export.onnx_graph import OnnxGraph

SELF_TEST_FILE = "reference.npz"
MOST_TOLERANCE = 1e-3
"""Largest difference that loading accepts, even if the tolerance of the export is larger."""
_REMEDY = "Copy the bundle again. If the error remains, install the pinned versions of the dependencies"


def self_test_bytes(graph: ContractModule) -> bytes:
    """Return the bytes of ``reference.npz``: noise in mV, one signal per lead set, and the model's outputs for it.

    Raises:
        InputError: an output is not finite. The error lists all such outputs.
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


def verify_self_test(folder: Path, graph: ContractModule | OnnxGraph, tolerance: float) -> None:
    """Compare the model's outputs with the outputs stored in ``reference.npz``.

    Args:
        folder: folder of the bundle.
        graph: model of the bundle.
        tolerance: largest allowed absolute difference; ``MOST_TOLERANCE`` is used if it is smaller.

    Raises:
        InputError: the file is invalid, or an output differs by more than the tolerance. The error lists all such
            outputs.
    """
    path = folder / SELF_TEST_FILE
    # limit the tolerance, because it is read from the bundle and a large value would disable the check
    tolerance = min(tolerance, MOST_TOLERANCE)
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
        fits = value.shape == expected.shape and value.size > 0
        difference = float(np.abs(value - expected).max()) if fits else float("inf")
        # the condition is negated so that NaN also fails the check
        if not difference <= tolerance:
            what = f"differs from the output of the model by {difference:.2g}; the limit is {tolerance:.2g}"
            problems.append(Problem(str(path), name, what, _REMEDY))
    if problems:
        raise InputError(problems)
