"""Networks of the jobs, the time of one pass through them, and the limit of a job: the passes that it needs times that time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from jobs import TINY, Job
from passes import Passes, of_explainer, of_maps, of_metric
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.trace import Trace
from camdbench.functional.pixel_order import count_patches
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import load_classifier

Contestant = Callable[[], object]
BATCHES = {"forward": (1, 4, 16), "both": (1, 8)}  # sizes of which the fastest per image counts
_TAILS = 16


class Work(NamedTuple):
    """A job with the objects that every contestant gets."""

    job: Job
    classifier: Classifier
    images: Tensor
    labels: Tensor


@cache
def network(name: str) -> Classifier:
    """A network with random weights, in eval mode; the embedded one with its own."""
    if name == TINY:
        torch.manual_seed(0)
        layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        return Classifier(layers.append(nn.Linear(8, 10)).eval(), "4", mean=0.5, std=0.25, name=TINY, input_size=32)
    return load_classifier(name if name.startswith("shortcuts") else f"{name}@random")


def work_of(job: Job) -> Work:
    """The images of a job, the same for all contestants."""
    images = torch.rand(job.count, 3, job.size, job.size, generator=torch.Generator().manual_seed(0))
    return Work(job, network(job.network), images, torch.zeros(job.count, dtype=torch.int64))


def passes_of_network(classifier: Classifier, size: int, *, double: bool, batches: Mapping[str, tuple[int, ...]]) -> dict[str, Contestant]:
    """Bare passes of the network: `forward 4` is one of four images. Those in float64 are of a copy."""
    bare, layer = classifier.network.eval(), classifier.module(classifier.layer_name())
    dtype = torch.float64 if double else torch.float32
    most = torch.rand(max(*batches["forward"], *batches["both"]), 3, size, size, dtype=dtype, device=classifier.device)

    def forward(count: int) -> Contestant:
        def one_pass() -> object:
            with torch.inference_mode():
                return bare(most[:count])

        return one_pass

    def both(count: int) -> Contestant:
        def one_pass() -> object:
            leaf = most[:count].clone().requires_grad_()
            return torch.autograd.grad(bare(leaf)[:, 0].sum(), leaf)

        return one_pass

    bare.requires_grad_(False)
    found = {f"forward {count}": forward(count) for count in batches["forward"]}
    found |= {f"both {count}": both(count) for count in batches["both"]}
    return found if double else found | _tails(bare, layer, most[: batches["both"][-1]])


def _tails(bare: nn.Module, layer: nn.Module, images: Tensor) -> dict[str, Contestant]:
    """A tail backward pass of some images in a graph that exists, and one image with many outputs of the layer."""
    seen = list[Tensor]()

    def cut(module: nn.Module, given: object, output: Tensor) -> Tensor:
        del module, given
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    handle = layer.register_forward_hook(cut)
    logits = bare(images)
    handle.remove()
    leaf, several = seen[0], seen[0].detach()[:1].repeat(_TAILS, *[1] * (seen[0].dim() - 1))

    def replay() -> object:
        swap = layer.register_forward_hook(lambda *_: several)
        try:
            with torch.inference_mode():
                return bare(images[:1])
        finally:
            swap.remove()

    return {
        f"tail backward {len(images)}": lambda: torch.autograd.grad(logits[:, 0].sum(), leaf, retain_graph=True),
        f"replay {_TAILS}": replay,
    }


def best_paces(seconds: Mapping[str, float], *, one_by_one: bool = False) -> Passes:
    """Seconds of one pass of each kind per image, at the best batch size, from the seconds of the bare passes.

    With `one_by_one`, whole passes are those of one image.
    """

    def best(kind: str) -> float:
        counts = {int(name.split()[-1]): took for name, took in seconds.items() if name.rpartition(" ")[0] == kind}
        if one_by_one and 1 in counts:
            return counts[1]
        return min((took / count for count, took in counts.items()), default=0.0)

    forward = best("forward")
    replayed = best("replay") - seconds.get("forward 1", 0.0) / _TAILS
    return Passes(forward, max(0.0, best("both") - forward), max(0.0, replayed), best("tail backward"))


def quantities(work: Work) -> dict[str, Any]:
    """Values of what formulas may use beside options."""
    classifier, images = work.classifier, work.images[:1]
    with classifier.uncounted(), classifier.frozen():
        trace = Trace(classifier, make_batch(images), target=0)
        channels = trace.activations[0].flatten(1)
        try:
            linear = bool(len(trace.class_weights))
        except NotApplicable:
            linear = False
    different = {tuple(row.tolist()) if row.amax() > row.amin() else () for row in channels}
    return {
        "channels": len(different),
        "active": int(channels.ne(0).any(1).sum()),
        "pixels": images[0, 0].numel(),
        "network_layers": sum(1 for module in classifier.network.modules() if list(module.parameters(recurse=False))),
        "linear_head": int(linear),
        "batch": len(work.images),
    }


def needed(work: Work, specs: list[Spec], *, given_maps: bool = False) -> Passes:
    """Passes of a job per image in float32, by the page; with given maps, those of the metrics and of the image's logits."""
    known = quantities(work)
    maps = Passes(forward=1) if given_maps else of_maps(specs, known)
    for metric in metrics.parse(work.job.metrics) if work.job.metrics else []:
        options = metrics.get(metric.name).arguments(metric)
        side = options.get("patch", options.get("patch_size", 1))
        patches = count_patches((work.job.size, work.job.size), side)
        maps = maps.plus(of_metric(metric, specs, known | {"patches": patches}))
    return maps


def in_float64(specs: list[Spec], known: Mapping[str, Any]) -> Passes:
    """Those of the passes of maps that are made in float64: all of a search but the forward pass of the image."""
    total = Passes()
    for spec in specs:
        if explainers.get(spec.name).arguments(spec).get("search_dtype") == "float64":
            total = total.plus(of_explainer(spec, known)).plus(Passes(forward=1), -1)
    return total


def limit(passes: Passes, double: Passes, single_pace: Passes, double_pace: Passes) -> float:
    """Seconds per image that the passes take, those of `double` among them in float64."""
    single = passes.plus(double, -1)
    return sum(
        number * pace for part, paces in ((single, single_pace), (double, double_pace)) for number, pace in zip(part, paces, strict=True)
    )
