"""Recipe: everything that decides what a training run yields, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from camdbench.core.catalogue import datasets, explainers, losses
from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.core.nested import joined
from camdbench.core.spec import parse_spec
from camdbench.models.zoo import check_model, check_network

_OPERABLE = ("shortcuts", "resnet", "resnext", "wide_resnet")  # networks that core-focused surgery knows
_BIASED = ("conflict", "shifted")  # splits that measure the bias; choosing weights by them would train on the answer


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Data(_Part):
    """What is learned from and judged on.

    Attributes:
        dataset: spec of a registered data set, `shortcuts` or `shortcuts(size=64)`, without split and count.
        train: name of the split to learn from.
        count: number of training images; the data set's own unless given.
        evaluate: the splits that the finished network is judged on.
        evaluate_count: number of images in each of them, likewise.
        regions: what a loss takes for the object: the data set's `masks`, or its `boxes`, filled.
        labelled: share of the training images whose label is known; which, the seed decides.
        memory: whether a split is read into memory as a whole, or again in every epoch; `auto` holds up to 2 GiB of pixels and masks.
        shots: images of each class to learn from, out of the split or of its `count`; all unless given.
        episode: number of the draw that chooses these; the same images for every loss and every seed.
        labels: `own`, or `permuted`: dealt out anew among the training images, by the seed.
    """

    dataset: str = "shortcuts"
    train: str = "train"
    count: PositiveInt | None = None
    evaluate: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("val",)
    evaluate_count: PositiveInt | None = None
    regions: Literal["masks", "boxes"] = "masks"
    labelled: Annotated[float, Field(gt=0, le=1)] = 1.0
    memory: Literal["auto", True, False] = "auto"
    shots: PositiveInt | None = None
    episode: NonNegativeInt = 0
    labels: Literal["own", "permuted"] = "own"

    @field_validator("dataset")
    @classmethod
    def _known(cls, text: str) -> str:
        datasets.parse_one(text)
        given = parse_spec(text).arguments
        if "split" in given or "count" in given:
            raise UsageError("leave split and count out of the data set's spec; they have fields of their own")
        return text

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if self.episode and self.shots is None:
            raise UsageError(f"data.episode={self.episode} is the number of a draw, and nothing is drawn; give data.shots, or leave it out")
        return self


class Optimiser(_Part):
    """How weights are changed, and how the learning rate runs.

    Attributes:
        name: `adamw`, `adam` or `sgd`.
        lr: highest learning rate.
        weight_decay: decay of the weights; per step and times the learning rate with `adamw`, part of the gradient otherwise.
        momentum: of `sgd`.
        schedule: `one_cycle`; `cosine`, a linear warm-up and then half a cosine down to zero; `steps`; or `constant`.
        warm_up: share of the steps on which the rate rises to `lr`; none with `steps` and `constant`.
        drops: shares of the run after which `steps` multiplies the rate by `drop`.
        drop: that factor.
        clip: largest norm of the gradient of all weights together; unlimited unless given.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["one_cycle", "cosine", "steps", "constant"] = "one_cycle"
    warm_up: Annotated[float, Field(gt=0, lt=1)] = 0.3
    drops: Annotated[tuple[float, ...], Field(strict=False)] = (1 / 3, 2 / 3)
    drop: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip: PositiveFloat | None = None


class Head(_Part):
    """A first stage in which the last layer alone is trained.

    Attributes:
        epochs: its length, on top of the recipe's epochs.
        lr: its learning rate, constant.
    """

    epochs: PositiveInt
    lr: PositiveFloat = 1e-3


class Surgery(_Part):
    """What is altered in the network before it is trained: for core-focused losses (CFCE, appendix C.1).

    Attributes:
        stride: `one`, the last stage keeps the grid of the one before it, or `keep` as it was.
        rectifiers: `paper`, the last block's last ReLU goes, or `release`, all of its ReLUs go.
    """

    stride: Literal["one", "keep"] = "one"
    rectifiers: Literal["paper", "release"] = "paper"


class Augment(_Part):
    """Random changes of the training images, drawn anew in every epoch; masks move along.

    Attributes:
        flip: probability of a mirror image.
        crop: smallest share of the image that a random crop keeps, stretched to the whole again; 1 is no crop.
        brightness: largest change of the brightness, as a factor off 1.
        grey: probability of losing all colour.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.0
    grey: Annotated[float, Field(ge=0, le=1)] = 0.0


class Recipe(_Part):
    """A training run.

    Attributes:
        name: name of the model, and of the files written.
        network: the architecture: `shortcuts`, or one of torchvision or timm by its name there, without weights.
        init: weights to start from: the name of a model, or the path of a checkpoint; random ones unless given. A last layer
            with another number of classes is drawn anew.
        after: fields of a run that comes first and makes the network that this one begins with; those that are not given are this
            recipe's. Its name is NAME-before unless given.
        surgery: what is altered in the network then; nothing unless given, `{}` is the paper's.
        data: what is learned from and judged on.
        loss: spec of a registered loss, `ce` or `ce(smoothing=0.1)`.
        optimiser: step size and decay.
        head: a stage before, of the last layer alone; none unless given.
        statistics: which passes move the running statistics of normalisation layers: the `main` one of a step, or `every`.
        augment: random changes of the training images.
        epochs: passes over the training images.
        batch_size: images per step, of all processes together.
        accumulate: parts that a batch is worked through in, one after the other, to save memory.
        precision: of the network up to its target layer, in training: `fp32`, `bf16` or `fp16`; maps and losses are in fp32 always.
        seed: decides the first weights, the order of the images and the augmentation.
        keep: `last` epoch's weights, or those of the epoch `best` on `select`.
        select: the split that is looked at after every epoch.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    network: str = "shortcuts"
    init: str | None = None
    after: dict[str, Any] | None = None
    surgery: Surgery | None = None
    data: Data = Data()
    loss: str = "ce"
    optimiser: Optimiser = Optimiser()
    head: Head | None = None
    statistics: Literal["main", "every"] = "main"
    augment: Augment = Augment()
    epochs: PositiveInt = 12
    batch_size: Annotated[int, Field(ge=2)] = 64
    accumulate: PositiveInt = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: NonNegativeInt = 0
    keep: Literal["last", "best"] = "last"
    select: str = "val"

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

    @field_validator("select")
    @classmethod
    def _unbiased(cls, split: str) -> str:
        if split in _BIASED:
            raise UsageError(f"weights are never chosen by {split!r}, which measures their bias; use val")
        return split

    def first(self) -> Recipe | None:
        """The run that comes before, where there is one.

        Raises:
            UsageError: one of the fields in `after` is unknown or out of range.
        """
        if self.after is None:
            return None
        own = self.model_dump(exclude={"after"}) | {"name": f"{self.name}-before"}
        return check_recipe(joined(own, self.after), f"{self.name}, after")

    @model_validator(mode="after")
    def _chained(self) -> Self:
        if (first := self.first()) is not None and (first.name == self.name or first.network != self.network):
            raise UsageError("after: the run that comes first has a name of its own and the same network")
        return self

    @model_validator(mode="after")
    def _operable(self) -> Self:
        if self.surgery is not None and not self.network.startswith(_OPERABLE):
            raise UsageError(f"surgery: not known for network={self.network}; take shortcuts or a ResNet of torchvision, or leave it out")
        return self

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.batch_size % self.accumulate or self.batch_size == self.accumulate:
            raise UsageError(
                f"accumulate={self.accumulate}: batch_size={self.batch_size} cannot be worked through in that many equal parts of at "
                "least 2 images; take a divisor"
            )
        return self


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe; nothing is trained.

    Raises:
        UsageError: no such file, not YAML, or a field that is unknown, missing or out of range.
    """
    file = Path(path)
    written = read_fields(file, "recipe", "name: my-model", mend="; the recipes are in benchmarks/")
    return check_recipe(written, str(file))


def check_recipe(written: Mapping[str, object], source: str) -> Recipe:
    """Make a recipe of plain values; `source` is named in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range; the message names source, field and mend.
    """
    try:
        return Recipe.model_validate(written)
    except ValidationError as error:
        raise UsageError(f"recipe {source}: {_first(error)}") from None
    except UsageError as error:  # pydantic lets it through: it is no ValueError
        raise UsageError(f"recipe {source}: {error}") from None


_PARTS: dict[str, type[BaseModel]] = {"data": Data, "optimiser": Optimiser, "augment": Augment, "head": Head, "surgery": Surgery}


def _first(error: ValidationError) -> str:
    """The first complaint, with its field and what may stand there."""
    found = error.errors()[0]
    field = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        part = _PARTS.get(field.rpartition(".")[0], Recipe)
        return f"{field}: no such field; known: {', '.join(part.model_fields)}"
    if found["type"] == "missing":
        return f"{field}: missing; it has no default"
    return f"{field}={found['input']!r}: {found['msg'].lower()}"
