"""Task: interface of classification and segmentation to the training loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor, nn


class LossResult(NamedTuple):
    """The loss of a batch.

    Attributes:
        total: (B,) loss of each image; or () averaged over the batch.
        parts: (B,) named terms for the log; NaN for an image without the term.
        logits: (B, C) or (B, C, H, W), for the accuracy in the log.
    """

    total: Tensor
    parts: dict[str, Tensor]
    logits: Tensor


class LabelledBatch(Protocol):
    """A batch with names and labels."""

    @property
    def ids(self) -> tuple[str, ...]:
        """B stable names."""
        ...

    @property
    def labels(self) -> Tensor:
        """(B,) or (B, H, W) class indices, -1 if unknown."""
        ...

    def part(self, start: int, stop: int) -> Self:
        """The samples from `start` to before `stop`."""
        ...


B = TypeVar("B", bound=LabelledBatch)


class Task(Protocol[B]):
    """Model, data and loss of a run. Epochs count from 1, stages from 0.

    Attributes:
        loss_name: name of the loss in errors.
        steps: number of batches in an epoch.
    """

    loss_name: str
    steps: int

    def parameters(self, stage: int) -> Iterable[nn.Parameter]:
        """The parameters that a stage trains; all others are frozen."""
        ...

    def training(self, stage: int) -> AbstractContextManager[object]:
        """Training mode of the trained layers during an epoch."""
        ...

    def batches(self, epoch: int) -> Generator[B]:
        """Shuffled and augmented batches; each process yields its share of every batch."""
        ...

    def loss(self, batch: B, step: str) -> LossResult:
        """The loss of a batch or a part of one; `step` is `epoch/batch/part` and seeds its random draws."""
        ...

    def rng(self, epoch: int) -> AbstractContextManager[None]:
        """Torch's global generators during an epoch: seeded once (classification) or in every epoch (segmentation)."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Scores on the validation split; empty without one."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """State dict of the checkpoint."""
        ...

    def state(self) -> dict[str, Any]:
        """State that determines the rest of the run, besides optimiser and schedule."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        ...
