"""Classifier: a network on images in [0, 1], frozen while it is looked at, with its passes counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.core.precision import Precision, check_precision
from camdbench.models import capture
from camdbench.models.target_layers import default_layer


@dataclass(frozen=True)
class PassCounts:
    """Images that went through a network, by the part of it that they went through."""

    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0

    def __add__(self, other: PassCounts) -> PassCounts:
        return PassCounts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: PassCounts) -> PassCounts:
        return PassCounts(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def total(self) -> int:
        """All passes together, whole and tail alike."""
        return sum(astuple(self))


class Classifier(nn.Module):
    """A network with everything that is needed to explain it.

    Args:
        network: maps mean/std-normalised images (B, 3, H, W) to logits (B, C); also `.logits`, the key `logits` or the first of a tuple.
        layer: name of the target layer; found by itself for the families of torchvision.
        mean: mean of the normalisation, one number or one per channel, on the scale of [0, 1].
        std: standard deviation, likewise.
        name: how the model is called in rows.
        class_names: names of the C classes, in the order of the logits.
        input_size: side of the images that the network was made for, in pixels.
        precision: of the passes without gradients that `score` makes; all others are in the network's own.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    >>> classifier = Classifier(network, layer="1", mean=0.5, std=0.25)
    >>> classifier(torch.rand(2, 3, 8, 8)).shape, classifier.passes.forward
    (torch.Size([2, 5]), 2)
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        layer: str | None = None,
        *,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        name: str = "custom",
        class_names: Sequence[str] = (),
        input_size: int = 224,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.network = network
        self.training = network.training
        self.name = name
        self.class_names = tuple(class_names)
        self.input_size = input_size
        self.precision = check_precision(precision)
        self.register_buffer("mean", _per_channel(mean, "mean"), persistent=False)
        self.register_buffer("std", _per_channel(std, "std"), persistent=False)
        if bool((self.std <= 0).any()):
            raise UsageError(f"std={std!r} must be positive")
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        self.layer = layer if layer is not None else default_layer(network)
        if self.layer is not None:
            self.module(self.layer)
        self.passes = PassCounts()
        self._backward_kind: Literal["backward", "tail_backward"] = "backward"

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.mean.device

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of images (B, 3, H, W) in [0, 1]; the pass is counted, and so is one backward through it.

        Raises:
            UsageError: the network does not return logits of at least two classes.
        """
        logits = _logits_of(self.network((images - self.mean) / self.std))
        count = len(images)
        self.passes += PassCounts(forward=count)
        if logits.requires_grad:
            kind = self._backward_kind

            def counted(gradient: Tensor) -> None:
                del gradient
                self.passes += PassCounts(**{kind: count})

            logits.register_hook(counted)
        return logits

    def score(self, images: Tensor) -> Tensor:
        """Logits (N, C) of images that an explainer has altered: masked, perturbed, sought.

        With `precision="bf16"` autocast computes them, by a network in float32, wherever autograd does not follow; they come back in
        float32, with the digits of bfloat16. What is differentiated is exact: a map made of gradients needs their digits, a search
        that stops by small differences needs those of the logits, and on a CPU the way back is slower in bfloat16.
        """
        if self.precision == "fp32" or torch.is_grad_enabled():
            return self(images)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self(images).float()

    def count_classes(self, image_size: tuple[int, int]) -> int:
        """The number of logits for images of that height and width; the pass of one blank image is not counted.

        Raises:
            UsageError: the network does not take images of that size.
        """
        passes = self.passes
        try:
            with torch.no_grad(), self.frozen():
                return self(torch.zeros(1, 3, *image_size, device=self.device)).shape[1]
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:  # as a fixed-size network puts it
            height, width = image_size
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"{self.name} does not take images of {height} x {width} pixels ({reason}); "
                f"it was made for {self.input_size} x {self.input_size}: give the data set that size, 'shortcuts(size=224)', or --size"
            ) from None
        finally:
            self.passes = passes

    @contextmanager
    def frozen(self) -> Generator[Classifier]:
        """Eval mode and no weight gradients inside the block; the modes and flags it found come back after it."""
        modes = [(module, module.training) for module in self.modules()]
        flags = [(parameter, parameter.requires_grad) for parameter in self.parameters()]
        try:
            self.eval().requires_grad_(False)
            yield self
        finally:
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in flags:
                parameter.requires_grad_(requires_grad)

    @contextmanager
    def captured(self, layer: str | None = None, *, attached: bool = False) -> Generator[capture.Capture]:
        """Capture a layer's output in the one forward pass made inside the block; its backward is a tail pass.

        With `attached` the output stays in the graph, and a backward pass goes through the whole network.

        Raises:
            UsageError: there is no such layer, or no layer was named and none is known for this network.
        """
        name = self.layer_name(layer)
        kind, self._backward_kind = self._backward_kind, "backward" if attached else "tail_backward"
        try:
            with capture.hooked(self.module(name), name, attached=attached) as seen:
                yield seen
        finally:
            self._backward_kind = kind

    def replay(self, image: Tensor, output: Tensor, layer: str | None = None) -> Tensor:
        """Logits (N, C) of one image (1, 3, H, W) whose layer returns each of N outputs (N, …) instead of its own.

        The image goes once through the part before the layer and N outputs through the tail, unless the tail also
        reads what goes round the layer and cannot broadcast it; then N copies of the image go through all.
        """
        module = self.module(self.layer_name(layer))
        with capture.replaced(module, output):
            try:
                logits = _logits_of(self.network((image - self.mean) / self.std))
                spent = PassCounts(forward=1, tail_forward=len(output))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                logits = _logits_of(self.network(((image - self.mean) / self.std).expand(len(output), -1, -1, -1)))
                spent = PassCounts(forward=len(output))
        self.passes += spent
        return logits

    def layer_name(self, layer: str | None = None) -> str:
        """The named layer, or the target layer where none is named.

        Raises:
            UsageError: neither is known.
        """
        name = layer if layer is not None else self.layer
        if name is None:
            kind = type(self.network).__name__
            raise UsageError(f"no target layer is known for {self.name} ({kind}); name one with layer= (see: camdbench layers)")
        return name

    def module(self, layer: str) -> nn.Module:
        """The module of that name.

        Raises:
            UsageError: the network has none of that name; the message offers the nearest.
        """
        from camdbench.core.errors import unknown

        modules = dict(self.network.named_modules())
        if layer not in modules or not layer:
            raise unknown(f"layer in {self.name}", layer, [name for name in modules if name], more="(see: camdbench layers)")
        return modules[layer]

    def weights_hash(self) -> str:
        """The first 16 hex digits of a SHA-256 over names, shapes and values of all weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


def _per_channel(value: float | Sequence[float], what: str) -> Tensor:
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(item) for item in value]
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise UsageError(f"{what}={value!r}: give one number or three")
    return torch.tensor(values).reshape(1, 3, 1, 1)


def _logits_of(output: object) -> Tensor:
    """The logits in whatever a network returns: a tensor, a tuple that starts with one, or `logits` as attribute or key."""
    found = getattr(output, "logits", output)
    if isinstance(found, Mapping):
        found = cast("Mapping[str, object]", found).get("logits", found)
    if isinstance(found, list | tuple) and found:
        found = cast("Sequence[object]", found)[0]
    if not isinstance(found, Tensor) or found.ndim != 2 or found.shape[1] < 2:
        raise UsageError(f"the network must return logits (B, C) of at least two classes; it returned {_described(output, found)}")
    return found


def _described(output: object, found: object) -> str:
    if isinstance(found, Tensor):
        return str(tuple(found.shape))
    if isinstance(found, Mapping):
        return f"{type(output).__name__} with the keys {', '.join(map(repr, cast('Mapping[str, object]', found)))}, not 'logits'"
    return type(output).__name__
