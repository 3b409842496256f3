"""What an optimised classifier keeps: how it was made, and its compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from camdbench.core.network_options import Optimize

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier
    from camdbench.models.logit_effect import LogitEffect


class Optimisation:
    """How a classifier was optimised.

    Attributes:
        kind: layout, fold or compile.
        folded: number of batch norms that are folded.
        graph: compiled graph of passes without gradients; None without one, and in copies of the classifier.
        plain: the classifier that was optimised; None in copies.
        effect: difference of logits on two fixed images.
    """

    def __init__(self, kind: Optimize, plain: Classifier | None = None, folded: int = 0, effect: LogitEffect | None = None) -> None:
        self.kind: Optimize = kind
        self.plain, self.folded, self.effect = plain, folded, effect
        self.graph: CompiledGraph | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Optimisation, (self.kind, None, self.folded, self.effect)

    def __deepcopy__(self, memo: object) -> Optimisation:
        return Optimisation(self.kind, None, self.folded, self.effect)

    def network_for(self, network: nn.Module, inputs: Tensor) -> Callable[[Tensor], Any]:
        """The compiled graph if it serves a pass of these inputs, else the network."""
        return self.graph if self.graph is not None and self.graph.serves(inputs) else network


def plain_of(classifier: Classifier) -> Classifier:
    """The classifier that an optimised one was made from; any other one itself."""
    about = classifier.optimisation
    return classifier if about is None or about.plain is None else about.plain


class CompiledGraph:
    """A network as a compiled graph, for passes without gradients into which nothing looks.

    Args:
        graph: the compiled network.
        network: the network that it was made of.
    """

    def __init__(self, graph: Callable[[Tensor], Any], network: nn.Module) -> None:
        self._graph, self._modules = graph, tuple(network.modules())
        self._weights = (*network.parameters(), *network.buffers())
        self._version, self._place = self._stamp(), _place(next(iter(self._weights)))

    def __call__(self, inputs: Tensor) -> Any:
        """What the network returns."""
        return self._graph(inputs)

    def serves(self, inputs: Tensor) -> bool:
        """Whether a pass of these inputs has no gradients, no hooks, no autocast, and the weights of the graph."""
        from camdbench.models.folding import are_functions_replaced, is_watched

        if torch.is_grad_enabled() or are_functions_replaced() or torch.is_autocast_enabled(inputs.device.type):
            return False
        return _place(inputs) == self._place and self._version == self._stamp() and not any(map(is_watched, self._modules))

    def _stamp(self) -> int:
        return sum(0 if weight.is_inference() else weight._version for weight in self._weights)


def _place(tensor: Tensor) -> tuple[torch.device, torch.dtype]:
    return tensor.device, tensor.dtype
