"""Check of a network: do its outputs mean what they are taken for, and do they depend on the image alone?

Three small uncounted passes per image size. `findings` is a pure function of their outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchWarning, UsageError, first_line
from camdbench.core.network_options import Output

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

_TOLERANCE = 1e-3  # of sums of probabilities, and of differences relative to the spread of an image's outputs
_ROUNDING = 1e-6
_AFFINE = ("AddmmBackward0", "MmBackward0", "ConvolutionBackward0")
_VIEWS = ("ViewBackward0", "ReshapeAliasBackward0", "SqueezeBackward0", "SqueezeBackward1", "ToCopyBackward0")
_BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.SyncBatchNorm)

Size = tuple[int, int]


@dataclass(frozen=True)
class ProbeOutputs:
    """Outputs of a network for a few images, before any conversion.

    Attributes:
        alone: (N, C), of each image alone.
        together: (N, C), of all images in one batch; None if the network runs them one by one.
        again: (N, C), of the same batch a second time; None if not needed.
        problem: what the network reported for a batch of several images; empty if it accepts them.
        unnormalised: first normalisation layer without running statistics, in words; empty if there is none.
        extreme: (N, C), of colours far outside [0, 1], where logits leave [0, 1] and sigmoids do not; None if not needed.
        affine: whether they are those of a linear layer or a convolution, with nothing after it.
    """

    alone: Tensor
    together: Tensor | None = None
    again: Tensor | None = None
    problem: str = ""
    unnormalised: str = ""
    extreme: Tensor | None = None
    affine: bool = False

    @property
    def kind(self) -> Output:
        """What the outputs look like."""
        found = kind_of(self.alone)
        bounded = self.extreme is None or kind_of(self.extreme) != "logits" or not bool(self.extreme.isfinite().all())
        return found if found != "sigmoid" or (bounded and not self.affine) else "logits"


class Finding(NamedTuple):
    """A contradiction between a network's outputs and what they are taken for."""

    message: str
    refused: bool = True


@dataclass(frozen=True)
class NetworkCheck:
    """Result of the check of one network at one image size.

    Attributes:
        classes: number of classes.
        kind: what the outputs look like: logits, probabilities, log-probabilities or sigmoid.
        batch_difference: largest difference of an image alone and in a batch, relative to the spread of its outputs.
        gradient_problem: why the network gives no gradients; empty if it does.
    """

    classes: int
    kind: Output
    batch_difference: float
    gradient_problem: str

    def record(self) -> dict[str, Any]:
        """The result for run.json."""
        return {
            "looks_like": self.kind,
            "batch_difference": float(f"{self.batch_difference:.1e}"),
            "gradients": self.gradient_problem or "yes",
        }


def findings(seen: ProbeOutputs, *, output: Output | None = None, class_names: Sequence[str] = ()) -> list[Finding]:
    """Contradictions in the outputs of a network, the gravest first.

    Args:
        seen: outputs of a few images.
        output: what the outputs are said to be; None: nothing is said, and logits are expected.
        class_names: names of the classes; empty if unknown.
    """
    rows = seen.alone
    if class_names and len(class_names) != rows.shape[1]:
        return [Finding(f"class_names: {len(class_names)} names for {rows.shape[1]} classes; name each class once")]
    if rows.dtype not in (torch.float32, torch.float64):
        return [Finding(f"output: {rows.dtype} values; return float32, for instance by network.float()")]
    if bool((rows.isnan() | rows.isposinf()).any()):
        return [Finding("output: not finite; check the weights and the normalisation (mean, std)")]
    if bool((rows == rows[:, :1]).all()):
        equal = Finding("output: all classes have equal values, so every class is as likely as any other", refused=False)
        return [*_batch_findings(seen), equal]
    return [*_batch_findings(seen), *_kind_findings(seen.kind, output)]


def kind_of(rows: Tensor) -> Output:
    """What outputs (N, C) look like: logits, unless all of them have the range and the sum of something else.

    >>> rows = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.3, -2.0]])
    >>> kind_of(rows), kind_of(rows.softmax(1)), kind_of(rows.log_softmax(1)), kind_of(rows.sigmoid())
    ('logits', 'probabilities', 'log-probabilities', 'sigmoid')
    """
    rows = rows.double()
    low, high = float(rows.min()), float(rows.max())
    if low >= -_ROUNDING and bool(((rows.sum(1) - 1).abs() <= _TOLERANCE).all()):
        return "probabilities"
    if high <= _ROUNDING and bool((rows.logsumexp(1).abs() <= _TOLERANCE).all()):
        return "log-probabilities"
    return "sigmoid" if low >= 0 and high <= 1 and high > low else "logits"


def _kind_findings(kind: Output, output: Output | None) -> list[Finding]:
    if output == "logits" or kind == (output or "logits") or (output == "sigmoid" and kind == "probabilities"):
        return []
    looks = {
        "probabilities": "probabilities (no value is negative, and those of an image sum to 1)",
        "log-probabilities": "log-probabilities (their exponentials sum to 1)",
        "sigmoid": "values of a sigmoid (all lie in [0, 1])",
        "logits": "logits",
    }
    if output is not None:
        return [Finding(f"output = {output}: the network returns {looks[kind]}; state output='{kind}'")]
    fix = f"state output='{kind}' (--output {kind}), return the values before it, or insist with output='logits'"
    return [Finding(f"output: the network returns {looks[kind]}, not logits; {fix}")]


def _batch_findings(seen: ProbeOutputs) -> list[Finding]:
    if seen.problem:
        return [Finding(f"batch_mates: several images at once fail ({seen.problem}); {_ALONE}")]
    if (noise := _repeat_difference(seen)) > _TOLERANCE:
        return [Finding(f"output: random ({noise:.2g} of its spread between two equal passes); remove noise and dropout")]
    if (difference := batch_difference(seen)) > _TOLERANCE:
        cause = f": {seen.unnormalised}" if seen.unnormalised else ""
        what = f"outputs of an image depend on the other images of its batch ({difference:.2g} of their spread){cause}"
        return [Finding(f"batch_mates: {what}; {_ALONE}")]
    return []


_ALONE = "state batch_mates='alone' (--batch-mates alone) to run one image at a time"


def batch_difference(seen: ProbeOutputs) -> float:
    """Largest difference of an image alone and in a batch, relative to the spread of its outputs; 0 without a batch."""
    return 0.0 if seen.together is None else _difference(seen.together, seen.alone)


def _repeat_difference(seen: ProbeOutputs) -> float:
    return 0.0 if seen.together is None or seen.again is None else _difference(seen.together, seen.again)


def _difference(first: Tensor, second: Tensor) -> float:
    """Largest difference relative to the largest spread over classes or images; -inf excludes a class."""
    finite = first.isfinite() & second.isfinite()
    first, second = (torch.where(finite, rows.double(), 0) for rows in (first, second))
    spread = max(float((rows.amax(axis) - rows.amin(axis)).max()) for axis in (0, 1) for rows in (first, second))
    return float((first - second).abs().max()) / spread if spread else 0.0


def check_network(classifier: Classifier, image_size: Size) -> NetworkCheck:
    """Check a classifier once per image size and statement; the passes are not counted, and the classifier keeps the result.

    Raises:
        UsageError: the network fails on such images, or its outputs contradict what they are taken for.
    """
    key = image_size, classifier.output, classifier.batch_mates
    if key not in classifier.checks:
        with classifier.uncounted(), torch.inference_mode(mode=False), classifier.frozen():
            classifier.checks[key] = _checked(classifier, image_size)
    return classifier.checks[key]


def _checked(classifier: Classifier, image_size: Size) -> NetworkCheck:
    images = probe_images(image_size, classifier)
    first, problem, affine = _first_pass(classifier, images[:1])
    with torch.no_grad():
        rows = [first, *(classifier.outputs(image[None]) for image in images[1:])]
        seen = ProbeOutputs(torch.cat(rows), affine=affine)
        if classifier.batch_mates == "together":
            seen = _with_batches(classifier, images, seen)
        if seen.kind == "sigmoid" and classifier.output != "logits":
            seen = replace(seen, extreme=_extreme(classifier, images[:1]))
    found = findings(seen, output=classifier.output, class_names=classifier.class_names)
    for finding in found:
        if finding.refused:
            raise UsageError(f"{classifier.name}: {finding.message}")
        warnings.warn(f"{classifier.name}: {finding.message}", CamdbenchWarning, stacklevel=2)
    return NetworkCheck(first.shape[1], seen.kind, batch_difference(seen), problem)


def _with_batches(classifier: Classifier, images: Tensor, seen: ProbeOutputs) -> ProbeOutputs:
    """Add the outputs of a batch, and those of its repetition if they differ from single images."""
    try:
        together = classifier.outputs(images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # raised by the network
        return replace(seen, problem=first_line(error))
    if len(together) != len(images):
        return replace(seen, problem=f"{len(together)} rows for {len(images)} images")
    found = replace(seen, together=together, unnormalised=_without_statistics(classifier.network))
    return found if batch_difference(found) <= _TOLERANCE else replace(found, again=classifier.outputs(images))


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


def _first_pass(classifier: Classifier, image: Tensor) -> tuple[Tensor, str, bool]:
    """Outputs (1, C) of one image, why they have no gradient (empty if they have one), and whether a linear layer is the last step.

    Raises:
        UsageError: the pass fails.
    """
    leaf = image.clone().requires_grad_()
    with torch.enable_grad():
        found = run_once(classifier, lambda: classifier.outputs(leaf), image)
        if len(found) != 1:
            raise UsageError(f"{classifier.name}: {len(found)} rows of outputs for one image; return one row per image")
        return found.detach(), _gradient_problem(found, leaf), _is_affine(found.grad_fn)


def _is_affine(step: Any) -> bool:
    """Whether a step of autograd's graph is a linear layer or a convolution, perhaps behind views; False without a graph."""
    while step is not None and step.name() in _VIEWS:
        step = step.next_functions[0][0]
    return step is not None and step.name() in _AFFINE


def _gradient_problem(found: Tensor, leaf: Tensor) -> str:
    if not found.requires_grad:
        return "its outputs carry no gradients: they are computed under torch.no_grad, or detached"
    try:
        torch.autograd.grad(found.sum(), leaf)
    except Exception as error:  # operations without a derivative raise many types
        return f"it cannot be differentiated ({first_line(error)})"
    return ""


def run_once(classifier: Classifier, run: Callable[[], Tensor], image: Tensor) -> Tensor:
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
            return classifier.outputs(image)
    except Exception:  # raised by the network
        return None
