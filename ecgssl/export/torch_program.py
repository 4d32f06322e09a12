"""``model.pt2``: the deployed function as a program of torch.export, for C++ and other users of libtorch.

``torch.export.load`` unpickles part of such a file, so that a foreign one could run code. A bundle carries it for others;
nothing of ecgssl loads one, but for the comparison of what it has written itself a moment before.
"""

from __future__ import annotations

import io

import numpy as np
import torch

from ecgssl.errors import InputError, Problem
from ecgssl.export.contract_module import ContractModule, lead_subsets

PROGRAM = "model.pt2"
_NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def program_bytes(program: torch.export.ExportedProgram) -> bytes:
    """The program as a file; the same program gives the same bytes, and none of them names a place of this machine.

    Args:
        program: of ``ecgssl.export.onnx_export.traced``; its notes of source lines and its example are taken out.
    """
    for node in program.graph.nodes:
        for note in _NOTES:
            node.meta.pop(note, None)
    program._example_inputs = None
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


@torch.inference_mode()
def compare_program(content: bytes, graph: ContractModule, tolerance: float, where: str) -> float:
    """Load one's own file again and run it beside the model: noise, batches of 1, 2 and 7, every set of leads.

    Args:
        content: of ``program_bytes``, just written.
        graph: that it was made of.
        tolerance: largest absolute difference.
        where: the file, for messages.

    Returns:
        The largest absolute difference.

    Raises:
        InputError: it is beyond the tolerance, or not a number.
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
            off = float(torch.stack([(found - wanted).abs().max() for found, wanted in pairs]).max())
            # true of NaN as well
            if not off <= tolerance:
                what = f"differs from the model by {off:.2g} (batch {batch}, {name}), {tolerance:.2g} is allowed"
                raise InputError(Problem(where, "outputs", what, "Export without it: export.pt2: false"))
            worst = max(worst, off)
    return worst
