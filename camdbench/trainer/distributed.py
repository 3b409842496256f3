"""Data-parallel training: each process processes a share of every batch; gradients are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from camdbench.functional.seeding import generator_for


class BatchShare(NamedTuple):
    """The images of a batch that one process processes.

    Attributes:
        places: (n,) positions in the batch, part after part of an accumulated batch.
        whole: number of images in the batch.
    """

    places: Tensor
    whole: int


@dataclass(frozen=True)
class ProcessGroup:
    """Rank of this process and number of processes.

    Attributes:
        rank: rank, counted from 0; the process of rank 0 writes files.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def random(self, common: torch.Generator, seed: int, step: str) -> torch.Generator:
        """Generator of a loss in a step: `common` for one process; else one per step and rank, since losses draw unequally often."""
        return common if self.size == 1 else generator_for(seed, f"{step}/{self.rank}", "loss")

    def share(self, count: int, parts: int = 1) -> BatchShare:
        """This process's share of a batch of `count` images: an equal, contiguous block of each part."""
        return BatchShare(torch.arange(count).view(parts, self.size, -1)[:, self.rank].flatten(), count)

    def gather(self, rows: Tensor) -> Tensor:
        """Concatenate the rows (B, …) of all processes, (size * B, …); differentiable."""
        return rows if self.size == 1 else cast("Tensor", _Gather.apply(rows.contiguous(), self))

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Sum each value over all processes."""
        if self.size == 1:
            return list(values)
        return cast("Tensor", reduce(torch.tensor(values, dtype=torch.float64, device=device), "sum")).tolist()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over all processes; a parameter without a gradient has none in any process."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = cast("Tensor", reduce(parameter.grad, "mean"))

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Copy the running statistics of rank 0 to every process."""
        if self.size > 1:
            broadcast(list(network.buffers()))


ALONE = ProcessGroup()


class _Gather(torch.autograd.Function):
    """Differentiable all-gather; the gradient of a row is the sum of its gradients over all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: ProcessGroup) -> Tensor:
        """Concatenate the rows of all processes."""
        ctx.processes, ctx.count = processes, len(rows)
        parts = [torch.empty_like(rows) for _ in range(processes.size)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum over processes; return the rows of this process."""
        total = cast("Tensor", reduce(gradients[0].contiguous(), "sum"))
        first = ctx.processes.rank * ctx.count
        return total[first : first + ctx.count], None
