"""Task: the part of a training run that differs between classification and segmentation; `loop.fit` does the rest."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor, nn


class LossResult(NamedTuple):
    """The loss of a batch.

    Attributes:
        total: (B,) minimised, averaged over the batch; () if it is an average already.
        parts: (B,) each, for the log only; NaN for an image without that part.
        logits: (B, C) or (B, C, H, W), from which the log takes the accuracy.
    """

    total: Tensor
    parts: dict[str, Tensor]
    logits: Tensor


class LabelledBatch(Protocol):
    """What the loop reads of a batch: names, and labels (B,) or (B, H, W), -1 where unknown."""

    @property
    def ids(self) -> tuple[str, ...]:
        """B stable names."""
        ...

    @property
    def labels(self) -> Tensor:
        """Class indices, -1 where unknown."""
        ...

    def part(self, start: int, stop: int) -> Self:
        """The samples from `start` to before `stop`."""
        ...


B = TypeVar("B", bound=LabelledBatch)


class Task(Protocol[B]):
    """Model, data and loss of a run. Epochs count from 1, stages from 0.

    Attributes:
        loss_name: as errors name it.
        steps: batches in an epoch.
    """

    loss_name: str
    steps: int

    def parameters(self, stage: int) -> Iterable[nn.Parameter]:
        """The weights that a stage trains; all others are frozen."""
        ...

    def training(self, stage: int) -> AbstractContextManager[object]:
        """Training mode of what the stage trains, during an epoch."""
        ...

    def batches(self, epoch: int) -> Generator[B]:
        """Shuffled and augmented by the task's own generators; of several processes each yields its share of every batch."""
        ...

    def loss(self, batch: B, step: str) -> LossResult:
        """The loss of a batch or a part of one; `step`, as `epoch/batch/part`, seeds its random draws."""
        ...

    def rng(self, epoch: int) -> AbstractContextManager[None]:
        """Torch's global generators during an epoch: seeded once (classification) or in every epoch (segmentation)."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Scores on the validation split after an epoch; empty without one."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The state dict that a checkpoint holds."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything the rest of the run depends on, besides optimiser and schedule."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        ...
