"""Passes of a batch's images as they are: with a captured layer, with attention, or an explainer's own; each gives their logits, too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from camdbench.core.target_rules import check_target_rule
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.kept_parts import KeptParts
from camdbench.explainers.common.usage import Usage, UsageMeter
from camdbench.functional.objectives import LOGIT, Objective, rivals_of
from camdbench.functional.targets import pick_targets
from camdbench.models.classifier import Classifier
from camdbench.models.devices import clock

if TYPE_CHECKING:
    from camdbench.models.attention import Attention

T = TypeVar("T")
_OWN = "logits of pass "  # part: the logits of an explainer's own pass, by a number


def captured_pass(
    classifier: Classifier, images: Tensor, layer: str | None, *, attached: bool = False, plain: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the layer's output and the logits (B, C), in one graph.

    Args:
        classifier: the model.
        images: (B, 3, H, W) in [0, 1].
        layer: the layer, the classifier's own where None.
        attached: whether the output stays in the graph of the weights.
        plain: whether attention is not fused, so that it is differentiable more than once.
    """
    attention = sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
    with torch.enable_grad(), attention, classifier.captured(layer, attached=attached) as seen:
        logits = classifier(images)
    return seen.output(), logits


def attended_pass(classifier: Classifier, images: Tensor) -> tuple[Attention, Tensor]:
    """Return the attention of each block and the logits (B, C), in one graph; attention is unfused.

    Raises:
        NotApplicable: the network is no vision transformer whose attention is known.
    """
    from camdbench.models.attention import record_attention

    with torch.enable_grad(), record_attention(classifier.network) as seen:
        return seen, classifier(images)


class ImagePasses:
    """Passes of a batch's images as they are, each made once, their logits, and the classes chosen by them.

    Args:
        classifier: the model.
        batch: images in [0, 1].
        target: which class is explained: a rule or classes (B,).
        layer: the layer that a pass captures, the classifier's own where None.
        differentiable: whether what passes give stays in the graph of the weights.
        objective: which scalar of an image's logits is explained.
    """

    def __init__(
        self,
        classifier: Classifier,
        batch: Batch,
        target: str | int | Tensor,
        layer: str | None,
        *,
        differentiable: bool,
        objective: Objective = LOGIT,
    ) -> None:
        images = batch.images.to(torch.promote_types(batch.images.dtype, classifier.dtype))  # float64 for a network in float64
        self.batch = batch if images is batch.images else replace(batch, images=images)
        self.classifier, self.differentiable, self.objective = classifier, differentiable, objective
        self._given_rivals: Tensor | None = None  # of the images of which these are altered copies
        self._target = target if isinstance(target, Tensor) else check_target_rule(target)
        self._layer = layer
        self._first: ImagePasses | None = None  # the trace that was asked for another layer, if this is that of the layer
        self._elsewhere = dict[str, KeptParts]()  # parts at other layers; no trace refers to itself, so that dropped ones are free at once
        self._source: ImagePasses | None = None  # makes the passes that depend on no class; None: this one
        self._parts = KeptParts()
        self.usage = UsageMeter()

    @property
    def images(self) -> Tensor:
        """(B, 3, H, W) in [0, 1]."""
        return self.batch.images

    @property
    def logits(self) -> Tensor:
        """(B, C), of the images as they are."""
        own = self._origin
        if (made := self._pass_made()) is not None:
            trace, name, logits = made
            trace.usage.read.add((trace._layer, name))
            return logits
        if (self._layer or self.classifier.layer) is None:  # no layer, so nothing is captured
            return own._part("logits", own._plain_logits)
        return self._forward()[1]

    @property
    def known_logits(self) -> Tensor | None:
        """`logits` if a pass has given them already."""
        made = self._pass_made()
        return None if made is None else made[2]

    @property
    def targets(self) -> Tensor:
        """(B,) int64, the explained class of each image.

        Raises:
            UsageError: the rule cannot be met: a class that the model does not have, or an image without label.
        """
        return self._chosen("targets", lambda logits: pick_targets(self._target, logits, self.batch.labels))

    @property
    def target_logits(self) -> Tensor:
        """(B,), the logit of each image's explained class."""
        return self.logits.gather(1, self.targets[:, None]).squeeze(1)

    def explained(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """(N,), the explained score of images, the objective, from their logits (N, C); by default the logit of the explained class.

        Args:
            logits: of the images of the batch, or of altered copies of them.
            rows: (N,) the place in the batch of each image; default: the images of the batch in their order.
        """
        targets = self.targets if rows is None else self.targets[rows]
        if self.objective is LOGIT:
            return logits.gather(1, targets[:, None]).squeeze(1)
        rivals = self._rivals
        if rows is not None and rivals is not None:
            rivals = rivals[rows]
        return self.objective.values(logits, targets, rivals, rows)

    @property
    def explained_scores(self) -> Tensor:
        """(B,), the explained score of the images as they are."""
        return self.explained(self.logits)

    @property
    def logit_weights(self) -> Tensor | None:
        """(B, C), weights of the logits in the explained score; None if it is not affine in the logits."""
        return self.objective.weights(self.logits, self.targets, self._rivals)

    @property
    def _rivals(self) -> Tensor | None:
        """(B,), the class of the largest other logit, if the objective follows it; chosen once, as the explained class."""
        if not self.objective.follows_rival or self._given_rivals is not None:
            return self._given_rivals
        targets = self.targets
        return self._chosen("rivals", lambda logits: rivals_of(logits, targets))

    def own_pass(self, make: Callable[[], Tensor]) -> Tensor:
        """Logits (B, C), in their graph, that `make` returns from a pass of the images as they are, which the explainer needs anyway.

        They serve as the trace's where it has no others, and choose the class of an explainer that reads `targets` next.
        """
        return self._own_pass(make)[0]

    def _own_pass(self, make: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """The same logits, and the part that has them; none of a differentiable trace, where they are in another graph."""
        own, made = self._origin, list[Tensor]()
        if self.differentiable:
            return make(), ""

        def logits() -> Tensor:
            made.append(make())
            return made[0].detach()

        part = f"{_OWN}{len(own.usage.costs)}"
        own._part(part, logits)
        return made[0], part

    @property
    def _origin(self) -> ImagePasses:
        """The trace that makes the passes which depend on no class."""
        return self if self._source is None else self._source

    @property
    def _family(self) -> tuple[ImagePasses, ...]:
        """The traces of the same batch and class through all layers that were asked for, the first one first."""
        first = self if self._first is None else self._first
        return first, *map(first._through, first._elsewhere)

    def _through(self, layer: str) -> ImagePasses:
        """The trace of the same batch and class through another layer."""
        raise NotImplementedError

    def _kept(self, tensor: Tensor) -> Tensor:
        return tensor if self.differentiable else tensor.detach()

    def _part(self, name: str, compute: Callable[[], T]) -> T:
        key = (self._layer, name)
        if name not in self._parts:
            passes, inner, start = self.classifier.passes, self._spent(), clock(self.images.device)
            self._parts.keep(name, compute())
            whole = Usage(self.classifier.passes - passes, clock(self.images.device) - start)
            self.usage.costs[key] = whole - (self._spent() - inner)  # without nested parts, which have entries themselves
        self.usage.read.add(key)  # not before: a part that cannot be computed has no usage
        return self._parts[name]

    def _chosen(self, name: str, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Classes (B,) chosen by the logits at hand; once, so that no later pass, whose rounding is another, chooses anew."""
        logits, kept = self._logits_at_hand(), self._family[0]._parts
        if name not in kept:
            kept[name] = choose(logits)
        return kept[name].clone()

    def _spent(self) -> Usage:
        return self.usage.spent() if self._origin.usage is self.usage else self.usage.spent() + self._origin.usage.spent()

    def _forward(self) -> tuple[Tensor, Tensor]:
        return self._origin._part("forward", self._origin._captured_forward)

    def _captured_forward(self) -> tuple[Tensor, Tensor]:
        keep = self.differentiable
        leaf, logits = captured_pass(self.classifier, self.images, self._layer, attached=keep, plain=keep)
        self._parts["graph"] = logits
        return leaf, self._kept(logits)

    def _attended(self) -> tuple[Attention, Tensor]:
        own = self._origin
        return own._part("attention", lambda: attended_pass(own.classifier, own.images))

    def _logits_at_hand(self) -> Tensor:
        """Logits to choose a class by.

        They are of an own pass just read, or of one with attention if it is the only one (and an explainer's, if classes are given).
        """
        for trace, name in self._own_passes():
            if (trace._layer, name) in trace.usage.read:
                return trace._parts[name]
        family = self._origin._family
        if (seen := next((trace for trace in family if "attention" in trace._parts), None)) is None:
            return self.logits
        given = isinstance(self._target, Tensor)
        there = {name for _, name in self._origin.usage.read} if given else {name for trace in family for name in trace._parts}
        return self.logits if "forward" in there or "attention" not in there else seen._attended()[1].detach()

    def _pass_made(self) -> tuple[ImagePasses, str, Tensor] | None:
        """Trace, part and logits of a pass that was made: a captured one, else an explainer's own."""
        own = self._origin
        for trace in (own, *own._family):  # the trace's own pass first: usage is attributed to its readers
            if "forward" in trace._parts:
                return trace, "forward", trace._parts["forward"][1]
        return next(((trace, name, trace._parts[name]) for trace, name in self._own_passes()), None)

    def _own_passes(self) -> list[tuple[ImagePasses, str]]:
        """Traces of the same images with the names of their parts that are logits of explainers' own passes."""
        return [(trace, name) for trace in self._origin._family for name in trace._parts if name.startswith(_OWN)]

    def _plain_logits(self) -> Tensor:
        with torch.set_grad_enabled(self.differentiable):
            return self.classifier(self.images)
