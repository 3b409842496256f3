"""CellSettings: measurement settings of a table label or cell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from camdbench.core.merging import merge_nested
from camdbench.core.registries import datasets, explainers, losses, metrics
from camdbench.core.target_rules import check_target_rule

Statistics = float | Annotated[tuple[float, ...], Field(strict=False)]


class CellSettings(BaseModel):
    """Settings of a measurement; those of a cell are merged from its four labels.

    Attributes:
        dataset: spec of the data set, without split.
        split: name of the split.
        paper_images: number of images in the paper, for time estimates.
        sample: number of randomly sampled images.
        subset: `misclassified` keeps the misclassified images.
        model: name of a model of the zoo.
        mean: mean of the input normalisation; default: that of the weights.
        std: standard deviation of the input normalisation; default: that of the weights.
        target: rule for the explained class.
        explainer: spec of the explainer.
        wrapper: name of a wrapper around the explainer.
        metric: spec of the metric.
        measure: cost of the explainer, in place of a metric.
        scale_by: factor from the unit of the metric to the unit of the paper.
        training: fields of the training recipe of the model; they override the paper's `train.yaml`.
        probe: fields of a segmentation probe whose mean IoU replaces the metric (see `camdbench probe`).
        seeds: seeds of the trained models; default: the recipe's.
        not_runnable: why the cell cannot be measured at all.
        not_comparable: why the measured value must not be compared with the paper's.
        small: settings that change with `--small`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: str | None = None
    split: str | None = None
    paper_images: PositiveInt | None = None
    sample: PositiveInt | None = None
    subset: Literal["misclassified"] | None = None
    model: str | None = None
    mean: Statistics | None = None
    std: Statistics | None = None
    target: str | None = None
    explainer: str | None = None
    wrapper: str | None = None
    metric: str | None = None
    measure: Literal["seconds_per_image"] | None = None
    scale_by: PositiveFloat | None = None
    training: dict[str, Any] | None = None
    probe: dict[str, Any] | None = None
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1, strict=False)] | None = None
    not_runnable: str | None = None
    not_comparable: str | None = None
    small: CellSettings | None = None

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, text: str | None) -> str | None:
        if text is not None:
            datasets.parse_one(text)
        return text

    @field_validator("explainer")
    @classmethod
    def _known_explainer(cls, text: str | None) -> str | None:
        return text if text is None else str(explainers.parse_one(text))

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, text: str | None) -> str | None:
        return text if text is None else str(metrics.parse_one(text))

    @field_validator("wrapper")
    @classmethod
    def _known_wrapper(cls, name: str | None) -> str | None:
        return name if name is None else explainers.get(name).name

    @field_validator("target")
    @classmethod
    def _known_target(cls, rule: str | None) -> str | None:
        return rule if rule is None else check_target_rule(rule)

    @field_validator("training")
    @classmethod
    def _known_loss(cls, fields: dict[str, Any] | None) -> dict[str, Any] | None:
        if fields and "loss" in fields:
            losses.parse_one(str(fields["loss"]))
        return fields

    def over(self, base: CellSettings) -> CellSettings:
        """These settings with the unset ones from `base`; `training` and `small` are merged field by field."""
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        if self.training is not None and base.training is not None:
            given["training"] = merge_nested(base.training, self.training)
        if self.small is not None and base.small is not None:
            given["small"] = self.small.over(base.small)
        return base.model_copy(update=given)
