"""Executors: compute the units of a run in this process, or by Ray workers with one GPU each."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from camdbench.core.errors import UsageError, first_line
from camdbench.core.registry import PLUGINS
from camdbench.runner.config import Request
from camdbench.runner.door import own_entries, own_references
from camdbench.runner.prepare import Run, Unit
from camdbench.runner.resources import Resources
from camdbench.runner.worker import SampleLoader, UnitSummary, Worker

_FIX = "give FILE.py:NAME, or use --executor local"

Executor = Callable[[Run, Sequence[Unit]], Iterator[UnitSummary]]


def local(run: Run, units: Sequence[Unit]) -> Iterator[UnitSummary]:
    """One unit after the other, in this process."""
    worker = Worker(run.resources, run.directory)
    loader = SampleLoader(run.resources.images, units, run.resources.workers)
    try:
        for unit in units:
            yield worker.run(unit, loader)
    finally:
        loader.close()


def ray(run: Run, units: Sequence[Unit]) -> Iterator[UnitSummary]:
    """Compute the units on a Ray cluster, joined by RAY_ADDRESS or started here; yield each when it is finished.

    A worker uses one GPU, or as many cores as torch has threads here. The run directory must be on a file system shared by all
    workers. A unit whose worker dies is retried.

    Raises:
        UsageError: Ray is not installed, or an object of the run cannot be pickled.
    """
    try:
        import ray as cluster
        from ray.util import ActorPool
    except ImportError:
        raise UsageError('--executor ray needs Ray: pip install "camdbench[ray]"') from None
    assert run.directory is not None
    own = own_references(run.request.explainers, run.request.metrics)
    arguments = run.resources.with_absolute_paths(), run.directory.with_absolute_paths(), tuple(PLUGINS), own
    _check_picklable(arguments)
    started = not cluster.is_initialized()
    if started:
        cluster.init(log_to_driver=False, include_dashboard=False)
    try:
        room, threads = cluster.cluster_resources(), torch.get_num_threads()
        on_gpu = run.resources.device.startswith("cuda")
        count = int(room.get("GPU", 0)) if on_gpu else int(room.get("CPU", 1)) // threads
        needs: dict[str, Any] = {"num_gpus": 1} if on_gpu else {"num_cpus": threads}
        hire: Any = cluster.remote(max_restarts=3, max_task_retries=3, **needs)(Worker)
        pool: Any = ActorPool([hire.remote(*arguments) for _ in range(min(max(count, 1), len(units)))])
        yield from pool.map_unordered(lambda actor, unit: actor.run.remote(unit), units)
    finally:
        if started:
            cluster.shutdown()


def check_objects(request: Request, resources: Resources | None) -> None:
    """Check, before a folder is made, that workers in other processes can have the objects of a run.

    Raises:
        UsageError: a function has no file, or an object cannot be pickled.
    """
    if request.config.executor != "ray":
        return
    for kind, spec, own in own_entries(request.explainers, request.metrics):
        if not own.place:
            raise UsageError(f"--executor ray: {kind} {spec.name} is an object of this session, which workers cannot load; {_FIX}")
    given = resources or Resources()
    objects = {f"model {name}": own for name, own in given.models.items() if name not in given.places}
    objects |= {} if given.dataset is None else {f"dataset {given.dataset_name}": given.dataset}
    for what, own in objects.items():
        _check_picklable(own, what)


def _check_picklable(thing: object, what: str = "an object of the run") -> None:
    try:
        pickle.dumps(thing)
    except Exception as error:  # pickling raises errors of any class
        raise UsageError(f"--executor ray: {what} cannot be pickled ({first_line(error)}); {_FIX}") from None


EXECUTORS: dict[str, Executor] = {"local": local, "ray": ray}
