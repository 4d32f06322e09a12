"""Number of floating-point operations in a training step, for comparison with peak performance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from ecgssl.model.blocks import Attention
from ecgssl.model.decoder import LeadHead


def training_flops(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Return the number of operations of the matrix products in one forward and backward pass.

    A linear layer from ``I`` to ``O`` features has ``2 n I O`` operations for ``n`` vectors. A convolution from ``I``
    to ``O`` channels with kernel size ``k`` and ``g`` groups has ``2 n I O k / g`` for ``n`` output samples.
    Self-attention of ``n`` tokens of width ``D`` has ``4 n^2 D`` (products with keys and with values). The backward
    pass of a layer adds this number once for the gradient of a trainable weight, and once for the gradient of an input
    that requires one. Element-wise operations, norms, softmax, FFT and the optimiser are not counted. Recomputed products
    are counted once.

    Args:
        model: model in training mode.
        forward: function that runs one forward pass with gradients; its result is ignored.
    """
    counted = [0]

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor, *, of: Callable[..., int]) -> None:
        x = inputs[0]
        learns = any(p.requires_grad for p in module.parameters(recurse=False) if p.ndim > 1)
        counted[0] += of(module, x, output) * (1 + learns + x.requires_grad)

    def attend(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        batch, tokens, width = inputs[0].shape
        counted[0] += 4 * batch * tokens**2 * width * 3

    hooks = []
    for module in model.modules():
        if isinstance(module, (nn.Linear, LeadHead)):
            hooks.append(module.register_forward_hook(partial(count, of=_linear)))
        elif isinstance(module, nn.Conv1d):
            hooks.append(module.register_forward_hook(partial(count, of=_convolution)))
        elif isinstance(module, Attention):
            hooks.append(module.register_forward_hook(attend))
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    return counted[0]


def _linear(module: nn.Linear | LeadHead, x: Tensor, output: Tensor) -> int:
    return 2 * output.numel() * module.in_features


def _convolution(module: nn.Conv1d, x: Tensor, output: Tensor) -> int:
    return 2 * output.numel() * (module.in_channels // module.groups) * module.kernel_size[0]
