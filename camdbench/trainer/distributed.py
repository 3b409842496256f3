"""Data-parallel training: each process takes its share of every batch; gradients are averaged."""

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
    """The images of a batch that one process takes.

    Attributes:
        places: (n,) their places in the batch, part after part where it is worked through in parts.
        whole: images in the batch.
    """

    places: Tensor
    whole: int


@dataclass(frozen=True)
class ProcessGroup:
    """Which of how many processes this one is.

    Attributes:
        rank: counted from 0; the first one writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def random(self, common: torch.Generator, seed: int, step: str) -> torch.Generator:
        """Where a loss draws from in a step: the generator that all share would run apart, as processes draw unequally often."""
        return common if self.size == 1 else generator_for(seed, f"{step}/{self.rank}", "loss")

    def share(self, count: int, parts: int = 1) -> BatchShare:
        """What this process takes of a batch of that many images, an equal run of neighbours in each of its parts."""
        return BatchShare(torch.arange(count).view(parts, self.size, -1)[:, self.rank].flatten(), count)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B, …) of all processes one after the other, (size * B, …), with gradients for all of them."""
        if self.size == 1:
            return rows
        return cast("Tensor", _Gathered.apply(rows.contiguous(), self))

    def total(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The sums of numbers over all processes."""
        if self.size == 1:
            return list(values)
        return cast("Tensor", reduce(torch.tensor(values, dtype=torch.float64, device=device), "sum")).tolist()

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over all processes; where a loss does not reach a weight, it does so in none of them."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = cast("Tensor", reduce(parameter.grad, "mean"))

    def alike(self, network: nn.Module) -> None:
        """Give every process the first one's running statistics, which have moved by its own share of the batches."""
        if self.size > 1:
            broadcast(list(network.buffers()))


ALONE = ProcessGroup()


class _Gathered(torch.autograd.Function):
    """The rows of all processes, which accelerate gathers without a gradient; here each row's is what all of them say about it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: ProcessGroup) -> Tensor:
        """Collect."""
        ctx.ranks, ctx.count = ranks, len(rows)
        parts = [torch.empty_like(rows) for _ in range(ranks.size)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        """Sum over processes; return the rows of this one."""
        added = cast("Tensor", reduce(slopes[0].contiguous(), "sum"))
        first = ctx.ranks.rank * ctx.count
        return added[first : first + ctx.count], None
