"""Accelerator of a run: processes and their device, reduced precision, gradient accumulation."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DataLoaderConfiguration, GradientAccumulationPlugin

from camdbench.core.errors import UsageError
from camdbench.trainer.recipe_fields import BaseRecipe

_STATES = (PartialState, AcceleratorState, GradientState)


@contextmanager
def open_accelerator(recipe: BaseRecipe, device: torch.device) -> Generator[Accelerator]:
    """An accelerator for the processes that `torchrun` or `accelerate launch` started, or for this one alone.

    Its `device` is this process's own GPU, where there are several processes. The network is never prepared by it, so nothing is
    wrapped (docs/design/training.md); optimiser and schedule are.

    Args:
        recipe: `precision`, `accumulate` and `batch_size` count.
        device: where the run is to be.

    Raises:
        UsageError: processes cannot share a batch equally, the device lacks the precision, or accelerate is set to another device.
    """
    _check(recipe, device)
    with _state_of_its_own():
        try:
            accelerator = Accelerator(
                mixed_precision=recipe.mixed_precision,
                cpu=device.type == "cpu",
                device_placement=False,  # the network goes where the caller says, cuda:1 too
                dataloader_config=DataLoaderConfiguration(split_batches=True),  # one step of the schedule, however many processes
                gradient_accumulation_plugin=GradientAccumulationPlugin(
                    recipe.micro_batches, adjust_scheduler=False, sync_with_dataloader=False
                ),
            )
        except ValueError as error:
            raise UsageError(f"precision={recipe.mixed_precision} on {device.type}: {error}") from None
        if accelerator.device.type != device.type:
            raise UsageError(f"accelerate is set to {accelerator.device.type}, and --device says {device.type}; name one of them in both")
        yield accelerator


def _check(recipe: BaseRecipe, device: torch.device) -> None:
    if recipe.mixed_precision == "fp16" and device.type == "cpu":
        raise UsageError("precision=fp16 needs a GPU: its gradients are scaled there; take bf16 or fp32 on a CPU")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.batch_size % (size * recipe.micro_batches):
        parts = f" in {recipe.micro_batches} parts" if recipe.micro_batches > 1 else ""
        raise UsageError(f"batch_size={recipe.batch_size} cannot be shared out among {size} processes{parts}; take a multiple")


@contextmanager
def _state_of_its_own() -> Generator[None]:
    """Set aside what accelerate knows about this process: it keeps one state only, and a caller's or the last run's may be another."""
    held = [dict(state._shared_state) for state in _STATES]  # pyright: ignore[reportPrivateUsage] - its own tests do it so
    connected = _connected()
    try:
        for state in _STATES:
            state._shared_state.clear()  # pyright: ignore[reportPrivateUsage]
        yield
    finally:
        if _connected() and not connected:
            dist.destroy_process_group()
        for state, facts in zip(_STATES, held):
            state._shared_state.clear()  # pyright: ignore[reportPrivateUsage]
            state._shared_state.update(facts)  # pyright: ignore[reportPrivateUsage]


def _connected() -> bool:
    return dist.is_available() and dist.is_initialized()
