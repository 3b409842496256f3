"""Maps and values of explainers and metrics in this process's environment; `python benchmarks/stability` starts it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from camdbench.core.registries import explainers, has_model_scope, metrics, parse_explainers, parse_metrics
from camdbench.core.spec import Spec, parse_spec
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import finish, normalisation_of
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import load_classifier
from camdbench.runner.resources import ReferenceImages
from camdbench.runner.scoring import score_batch

IMAGES = 8
FEW = 2  # images of cases that need many passes
SEVERAL = ("scorecam", "opticam", "occlusion")  # need many passes at their defaults too
EMBEDDED_ONLY = ("iscam", "sscam")  # several passes per channel
NETWORKS = {  # network -> data set, and pixels between two points of the insertion curve: few points, for few passes
    "shortcuts-ce": ("shortcuts", 960),
    "resnet18@random": ("shortcuts(size=64)", 1024),
    "timm/vit_tiny_patch16_224@random": ("shortcuts(size=224)", 12544),
}
ATTENTION = ("attnlrp", "cplrp", "genericattention", "legrad", "rawattention", "rollout", "tibav")  # on the transformer only
_EXTREMAL = "areas=(0.1,), max_iter=50, step=4, sigma=9.0, blur_sigma=9.0"
REDUCED = {  # explainers of many passes, with fewer
    "deepliftshap": "deepliftshap(baselines=3)",
    "extremal": f"extremal({_EXTREMAL})",
    "gradientshap": "gradientshap(samples=10)",
    "integratedgradients": "integratedgradients(steps=10)",
    "iscam": "iscam(samples=2)",
    "kernelshap": "kernelshap(samples=100)",
    "lime": "lime(samples=100)",
    "rise": "rise(masks=100)",
    "shapleysampling": "shapleysampling(samples=2)",
    "smoothgrad": "smoothgrad(samples=10)",
    "sobol": "sobol(designs=2)",
    "sscam": "sscam(samples=2)",
    "vargrad": "vargrad(samples=10)",
}
MORE = (  # further settings of explainers, and wrappers
    'opticam(search_dtype="network")',
    'opticam(iterations=10, search_dtype="network")',
    f'extremal({_EXTREMAL}, search_dtype="network")',
    f'extremal({_EXTREMAL}, compat="torchray")',
    f'extremal({_EXTREMAL}, compat="torchray", search_dtype="network")',
    "augsmooth(gradcam)",
    "inside_box(gradcam)",
    "inverted(gradcam)",
    "outside_box(gradcam)",
    "power(gradcam, alpha=2.0)",
    'refine(gradcampp, layers=("layer2", "layer3"))',
    "sess(gradcam, scales=3)",
    "smooth(gradcam, samples=5)",
)
ORDERINGS = "quantus:FaithfulnessEstimate,quantus:MonotonicityCorrelation,quantus:PixelFlipping,quantus:Selectivity"  # as in tox.ini


MOSAICS = {"grid(shortcuts, confidence=0.0)": "grid_pointing,difull,dipart", 'grid(shortcuts, confidence=0.0, mosaic="focus")': "focus"}


class Case(NamedTuple):
    """An explainer, the metrics that score it, and the number of images."""

    explainer: Spec
    metrics: tuple[Spec, ...]
    images: int
    reduced: bool
    data: str = ""  # data set; empty: that of the network


def cases(network: str) -> Iterator[Case]:
    """Cases of a network: AD, AG and insertion of every explainer; on the embedded network, every metric of Grad-CAM."""
    values = parse_metrics(f"ad,ag,insertion(step={NETWORKS[network][1]})", ("boxes", "masks"))
    if network.startswith("timm/"):
        for name in ATTENTION:
            yield Case(Spec(name), values, FEW, reduced=True)
        return
    embedded = network == "shortcuts-ce"
    for spec in parse_explainers("all", ("boxes", "masks")):
        if spec.name in ATTENTION or (spec.name in EMBEDDED_ONLY and not embedded):
            continue
        short = explainers.parse_one(REDUCED[spec.name]) if spec.name in REDUCED else spec
        few = not embedded and (spec.name in REDUCED or spec.name in SEVERAL)
        yield Case(short, values, FEW if few else IMAGES, reduced=short != spec or few)
    for text in MORE:
        spec = explainers.parse_one(text)
        yield Case(spec, values, IMAGES if embedded else FEW, reduced=not embedded or spec.name in REDUCED)
    if not embedded:
        return
    with_quantus = [entry.name for entry in metrics if ":" in entry.name and entry.name not in ORDERINGS.split(",")]
    gives = ("boxes", "masks", "backgrounds", "scenes")
    others = parse_metrics(["all", "mcs(network='shortcuts-so')", *with_quantus], gives)
    yield Case(parse_spec("gradcam"), tuple(spec for spec in others if not has_model_scope(spec)), FEW, reduced=True)
    yield Case(parse_spec("deeplift"), parse_metrics("completeness", ("boxes", "masks")), FEW, reduced=True)
    yield Case(parse_spec("saliency"), parse_metrics(ORDERINGS, ("boxes", "masks")), FEW, reduced=True)
    for data, scores in MOSAICS.items():
        yield Case(parse_spec("gradcam"), parse_metrics(scores, ("mosaic",)), FEW, reduced=True, data=data)
    yield Case(Spec("none"), tuple(spec for spec in others if has_model_scope(spec)), IMAGES, reduced=False)


def measure(network: str, weights: Path, batch_size: int, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Maps `map|EXPLAINER` (N, H, W) and values `value|EXPLAINER|METRIC` (N,) of all cases of a network."""
    classifier = load_classifier(network, device="cpu")
    if weights.is_file():
        classifier.network.load_state_dict(torch.load(weights))
    else:  # the base's: without vector instructions, the same seed draws weights with other last digits
        torch.save(classifier.network.state_dict(), weights)
    classifier.to(dtype)
    found = dict[str, list[np.ndarray]]()
    for case in cases(network):
        own = dict[str, list[np.ndarray]]()
        dataset = open_dataset(*check_dataset(case.data or NETWORKS[network][0], "val", None), None)
        for start in range(0, case.images, batch_size):
            samples = [dataset[index] for index in range(start, min(start + batch_size, case.images))]
            for name, values in _measure_batch(classifier, Batch.of(samples), case, ReferenceImages(dataset, seed=0, target="label")):
                own.setdefault(name, []).append(values)
        found = own | found  # of two cases of an explainer, the first has more images
        print(f"{network} {case.explainer}: {classifier.passes.total()} passes", flush=True)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _measure_batch(classifier: Classifier, batch: Batch, case: Case, others: ReferenceImages) -> Iterator[tuple[str, np.ndarray]]:
    batch = replace(batch, images=batch.images.to(classifier.dtype))
    with classifier.frozen():
        [result] = score_batch(classifier, batch, [case.explainer], case.metrics, target="label", seed=0, others=others, keep_maps="raw")
    if result.raw is not None:
        size = (batch.images.shape[-2], batch.images.shape[-1])
        yield f"map|{case.explainer}", finish(result.raw, size, normalisation_of(case.explainer)).maps.numpy()
    for metric, scores in result.scores.items():
        if set(scores.status) & {"error", "not_applicable"}:
            print(f"left out: {case.explainer} {metric}: {scores.reasons[0]}", flush=True)
        else:
            yield f"value|{case.explainer}|{metric}", np.array(scores.values)


def main() -> None:
    """Measure every network under each of several batch sizes and dtypes; write an npz file for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="batch size and dtype: 16:float32")
    parser.add_argument("--out", type=Path, required=True, help="folder of the npz files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for network in NETWORKS:
        for run in options.runs:
            batch_size, dtype = run.split(":")
            name = network.replace("/", "+")
            file = options.out / f"{name} {run.replace(':', ' ')}.npz"
            if not file.is_file():
                np.savez(file, **measure(network, options.out.parent / f"{name}.pt", int(batch_size), getattr(torch, dtype)))


if __name__ == "__main__":
    main()
