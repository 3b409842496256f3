"""Trace: logits, activations and gradients of one batch at one layer, each computed lazily and cached."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.image_passes import ImagePasses, captured_pass
from camdbench.explainers.common.kept_parts import forget_changed
from camdbench.explainers.common.second_derivative import second_derivative
from camdbench.functional.objectives import LOGIT, Objective
from camdbench.functional.pass_size import in_halves
from camdbench.functional.seeding import generator_for
from camdbench.models.autocasting import in_bfloat16
from camdbench.models.classifier import Classifier
from camdbench.models.float64_copy import check_float64, float64_copy
from camdbench.models.linear_head import linear_head
from camdbench.models.tensor_layout import TensorLayout

if TYPE_CHECKING:
    from camdbench.models.attention import Attention

T = TypeVar("T")


class Trace(ImagePasses):
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
        objective: which scalar of an image's logits is explained, the logit of its class where not stated.
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
        objective: Objective = LOGIT,
    ) -> None:
        super().__init__(classifier, batch, target, layer, differentiable=differentiable, objective=objective)
        self.seed = seed

    def at(self, layer: str | None) -> Trace:
        """The trace of the same batch through another layer; the batch's own one where `layer` is None.

        Logits, targets and usage are shared with it, and all parts with other traces through that layer.
        """
        if layer is None:
            return self
        first = self if self._first is None else cast("Trace", self._first)
        return first if layer == (first._layer if first._layer is not None else first.classifier.layer) else first._through(layer)

    def _through(self, layer: str) -> Trace:
        other = self._like(self.batch, self._target, layer)
        other._given_rivals = self._given_rivals
        other._first, other._elsewhere, other.usage = self, self._elsewhere, self.usage
        other._parts = self._elsewhere.setdefault(layer, other._parts)
        other._source = None if self._source is None else cast("Trace", self._source).at(layer)
        return other

    def of(self, batch: Batch, *, targets: Tensor | None = None, classifier: Classifier | None = None) -> Trace:
        """The trace of other images at the same layer; its parts are computed anew, but for passes of the same images and model.

        Args:
            batch: the images.
            targets: (B,) their classes, this trace's own where None.
            classifier: another model, frozen, instead of this trace's.
        """
        other = self._like(batch, self.targets if targets is None else targets, self._layer, classifier)
        other._given_rivals = self._rivals if targets is None else None
        if other.images is self.images and other.classifier is self.classifier and not self.differentiable:
            other._source = self._origin
        return other

    @contextmanager
    def in_float64(self) -> Generator[Trace]:
        """The trace of the same images, classes and layer through a copy of the network in float64; its passes are counted.

        Raises:
            NotApplicable: the network cannot be copied or does not compute in float64.
        """
        copy, targets, rivals = float64_copy(self.classifier), self.targets, self._rivals
        try:
            how: dict[str, Any] = {"layer": self._layer, "seed": self.seed, "objective": self.objective}
            exact = Trace(copy, self.batch.to(copy.device), target=targets.to(copy.device), **how)
            exact._given_rivals = None if rivals is None else rivals.to(copy.device)
            check_float64(lambda: exact.logits)
            yield exact
        finally:
            self.classifier.passes += copy.passes

    def forget_changed(self, *, everything: bool = False) -> bool:
        """Drop what this trace and those of other layers keep, if an explainer changed any of it in place; returns whether so."""
        return forget_changed([own._parts for own in (*self._family, *self._origin._family)], everything=everything)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def layer_name(self) -> str:
        """Name of the target layer."""
        return self.classifier.layer_name(self._layer)

    @property
    def activations(self) -> Tensor:
        """(B, K, h, w), the layer's output as channels over places, without prefix tokens."""
        leaf, _ = self._forward()
        return self._layout(leaf).to_grid(self._kept(leaf))

    @property
    def gradients(self) -> Tensor:
        """(B, K, h, w), d explained score / d activations."""
        return self._part("gradients", lambda: self._differentiate(self._explained_sum))

    @property
    def curvature(self) -> Tensor:
        """(B, K, h, w), the second derivatives of the explained score by the activations, applied to the activations.

        Two more tail backward passes; none of a score affine in the logits on a linear head, which has no curvature.

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
        """For each block (B, heads, N, N), d explained score / d attention."""
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

    @property
    def explained_weights(self) -> Tensor:
        """(B, K), the same of the explained score, which is then w'mean(A) and a constant.

        Raises:
            NotApplicable: the head is another one, or the score is not affine in the logits.
        """
        if self.objective.is_logit:
            return self.class_weights[self.targets]
        head, of_logits = self.class_weights, self.logit_weights
        if of_logits is None:
            raise NotApplicable(f"objective {self.objective.name} is not linear in the logits")
        return of_logits @ head

    @property
    def pixel_gradients(self) -> Tensor:
        """(B, 3, H, W), d explained score / d pixels in [0, 1]; by a separate pass, whose graph is not kept."""
        found, passed = self._part("pixel_gradients", self._pixel_gradients)
        if passed:
            self._origin.usage.read.add((self._origin._layer, passed))
        return found

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

    def _like(self, batch: Batch, target: str | int | Tensor, layer: str | None, classifier: Classifier | None = None) -> Trace:
        model = classifier or self.classifier
        how: dict[str, Any] = {"seed": self.seed, "differentiable": self.differentiable, "objective": self.objective}
        return Trace(model, batch, target=target, layer=layer, **how)

    def _pixel_gradients(self) -> tuple[Tensor, str]:
        """The gradients and the part with the logits of their pass, if these may be the trace's."""
        with torch.enable_grad():
            leaf = self.images.detach().clone().requires_grad_()
            in_bf16 = in_bfloat16(self.classifier.precision, self.classifier.dtype)  # the trace's logits are not
            logits, passed = (self.score(leaf), "") if in_bf16 else self._own_pass(lambda: self.score(leaf))
            return torch.autograd.grad(self._explained_sum(logits), leaf)[0], passed

    def _linear_head(self) -> Tensor | None:
        own, attached = cast("Trace", self._origin), self.differentiable
        return own._part("class_weights", lambda: linear_head(own.classifier, own.activations, own.logits, attached=attached))

    def _attention_gradients(self) -> tuple[Tensor, ...]:
        seen, logits = self._attended()
        with torch.enable_grad():
            return torch.autograd.grad(self._explained_sum(logits), seen.probabilities, retain_graph=True)

    def _explained_sum(self, logits: Tensor) -> Tensor:
        return self.explained(logits).sum()

    def _differentiate(self, objective: Callable[[Tensor], Tensor]) -> Tensor:
        leaf, _ = self._forward()
        with torch.enable_grad():
            goal, keep = objective(self._origin._parts["graph"]), self.differentiable
            found = torch.autograd.grad(goal, leaf, retain_graph=True, create_graph=keep, allow_unused=True)
        if (gradient := cast("Tensor | None", found[0])) is None:
            raise UsageError(f"layer {self.layer_name!r} does not lead to the logits; choose another one")
        return self._layout(leaf).to_grid(gradient)

    def _curvature(self) -> Tensor:
        if self._linear_head() is not None and self.logit_weights is not None:
            return torch.zeros_like(self.activations)
        if self.differentiable:
            raise NotApplicable("the curvature of a head that is not linear cannot be trained through; choose another map")
        leaf, _ = self._forward()
        with torch.enable_grad():
            try:
                product = second_derivative(self.classifier, self._explained_sum(self._origin._parts["graph"]), leaf)
            except RuntimeError:  # fused attention has no second derivative, its plain form has
                leaf, logits = captured_pass(self.classifier, self.images, self._layer, plain=True)
                product = second_derivative(self.classifier, self._explained_sum(logits), leaf)
        return self._layout(leaf).to_grid(product)

    def _layout(self, leaf: Tensor) -> TensorLayout:
        if "layout" not in self._parts:
            self._parts["layout"] = self.classifier.layout(leaf, self.size, self._layer)
        return self._parts["layout"]
