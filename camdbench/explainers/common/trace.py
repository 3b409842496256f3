"""Trace: logits, activations and gradients of one batch at one layer, each computed lazily and cached."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.target_rules import check_target_rule
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.kept_parts import KeptParts, forget_changed
from camdbench.explainers.common.second_derivative import second_derivative
from camdbench.explainers.common.usage import Usage, UsageMeter
from camdbench.functional.pass_size import in_halves
from camdbench.functional.seeding import generator_for
from camdbench.functional.targets import check_classes, pick_targets
from camdbench.models.attention import Attention, record_attention
from camdbench.models.classifier import Classifier
from camdbench.models.devices import clock
from camdbench.models.float64_copy import check_float64, float64_copy
from camdbench.models.linear_head import linear_head
from camdbench.models.tensor_layout import TensorLayout

T = TypeVar("T")


class Trace:
    """Logits, activations and gradients of a classifier for a batch: the input of every explainer.

    Reading `logits`, `activations` and `gradients` costs one forward and one tail backward pass per image and layer,
    however many explainers read them.

    Args:
        classifier: the model, already frozen (see `Classifier.frozen`).
        batch: images in [0, 1] with their annotations, on the classifier's device.
        target: which class is explained: a rule (label, predicted, runner_up, least_likely, an index) or classes (B,).
        layer: target layer, the classifier's own where None.
        seed: seed of explainers that draw random numbers.
        differentiable: whether logits, activations and gradients stay in the graph of the weights, so that a loss made of
            an explainer's map trains the network; the classifier is then not frozen.
    """

    def __init__(
        self,
        classifier: Classifier,
        batch: Batch,
        *,
        target: str | int | Tensor = "label",
        layer: str | None = None,
        seed: int = 0,
        differentiable: bool = False,
    ) -> None:
        images = batch.images.to(torch.promote_types(batch.images.dtype, classifier.dtype))  # float64 for a network in float64
        self.batch = batch if images is batch.images else replace(batch, images=images)
        self.classifier, self.seed, self.differentiable = classifier, seed, differentiable
        self._target = target if isinstance(target, Tensor) else check_target_rule(target)
        self._layer = layer
        self._first: Trace | None = None  # the trace that was asked for other layers, of which this is one; no trace refers to itself,
        self._others = dict[str, Trace]()  # so that the memory of one that is dropped is free at once
        self._source: Trace | None = None  # makes the passes that depend on no class; None: this one
        self._parts = KeptParts()
        self.usage = UsageMeter()

    def at(self, layer: str | None) -> Trace:
        """The trace of the same batch through another layer; the batch's own one where `layer` is None.

        Logits, targets and usage are shared with it.
        """
        if layer is None:
            return self
        first = self._family[0]
        if layer == (first._layer if first._layer is not None else first.classifier.layer):
            return first
        if layer not in self._others:
            other = self._like(self.batch, self._target, layer)
            other._first, other._others, other.usage = first, self._others, self.usage
            other._source = None if self._source is None else self._source.at(layer)
            self._others[layer] = other
        return self._others[layer]

    def of(self, batch: Batch, *, targets: Tensor | None = None, classifier: Classifier | None = None) -> Trace:
        """The trace of other images at the same layer; its parts are computed anew, but for passes of the same images and model.

        Args:
            batch: the images.
            targets: (B,) their classes, this trace's own where None.
            classifier: another model, frozen, instead of this trace's.
        """
        other = self._like(batch, self.targets if targets is None else targets, self._layer, classifier)
        if other.images is self.images and other.classifier is self.classifier and not self.differentiable:
            other._source = self._origin
        return other

    @contextmanager
    def in_float64(self) -> Generator[Trace]:
        """The trace of the same images, classes and layer through a copy of the network in float64; its passes are counted.

        Raises:
            NotApplicable: the network cannot be copied or does not compute in float64.
        """
        copy, targets = float64_copy(self.classifier), self.targets
        try:
            exact = Trace(copy, self.batch.to(copy.device), target=targets.to(copy.device), layer=self._layer, seed=self.seed)
            check_float64(lambda: exact.logits)
            yield exact
        finally:
            self.classifier.passes += copy.passes

    def forget_changed(self, *, everything: bool = False) -> bool:
        """Drop what this trace and those of other layers keep, if an explainer changed any of it in place; returns whether so."""
        return forget_changed([own._parts for own in (*self._family, *self._origin._family)], everything=everything)

    @property
    def images(self) -> Tensor:
        """(B, 3, H, W) in [0, 1]."""
        return self.batch.images

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def layer_name(self) -> str:
        """Name of the target layer."""
        return self.classifier.layer_name(self._layer)

    @property
    def logits(self) -> Tensor:
        """(B, C), of the images as they are."""
        own = self._origin
        for trace in (own, *own._family):  # the trace's own pass first: usage is attributed to its readers
            if "forward" in trace._parts:
                return trace._forward()[1]
        if (self._layer or self.classifier.layer) is None:  # no layer, so nothing is captured
            return own._part("logits", own._plain_logits)
        return self._forward()[1]

    @property
    def targets(self) -> Tensor:
        """(B,) int64, the explained class of each image.

        Raises:
            UsageError: the rule cannot be met: a class that the model does not have, or an image without label.
        """
        logits = self._logits_at_hand()
        if isinstance(self._target, Tensor):
            return check_classes(self._target, logits.shape[1], "targets: an image is given class").clone()
        return pick_targets(self._target, logits, self.batch.labels).clone()

    @property
    def target_logits(self) -> Tensor:
        """(B,), the logit of each image's explained class."""
        return self.logits.gather(1, self.targets[:, None]).squeeze(1)

    @property
    def activations(self) -> Tensor:
        """(B, K, h, w), the layer's output as channels over places, without prefix tokens."""
        leaf, _ = self._forward()
        return self._layout(leaf).to_grid(self._kept(leaf))

    @property
    def gradients(self) -> Tensor:
        """(B, K, h, w), d target logit / d activations."""
        return self._part("gradients", lambda: self._differentiate(self._target_logit))

    @property
    def curvature(self) -> Tensor:
        """(B, K, h, w), the second derivatives of the target logit by the activations, applied to the activations.

        Two more tail backward passes; none on a linear head, which has no curvature.

        Raises:
            NotApplicable: of a differentiable trace; torch's third derivatives of normalisation layers are wrong.
        """
        return self._part("curvature", self._curvature)

    def gradients_of(self, weights: Tensor) -> Tensor:
        """(B, K, h, w), d sum_c w_c logit_c / d activations, for weights (B, C) of the classes.

        One more tail backward pass; none on a linear head, where it is W' w over the number of places.
        """
        head = self._linear_head()
        if head is None:
            return self._differentiate(lambda logits: (logits * weights).sum())
        grid = self.activations
        return (weights @ head / grid[0, 0].numel())[:, :, None, None].expand_as(grid)

    @property
    def attention(self) -> Attention:
        """Attention of each block of a vision transformer; one forward pass with unfused attention.

        Raises:
            NotApplicable: the network is no vision transformer whose attention is known.
        """
        return self._attended()[0]

    @property
    def attention_gradients(self) -> tuple[Tensor, ...]:
        """For each block (B, heads, N, N), d target logit / d attention."""
        return self._part("attention_gradients", self._attention_gradients)

    @property
    def class_weights(self) -> Tensor:
        """(C, K), for a head that is global average pooling and a linear layer: logits = mean(A) W' + b.

        Raises:
            NotApplicable: the head behind the layer is another one.
        """
        weights = self._linear_head()
        if weights is None:
            raise NotApplicable("the head behind the layer is not global average pooling and a linear layer")
        return weights

    def replay(self, index: int, activations: Tensor) -> Tensor:
        """Logits (N, C) of one image of the batch with its layer's activations replaced by each of (N, K, h, w)."""
        leaf, _ = self._forward()
        own = leaf.detach()[index : index + 1]
        outputs = self._layout(leaf).from_grid(activations, own)
        with torch.no_grad():
            return self.classifier.replay(self.images[index : index + 1], outputs, self._layer)

    def score(self, images: Tensor) -> Tensor:
        """Logits (N, C) of altered images in [0, 1], by full forward passes, in the model's `precision` where autograd does not follow."""
        return in_halves(self.classifier.score, images)

    def random(self, index: int, purpose: str) -> torch.Generator:
        """The CPU generator of one image of the batch, from (seed, image id) alone."""
        return generator_for(self.seed, self.batch.ids[index], purpose)

    @property
    def _origin(self) -> Trace:
        """The trace that makes the passes which depend on no class."""
        return self if self._source is None else self._source

    @property
    def _family(self) -> tuple[Trace, ...]:
        """The traces of the same batch and class through all layers that were asked for, the first one first."""
        return self if self._first is None else self._first, *self._others.values()

    def _like(self, batch: Batch, target: str | int | Tensor, layer: str | None, classifier: Classifier | None = None) -> Trace:
        model = classifier or self.classifier
        return Trace(model, batch, target=target, layer=layer, seed=self.seed, differentiable=self.differentiable)

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

    def _spent(self) -> Usage:
        return self.usage.spent() if self._origin.usage is self.usage else self.usage.spent() + self._origin.usage.spent()

    def _forward(self) -> tuple[Tensor, Tensor]:
        return self._origin._part("forward", self._origin._captured_forward)

    def _captured_forward(self) -> tuple[Tensor, Tensor]:
        plain = sdpa_kernel(SDPBackend.MATH) if self.differentiable else nullcontext()  # fused attention is differentiable once only
        with torch.enable_grad(), plain, self.classifier.captured(self._layer, attached=self.differentiable) as seen:
            logits = self.classifier(self.images)
        self._parts["graph"] = logits
        return seen.output(), self._kept(logits)

    def _logits_at_hand(self) -> Tensor:
        """Logits to choose a class by: those of a pass with attention, if it is the only one (an explainer's, if classes are given)."""
        family = self._origin._family
        if (seen := next((trace for trace in family if "attention" in trace._parts), None)) is None:
            return self.logits
        given = isinstance(self._target, Tensor)
        there = {name for _, name in self._origin.usage.read} if given else {name for trace in family for name in trace._parts}
        return self.logits if "forward" in there or "attention" not in there else seen._attended()[1].detach()

    def _plain_logits(self) -> Tensor:
        with torch.set_grad_enabled(self.differentiable):
            return self.classifier(self.images)

    def _linear_head(self) -> Tensor | None:
        own, attached = self._origin, self.differentiable
        return own._part("class_weights", lambda: linear_head(own.classifier, own.activations, own.logits, attached=attached))

    def _attended(self) -> tuple[Attention, Tensor]:
        return self._origin._part("attention", self._origin._attention)

    def _attention(self) -> tuple[Attention, Tensor]:
        with torch.enable_grad(), record_attention(self.classifier.network) as seen:
            return seen, self.classifier(self.images)

    def _attention_gradients(self) -> tuple[Tensor, ...]:
        seen, logits = self._attended()
        with torch.enable_grad():
            return torch.autograd.grad(self._target_logit(logits), seen.probabilities, retain_graph=True)

    def _target_logit(self, logits: Tensor) -> Tensor:
        return logits.gather(1, self.targets[:, None]).sum()

    def _differentiate(self, objective: Callable[[Tensor], Tensor]) -> Tensor:
        leaf, _ = self._forward()
        with torch.enable_grad():
            goal, keep = objective(self._origin._parts["graph"]), self.differentiable
            found = torch.autograd.grad(goal, leaf, retain_graph=True, create_graph=keep, allow_unused=True)
        if (gradient := cast("Tensor | None", found[0])) is None:
            raise UsageError(f"layer {self.layer_name!r} does not lead to the logits; choose another one")
        return self._layout(leaf).to_grid(gradient)

    def _curvature(self) -> Tensor:
        if self._linear_head() is not None:
            return torch.zeros_like(self.activations)
        if self.differentiable:
            raise NotApplicable("the curvature of a head that is not linear cannot be trained through; choose another map")
        leaf, _ = self._forward()
        with torch.enable_grad():
            try:
                product = second_derivative(self.classifier, self._target_logit(self._origin._parts["graph"]), leaf)
            except RuntimeError:  # fused attention has no second derivative, its plain form has
                with sdpa_kernel(SDPBackend.MATH), self.classifier.captured(self._layer) as seen:
                    logits = self.classifier(self.images)
                product = second_derivative(self.classifier, self._target_logit(logits), seen.output())
        return self._layout(leaf).to_grid(product)

    def _layout(self, leaf: Tensor) -> TensorLayout:
        if "layout" not in self._parts:
            self._parts["layout"] = self.classifier.layout(leaf, self.size, self._layer)
        return self._parts["layout"]
