"""Accelerator of a run: processes, device, reduced precision and gradient accumulation."""

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
    """An accelerator for the processes of `torchrun` or `accelerate launch`, or for this process alone.

    Its `device` is the GPU of this process if there are several. It prepares optimiser and schedule, not the network
    (docs/design/training.md).

    Args:
        recipe: recipe with `precision`, `gradient_accumulation` and `batch_size`.
        device: device of the run.

    Raises:
        UsageError: the batch does not split equally, the device lacks the precision, or accelerate is set to another device.
    """
    _check(recipe, device)
    with _separate_state():
        try:
            accelerator = Accelerator(
                mixed_precision=recipe.mixed_precision,
                cpu=device.type == "cpu",
                device_placement=False,  # the caller places the network, on cuda:1 too
                dataloader_config=DataLoaderConfiguration(split_batches=True),  # one step of the schedule for any number of processes
                gradient_accumulation_plugin=GradientAccumulationPlugin(
                    recipe.micro_batches, adjust_scheduler=False, sync_with_dataloader=False
                ),
            )
        except ValueError as error:
            raise UsageError(f"precision={recipe.mixed_precision} on {device.type}: {error}") from None
        if accelerator.device.type != device.type:
            raise UsageError(f"--device {device.type}: accelerate is set to {accelerator.device.type}; use the same device in both")
        yield accelerator


def _check(recipe: BaseRecipe, device: torch.device) -> None:
    if recipe.mixed_precision == "fp16" and device.type == "cpu":
        raise UsageError("precision=fp16: needs a GPU for gradient scaling; use bf16 or fp32 on a CPU")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.batch_size % (size * recipe.micro_batches):
        parts = f" in {recipe.micro_batches} parts" if recipe.micro_batches > 1 else ""
        raise UsageError(f"batch_size={recipe.batch_size}: does not split equally among {size} processes{parts}; use a multiple")


@contextmanager
def _separate_state() -> Generator[None]:
    """Replace accelerate's process-wide state inside the block: a caller or an earlier run may have configured another one."""
    saved = [dict(state._shared_state) for state in _STATES]  # pyright: ignore[reportPrivateUsage] - as in accelerate's tests
    connected = _connected()
    try:
        for state in _STATES:
            state._shared_state.clear()  # pyright: ignore[reportPrivateUsage]
        yield
    finally:
        if _connected() and not connected:
            dist.destroy_process_group()
        for state, facts in zip(_STATES, saved):
            state._shared_state.clear()  # pyright: ignore[reportPrivateUsage]
            state._shared_state.update(facts)  # pyright: ignore[reportPrivateUsage]


def _connected() -> bool:
    return dist.is_available() and dist.is_initialized()
