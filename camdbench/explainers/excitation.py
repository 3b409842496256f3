"""Excitation backprop: probabilistic winner-take-all, propagated along excitatory connections."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.models.pass_counts import PassCounts
from camdbench.models.traced_graph import Node, TracedGraph

Compat = Literal["paper", "torchray"]


DIFFERS = (
    Difference(
        "TorchRay",
        "ignores the scale of batch norms and splits sums by signed terms (compat=torchray)",
        "not a number where a sum is exactly zero",
    ),
)


@explainer(
    "ebp",
    paper="Zhang et al. 2016, arXiv:1608.00507, definition of the marginal winning probability",
    cost=Cost(forward=2, tail_backward=1),
    needs=("layer",),
    refuses="networks with more behind the layer than rectified convolutions, batch norms, pooling, sums and linear layers",
    aliases=("excitationbackprop", "mwp"),
    differs=DIFFERS,
    values="[0, 1]",
    objective="logit",
)
def ebp(trace: Trace, *, layer: str | None = None, compat: Literal["paper", "torchray"] = "paper") -> Tensor:
    r"""Excitation backprop: marginal winning probability of the layer's neurons, given the class.

    .. math:: P(j) = \sum_i P(i)\,a_j \max(w_{ij}, 0) / \sum_k a_k \max(w_{ik}, 0)

    It starts from a one at the class. Max pooling passes
    the probability to the maximum; average pooling is a linear layer. The method requires non-negative activations that
    grow with their input: a ReLU or a ReLU6.
    The paper leaves two cases open. A batch norm is folded into the convolution before it, so a negative scale flips the
    sign of its weights. A sum splits the probability in proportion to its rectified terms. The probabilities of each layer
    therefore sum to 1, minus those of neurons that only their bias excites.
    `compat="torchray"` ignores the scale of batch norms and splits sums in proportion to signed terms.

    Returns:
        (B, h, w) in [0, 1], summed over channels.
    """
    return _Excitation(trace, layer, compat).map(contrast=False)


@explainer(
    "cmwp",
    paper="Zhang et al. 2016, arXiv:1608.00507, definition of contrastive MWP",
    cost=Cost(forward=2, tail_backward=1),
    needs=("layer",),
    refuses="networks with more behind the layer than rectified convolutions, batch norms, pooling, sums and linear layers",
    aliases=("cebp", "contrastiveebp"),
    differs=DIFFERS,
    values="[0, 1]",
    objective="logit",
)
def cmwp(trace: Trace, *, layer: str | None = None, compat: Literal["paper", "torchray"] = "paper") -> Tensor:
    r"""Contrastive excitation backprop: relevance for the class minus that for its negated weights.

    .. math:: \mathrm{ReLU}(P_{W} - P_{-W})

    As `ebp`, with a contrast at the input of the class layer (the pooled features of a ResNet, the last hidden layer of a
    VGG): the probability under the negated class weights is subtracted there. The difference is propagated, summed over
    channels and rectified. Table 4 of CGC uses layer="layer3" of a ResNet-50.

    Returns:
        (B, h, w), non-negative.
    """
    return _Excitation(trace, layer, compat).map(contrast=True).relu()


class _Excitation:
    """Propagation of one batch, from the explained classes to a layer."""

    def __init__(self, trace: Trace, layer: str | None, compat: Compat) -> None:
        self.trace, self.compat = trace, compat
        self.layer = trace.classifier.layer_name(layer)
        self.graph = TracedGraph(trace.classifier, trace.images)
        self.end = self.graph.end_of(self.layer)
        logits = self.graph.values[self.graph.output]
        if not torch.allclose(logits, trace.logits, rtol=1e-3, atol=1e-4 * float(trace.logits.abs().max())):
            raise NotApplicable(f"the listed operations of {trace.classifier.name} do not give its logits")

    def map(self, *, contrast: bool) -> Tensor:
        """The probabilities at the layer (B, h, w), summed over channels."""
        found = self.descend(contrast=contrast)[self.end]
        return self.trace.classifier.layout(found, self.trace.size, self.layer).to_grid(found).sum(1)

    def descend(self, *, contrast: bool) -> dict[Node, Tensor]:
        """The probability of every neuron behind the layer, by operation."""
        graph, targets = self.graph, self.trace.targets
        held = {graph.output: F.one_hot(targets, self.trace.logits.shape[1]).to(self.trace.logits.dtype)}
        top = self._class_layer() if contrast else None
        for node in reversed(graph.nodes[graph.nodes.index(self.end) + 1 :]):
            if node not in held:
                continue
            handed = self._hand_down(node, held[node])
            if node is top:
                against = self._hand_down(node, held[node], sign=-1)
                handed = {source: handed[source] - against[source] for source in handed}
            for source, part in handed.items():
                held[source] = held[source] + part if source in held else part
        self.trace.classifier.passes += PassCounts(tail_backward=len(targets))
        if self.end not in held:
            raise NotApplicable(f"no path leads from the logits to layer {self.layer!r}")
        return held

    def _hand_down(self, node: Node, held: Tensor, sign: int = 1) -> dict[Node, Tensor]:
        graph, kind = self.graph, self.graph.kind(node)
        if kind in ("relu", "same"):
            return {graph.inputs(node)[0]: held}
        if kind == "route":
            return graph.pull(node, held)
        if kind == "sum":
            return self._split(node, held)
        if kind == "norm":
            return {graph.inputs(node)[0]: held if self.compat == "torchray" else self._through_norm(node, held)}
        if kind in ("weighted", "average"):
            (source,) = graph.inputs(node)
            if not self._rectified(source):
                raise NotApplicable(f"excitation backprop is not defined: {node.name} reads values that are not rectified")
            values = graph.values[source]
            if kind == "average":
                return {source: values * graph.pull(node, _share(held, graph.values[node]))[source]}
            return {source: _excite(graph.module(node), self._weight(node, sign), values, held)}
        what = type(graph.module(node)).__name__ if node.op == "call_module" else str(getattr(node.target, "__name__", node.target))
        raise NotApplicable(f"excitation backprop is not defined for {what} ({node.name})")

    def _split(self, node: Node, held: Tensor) -> dict[Node, Tensor]:
        """Split the probability of a sum in proportion to its terms."""
        sources = self.graph.inputs(node)
        terms = [self.graph.values[source] for source in sources]
        if len(sources) != 2 or terms[0].shape != terms[1].shape:
            raise NotApplicable(f"excitation backprop is not defined for a sum of {len(sources)} tensors ({node.name})")
        if self.compat == "paper":
            terms = [term.relu() for term in terms]
        share = _share(held, terms[0] + terms[1])
        return {source: term * share for source, term in zip(sources, terms, strict=True)}

    def _through_norm(self, node: Node, held: Tensor) -> Tensor:
        """A batch norm behind no convolution is a neuron with one input: it passes on all, or nothing if inhibited."""
        (source,) = self.graph.inputs(node)
        if self.graph.kind(source) == "weighted" and len(source.users) == 1:
            return held
        if not self._rectified(source):
            raise NotApplicable(f"excitation backprop is not defined: {node.name} reads values that are not rectified")
        return held * (_scale(self.graph.module(node)) > 0)[:, None, None]

    def _weight(self, node: Node, sign: int) -> Tensor:
        """The weights of a layer, with the sign of the batch norm behind it; its magnitude does not change the proportions."""
        weight = sign * cast("Tensor", self.graph.module(node).weight).detach()
        after = list(node.users)
        if self.compat == "paper" and len(after) == 1 and self.graph.kind(after[0]) == "norm":
            scale = _scale(self.graph.module(after[0])).sign()
            weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        return weight

    def _rectified(self, node: Node) -> bool:
        """Whether the operations that compute the values exclude negative ones."""
        kind = self.graph.kind(node)
        if kind in ("same", "route", "average", "sum"):
            return all(map(self._rectified, self.graph.inputs(node)))
        return kind == "relu"

    def _class_layer(self) -> Node:
        """The last layer with weights that no path bypasses."""
        node = self.graph.output
        while self.graph.kind(node) != "weighted":
            sources = self.graph.inputs(node)
            if len(sources) != 1:
                raise NotApplicable(f"the contrast is not defined: {node.name} joins several inputs behind the last layer with weights")
            node = sources[0]
        return node


def _scale(norm: nn.Module) -> Tensor:
    """The scale of each channel of a batch norm, up to a positive factor."""
    weight, variance = norm.weight, norm.running_var
    assert isinstance(variance, Tensor)
    return weight.detach() if isinstance(weight, Tensor) else torch.ones_like(variance)


def _excite(module: nn.Module, weight: Tensor, values: Tensor, held: Tensor) -> Tensor:
    """a_j sum_i max(w_ij, 0) P_i / sum_k a_k max(w_ik, 0), for a convolution or a linear layer without its bias."""
    positive, leaf = weight.clamp_min(0), values.detach().requires_grad_()
    with torch.enable_grad():
        if isinstance(module, nn.Conv2d):
            if module.padding_mode != "zeros":
                raise NotApplicable(f"excitation backprop is not defined for padding_mode={module.padding_mode!r}")
            excitation = F.conv2d(leaf, positive, None, module.stride, module.padding, module.dilation, module.groups)
        else:
            excitation = F.linear(leaf, positive)
        (back,) = torch.autograd.grad(excitation, leaf, _share(held, excitation.detach()))
    return values * back


def _share(held: Tensor, total: Tensor) -> Tensor:
    """P / total, and 0 where the total vanishes."""
    enough = total.abs() > torch.finfo(total.dtype).tiny
    return torch.where(enough, held / torch.where(enough, total, 1), 0)
