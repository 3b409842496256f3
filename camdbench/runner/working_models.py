"""The classifiers that make the passes of a run: as they are, or optimised; and the effect of options of speed on their logits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from torch import Tensor

from camdbench.datasets.loading import readable
from camdbench.datasets.samples import batches
from camdbench.models.classifier import Classifier

if TYPE_CHECKING:
    from camdbench.runner.resources import Resources


class WorkingModels:
    """Models of a run that make its passes, by name; copies are made on first use, and one is kept at a time.

    Args:
        resources: the models as they are.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._kept: tuple[str, Classifier] | None = None

    def classifier(self, name: str) -> Classifier:
        """The model of a name, by the option `optimize`; a given object that is optimised as it is.

        Raises:
            UsageError: the network cannot be optimised so.
        """
        given, config = self._resources.models.get(name), self._resources.checked_request.config
        if given is not None and given.optimize != "none":
            return given
        classifier = self._resources.classifier(name)
        if config.optimize == "none":
            return classifier
        from camdbench.models.optimised import optimised

        if self._kept is None or self._kept[0] != name:
            self._kept = None  # frees the memory of the last copy first
            self._kept = name, optimised(classifier, config.optimize, image_size=self._resources.image_size)
        return self._kept[1]

    def effects(self) -> dict[str, dict[str, Any]]:
        """Effect of the options on the first batch, by name in rows, for run.json; empty if none is used."""
        found = dict[str, dict[str, Any]]()
        for name in self._resources.checked_request.models:
            plain, working = self._resources.classifier(name), self.classifier(name)
            if working is not plain or working.precision != "fp32":
                images = self._first_batch(working)
                found[self._resources.row_name(plain)] = _effect_of(plain, working, images)
        return found

    @staticmethod
    def effect_lines(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What run.json holds of the effects on its models, a line each."""
        return [_line(name, own["effect"]) for name, own in models.items() if own.get("effect")]

    def _first_batch(self, classifier: Classifier) -> Tensor:
        count = 1 if classifier.batch_mates == "alone" else self._resources.checked_request.config.batch_size
        return next(batches(list(islice(readable(self._resources.images), count)), count)).images.to(classifier.device)


def _effect_of(plain: Classifier, working: Classifier, images: Tensor) -> dict[str, Any]:
    from camdbench.models.autocasting import bfloat16_time
    from camdbench.models.logit_effect import logit_effect

    facts: dict[str, Any] = {"precision": working.precision, "optimize": working.optimize}
    if working.optimisation is not None:
        facts["folded"] = working.optimisation.folded
    facts |= logit_effect(plain, working, images).record()
    if working.precision == "bf16-all":
        facts["bf16_time"] = float(f"{bfloat16_time(working, images):.2g}")
    return facts


def _line(name: str, effect: Mapping[str, Any]) -> str:
    used = [f"{option} = {effect[option]}" for option, usual in (("optimize", "none"), ("precision", "fp32")) if effect[option] != usual]
    count = effect["images"]
    moved = f"logits of the first {count} images differ by at most {effect['logit_difference']:.1e} (they range over "
    same = f"{effect['logit_range']:.3g}), {effect['same_class']} of {count} predicted classes are equal"
    more = f"; {effect['folded']} batch norms are folded" if effect.get("folded") is not None and effect["optimize"] != "layout" else ""
    if (time := effect.get("bf16_time")) is not None:
        more += f"; a forward and backward pass takes {time:g} x the time of fp32" + (": choose bf16 or fp32" if time >= 1 else "")
    return f"{name}: {', '.join(used)}: {moved}{same}{more}"
