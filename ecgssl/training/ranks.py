"""Processes of a distributed run started by ``torchrun`` on one or several machines, or a single process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Rank of this process and number of processes. The default is a single process.

    Args:
        rank: rank of this process, counted from 0 over all machines.
        size: number of processes.
        device: device of the exchanged tensors.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the first process, which writes files and logs."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0) if self.size > 1 else flag

    def gather(self, values: Tensor) -> Tensor:
        """Return the tensors (B, ...) of all processes, concatenated in the order of ranks, without gradients."""
        if self.size == 1:
            return values.detach()
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.detach().contiguous())
        return torch.cat(parts)

    def broadcast_from_first(self, produce: Callable[[], bytes]) -> bytes:
        """Return, in all processes, the result of calling ``produce`` in the first process.

        If ``produce`` raises, the exception propagates in the first process, and the others exit without a message.
        """
        if self.size == 1:
            return produce()
        size = torch.full((1,), -1, device=self.device)
        content = b""
        try:
            if self.first:
                content = produce()
                size.fill_(len(content))
        finally:
            dist.broadcast(size, 0)
        if int(size) < 0:
            raise SystemExit(2)
        if int(size) == 0:
            return b""
        if self.first:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device)
        else:
            data = torch.empty(int(size), dtype=torch.uint8, device=self.device)
        dist.broadcast(data, 0)
        return data.cpu().numpy().tobytes()


SINGLE_PROCESS = Ranks()


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Join the processes started by ``torchrun`` for the duration of the block. Without torchrun, there is a single process.

    Args:
        device: device of the run. GPUs communicate through NCCL, with one process per GPU; CPUs use Gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
