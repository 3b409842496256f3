"""Check of a network: do its outputs mean what they are taken for, and do they depend on the image alone?

One look per network and image size: four forward passes and a backward pass of small images, counted in `Classifier.check_passes`,
in the first of which all layers are observed. It is kept until the network changes. `findings` is a pure function of the outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchWarning, UsageError, first_line
from camdbench.core.network_options import Output
from camdbench.models.first_pass import Observed, check_outputs, first_pass
from camdbench.models.kept_looks import KeptLooks
from camdbench.models.module_tree import Tree
from camdbench.models.pass_counts import PassCounts
from camdbench.models.probe_outputs import TOLERANCE, ProbeOutputs, batch_difference, findings

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

_BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.SyncBatchNorm)
_LOOKS = KeptLooks()

Size = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class NetworkCheck:
    """Result of the check of one network at one image size.

    Attributes:
        classes: number of classes.
        kind: what the outputs look like: logits, probabilities, log-probabilities or sigmoid.
        batch_difference: largest difference of an image alone and in a batch, relative to the spread of its outputs.
        gradient_problem: why the network gives no gradients; empty if it does.
        passes: images that the look at the network passed through it.
    """

    classes: int
    kind: Output
    batch_difference: float
    gradient_problem: str
    passes: PassCounts = field(default_factory=PassCounts)

    def record(self) -> dict[str, Any]:
        """The result for run.json."""
        return {
            "looks_like": self.kind,
            "batch_difference": float(f"{self.batch_difference:.1e}"),
            "gradients": self.gradient_problem or "yes",
            "passes": {"forward": self.passes.forward, "backward": self.passes.backward},
        }


@dataclass
class Look:
    """What one look at a network has shown at one image size.

    Attributes:
        check: result of the check.
        outputs: (2, C), of the two probe images, each alone, before any conversion.
        layers: what the layers did in the first pass.
        image_size: (height, width).
        notes: results of further questions to the layers, by name, kept by those who ask.
    """

    check: NetworkCheck
    outputs: Tensor
    layers: Observed
    image_size: Size
    notes: dict[str, Any] = field(default_factory=dict[str, Any])


def check_network(classifier: Classifier, image_size: Size) -> NetworkCheck:
    """The result of the check at an image size, by a look at the network if none is kept.

    Raises:
        UsageError: the network fails on such images, or its outputs contradict what they are taken for.
    """
    return look_at(classifier, image_size).check


def look_at(classifier: Classifier, image_size: Size) -> Look:
    """Look at a network once for an image size and what is stated of it, until it changes (see `NetworkState`).

    The passes are counted in `check_passes`, not among those of methods. The result belongs to the network, so another classifier
    of it that states the same takes no pass.

    Args:
        classifier: the model.
        image_size: (height, width).

    Raises:
        UsageError: as `check_network`.
    """
    return look_and_tree(classifier, image_size)[0]


def look_and_tree(classifier: Classifier, image_size: Size) -> tuple[Look, Tree]:
    """What `look_at` returns, and the modules and weights of the network, which it has read.

    Raises:
        UsageError: as `check_network`.
    """
    key = image_size, _statement(classifier)
    return _LOOKS.get(classifier.network, key, partial(_look, classifier, image_size), more=classifier.read)


def forget_looks(classifier: Classifier) -> None:
    """Look at the network anew next time, also for changes that leave no trace in it."""
    _LOOKS.forget(classifier.network)


def kept_checks(classifier: Classifier) -> dict[Size, NetworkCheck]:
    """Results of the check by image size, as far as there are any."""
    stated = _statement(classifier)
    return {size: look.check for (size, own), look in _LOOKS.of(classifier.network).items() if own == stated}


def _statement(classifier: Classifier) -> tuple[object, ...]:
    """What is stated of a network, on which its check and the layouts of its layers depend."""
    numbers = tuple(classifier.mean.flatten().tolist()), tuple(classifier.std.flatten().tolist())
    own = classifier.output, classifier.batch_mates, classifier.channels, classifier.prefix_tokens
    return (*own, *numbers, classifier.mean.dtype, classifier.class_names)


def _look(classifier: Classifier, image_size: Size) -> Look:
    with classifier.uncounted(), torch.inference_mode(mode=False), classifier.frozen():
        return _seen(classifier, image_size)


def _seen(classifier: Classifier, image_size: Size) -> Look:
    images, before = probe_images(image_size, classifier), classifier.check_passes
    first = run_once(classifier, lambda: first_pass(classifier, images[:1]), images[:1])
    with torch.no_grad():
        alone = torch.cat([first.outputs, *(check_outputs(classifier, image[None]) for image in images[1:])])
        seen = ProbeOutputs(alone, affine=first.affine)
        if classifier.batch_mates == "together":
            seen = _with_batches(classifier, images, seen)
        if seen.kind == "sigmoid" and classifier.output != "logits":
            seen = replace(seen, extreme=_extreme(classifier, images[:1]))
    for finding in findings(seen, output=classifier.output, class_names=classifier.class_names):
        if finding.refused:
            raise UsageError(f"{classifier.name}: {finding.message}")
        warnings.warn(f"{classifier.name}: {finding.message}", CamdbenchWarning, stacklevel=2)
    passes = classifier.check_passes - before
    check = NetworkCheck(alone.shape[1], seen.kind, batch_difference(seen), first.gradient_problem, passes)
    return Look(check, alone, first.layers, image_size)


def _with_batches(classifier: Classifier, images: Tensor, seen: ProbeOutputs) -> ProbeOutputs:
    """Add the outputs of a batch, and those of its repetition if they differ from single images."""
    try:
        together = check_outputs(classifier, images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # raised by the network
        return replace(seen, problem=first_line(error))
    if len(together) != len(images):
        return replace(seen, problem=f"{len(together)} rows for {len(images)} images")
    found = replace(seen, together=together, unnormalised=_without_statistics(classifier.network))
    return found if batch_difference(found) <= TOLERANCE else replace(found, again=check_outputs(classifier, images))


def _without_statistics(network: torch.nn.Module) -> str:
    """The first layer that normalises by its batch, also in eval mode; empty if there is none."""
    for name, module in network.named_modules():
        if isinstance(module, _BATCH_NORMS) and module.running_mean is None:
            return f"{type(module).__name__} '{name}' has no running statistics"
    return ""


def probe_images(image_size: Size, classifier: Classifier) -> Tensor:
    """Two images (2, 3, H, W) in [0, 1] on the classifier's device, of different brightness and contrast."""
    noise = torch.rand(2, 3, *image_size, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    ramp = torch.linspace(0, 0.4, image_size[1])
    images = torch.stack([noise[0], 0.3 * noise[1] + ramp])
    return images.to(classifier.device, torch.float64 if classifier.mean.dtype == torch.float64 else torch.float32)


def count_classes(classifier: Classifier, image_size: Size) -> int:
    """Number of logits for images of (height, width), from a pass of a blank image, counted in `check_passes`.

    Raises:
        UsageError: the network fails on such an image; the message states why.
    """
    image = torch.zeros(1, 3, *image_size, device=classifier.device)
    with classifier.uncounted(), torch.no_grad(), classifier.frozen():
        return run_once(classifier, lambda: classifier(image), image).shape[1]


def run_once(classifier: Classifier, run: Callable[[], T], image: Tensor) -> T:
    """The result of a pass of one image (1, 3, H, W).

    Raises:
        UsageError: the pass fails; the message states the network's own, and the size if another one is accepted.
    """
    try:
        return run()
    except (UsageError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # raised by the network
        raise UsageError(_failure(classifier, error, image)) from None


def _failure(classifier: Classifier, error: Exception, image: Tensor) -> str:
    height, width = image.shape[-2:]
    reason, own = first_line(error), classifier.input_size
    if (height, width) != (own, own) and _accepts(classifier, image.new_zeros(1, 3, own, own)):
        fix = f"made for {own} x {own}: give the data set that size, such as 'folder(size={own})', or --size to a command that has it"
        return f"model {classifier.name} does not take images of {height} x {width} pixels ({reason.rstrip('.')}); {fix}"
    dtype = str(classifier.dtype).removeprefix("torch.")
    fix = "; call network.float()" if dtype in ("float16", "bfloat16") else ""
    return f"{classifier.name} fails on an image of shape (1, 3, {height}, {width}) in {dtype}: {reason}{fix}"


def _accepts(classifier: Classifier, image: Tensor) -> bool:
    return _tried(classifier, image) is not None


def _extreme(classifier: Classifier, image: Tensor) -> Tensor | None:
    """Outputs (2, C) of an image (1, 3, H, W) and its negative with a thousand times the contrast; None if the passes fail."""
    rows = [_tried(classifier, sign * (image - 0.5)) for sign in (1e3, -1e3)]
    found = [row for row in rows if row is not None]
    return torch.cat(found) if len(found) == len(rows) else None


def _tried(classifier: Classifier, image: Tensor) -> Tensor | None:
    try:
        with torch.no_grad():
            return check_outputs(classifier, image)
    except Exception:  # raised by the network
        return None
