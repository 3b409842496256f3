"""Time estimates: image passes times measured seconds per pass on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from camdbench.core.cost import PassEstimate

if TYPE_CHECKING:
    from torch import Tensor

    from camdbench.models.classifier import Classifier

T = TypeVar("T")
SECONDS = 5.0  # for all networks together
_SIDE = 224


class Pace(NamedTuple):
    """Seconds of a pass of one image through the whole network.

    Attributes:
        forward: of a forward pass.
        backward: of a backward pass.
    """

    forward: float
    backward: float

    def seconds(self, passes: PassEstimate) -> float:
        """Seconds of passes; one through the tail of the network counts as one through the whole network.

        >>> Pace(0.5, 1.0).seconds(PassEstimate(forward=2, tail_backward=3))
        4.0
        """
        forward, backward = passes.forward + passes.tail_forward, passes.backward + passes.tail_backward
        return forward * self.forward + backward * self.backward


def paces(networks: Iterable[str], *, device: str = "auto", seconds: float = SECONDS) -> dict[str, Pace]:
    """Measure networks of the zoo with random weights on one image of 224 x 224.

    Args:
        networks: their names, without weights.
        device: auto, cpu, cuda, cuda:N or mps.
        seconds: time limit of all measurements, without building the networks.
    """
    from camdbench.models.devices import pick_device
    from camdbench.models.zoo import load_untrained

    names, where = list(networks), pick_device(device)
    return {name: measure(load_untrained(name).to(where), (_SIDE, _SIDE), seconds=seconds / len(names)) for name in names}


def measure(classifier: Classifier, size: tuple[int, int], *, batch_size: int = 1, seconds: float = SECONDS) -> Pace:
    """Measure a network on grey images; the passes are not counted.

    Args:
        classifier: the network, on its device.
        size: height and width of the images in pixels.
        batch_size: images of a pass.
        seconds: time limit. One forward and one backward pass are made in any case, and left out where there are more.
    """
    import torch

    images = torch.full((batch_size, 3, *size), 0.5, device=classifier.device, requires_grad=True)
    spent, start = list[Pace](), monotonic()
    with classifier.uncounted(), classifier.frozen(), torch.enable_grad():
        while not spent or (monotonic() - start) * (len(spent) + 1) / len(spent) < seconds:
            spent.append(_one_round(classifier, images))
    kept = spent[1:] or spent
    return Pace(*(sum(numbers) / len(kept) / batch_size for numbers in zip(*kept, strict=True)))


def _one_round(classifier: Classifier, images: Tensor) -> Pace:
    """Seconds of a forward and of a backward pass; the latter counts as a forward pass if the network has no gradients."""
    import torch

    logits, forward = _timed(lambda: classifier(images), images.device.type)
    if not logits.requires_grad:
        return Pace(forward, forward)
    return Pace(forward, _timed(lambda: torch.autograd.grad(logits.sum(), images), images.device.type)[1])


def _timed(work: Callable[[], T], device: str) -> tuple[T, float]:
    import torch

    start = monotonic()
    found = work()
    if device == "cuda":
        torch.cuda.synchronize()
    return found, monotonic() - start


def duration(seconds: float) -> str:
    """Format a duration in its largest suitable unit.

    >>> duration(0.2), duration(40), duration(5000), duration(400_000)
    ('less than a second', '40 seconds', '1.4 hours', '4.6 days')
    """
    for unit, size in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 1 else "less than a second"
