"""Several processes that train one network: each takes its share of every batch, and their gradients are averaged."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.functional.seeds import generator_for


@dataclass(frozen=True)
class Ranks:
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

    def device(self, wanted: torch.device) -> torch.device:
        """This process's own GPU, where GPUs are used."""
        if self.size == 1 or wanted.type != "cuda":
            return wanted
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))

    def random(self, common: torch.Generator, seed: int, step: str) -> torch.Generator:
        """Where a loss draws from in a step: the generator that all share would run apart, as processes draw unequally often."""
        return common if self.size == 1 else generator_for(seed, f"{step}/{self.rank}", "loss")

    def share(self, batch: Batch) -> Batch:
        """The part of a batch that this process takes."""
        each = len(batch) // self.size
        return batch.part(self.rank * each, (self.rank + 1) * each)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B, …) of all processes one after the other, (size * B, …), with a gradient for everybody's."""
        if self.size == 1:
            return rows
        return cast("Tensor", _Gathered.apply(rows.contiguous(), self))

    def total(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The sums of numbers over all processes."""
        if self.size == 1:
            return list(values)
        added = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(added)
        return added.tolist()

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over all processes; where a loss does not reach a weight, it does so in none of them."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad.div_(self.size)

    def alike(self, network: nn.Module) -> None:
        """Give every process the first one's running statistics, which have moved by its own share of the batches."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)


ALONE = Ranks()


class _Gathered(torch.autograd.Function):
    """The rows of all processes; the gradient of each row is what all of them have to say about it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks) -> Tensor:
        """Collect."""
        ctx.ranks, ctx.count = ranks, len(rows)
        parts = [torch.empty_like(rows) for _ in range(ranks.size)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        """Add up, and keep one's own."""
        added = slopes[0].contiguous().clone()
        dist.all_reduce(added)
        first = ctx.ranks.rank * ctx.count
        return added[first : first + ctx.count], None


@contextmanager
def all_ranks(device: torch.device, batch_size: int) -> Generator[Ranks]:
    """The processes that `torchrun` started, or this one alone.

    Raises:
        UsageError: a batch cannot be shared out evenly.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if batch_size % size:
        raise UsageError(f"batch_size={batch_size} cannot be shared out among {size} processes; take a multiple")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
