"""Classifier: a network with input normalisation and target layer, which counts its passes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from camdbench.core.allocator import free_one_large_block
from camdbench.core.errors import UsageError
from camdbench.core.network_options import BatchMates, Channels, Optimize, Output, check_choice
from camdbench.core.precision import Precision, check_precision
from camdbench.models import capture
from camdbench.models.autocasting import in_bfloat16
from camdbench.models.bare_network import bare_network
from camdbench.models.huggingface_layers import refuse_family
from camdbench.models.module_tree import Tree, freeze, tree_of
from camdbench.models.named_layers import find_layer, short_name, without_layer
from camdbench.models.network_check import NetworkCheck, kept_checks
from camdbench.models.network_facts import check_input_size, per_channel
from camdbench.models.network_output import ReadOutput, split_output, tensor_of, to_logits
from camdbench.models.pass_counts import PassCounts
from camdbench.models.target_layers import default_layer
from camdbench.models.tensor_layout import TensorLayout, find_layout
from camdbench.models.weights_file import hash_weights

if TYPE_CHECKING:
    from camdbench.models.optimisation import Optimisation


class Classifier(nn.Module):
    """A network with normalisation, target layer and pass counts.

    `passes` counts those of methods; `check_passes` those by which camdbench looks at the network: the check of its outputs and
    layers once per image size (see `network_check.look_at`), and checks of some methods.

    Args:
        network: maps mean/std-normalised images (B, 3, H, W) to logits (B, C), or to an object with `.logits`, key `logits` or a
            tuple. The network inside `torch.compile` and DataParallel is taken, and a copy of one built in inference mode.
        layer: name of the target layer; default: by architecture for torchvision, timm and transformers. `NAME[-1]` is the last call of a
            module that runs more than once.
        mean: mean of the normalisation on the scale of [0, 1], one number or one per channel.
        std: standard deviation, one number or one per channel.
        name: name of the model in rows.
        class_names: names of the C classes, in the order of the logits.
        input_size: side of the images that the network is made for, in pixels; default: the network's own, else 224.
        precision: `bf16` computes `score` without gradients in bfloat16, `bf16-all` also with them; other passes use the network's own.
        output: what the network returns: `logits`, `probabilities`, `log-probabilities` or `sigmoid`, or a function from it to logits.
            Probabilities p become log p and sigmoids log p - log(1 - p); gradients are of these. Default: logits; others are refused.
        batch_mates: `alone` passes one image at a time, for a network whose outputs depend on the other images of a batch.
        prefix_tokens: number of tokens before those of the patches; default: the network's own, else by the patch size.
        channels: `bgr` for a network that takes the channels in that order; mean, std and images stay RGB.
        preprocess: preprocessing of image files, such as `fit(short=256, crop=224)`: that of `explain`, and of data of `preprocess=model`.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    >>> classifier = Classifier(network, layer="1", mean=0.5, std=0.25)
    >>> classifier(torch.rand(2, 3, 8, 8)).shape, classifier.passes.forward
    (torch.Size([2, 5]), 2)
    """

    mean: Tensor
    std: Tensor
    output: Output | None
    optimize: Optimize = "none"
    optimisation: Optimisation | None = None  # set by `optimised`
    changing_attributes = ("passes", "check_passes", "optimisation")  # no part of its identity

    def __init__(
        self,
        network: nn.Module,
        layer: str | None = None,
        *,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        name: str = "custom",
        class_names: Sequence[str] = (),
        input_size: int | None = None,
        precision: Precision = "fp32",
        output: Output | ReadOutput | None = None,
        batch_mates: BatchMates = "together",
        prefix_tokens: int | None = None,
        channels: Channels = "rgb",
        preprocess: str | None = None,
    ) -> None:
        super().__init__()
        self.network = network = bare_network(network)
        refuse_family(network)
        self.training = network.training
        self.name = name
        self.class_names = tuple(class_names)
        self.input_size = check_input_size(network, input_size)
        self.precision: Precision = check_precision(precision)
        self.output, self.read = split_output(output)
        self.batch_mates: BatchMates = check_choice("batch mates", batch_mates, BatchMates)
        self.prefix_tokens = prefix_tokens
        self.channels: Channels = check_choice("channels", channels, Channels)
        self.preprocess = preprocess
        self.revision: str | None = None  # of the weights, if they come from a hub
        self.register_buffer("mean", per_channel(mean, "mean"), persistent=False)
        self.register_buffer("std", per_channel(std, "std"), persistent=False)
        if bool((self.std <= 0).any()):
            raise UsageError(f"std={std!r}: must be positive")
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        self.layer = default_layer(network) if layer is None else self.layer_name(layer)
        if self.layer is not None and isinstance(self.module(self.layer), torch.jit.ScriptModule):
            raise UsageError(f"layer = {self.layer}: layers of TorchScript cannot be captured; omit it, and use rise, saliency, …")
        self.passes, self.check_passes = PassCounts(), PassCounts()
        self._capturing = False
        self._calls = dict[str, int]()  # of layers that were captured by call
        self._backward_kind: Literal["backward", "tail_backward"] = "backward"
        self._passing = self._counting_foreign = False

    def __repr__(self) -> str:
        kind = type(self.network).__name__
        return f"Classifier({self.name}: {kind}, layer {self.layer}, {self.input_size} px, {len(self.class_names) or 'no'} class names)"

    def _repr_html_(self) -> str:
        from camdbench.models.facts_table import facts_as_html

        return facts_as_html(self)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network: that of its first floating-point weight."""
        return next((weight.dtype for weight in self.network.parameters() if weight.is_floating_point()), self.mean.dtype)

    @property
    def checks(self) -> dict[tuple[int, int], NetworkCheck]:
        """Results of the checks of the network so far, by image size."""
        return kept_checks(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of images (B, 3, H, W) in [0, 1]; counts the pass, and a backward pass through it.

        Raises:
            UsageError: the network does not return logits of at least two classes.
        """
        logits = to_logits(self.outputs(images), self.output)
        self._count(logits, len(images), self._backward_kind)
        return logits

    def _count(self, logits: Tensor, count: int, kind: Literal["backward", "tail_backward"]) -> None:
        """Count a forward pass of `count` images, and each backward pass through its logits."""
        self.passes += PassCounts(forward=count)
        if logits.requires_grad:

            def count_backward(gradient: Tensor) -> None:
                del gradient
                self.passes += PassCounts(**{kind: count})

            logits.register_hook(count_backward)

    @contextmanager
    def foreign_passes_counted(self, backward: Literal["backward", "tail_backward"] = "backward") -> Generator[None]:
        """Count passes that other code makes on `network` itself inside the context; their images are rows of the output.

        Passes through the classifier are counted once; contexts may be nested. Backward passes are of the given kind. TorchScript
        from a script or file allows no hooks: passes on such a network itself are not counted.
        """

        def count(module: nn.Module, output: object) -> None:
            if module is self.network and not self._passing:  # a copy of the network has a copy of the hook
                logits = tensor_of(output, self.read)
                self._count(logits, len(logits), self._backward_kind)

        before = self._counting_foreign, self._backward_kind
        scripted = isinstance(self.network, torch.jit.ScriptModule) and not isinstance(self.network, torch.jit.TopLevelTracedModule)
        watched = [] if self._counting_foreign or scripted else [self.network]
        self._counting_foreign, self._backward_kind = True, backward
        try:
            with capture.watch_outputs(watched, count):
                yield
        finally:
            self._counting_foreign, self._backward_kind = before

    def _own_pass(self, inputs: Tensor) -> Tensor:
        """What the network returns for normalised images (B, 3, H, W): (B, C)."""
        before, self._passing = self._passing, True
        try:
            network = self.network if self.optimisation is None else self.optimisation.network_for(self.network, inputs)
            return tensor_of(network(inputs), self.read)
        finally:
            self._passing = before

    def outputs(self, images: Tensor) -> Tensor:
        """What the network returns for images (B, 3, H, W) in [0, 1]: (B, C), before any conversion; not counted.

        Raises:
            UsageError: it does not return values of at least two classes.
        """
        inputs = self.normalised(images)
        if self.batch_mates == "together" or len(images) == 1:
            return self._own_pass(inputs)
        if self._capturing:
            raise UsageError(f"batch_mates = alone: {len(images)} images in a pass that captures a layer; give them one by one")
        return torch.cat([self._own_pass(image[None]) for image in inputs])

    def score(self, images: Tensor) -> Tensor:
        """Logits (N, C) of images altered by an explainer; in bfloat16 by autocast where `precision` says so, returned in float32."""
        if not in_bfloat16(self.precision, self.dtype):
            return self(images)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self(images).float()

    @contextmanager
    def uncounted(self) -> Generator[None]:
        """Passes inside the context are counted in `check_passes`, not in `passes`."""
        passes = self.passes
        try:
            yield
        finally:
            self.check_passes += self.passes - passes
            self.passes = passes

    def normalised(self, images: Tensor) -> Tensor:
        """Input of the network: (images - mean) / std of images (B, 3, H, W), in its channel order and dtype."""
        inputs = (images - self.mean).div_(self.std).to(self.dtype)
        return inputs.flip(1) if self.channels == "bgr" else inputs

    @contextmanager
    def frozen(self, tree: Tree | None = None) -> Generator[Classifier]:
        """Eval mode without weight gradients inside the context; restores all modes and flags.

        Args:
            tree: the modules and weights of `network`, if they have just been read.
        """
        if self.device.type == "cpu":
            free_one_large_block()
        training, restore = self.training, freeze(self.network, tree or tree_of(self.network))
        self.__dict__["training"] = False
        try:
            yield self
        finally:
            self.__dict__["training"] = training
            restore()

    @contextmanager
    def captured(self, layer: str | None = None, *, attached: bool = False) -> Generator[capture.Capture]:
        """Capture the output of a layer in one forward pass inside the context; its backward passes are tail passes.

        With `attached` the output stays in the graph, and backward passes cover the whole network.

        Raises:
            UsageError: unknown layer, or no layer given and no default.
        """
        name = self.layer_name(layer)
        before = self._backward_kind, self._capturing
        self._backward_kind, self._capturing = "backward" if attached else "tail_backward", True
        try:
            with capture.capture_output(self.module(name), name, attached=attached) as seen:
                yield seen
            self._calls[name] = seen.calls
        finally:
            self._backward_kind, self._capturing = before

    def replay(self, image: Tensor, output: Tensor, layer: str | None = None) -> Tensor:
        """Logits (N, C) of one image (1, 3, H, W) whose layer output is replaced by each of N outputs (N, …).

        One pass up to the layer and N through the tail; if the tail cannot broadcast what bypasses the layer, N full passes.
        """
        if self.batch_mates == "alone" and len(output) > 1:
            return torch.cat([self.replay(image, part[None], layer) for part in output])
        name = self.layer_name(layer)
        module, call = self.module(name), capture.call_of(name, self._calls.get(name, 1))
        inputs = self.normalised(image)
        try:
            with capture.replace_output(module, output, call):
                found = self._own_pass(inputs)
            count = PassCounts(forward=1, tail_forward=len(output))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            with capture.replace_output(module, output, call):
                found = self._own_pass(inputs.expand(len(output), -1, -1, -1))
            count = PassCounts(forward=len(output))
        self.passes += count
        return to_logits(found, self.output)

    def layout(self, output: Tensor, image_size: tuple[int, int], layer: str | None = None) -> TensorLayout:
        """Memory layout of the output of a layer for images of (height, width).

        Raises:
            UsageError: no layout fits, or several do.
        """
        name = self.layer_name(layer)
        return find_layout(tuple(output.shape), image_size, self.module(name), self.network, name, self.prefix_tokens)

    def layer_name(self, layer: str | None = None) -> str:
        """The given layer, without the prefix of a wrapper; default: the target layer.

        Raises:
            UsageError: neither is known.
        """
        name = layer if layer is not None else self.layer
        if name is None:
            raise without_layer(self.network, self.name)
        return short_name(self.network, name)

    def module(self, layer: str) -> nn.Module:
        """The module with that name.

        Raises:
            UsageError: unknown name (with suggestions).
        """
        return find_layer(self.network, layer, self.name)

    def weights_hash(self) -> str:
        """SHA-256 (16 hex digits) of names, shapes and values of all weights and buffers, also those that are not saved."""
        return hash_weights(self.network)
