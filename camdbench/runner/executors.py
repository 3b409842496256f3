"""Executors: compute the units of a run in this process, or by Ray workers on one or more hosts."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from camdbench.core.errors import UsageError, first_line
from camdbench.core.registry import PLUGINS
from camdbench.models.devices import pick_device
from camdbench.runner.config import Request
from camdbench.runner.door import own_entries, own_references
from camdbench.runner.prepare import Run, Unit
from camdbench.runner.ray_cluster import check_room, joined, room
from camdbench.runner.resources import Resources
from camdbench.runner.worker import SampleLoader, UnitSummary, Worker

_FIX = "give FILE.py:NAME, or use --executor local"

Executor = Callable[[Run, Sequence[Unit]], Generator[UnitSummary]]


@contextmanager
def executing(request: Request, resources: Resources | None = None) -> Generator[Executor]:
    """Yield the executor of a request, after all checks that need no model, data or run directory.

    Raises:
        UsageError: workers cannot have an object of the run; Ray is not installed; its cluster does not answer or is too small.
    """
    if request.config.executor == "local":
        yield local
        return
    check_objects(request, resources)
    device, threads = pick_device(request.config.device), torch.get_num_threads()
    if ":" in str(device):
        raise UsageError(f"--device = {device}: --executor ray gives each worker one GPU; use --device {device.type}")
    needs: dict[str, float] = {"GPU": 1} if device.type == "cuda" else {"CPU": threads}
    with joined() as cluster:
        check_room(cluster, needs)
        yield partial(ray, cluster, needs)


def local(run: Run, units: Sequence[Unit]) -> Generator[UnitSummary]:
    """One unit after the other, in this process."""
    worker = Worker(run.resources, run.directory)
    loader = SampleLoader(run.resources.images, units, run.resources.workers)
    try:
        for unit in units:
            yield worker.run(unit, loader)
    finally:
        loader.close()


def ray(cluster: Any, needs: dict[str, float], run: Run, units: Sequence[Unit]) -> Generator[UnitSummary]:
    """Compute the units on a Ray cluster; yield each when it is finished.

    Args:
        cluster: the module `ray`, connected.
        needs: what a worker takes: one GPU, or as many cores as torch has threads here.
        run: its directory must be on a file system that all hosts share.
        units: the units.

    Raises:
        UsageError: an object of the run cannot be pickled, or a host has other versions, files, data or another run directory.
        CamdbenchError: the workers of a unit die.
    """
    from camdbench.runner.host_check import agreed
    from camdbench.runner.ray_workers import Pool, RemoteWorker

    assert run.directory is not None
    own = own_references(run.request.explainers, run.request.metrics)
    arguments = run.resources.with_absolute_paths(), run.directory.with_absolute_paths(), tuple(PLUGINS), own
    content = cluster.put(_pickled(arguments, "an object of the run", cluster.cloudpickle.dumps))
    options = {"num_gpus": needs["GPU"]} if "GPU" in needs else {"num_cpus": needs["CPU"]}
    threads = int(needs["CPU"]) if "CPU" in needs else None
    remote = cluster.remote(**options)(RemoteWorker)
    with agreed(run) as terms:
        pool = Pool(cluster, terms, lambda: remote.remote(terms, content, threads), lambda: room(cluster, needs))
        yield from pool.compute(units)


def check_objects(request: Request, resources: Resources | None) -> None:
    """Check that workers in other processes can have the objects of a run.

    Raises:
        UsageError: a function has no file, or an object cannot be pickled.
    """
    for kind, spec, own in own_entries(request.explainers, request.metrics):
        if not own.place:
            raise UsageError(f"--executor ray: {kind} {spec.name} is an object of this session, which workers cannot load; {_FIX}")
    given = resources or Resources()
    if given.objective is not None and not given.objective_place:
        raise UsageError(
            f"--executor ray: objective {given.objective.name} is an object of this session, which workers cannot load; {_FIX}"
        )
    objects = {f"model {name}": own for name, own in given.models.items() if name not in given.places}
    objects |= {} if given.dataset is None else {f"dataset {given.dataset_name}": given.dataset}
    for what, own in objects.items():
        _pickled(own, what, pickle.dumps)


def _pickled(thing: object, what: str, dumps: Callable[[object], bytes]) -> bytes:
    try:
        return dumps(thing)
    except Exception as error:  # pickling raises errors of any class
        raise UsageError(f"--executor ray: {what} cannot be pickled ({first_line(error)}); {_FIX}") from None
