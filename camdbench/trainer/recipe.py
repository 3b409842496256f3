"""TrainingRecipe: everything that the weights of a training run follow from, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.core.merging import merge_nested
from camdbench.core.registries import explainers, losses
from camdbench.models.zoo import check_model, check_network
from camdbench.trainer.recipe_fields import BaseRecipe, Optimiser, Splits, Stage, Strict, check_fields

_OPERABLE = ("shortcuts", "resnet", "resnext", "wide_resnet")  # networks that core-focused surgery knows
_BIASED = ("conflict", "shifted")  # splits that measure the bias; choosing weights by them would train on the answer


class Data(Splits):
    """Splits to train and evaluate on; `Splits` has the other fields.

    Attributes:
        object_regions: what a loss takes for the object: the data set's `masks`, or its `boxes`, filled.
        labelled_fraction: fraction of the training images whose label is known; which, the seed decides.
        in_memory: whether a split is read into memory as a whole, or again in every epoch; `auto` holds up to 2 GiB of pixels and masks.
        shots: images of each class to learn from, out of the split or of its `limit`; all unless given.
        episode: number of the draw that chooses these; the same images for every loss and every seed.
        labels: `original`, or `permuted`: randomly permuted among the training images, by the seed.
    """

    object_regions: Literal["masks", "boxes"] = "masks"
    labelled_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    in_memory: Literal["auto", True, False] = "auto"
    shots: PositiveInt | None = None
    episode: NonNegativeInt = 0
    labels: Literal["original", "permuted"] = "original"

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if self.episode and self.shots is None:
            raise UsageError(f"data.episode={self.episode} is the number of a draw, and nothing is drawn; give data.shots, or leave it out")
        return self


class HeadStage(Strict):
    """A first stage in which the last layer alone is trained.

    Attributes:
        epochs: its length, on top of the recipe's epochs.
        lr: its learning rate, constant.
    """

    epochs: PositiveInt
    lr: PositiveFloat = 1e-3


class Surgery(Strict):
    """What is altered in the network before it is trained: for core-focused losses (CFCE, appendix C.1).

    Attributes:
        stride: of the last stage: `1`, so that it keeps the grid of the stage before, or `original`.
        relus: which ReLUs of the last block are removed: its last one (`paper`), or all (`release`).
    """

    stride: Literal[1, "original"] = 1
    relus: Literal["paper", "release"] = "paper"


class Augment(Strict):
    """Random changes of the training images, drawn anew in every epoch; masks move along.

    Attributes:
        flip: probability of a mirror image.
        crop_scale: smallest share of the image that a random crop keeps, stretched to the whole again; 1 is no crop.
        brightness: largest change of the brightness, as a factor off 1.
        grayscale: probability of losing all colour.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.0
    grayscale: Annotated[float, Field(ge=0, le=1)] = 0.0


class TrainingRecipe(BaseRecipe):
    """A training run under a name.

    Attributes:
        network: the architecture: `shortcuts`, or one of torchvision or timm by its name there, without weights.
        init: weights to start from: the name of a model, or the path of a checkpoint; random ones unless given. A last layer
            with another number of classes is drawn anew.
        pretraining: fields of a run that comes first and makes the network that this one begins with; those that are not given are this
            recipe's. Its name is NAME-pretraining unless given.
        surgery: what is altered in the network then; nothing unless given, `{}` is the paper's.
        data: splits to train and evaluate on.
        loss: spec of a registered loss, `ce` or `ce(smoothing=0.1)`.
        optimiser: step size and decay.
        head_stage: a stage before, of the last layer alone; none unless given.
        batchnorm_updates: forward passes that update running statistics: the `main_pass` of a step, or `all_passes`.
        augment: random changes of the training images.
        epochs: passes over the training images.
        batch_size: images per step, of all processes together.
        gradient_accumulation: parts that a batch is worked through in, one after the other, to save memory.
        precision: of the network up to its target layer, in training: `fp32`, `bf16` or `fp16`; maps and losses are in fp32 always.
        seed: decides the first weights, the order of the images and the augmentation.
        keep: `last` epoch's weights, or those of the epoch `best` on `validation`.
        validation: split that is evaluated after every epoch.
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
    def _known(cls, text: str) -> str:
        spec = losses.parse_one(text)
        for name, value in spec.options:
            if name == "cam":
                explainers.parse_one(str(value))
        return text

    @field_validator("network")
    @classmethod
    def _built(cls, name: str) -> str:
        check_network(name)
        return name

    @field_validator("init")
    @classmethod
    def _there(cls, name: str | None) -> str | None:
        if name is not None:
            check_model(name)
        return name

    @field_validator("validation")
    @classmethod
    def _unbiased(cls, split: str) -> str:
        if split in _BIASED:
            raise UsageError(f"weights are never chosen by {split!r}, which measures their bias; use val")
        return split

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The last layer alone, if there is such a stage, then all layers."""
        main = super().stages
        if self.head_stage is None:
            return main
        how = Optimiser.model_validate(self.optimiser.model_dump() | {"lr": self.head_stage.lr, "schedule": "constant"})
        return (Stage(self.head_stage.epochs, how), *main)

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the epoch with the highest validation accuracy are kept, instead of the last epoch's."""
        return self.keep == "best"

    @property
    def micro_batches(self) -> int:
        """Equal parts of a batch that are processed one after the other."""
        return self.gradient_accumulation

    @property
    def mixed_precision(self) -> str:
        """`no`, `bf16` or `fp16`, as accelerate names it."""
        return "no" if self.precision == "fp32" else self.precision

    def first(self) -> TrainingRecipe | None:
        """The run that comes before, where there is one.

        Raises:
            UsageError: one of the fields in `pretraining` is unknown or out of range.
        """
        if self.pretraining is None:
            return None
        own = self.model_dump(exclude={"pretraining"}) | {"name": f"{self.name}-pretraining"}
        return check_recipe(merge_nested(own, self.pretraining), f"{self.name}, pretraining")

    @model_validator(mode="after")
    def _chained(self) -> Self:
        if (first := self.first()) is not None and (first.name == self.name or first.network != self.network):
            raise UsageError("pretraining: the first run needs another name and the same network")
        return self

    @model_validator(mode="after")
    def _operable(self) -> Self:
        if self.surgery is not None and not self.network.startswith(_OPERABLE):
            raise UsageError(f"surgery: not known for network={self.network}; take shortcuts or a ResNet of torchvision, or leave it out")
        return self

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.batch_size % self.gradient_accumulation or self.batch_size == self.gradient_accumulation:
            raise UsageError(
                f"gradient_accumulation={self.gradient_accumulation}: batch_size={self.batch_size} "
                "cannot be worked through in that many equal parts of at least 2 images; take a divisor"
            )
        return self


def read_recipe(path: str | Path) -> TrainingRecipe:
    """Read and check a recipe; nothing is trained.

    Raises:
        UsageError: no such file, not YAML, or a field that is unknown, missing or out of range.
    """
    file = Path(path)
    written = read_fields(file, "recipe", "name: my-model", hint="; the recipes are in benchmarks/")
    return check_recipe(written, str(file))


def check_recipe(written: Mapping[str, object], source: str) -> TrainingRecipe:
    """Make a recipe of plain values; `source` is named in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range; the message names source, field and fix.
    """
    return check_fields(TrainingRecipe, written, source)
