"""The jobs of the benchmark as data, and what a smoke run makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

CAMS = "gradcam,gradcampp,xgradcam,hirescam"
NINE = "cam,gradcam,gradcampp,xgradcam,hirescam,elementwise,layercam,eigencam,eigengradcam"
TINY = "tiny"  # a network of two convolutions


@dataclass(frozen=True)
class Job:
    """One job, which every contestant does on the same images.

    Attributes:
        name: name in the table.
        network: name in torchvision or of the embedded network.
        size: side of the images in pixels.
        batch: images at a time.
        explainers: explainer specs; with metrics, those whose maps they score.
        metrics: metric specs; none for maps alone.
        images: number of images; default: a batch of them.
        peers: libraries that do the same, in the process without settings of the allocator.
        goal: largest ratio to the limit that camdbench aims at.
    """

    name: str
    network: str
    size: int
    batch: int
    explainers: str
    metrics: str = ""
    images: int = 0
    peers: tuple[str, ...] = ()
    goal: float = 1.15

    @property
    def count(self) -> int:
        """Number of images."""
        return self.images or self.batch


GRAD_CAM, TORCHCAM, CAPTUM, QUANTUS, LIME = "grad-cam", "torchcam", "captum", "quantus", "lime"
JOBS = (
    Job("Grad-CAM, one image", "resnet50", 224, 1, "gradcam", peers=(GRAD_CAM, TORCHCAM, CAPTUM), goal=1.1),
    Job("Grad-CAM, a batch", "resnet50", 224, 8, "gradcam", peers=(GRAD_CAM, TORCHCAM, CAPTUM), goal=1.05),
    Job("nine CAMs", "resnet50", 224, 4, NINE, peers=(GRAD_CAM,)),
    Job("insertion and deletion", "resnet50", 224, 2, "gradcam", "insertion(step=3584),deletion(step=3584)", peers=(TORCHCAM,), goal=1.1),
    Job("Max-Sensitivity", "resnet50", 224, 4, "gradcam", "max_sensitivity", peers=(QUANTUS, CAPTUM), goal=1.2),
    Job("Max-Sensitivity of four CAMs", "resnet50", 224, 4, CAMS, "max_sensitivity", goal=1.2),
    Job("ADCC", "resnet50", 224, 8, "gradcam", "adcc"),
    Job("ADCC of four CAMs", "resnet50", 224, 8, CAMS, "adcc"),
    Job("fixed part of a run", "resnet50", 224, 8, "random", "complexity"),
    Job("Opti-CAM in float32", "resnet18", 224, 4, 'opticam(iterations=10, search_dtype="network")'),
    Job("Opti-CAM in float64", "resnet18", 224, 4, "opticam(iterations=10)"),
    Job("Ablation-CAM", "resnet18", 224, 1, "ablationcam", peers=(GRAD_CAM,)),
    Job("Integrated Gradients", "resnet18", 224, 2, "integratedgradients(steps=20)", peers=(CAPTUM,)),
    Job("LIME", "resnet18", 224, 1, "lime(samples=100)", peers=(LIME,)),
    Job("ROAD", "resnet18", 224, 1, "gradcam", "road", peers=(GRAD_CAM,)),
    Job("random logit of four CAMs", "resnet18", 224, 8, CAMS, "random_logit", goal=1.2),
    Job("CGC loss of four CAMs", "resnet18", 224, 8, CAMS, "cgc_loss(negatives=7)", goal=1.2),
    Job("randomisation", "resnet18", 224, 4, "gradcam", "randomisation", goal=1.2),
    Job("randomisation of four CAMs", "resnet18", 224, 4, CAMS, "randomisation", goal=1.2),
    Job("Score-CAM", "mobilenet_v3_small", 224, 1, "scorecam", peers=(GRAD_CAM, TORCHCAM), goal=1.1),
    Job("Grad-CAM, images one by one", "mobilenet_v3_small", 224, 1, "gradcam", images=16, peers=(GRAD_CAM, TORCHCAM, CAPTUM)),
    Job("AOPC", "shortcuts-ce", 96, 8, "gradcam", "aopc", peers=(QUANTUS,)),
    Job("infidelity", "shortcuts-ce", 96, 8, "gradcam", "infidelity", peers=(CAPTUM,)),
    Job("infidelity of four CAMs", "shortcuts-ce", 96, 8, CAMS, "infidelity"),
    Job("Opti-CAM and Grad-CAM, AD, AG and AI", "shortcuts-ce", 96, 8, "opticam(iterations=10),gradcam", "ad,ag,ai"),
)
NETWORKS = tuple(dict.fromkeys(job.network for job in JOBS))
ROUNDS = {"resnet50": 2, "resnet18": 2, "mobilenet_v3_small": 3, "shortcuts-ce": 3, TINY: 1}  # after one that warms up


def chosen(jobs: str, *, quick: bool) -> Iterator[Job]:
    """Jobs whose name has one of the words, comma-separated; quick ones on a tiny network and two small images."""
    words = [word.strip().lower() for word in jobs.split(",")]
    for job in JOBS:
        if any(word in job.name.lower() for word in words):
            yield replace(job, network=TINY, size=32, batch=min(job.batch, 2), images=min(job.images, 2)) if quick else job
