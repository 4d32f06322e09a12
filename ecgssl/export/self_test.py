"""Self-test of a bundle: compare the model's outputs for stored noise with the outputs stored in ``reference.npz``."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.calibration.decision import Decision
from ecgssl.export.lead_subsets import lead_subsets
from ecgssl.export.unrecorded import mark_unrecorded, recorded_counts
from ecgssl.files import require_regular
from ecgssl.signal.spec import SignalSpec

if TYPE_CHECKING:
    from ecgssl.export.contract_module import ContractModule
    from ecgssl.export.onnx_graph import OnnxGraph

SELF_TEST_FILE = "reference.npz"
MOST_TOLERANCE = 1e-3
"""Largest difference that loading accepts, even if the tolerance of the export is larger."""
_MOST_SIGNALS = 64
_MOST_HEADER = 4096
_REMEDY = "Copy the bundle again. If the error remains, install the pinned versions of the dependencies"


def self_test_bytes(graph: ContractModule) -> bytes:
    """Return the bytes of ``reference.npz``: noise in mV, one signal per lead set, and the model's outputs for it.

    If the model accepts short recordings, a short signal follows. Its samples that were not recorded are NaN.

    Raises:
        InputError: an output is not finite. The error lists all such outputs.
    """
    spec = graph.spec
    mask = np.stack(list(lead_subsets(spec).values()))
    recorded = np.full(len(mask), spec.samples)
    if graph.shortest < spec.samples:
        mask = np.concatenate([mask, np.ones_like(mask[:1])])
        recorded = np.append(recorded, (graph.shortest + spec.samples) // 2)
    noise = np.random.default_rng(1).standard_normal((*mask.shape, spec.samples)) * 0.3
    ecg = mark_unrecorded(np.where(mask[..., None], noise, 0.0).astype(np.float32), recorded)
    outputs = graph.run(ecg, mask)
    wrong = [name for name, value in outputs.items() if not np.isfinite(value).all()]
    if wrong:
        raise InputError(Problem("model", name, "is not finite on noise", "Train the model again") for name in wrong)
    buffer = io.BytesIO()
    np.savez(buffer, ecg=ecg, lead_mask=mask, **outputs)  # type: ignore[arg-type]
    return buffer.getvalue()


def verify_self_test(
    folder: Path, graph: ContractModule | OnnxGraph, decision: Decision | None, tolerance: float
) -> None:
    """Compare the model's outputs with the outputs stored in ``reference.npz``.

    Args:
        folder: folder of the bundle.
        graph: model of the bundle.
        decision: calibrators of a classifier, which must reproduce the stored scores; ``None`` for an encoder.
        tolerance: largest allowed absolute difference; ``MOST_TOLERANCE`` is used if it is smaller.

    Raises:
        InputError: the file is invalid, or an output differs by more than the tolerance. The error lists all such
            outputs.
    """
    path = folder / SELF_TEST_FILE
    # limit the tolerance, because it is read from the bundle and a large value would disable the check
    tolerance = min(tolerance, MOST_TOLERANCE)
    widths: dict[str, int] = {"embedding": graph.embed_dim}
    score = "probability"
    if decision is not None:
        score = "value" if decision.kind == "regression" else "probability"
        widths |= dict.fromkeys(("logits", score), len(decision.names))
    arrays = _read(path, graph.spec, widths)
    try:
        found = graph.run(arrays["ecg"], arrays["lead_mask"])
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        raise _does_not_fit(path, type(error).__name__) from error
    if decision is not None:
        # without torch, the graph returns only logits
        found.setdefault(score, decision.probabilities(found["logits"]).astype(np.float32))
    problems = []
    for name, value in found.items():
        expected = arrays[name]
        fits = value.shape == expected.shape
        difference = float(np.abs(value - expected).max()) if fits else float("inf")
        # relative for values of a regression, whose unit can make them large
        limit = tolerance * max(1.0, float(np.abs(expected).max())) if name == "value" else tolerance
        # the condition is negated so that NaN also fails the check
        if not difference <= limit:
            what = f"differs from the output of the model by {difference:.2g}; the limit is {limit:.2g}"
            problems.append(Problem(str(path), name, what, _REMEDY))
    if problems:
        raise InputError(problems)


def _read(path: Path, spec: SignalSpec, widths: dict[str, int]) -> dict[str, Any]:
    """Return the arrays of ``reference.npz``. Names, sizes, types and shapes are checked before an array is read.

    Args:
        path: path of the file.
        spec: preprocessing settings, which give the shape of the input.
        widths: number of values of each output.
    """
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "ecg": ("<f4", (len(spec.leads), spec.samples)),
        "lead_mask": ("|b1", (len(spec.leads),)),
        **{name: ("<f4", (width,)) for name, width in widths.items()},
    }
    arrays: dict[str, Any] = {}
    require_regular(path)
    try:
        with zipfile.ZipFile(path) as stored:
            if sorted(stored.namelist()) != sorted(f"{name}.npy" for name in shapes):
                raise ValueError("other arrays")
            for name, (dtype, shape) in shapes.items():
                member = stored.getinfo(f"{name}.npy")
                most = _MOST_HEADER + _MOST_SIGNALS * math.prod(shape) * np.dtype(dtype).itemsize
                if member.file_size > most:
                    raise ValueError(f"{name} is too large")
                with stored.open(member) as content:
                    header = _header(content)
                if header[1:] != (False, np.dtype(dtype)) or header[0][1:] != shape:
                    raise ValueError(f"{name} has another type or shape")
                if not 1 <= header[0][0] <= _MOST_SIGNALS:
                    raise ValueError(f"{name} has {header[0][0]} rows")
                with stored.open(member) as content:
                    arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, SyntaxError) as error:
        raise _does_not_fit(path, type(error).__name__) from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, tokenize.TokenError) as error:
        raise _does_not_fit(path, type(error).__name__) from error
    problems = [
        Problem(str(path), name, "contains values that are not finite", _REMEDY)
        for name, value in arrays.items()
        if not np.isfinite(_recorded(value) if name == "ecg" else value).all()
    ]
    if len({len(value) for value in arrays.values()}) > 1:
        problems.append(Problem(str(path), "rows", "are not the same number in all arrays", _REMEDY))
    if problems:
        raise InputError(problems)
    return arrays


def _recorded(ecg: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return signals (n, L, T) with 0 in the trailing samples that are NaN in all leads, which were not recorded."""
    counts = recorded_counts(ecg, np.ones(ecg.shape[:2], dtype=bool))
    return np.where(np.arange(ecg.shape[-1]) < counts[:, None, None], ecg, np.float32(0))


def _header(content: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(content)
    if version != (1, 0):
        raise ValueError("another version of the array format")
    return np.lib.format.read_array_header_1_0(content, max_header_size=_MOST_HEADER)


def _does_not_fit(path: Path, why: str) -> InputError:
    return InputError(
        Problem(str(path), "content", f"does not fit this model ({why})", "Copy the complete bundle again")
    )
