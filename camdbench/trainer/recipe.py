"""TrainingRecipe: all settings that determine the weights of a training run, read from YAML."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.core.merging import merge_nested
from camdbench.core.references import has_reference, is_own
from camdbench.core.registries import explainers, losses
from camdbench.models.zoo import check_model, check_network
from camdbench.trainer.recipe_fields import BaseRecipe, Optimiser, Splits, Stage, Strict, check_fields, with_paths_of

_WITH_SURGERY = ("shortcuts", "resnet", "resnext", "wide_resnet")  # networks that core-focused surgery supports
_BIASED = ("conflict", "shifted", "balanced")  # test splits of the bias; model selection on them would leak it


class Data(Splits):
    """Splits to train and evaluate on; `Splits` has the other fields.

    Attributes:
        object_regions: object regions of the losses: `masks`, or filled `boxes`.
        labelled_fraction: fraction of the training images with a label, drawn by the seed.
        in_memory: whether splits are read into memory once, or from disk in every epoch; `auto`: up to 2 GiB of pixels and masks.
        shots: number of training images per class, from the split or its `limit`; default: all.
        episode: number of the random draw of these images, which depends on no loss and no seed.
        labels: `original`, or `permuted` randomly among the training images by the seed.
    """

    object_regions: Literal["masks", "boxes"] = "masks"
    labelled_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    in_memory: Literal["auto", True, False] = "auto"
    shots: PositiveInt | None = None
    episode: NonNegativeInt = 0
    labels: Literal["original", "permuted"] = "original"

    @model_validator(mode="after")
    def _check_episode(self) -> Self:
        if self.episode and self.shots is None:
            raise UsageError(f"data.episode={self.episode}: has no effect without data.shots; set data.shots or remove it")
        return self


class HeadStage(Strict):
    """First stage of training, of the last layer alone.

    Attributes:
        epochs: number of epochs, in addition to the recipe's.
        lr: constant learning rate.
    """

    epochs: PositiveInt
    lr: PositiveFloat = 1e-3


class Surgery(Strict):
    """Changes of the network before training, for core-focused losses (CFCE, appendix C.1).

    Attributes:
        stride: stride of the last stage: `1` keeps the grid of the previous stage; or `original`.
        relus: removed ReLUs of the last block: the last one (`paper`) or all (`release`).
    """

    stride: Literal[1, "original"] = 1
    relus: Literal["paper", "release"] = "paper"


class Augment(Strict):
    """Random augmentation of training images and their masks, drawn in every epoch.

    Attributes:
        flip: probability of a horizontal flip.
        crop_scale: smallest area fraction of a random crop, resized to the full image; 1: no crop.
        brightness: largest relative change of brightness.
        grayscale: probability of conversion to greyscale.
        pixel_dropout: fraction of pixels that get the mean colour of the network's normalisation, each drawn alone (F-Fidelity).
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.0
    grayscale: Annotated[float, Field(ge=0, le=1)] = 0.0
    pixel_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TrainingRecipe(BaseRecipe):
    """A training run under a name; `BaseRecipe` has the other fields.

    Attributes:
        network: architecture: `shortcuts`, a network of torchvision or timm by its name there, without weights, or a reference
            `FILE.py:NAME(options)`.
        init: initial weights: the name of a model, or the path of a checkpoint; default: random. A last layer with another
            number of classes is replaced by a random one.
        pretraining: fields of a run whose network this run starts from; default of each field: this recipe's. Its name is
            NAME-pretraining by default.
        surgery: changes of the initial network; default: none; `{}`: the paper's.
        data: splits to train and evaluate on.
        loss: spec of a registered loss, such as `ce(smoothing=0.1)`, or a reference `FILE.py:NAME(options)`.
        head_stage: first stage of the last layer alone; default: none.
        batchnorm_updates: forward passes that update running statistics: the `main_pass` of a step, or `all_passes`.
        augment: random augmentation.
        gradient_accumulation: number of equal parts of a batch that are processed one after the other, to save memory.
        precision: precision of the network up to its target layer in training: `fp32`, `bf16` or `fp16`; maps and losses use fp32.
        keep: kept weights: of the `last` epoch, or of the epoch that is `best` on `validation`.
        validation: split for the scores after every epoch.
    """

    network: str = "shortcuts"
    init: str | None = None
    pretraining: dict[str, Any] | None = None
    surgery: Surgery | None = None
    data: Data = Data()  # pyright: ignore[reportIncompatibleVariableOverride] - recipes are frozen
    loss: str = "ce"
    head_stage: HeadStage | None = None
    batchnorm_updates: Literal["main_pass", "all_passes"] = "main_pass"
    augment: Augment = Augment()
    gradient_accumulation: PositiveInt = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    keep: Literal["last", "best"] = "last"
    validation: str = "val"

    @field_validator("loss")
    @classmethod
    def _check_loss(cls, text: str) -> str:
        if has_reference(text):  # loaded and checked by `own_losses`
            return text
        spec = losses.parse_one(text)
        for name, value in spec.options:
            if name == "cam":
                if has_reference(str(value)):
                    raise UsageError(
                        f"loss={text}: cam takes an explainer of camdbench, whose map is known to be differentiable; write a loss "
                        "FILE.py:f(step) that computes its map from step.trace"
                    )
                explainers.parse_one(str(value))
        return text

    @field_validator("network")
    @classmethod
    def _check_network(cls, name: str) -> str:
        if not is_own(name):  # loaded and checked by `network_source`
            check_network(name)
        return name

    @field_validator("init")
    @classmethod
    def _check_init(cls, name: str | None) -> str | None:
        if name is not None:
            check_model(name)
        return name

    @field_validator("validation")
    @classmethod
    def _check_validation(cls, split: str) -> str:
        if split in _BIASED:
            raise UsageError(f"validation={split!r}: this split measures the bias and must not select weights; use val")
        return split

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Stages of the run, in order: the last layer alone if `head_stage` is set, then all layers."""
        main = super().stages
        if self.head_stage is None:
            return main
        how = Optimiser.model_validate(self.optimiser.model_dump() | {"lr": self.head_stage.lr, "schedule": "constant"})
        return (Stage(self.head_stage.epochs, how), *main)

    def pretraining_recipe(self) -> TrainingRecipe | None:
        """The recipe of the pretraining run; None without one. Raises UsageError if a field of `pretraining` is wrong."""
        if self.pretraining is None:
            return None
        own = self.model_dump(exclude={"pretraining"}) | {"name": f"{self.name}-pretraining"}
        return check_recipe(merge_nested(own, self.pretraining), f"{self.name}, pretraining")

    @model_validator(mode="after")
    def _check(self) -> Self:
        first = self.pretraining_recipe()
        if first is not None and (first.name == self.name or first.network != self.network):
            raise UsageError("pretraining: the first run needs another name and the same network; change pretraining.name or .network")
        if self.surgery is not None and (is_own(self.network) or not self.network.startswith(_WITH_SURGERY)):
            raise UsageError(f"surgery: not supported for network={self.network}; use shortcuts or a torchvision ResNet, or remove it")
        if self.batch_size % self.gradient_accumulation or self.batch_size == self.gradient_accumulation:
            raise UsageError(
                f"gradient_accumulation={self.gradient_accumulation}: batch_size={self.batch_size} "
                "does not split into that many equal parts of at least 2 images; use a divisor"
            )
        return self


check_recipe = partial(check_fields, TrainingRecipe)


def read_recipe(path: str | Path) -> TrainingRecipe:
    """Read and check a recipe, in which references `FILE.py:NAME` are relative to its folder; raises UsageError if a field is wrong."""
    fields = read_fields(Path(path), "recipe", "name: my-model", hint="; the recipes are in benchmarks/")
    return check_recipe(with_paths_of(Path(path).parent, fields, ("loss", "network", "init")), str(path))
