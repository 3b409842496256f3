"""What takes part in a job: camdbench by its public functions, and other libraries."""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path

import peers
from jobs import Job
from paces import Contestant, Work

import camdbench
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec
from camdbench.datasets.in_memory import InMemoryDataset, make_batch

DOORS = ("explain", "evaluate", "run")


def specs_of(job: Job) -> list[Spec]:
    """The explainers of a job."""
    return list(explainers.parse(job.explainers))


def doors(work: Work) -> dict[str, Contestant]:
    """The public functions that do the job.

    `explain` makes maps; `evaluate` scores given maps, by metrics that need no explainer; `run` makes and scores maps as
    `camdbench run` does, with a run directory. Maps alone are scored by a metric of the map alone there.
    """
    job = work.job
    if not job.metrics:
        return {"explain": lambda: _explain(work), "run": lambda: _run(work)}
    chosen = metrics.parse(job.metrics)
    given = (
        len(specs_of(job)) == 1
        and job.explainers != "random"
        and not any("explainer" in metrics.get(spec.name).facts.needs for spec in chosen)
    )
    return ({"evaluate": _evaluate(work)} if given else {}) | {"run": lambda: _run(work)}


def others(work: Work) -> tuple[dict[str, Contestant], dict[str, str]]:
    """The peers of a job with their versions, and those that cannot take part with the reason."""
    found, missing = dict[str, Contestant](), dict[str, str]()
    for name in work.job.peers:
        try:
            contestant = peers.PEERS[name](work)
            contestant()  # a library that refuses the job is found now, not in the middle of a round
        except ImportError as error:
            missing[name] = f"not installed ({error.name}): pip install {name}"
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        else:
            found[f"{name} {metadata.version(name)}"] = contestant
    return found, missing


def _explain(work: Work) -> object:
    return camdbench.explain(work.classifier, work.images, work.job.explainers, targets=work.labels, batch_size=work.job.batch)


def _evaluate(work: Work) -> Contestant:
    maps = camdbench.explain(work.classifier, work.images, work.job.explainers, targets=work.labels).maps

    def evaluate() -> object:
        return camdbench.evaluate(work.classifier, work.images, work.labels, maps, work.job.metrics, batch_size=work.job.batch)

    return evaluate


def _run(work: Work) -> object:
    data = InMemoryDataset(make_batch(work.images.cpu(), labels=work.labels.cpu()))
    with tempfile.TemporaryDirectory() as folder:
        return camdbench.run(
            work.job.explainers,
            work.job.metrics or "complexity",
            models=work.classifier,
            dataset=data,
            device=str(work.classifier.device),
            batch_size=work.job.batch,
            out=Path(folder) / "run",
            progress=False,
        )
