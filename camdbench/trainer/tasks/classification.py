"""ClassificationTask: a network trained by any registered loss."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from camdbench.core.registries import losses
from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier
from camdbench.models.last_layer import last_layers
from camdbench.trainer.augmentation import augment
from camdbench.trainer.batchnorm_updates import batchnorm_updates
from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.recipe import TrainingRecipe
from camdbench.trainer.split_data import Split
from camdbench.trainer.step import TrainingStep
from camdbench.trainer.task import LossResult
from camdbench.trainer.validation import validate


class ClassificationTask:
    """Training of a classifier in one stage or two: the last layer alone, then all layers.

    Args:
        classifier: moved to the device and trained in place.
        train: training images, all of them in every process.
        validation: images for `validate`.
        recipe: loss, augmentation, batch size and seed.
        device: device of training.
        accelerator: from `open_accelerator` for this recipe.
    """

    def __init__(
        self,
        classifier: Classifier,
        train: Split,
        validation: Split,
        recipe: TrainingRecipe,
        device: torch.device,
        accelerator: Accelerator,
    ) -> None:
        classifier.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing from torch's stubs
        self.classifier, self.recipe, self.device, self.accelerator = classifier, recipe, device, accelerator
        self.loss_name, self.steps = recipe.loss, len(train) // recipe.batch_size
        self._train, self._validation = train, validation
        self._processes = ProcessGroup(accelerator.process_index, accelerator.num_processes)
        self._random = torch.Generator().manual_seed(recipe.seed)
        with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
            torch.manual_seed(recipe.seed)
            self._global_random = torch.get_rng_state()

    def parameters(self, stage: int) -> Iterable[nn.Parameter]:
        """The parameters of the last layer in a head stage, else of all layers; all others are frozen."""
        network = self.classifier.network
        network.requires_grad_(not self._head_only(stage))
        if self._head_only(stage):
            last_layers(network).requires_grad_(True)
        return (weight for weight in network.parameters() if weight.requires_grad)

    @contextmanager
    def training(self, stage: int) -> Generator[None]:
        """Training mode; frozen layers stay in eval mode and keep their running statistics."""
        self.classifier.train(not self._head_only(stage))
        if self._head_only(stage):
            last_layers(self.classifier.network).train()
        yield

    def batches(self, epoch: int) -> Generator[Batch]:
        """Shuffled and augmented batches; each process yields its share of every batch."""
        del epoch  # one generator for all epochs
        recipe = self.recipe
        share = self._processes.share(recipe.batch_size, recipe.gradient_accumulation)
        with closing(self._train.shuffled(recipe.batch_size, self._random, share.places)) as batches:
            for batch in batches:
                yield augment(batch, recipe.augment, self._random, share, self.classifier.mean)

    def loss(self, batch: Batch, step: str) -> LossResult:
        """The recipe's loss (B,)."""
        recipe, spec = self.recipe, losses.parse_one(self.recipe.loss)
        random = self._processes.random(self._random, recipe.seed, step)
        update_all = recipe.batchnorm_updates == "all_passes"
        batch = batch.to(self.device)
        batch = replace(batch, images=batch.images.contiguous(memory_format=torch.channels_last))  # fastest for convolutions
        training_step = TrainingStep(self.classifier, batch, random, self._processes, update_all, self._autocast)
        with nullcontext() if update_all else batchnorm_updates(self.classifier.network, enabled=False):  # main passes enable them
            return losses.call(spec.name, training_step, **spec.arguments)

    @contextmanager
    def rng(self, epoch: int) -> Generator[None]:
        """Torch's global generator, seeded once and continued in every epoch; restores the caller's after the block."""
        del epoch
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._global_random)
            yield
            self._global_random = torch.get_rng_state()

    def validate(self) -> Mapping[str, float]:
        """Accuracy, cross-entropy and the agreement of maps with masks on the validation split."""
        self._processes.broadcast_buffers(self.classifier.network)
        return validate(self.classifier, self._validation, device=self.device, processes=self._processes)._asdict()

    def weights(self) -> Mapping[str, Tensor]:
        """The network's state dict."""
        return self.classifier.network.state_dict()

    def state(self) -> dict[str, Any]:
        """The network and both generators."""
        random = {"random": self._random.get_state(), "global_random": self._global_random}
        return {"network": self.classifier.network.state_dict()} | random

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        self.classifier.network.load_state_dict(state["network"])
        self._random.set_state(state["random"])
        self._global_random = state["global_random"]

    def _autocast(self) -> AbstractContextManager[None]:
        return self.accelerator.autocast()

    def _head_only(self, stage: int) -> bool:
        return stage < len(self.recipe.stages) - 1
