"""Seconds per image of explainers beside the limit set by their image passes, and beside other libraries.

    python benchmarks/speed/explainers.py --model resnet50 --batch 8 --methods gradcam,gradcampp,eigencam,nine

All contestants of a method take turns in every round, so that a busy machine slows them alike, and the figure is the
median of the rounds: read the ratios. The limit of a job is the number of image passes that its method needs times
the time of one such pass, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import torch

from camdbench.cli.allocator import reuse_freed_memory
from camdbench.core.registries import explainers
from camdbench.core.spec import parse_specs
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
from camdbench.models.zoo import load_classifier

Job = Callable[[], object]
NINE = ("cam", "gradcam", "gradcampp", "xgradcam", "hirescam", "elementwise", "layercam", "eigencam", "eigengradcam")
GRAD_CAM = {  # our name -> class in grad-cam
    "gradcam": "GradCAM",
    "gradcampp": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "hirescam": "HiResCAM",
    "elementwise": "GradCAMElementWise",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}
TORCHCAM = {"gradcam": "GradCAM", "gradcampp": "GradCAMpp", "xgradcam": "XGradCAM", "layercam": "LayerCAM", "scorecam": "ScoreCAM"}


def main() -> None:
    """Print a table for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="name in torchvision; random weights are used")
    parser.add_argument(
        "--methods", default="gradcam,gradcampp,eigencam,nine,opticam(iterations=10)", help="specs, or nine: nine CAMs at once"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5, help="the first round on top of these warms up; 0 measures once, cold")
    parser.add_argument("--processor-time", action="store_true", help="instead of wall time, on a CPU that others use meanwhile")
    options = parser.parse_args()
    reuse_freed_memory()  # as commands do; everybody's passes are faster with it
    clock = process_time if options.processor_time else perf_counter
    classifier = load_classifier(f"{options.model}@random")
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(options.batch, 3, options.size, options.size, generator=generator).to(classifier.device)
    print(f"{options.model}, {options.size} px, batch {options.batch}, {classifier.device}, {torch.get_num_threads()} threads")
    for method in parse_specs(options.methods):
        race(str(method), classifier, images, options.rounds, clock)


def race(method: str, classifier: Classifier, images: torch.Tensor, rounds: int, clock: Callable[[], float]) -> None:
    """Time one method in every library that has it, beside the passes that it needs."""
    jobs: dict[str, Job] = {"one forward pass": forward(classifier, images), "one forward and backward": both(classifier, images)}
    jobs["camdbench"] = ours(method, classifier, images)
    jobs |= peers(method, classifier, images)
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    spent = PassCounts()
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            passes, start = classifier.passes, clock()
            job()
            spent = classifier.passes - passes if name == "camdbench" else spent
            if classifier.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    medians = {name: statistics.median(times[1:] or times) / len(images) for name, times in seconds.items()}
    pairs = spent.backward / len(images)
    singles = spent.forward / len(images) - pairs
    limit = singles * medians["one forward pass"] + pairs * medians["one forward and backward"]
    print(f"\n{method}: {spent.total() / len(images):.0f} passes per image here, limit {1000 * limit:.1f} ms per image")
    for name, median in medians.items():
        print(
            f"  {name:<28}{1000 * median:10.1f} ms   {median / limit:7.2f} x the limit   {median / medians['camdbench']:7.2f} x camdbench"
        )


def ours(method: str, classifier: Classifier, images: torch.Tensor) -> Job:
    """A method here; `nine` runs nine CAMs on one trace."""
    specs = explainers.parse(",".join(NINE) if method == "nine" else method)
    batch = Batch(tuple(map(str, range(len(images)))), images, torch.zeros(len(images), dtype=torch.int64, device=images.device))

    def explain() -> object:
        with classifier.frozen():
            trace = Trace(classifier, batch)
            return [saliency(trace, spec) for spec in specs]

    return explain


def forward(classifier: Classifier, images: torch.Tensor) -> Job:
    """One pass of the batch, nothing kept."""

    def job() -> object:
        with torch.no_grad():
            return classifier(images)

    return job


def both(classifier: Classifier, images: torch.Tensor) -> Job:
    """One pass there and back to the pixels, weights frozen."""

    def job() -> object:
        with classifier.frozen():
            leaf = images.clone().requires_grad_()
            return torch.autograd.grad(classifier(leaf).sum(), leaf)

    return job


def peers(method: str, classifier: Classifier, images: torch.Tensor) -> dict[str, Job]:
    """The same by other libraries, where they are installed and have it, on a network that they may use as they like."""
    classifier.network.requires_grad_(True)  # as it comes from torchvision
    names = NINE if method == "nine" else (method.partition("(")[0],)
    found: dict[str, Job] = {}
    for title, make in (("grad-cam", grad_cam), ("torchcam", torchcam), ("captum", captum)):
        try:
            jobs = [job for name in names if (job := make(name, classifier, images)) is not None]
        except ImportError:
            print(f"  {title} is not installed")
            continue
        if jobs:
            label = title if method != "nine" else f"{title}, its {len(jobs)} of the nine"
            found[label] = lambda jobs=jobs: [job() for job in jobs]
    return found


def grad_cam(name: str, classifier: Classifier, images: torch.Tensor) -> Job | None:
    """A CAM of grad-cam; its progress bars go to standard error."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if name not in GRAD_CAM:
        return None
    inputs, targets = (images - classifier.mean) / classifier.std, [ClassifierOutputTarget(0)] * len(images)
    method: Any = getattr(pytorch_grad_cam, GRAD_CAM[name])
    cam = method(model=classifier.network, target_layers=[classifier.module(classifier.layer_name())])
    return lambda: cam(inputs, targets=targets)


def torchcam(name: str, classifier: Classifier, images: torch.Tensor) -> Job | None:
    """A CAM of torchcam; hooks are taken off after each use."""
    from torchcam import methods

    if name not in TORCHCAM:
        return None
    inputs = (images - classifier.mean) / classifier.std

    def job() -> object:
        with getattr(methods, TORCHCAM[name])(classifier.network, target_layer=classifier.layer_name()) as extractor:
            return extractor(0, classifier.network(inputs))

    return job


def captum(name: str, classifier: Classifier, images: torch.Tensor) -> Job | None:
    """Captum's one CAM."""
    from captum.attr import LayerGradCam

    if name != "gradcam":
        return None
    inputs = (images - classifier.mean) / classifier.std
    method = LayerGradCam(classifier.network, classifier.module(classifier.layer_name()))
    return lambda: method.attribute(inputs, target=0)


if __name__ == "__main__":
    main()
