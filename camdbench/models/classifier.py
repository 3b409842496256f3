"""Classifier: a network with input normalisation and target layer, which counts its passes."""

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
    """Numbers of images passed through the whole network and through its tail."""

    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0

    def __add__(self, other: PassCounts) -> PassCounts:
        return PassCounts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: PassCounts) -> PassCounts:
        return PassCounts(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def total(self) -> int:
        """Sum of all passes."""
        return sum(astuple(self))


class Classifier(nn.Module):
    """A network with normalisation, target layer and pass counts.

    Args:
        network: maps mean/std-normalised images (B, 3, H, W) to logits (B, C), or to an object with `.logits`, key `logits` or a tuple.
        layer: name of the target layer; default: by architecture for torchvision and timm.
        mean: mean of the normalisation on the scale of [0, 1], one number or one per channel.
        std: standard deviation, one number or one per channel.
        name: name of the model in rows.
        class_names: names of the C classes, in the order of the logits.
        input_size: side of the images that the network is made for, in pixels.
        precision: precision of `score` without gradients; all other passes use the network's own.

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
            raise UsageError(f"std={std!r}: must be positive")
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        self.layer = layer if layer is not None else default_layer(network)
        if self.layer is not None:
            self.module(self.layer)
        self.passes = PassCounts()
        self._backward_kind: Literal["backward", "tail_backward"] = "backward"

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network: that of its first floating-point weight."""
        return next((weight.dtype for weight in self.network.parameters() if weight.is_floating_point()), self.mean.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of images (B, 3, H, W) in [0, 1]; counts the pass, and a backward pass through it.

        Raises:
            UsageError: the network does not return logits of at least two classes.
        """
        logits = _logits_of(self.network(self._normalised(images)))
        count = len(images)
        self.passes += PassCounts(forward=count)
        if logits.requires_grad:
            kind = self._backward_kind

            def count_backward(gradient: Tensor) -> None:
                del gradient
                self.passes += PassCounts(**{kind: count})

            logits.register_hook(count_backward)
        return logits

    def score(self, images: Tensor) -> Tensor:
        """Logits (N, C) of images altered by an explainer.

        With `precision="bf16"` and without gradients they are computed under autocast and returned in float32. Passes with
        gradients stay in float32: gradient maps and searches with small differences need its digits.
        """
        if self.precision == "fp32" or torch.is_grad_enabled():
            return self(images)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self(images).float()

    def count_classes(self, image_size: tuple[int, int]) -> int:
        """Number of logits for images of (height, width), from an uncounted pass of a blank image.

        Raises:
            UsageError: the network does not accept images of that size.
        """
        passes = self.passes
        try:
            with torch.no_grad(), self.frozen():
                return self(torch.zeros(1, 3, *image_size, device=self.device)).shape[1]
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:  # raised by fixed-size networks
            height, width = image_size
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"{self.name} does not take images of {height} x {width} pixels ({reason}); it was made for "
                f"{self.input_size} x {self.input_size}: set the size of the data set, 'shortcuts(size=224)', or --size"
            ) from None
        finally:
            self.passes = passes

    def _normalised(self, images: Tensor) -> Tensor:
        """(Images - mean) / std, in the dtype of the network."""
        return ((images - self.mean) / self.std).to(self.dtype)

    @contextmanager
    def frozen(self) -> Generator[Classifier]:
        """Eval mode without weight gradients inside the context; restores all modes and flags."""
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
        """Capture the output of a layer in one forward pass inside the context; its backward passes are tail passes.

        With `attached` the output stays in the graph, and backward passes cover the whole network.

        Raises:
            UsageError: unknown layer, or no layer given and no default.
        """
        name = self.layer_name(layer)
        kind, self._backward_kind = self._backward_kind, "backward" if attached else "tail_backward"
        try:
            with capture.capture_output(self.module(name), name, attached=attached) as seen:
                yield seen
        finally:
            self._backward_kind = kind

    def replay(self, image: Tensor, output: Tensor, layer: str | None = None) -> Tensor:
        """Logits (N, C) of one image (1, 3, H, W) whose layer output is replaced by each of N outputs (N, …).

        One pass up to the layer and N through the tail; if the tail cannot broadcast what bypasses the layer, N full passes.
        """
        module = self.module(self.layer_name(layer))
        with capture.replace_output(module, output):
            try:
                logits = _logits_of(self.network(self._normalised(image)))
                count = PassCounts(forward=1, tail_forward=len(output))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                logits = _logits_of(self.network(self._normalised(image).expand(len(output), -1, -1, -1)))
                count = PassCounts(forward=len(output))
        self.passes += count
        return logits

    def layer_name(self, layer: str | None = None) -> str:
        """The given layer; default: the target layer.

        Raises:
            UsageError: neither is known.
        """
        name = layer if layer is not None else self.layer
        if name is None:
            kind = type(self.network).__name__
            raise UsageError(f"no target layer is known for {self.name} ({kind}); name one with layer= (see: camdbench layers)")
        return name

    def module(self, layer: str) -> nn.Module:
        """The module with that name.

        Raises:
            UsageError: unknown name (with suggestions).
        """
        from camdbench.core.errors import unknown

        modules = dict(self.network.named_modules())
        if layer not in modules or not layer:
            raise unknown("layer", layer, [name for name in modules if name], of=self.name, more="(see: camdbench layers)")
        return modules[layer]

    def weights_hash(self) -> str:
        """SHA-256 (16 hex digits) of names, shapes and values of all weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


def _per_channel(value: float | Sequence[float], what: str) -> Tensor:
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(item) for item in value]
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise UsageError(f"{what}={value!r}: expected one number or three")
    return torch.tensor(values).reshape(1, 3, 1, 1)


def _logits_of(output: object) -> Tensor:
    """Logits in the output of a network: a tensor, the first of a tuple, or `logits` as attribute or key."""
    found = getattr(output, "logits", output)
    if isinstance(found, Mapping):
        found = cast("Mapping[str, object]", found).get("logits", found)
    if isinstance(found, list | tuple) and found:
        found = cast("Sequence[object]", found)[0]
    if not isinstance(found, Tensor) or found.ndim != 2 or found.shape[1] < 2:
        raise UsageError(f"the network must return logits (B, C) of at least two classes; it returned {_describe(output, found)}")
    return found


def _describe(output: object, found: object) -> str:
    if isinstance(found, Tensor):
        return str(tuple(found.shape))
    if isinstance(found, Mapping):
        return f"{type(output).__name__} with the keys {', '.join(map(repr, cast('Mapping[str, object]', found)))}, not 'logits'"
    return type(output).__name__
