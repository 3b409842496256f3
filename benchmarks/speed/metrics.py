"""Seconds per image of metrics beside the limit set by their image passes, and beside other libraries.

    python benchmarks/speed/metrics.py --model resnet50 --batch 8 --jobs insertion+deletion,deletion,max_sensitivity

All contestants of a job take turns in every round, so that a busy machine slows them alike, and the figure is the
median of the rounds: read the ratios. The limit of a job is the number of image passes that it makes here, those of the
maps included, times the time of one such pass, measured in the same rounds. Grad-CAM makes all maps.

Quantus has no insertion: its PixelFlipping stands beside the deletion curve. It flips elements of channels and takes steps
that divide the number of pixels, so that for three channels it makes three times as many steps.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from camdbench.cli.allocator import reuse_freed_memory
from camdbench.core.registries import metrics
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import load_classifier
from camdbench.runner.scoring import score_batch

Job = Callable[[], object]
EXPLAINER = Spec("gradcam")


class Case(NamedTuple):
    """What all contestants are given: one network, one batch, the classes of it, and how long the curves are."""

    classifier: Classifier
    batch: Batch
    step: int
    samples: int

    @property
    def inputs(self) -> Tensor:
        """What the bare network sees."""
        return (self.batch.images - self.classifier.mean) / self.classifier.std

    def maps(self, images: Tensor) -> Tensor:
        """(B, H, W), Grad-CAM's for images in [0, 1]."""
        with self.classifier.frozen():
            return saliency(Trace(self.classifier, Batch(self.batch.ids, images, self.batch.labels)), EXPLAINER).maps


def main() -> None:
    """Print a table for each job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="name in torchvision; random weights are used")
    parser.add_argument("--jobs", default="insertion+deletion,deletion,max_sensitivity", help=f"some of {', '.join(JOBS)}")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--step", type=int, default=224, help="pixels replaced in one step of a curve")
    parser.add_argument("--samples", type=int, default=10, help="perturbed copies of an image, for sensitivity")
    parser.add_argument("--rounds", type=positive, default=3, help="measured rounds; one on top of these warms up")
    options = parser.parse_args()
    reuse_freed_memory()  # as commands do; everybody's passes are faster with it
    classifier = load_classifier(f"{options.model}@random")
    classifier.network.requires_grad_(True)  # as it comes from torchvision; others need it
    images = torch.rand(options.batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(0)).to(classifier.device)
    labels = torch.zeros(options.batch, dtype=torch.int64, device=images.device)
    case = Case(classifier, Batch(tuple(map(str, range(options.batch))), images, labels), options.step, options.samples)
    print(f"{options.model}, {options.size} px, batch {options.batch}, {classifier.device}, {torch.get_num_threads()} threads")
    for name in options.jobs.split(","):
        race(name, case, options.rounds)


def positive(text: str) -> int:
    """A number of rounds."""
    return max(1, int(text))


def race(name: str, case: Case, rounds: int) -> None:
    """Time one job in every library that has it, beside the passes that it needs."""
    specs, make_peers = JOBS[name]
    unknown = [spec for spec in specs if spec.partition("(")[0] not in metrics]
    if unknown:
        print(f"\n{name}: no metric {', '.join(unknown)} yet")
        return
    jobs: dict[str, Job] = {"one forward pass": forward(case), "camdbench": ours(specs, case)} | make_peers(case)
    jobs = {title: job for title, job in jobs.items() if works(title, job)}
    seconds: dict[str, list[float]] = {title: [] for title in jobs}
    for _ in range(rounds):
        for title, job in jobs.items():
            start = perf_counter()
            job()
            if case.classifier.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[title].append(perf_counter() - start)
    medians = {title: statistics.median(times) / len(case.batch) for title, times in seconds.items()}
    passes = case.classifier.passes
    jobs["camdbench"]()
    spent = (case.classifier.passes - passes).total() / len(case.batch)
    limit = spent * medians["one forward pass"]
    print(f"\n{name}: {spent:.1f} passes per image here, limit {limit:.2f} s per image")
    for title, median in medians.items():
        print(f"  {title:<28}{median:10.3f} s   {median / limit:7.2f} x the limit   {median / medians['camdbench']:7.2f} x camdbench")


def works(title: str, job: Job) -> bool:
    """Whether a contestant gets through, which also warms it up; a library that refuses the maps is told and left out."""
    try:
        job()
    except Exception as error:
        print(f"  {title} is left out: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
        return False
    return True


def ours(specs: tuple[str, ...], case: Case) -> Job:
    """Metrics here, together, with the maps that they score."""
    settings = {"step": case.step, "samples": case.samples}
    known = [metrics.get(spec) for spec in specs]
    chosen = [
        metrics.check(
            Spec.of(entry.name, {name: value for name, value in settings.items() if any(option.name == name for option in entry.options)})
        )
        for entry in known
    ]

    def job() -> object:
        with torch.inference_mode(mode=False), case.classifier.frozen():
            return list(score_batch(case.classifier, case.batch, [EXPLAINER], chosen, target="label", seed=0))

    return job


def forward(case: Case) -> Job:
    """One pass of the batch, nothing kept."""

    def job() -> object:
        with torch.no_grad():
            return case.classifier(case.batch.images)

    return job


def curves_of_torchcam(case: Case) -> dict[str, Job]:
    """Both curves at once, which is all that torch-cam offers."""
    from torchcam.methods import GradCAM
    from torchcam.metrics import DeletionInsertionMetric

    steps = -(-case.batch.images[0, 0].numel() // case.step)

    def job() -> object:
        with GradCAM(case.classifier.network, target_layer=case.classifier.layer_name()) as extractor:
            metric = DeletionInsertionMetric(extractor, lambda logits: logits.softmax(1), steps=steps)
            metric.update(case.inputs, class_idx=0)
            return metric.summary()

    return {"torchcam": job}


def flipping_of_quantus(case: Case) -> dict[str, Job]:
    """Quantus' deletion, on maps that are made in the same job."""
    quantus = imported_quantus()
    metric = quantus.PixelFlipping(features_in_step=case.step, perturb_baseline="black", disable_warnings=True)

    def job() -> object:
        maps = case.maps(case.batch.images)[:, None].cpu().numpy()
        return metric(a_batch=maps, **given(case))

    return {"quantus PixelFlipping": job}


def sensitivity_of_quantus(case: Case) -> dict[str, Job]:
    """Quantus' Max-Sensitivity, explaining by our Grad-CAM, so that only the metric differs."""
    quantus = imported_quantus()
    metric = quantus.MaxSensitivity(nr_samples=case.samples, lower_bound=0.2, disable_warnings=True)

    def explain(model: object, inputs: Any, targets: Any, **options: object) -> Any:
        del model, targets, options
        images = torch.as_tensor(inputs, device=case.classifier.device) * case.classifier.std + case.classifier.mean
        return case.maps(images)[:, None].cpu().numpy()

    return {"quantus MaxSensitivity": lambda: metric(explain_func=explain, **given(case))}


def given(case: Case) -> dict[str, Any]:
    """What every metric of Quantus is called with."""
    return {
        "model": case.classifier.network,
        "x_batch": case.inputs.cpu().numpy(),
        "y_batch": case.batch.labels.cpu().numpy(),
        "device": str(case.classifier.device),
    }


def imported_quantus() -> Any:
    """The library, without what its source makes Python warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import quantus
    return quantus


JOBS: dict[str, tuple[tuple[str, ...], Callable[[Case], dict[str, Job]]]] = {
    "insertion+deletion": (("insertion", "deletion"), curves_of_torchcam),
    "deletion": (("deletion",), flipping_of_quantus),
    "max_sensitivity": (("max_sensitivity",), sensitivity_of_quantus),
}


if __name__ == "__main__":
    main()
