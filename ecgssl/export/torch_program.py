"""Deployed model as a torch.export program (``model.pt2``) for C++ and other users of libtorch.

``torch.export.load`` unpickles parts of the file, so a file from an untrusted source can run code. ecgssl loads a
program only during export, to compare the program just created with the model.
"""

from __future__ import annotations

import io

import numpy as np
import torch

from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.lead_subsets import batches_of_lead_sets
from ecgssl.signal.normalise import recorded_samples

PROGRAM = "model.pt2"
_METADATA = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def program_bytes(program: torch.export.ExportedProgram) -> bytes:
    """Return the bytes of a ``model.pt2`` file. They are identical for the same program and contain no local paths.

    Args:
        program: result of ``ecgssl.export.onnx_export.traced``; its stack traces and example inputs are removed in
            place.
    """
    for node in program.graph.nodes:
        for key in _METADATA:
            node.meta.pop(key, None)
    program._example_inputs = None
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


@torch.inference_mode()
def compare_program(content: bytes, graph: ContractModule, tolerance: float, where: str) -> float:
    """Load a program and compare its outputs for noise with those of the model.

    The batches of ``batches_of_lead_sets`` are compared. In batches of several signals, these have different lengths if the
    model accepts short recordings.

    Args:
        content: result of ``program_bytes``.
        graph: exported module.
        tolerance: largest allowed absolute difference.
        where: file name for error messages.

    Returns:
        The largest absolute difference.

    Raises:
        InputError: the difference exceeds the tolerance or is NaN, or an output is not NaN for a recording without leads.
    """
    program = torch.export.load(io.BytesIO(content)).module()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    silent = torch.zeros(2, len(graph.spec.leads), graph.spec.samples)
    if not all(torch.isnan(found).all() for found in program(silent, torch.zeros(silent.shape[:2], dtype=torch.bool))):
        what = "are numbers for a recording without leads"
        raise InputError(Problem(where, "outputs", what, "Set export.pt2: false"))
    for batch, name, mask in batches_of_lead_sets(graph.spec):
        ecg = 0.3 * torch.randn(batch, len(graph.spec.leads), graph.spec.samples, generator=generator)
        present = torch.from_numpy(np.tile(mask, (batch, 1)))
        ecg = torch.where(present[..., None], ecg, torch.nan)
        if batch > 1:
            lengths = torch.linspace(graph.shortest, graph.spec.samples, batch).long()
            ecg = torch.where(recorded_samples(lengths, graph.spec.samples)[:, None], ecg, torch.nan)
        pairs = zip(program(ecg, present), graph(ecg, present), strict=True)
        difference = float(torch.stack([(found - expected).abs().max() for found, expected in pairs]).max())
        # the condition is negated so that NaN also fails the check
        if not difference <= tolerance:
            what = f"differs from the model by {difference:.2g} (batch {batch}, {name}); the limit is {tolerance:.2g}"
            raise InputError(Problem(where, "outputs", what, "Set export.pt2: false"))
        worst = max(worst, difference)
    return worst
