"""Deployed model as a torch.export program, ``model.pt2``, for C++ and other users of libtorch.

``torch.export.load`` unpickles part of such a file, so a file from an untrusted source can run code. ecgssl loads such a
program only directly after writing it, to compare it with the model.
"""

from __future__ import annotations

import io

import numpy as np
import torch

from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule, lead_subsets

PROGRAM = "model.pt2"
_METADATA = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def program_bytes(program: torch.export.ExportedProgram) -> bytes:
    """Return the bytes of a program file. The same program gives the same bytes, without paths of this machine.

    Args:
        program: result of ``ecgssl.export.onnx_export.traced``; its source lines and example inputs are removed.
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
    """Load a program and compare it with the model on noise, for batches of 1, 2 and 7 and all lead sets.

    Args:
        content: result of ``program_bytes``.
        graph: exported module.
        tolerance: largest accepted absolute difference.
        where: file name for error messages.

    Returns:
        The largest absolute difference.

    Raises:
        InputError: the difference exceeds the tolerance or is not a number.
    """
    program = torch.export.load(io.BytesIO(content)).module()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in (1, 2, 7):
        for name, mask in lead_subsets(graph.spec).items():
            ecg = 0.3 * torch.randn(batch, len(graph.spec.leads), graph.spec.samples, generator=generator)
            present = torch.from_numpy(np.tile(mask, (batch, 1)))
            ecg = torch.where(present[..., None], ecg, torch.nan)
            pairs = zip(program(ecg, present), graph(ecg, present), strict=True)
            difference = float(torch.stack([(found - expected).abs().max() for found, expected in pairs]).max())
            # written so that NaN fails the check too
            if not difference <= tolerance:
                what = (
                    f"differs from the model by {difference:.2g} (batch {batch}, {name}); the limit is {tolerance:.2g}"
                )
                raise InputError(Problem(where, "outputs", what, "Set export.pt2: false"))
            worst = max(worst, difference)
    return worst
