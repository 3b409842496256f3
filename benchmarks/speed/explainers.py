"""Seconds per image of explainers beside the limit set by their image passes, and beside other libraries.

    python benchmarks/speed/explainers.py --model resnet50 --batch 8

Every figure is the median of several rounds in which all contestants take turns, so that a busy machine slows them alike; read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter

import torch

from camdbench.core.catalogue import explainers
from camdbench.datasets.samples import Batch
from camdbench.explainers.saliency import saliency
from camdbench.explainers.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import load_classifier


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="name in torchvision; random weights are used")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--iterations", type=int, default=10, help="of Opti-CAM")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    classifier = load_classifier(f"{options.model}@random")
    images = torch.rand(options.batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(0)).to(classifier.device)
    contestants = jobs(classifier, images, options.iterations)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds + 1):  # the first round warms up
        for name, job in contestants.items():
            start = perf_counter()
            job()
            seconds[name].append(perf_counter() - start)
    medians = {name: statistics.median(times[1:]) / options.batch for name, times in seconds.items()}
    forward, both = medians["forward pass"], medians["forward + backward to the input, weights frozen"]
    limits = {"gradcam": forward, "hirescam": forward, "captum LayerGradCam": forward, "grad-cam GradCAM": forward}
    limits |= {name: forward + options.iterations * both for name in medians if name.startswith("opticam")}
    print(f"{options.model}, {options.size} px, batch {options.batch}, {classifier.device}, {torch.get_num_threads()} threads\n")
    for name, median in medians.items():
        limit = f"{median / limits[name]:5.2f} x its limit" if name in limits else ""
        print(f"{name:<50}{1000 * median:9.1f} ms/image  {limit}")


def jobs(classifier: Classifier, images: torch.Tensor, iterations: int) -> dict[str, Callable[[], object]]:
    """The contestants by name; peers are left out where they are not installed."""
    batch = Batch(tuple(map(str, range(len(images)))), images, torch.zeros(len(images), dtype=torch.int64, device=images.device))

    def ours(text: str) -> Callable[[], object]:
        spec = explainers.parse_one(text)

        def explain() -> object:
            with classifier.frozen():
                return saliency(Trace(classifier, batch), spec)

        return explain

    def forward() -> object:
        with torch.no_grad():
            return classifier(images)

    def both() -> object:
        with classifier.frozen():
            leaf = images.clone().requires_grad_()
            return torch.autograd.grad(classifier(leaf).sum(), leaf)

    found = {"forward pass": forward, "forward + backward to the input, weights frozen": both}
    found |= {text: ours(text) for text in ("gradcam", "hirescam", f"opticam(iterations={iterations})")}
    return found | peers(classifier, images)


def peers(classifier: Classifier, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Grad-CAM by captum and by grad-cam, on a network that they may use as they like."""
    network, layer = classifier.network, classifier.module(classifier.layer_name())
    inputs = (images - classifier.mean) / classifier.std
    found: dict[str, Callable[[], object]] = {}
    try:
        from captum.attr import LayerGradCam

        captum = LayerGradCam(network, layer)
        found["captum LayerGradCam"] = lambda: captum.attribute(inputs, target=0)
    except ImportError:
        print("captum is not installed")
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        network.requires_grad_(True)  # as it comes from torchvision
        library = GradCAM(model=network, target_layers=[layer])
        found["grad-cam GradCAM"] = lambda: library(inputs, targets=[ClassifierOutputTarget(0)] * len(images))
    except ImportError:
        print("grad-cam is not installed")
    return found


if __name__ == "__main__":
    main()
