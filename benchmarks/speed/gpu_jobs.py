"""The jobs of the script for GPUs, and the order in which they are measured."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import NamedTuple

from jobs import CAPTUM, GRAD_CAM, NINE, TINY, TORCHCAM, Job

PEERS = (GRAD_CAM, TORCHCAM, CAPTUM)
NETWORKS = ("resnet50", "vgg16_bn", "vit_b_16")
MODES = ("fp32", "tf32", "bf16")
JOBS = (
    Job("Opti-CAM in float32", "", 224, 8, 'opticam(iterations=100, search_dtype="network")'),
    Job("Opti-CAM in float64", "", 224, 8, "opticam(iterations=100)"),
    Job("Grad-CAM", "", 224, 8, "gradcam", peers=PEERS),
    Job("nine CAMs", "", 224, 8, NINE, peers=(GRAD_CAM,)),
    Job("insertion and deletion", "", 224, 8, "gradcam", "insertion,deletion", peers=(TORCHCAM,)),
    Job("Max-Sensitivity", "", 224, 8, "gradcam", "max_sensitivity", peers=(CAPTUM,)),
    Job("Score-CAM", "", 224, 1, "scorecam", peers=(GRAD_CAM, TORCHCAM)),
    Job("RISE", "", 224, 1, "rise(masks=4000)"),
    Job("ROAD", "", 224, 8, "gradcam", "road", peers=(GRAD_CAM,)),
)
GOALS = {"Opti-CAM in float32": 0.5}  # seconds of a batch on an H200
PAPER = {"Opti-CAM in float32": 4.15}  # seconds of a batch in the paper
WITH_CAM = ("resnet50", TINY)  # a linear head behind global average pooling; the others have eight of the nine CAMs


class Part(NamedTuple):
    """What is measured at a time: a job of camdbench and its peers, or bare passes."""

    network: str
    mode: str
    job: Job | None

    @property
    def name(self) -> str:
        """Name in the lines."""
        return self.job.name if self.job else "bare passes"


def plan(given: argparse.Namespace) -> list[Part]:
    """Parts in the order of measuring; bare passes of a network come before its jobs."""
    words = [word.strip().lower() for word in given.jobs.split(",")]
    jobs = [job for job in JOBS if any(word in job.name.lower() for word in words)]
    if given.small:
        shorter = {"iterations=100": "iterations=2", "masks=4000": "masks=8"}
        jobs = [replace(job, size=32, batch=min(job.batch, 2), explainers=_replaced(job.explainers, shorter)) for job in jobs]
    networks = (TINY,) if given.small else tuple(given.networks.split(","))
    return [Part(name, mode, _fitting(job, name)) for mode in given.modes.split(",") for name in networks for job in (None, *jobs)]


def _fitting(job: Job | None, name: str) -> Job | None:
    if job is None or job.explainers != NINE or name in WITH_CAM:
        return job
    return replace(job, name="eight CAMs", explainers=NINE.removeprefix("cam,"))


def _replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text
