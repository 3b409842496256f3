"""Who executes units: this process, or workers of a Ray cluster, one for each GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from camdbench.core.errors import UsageError, unknown
from camdbench.runner.execute import Outcome, Worker
from camdbench.runner.plan import Unit
from camdbench.runner.reading import Feed

Executor = Callable[[Worker, Sequence[Unit]], Iterator[Outcome]]


def local(worker: Worker, units: Sequence[Unit]) -> Iterator[Outcome]:
    """One after the other, in this process."""
    feed = Feed(worker.dataset, units, worker.workers)
    try:
        for unit in units:
            yield worker.execute(unit, feed)
    finally:
        feed.close()


def ray(worker: Worker, units: Sequence[Unit]) -> Iterator[Outcome]:
    """On a Ray cluster, which is joined by RAY_ADDRESS or started here; units are yielded as they are done.

    A worker takes one GPU, or the threads that torch uses here where there is none. All of them write to the run
    directory, which must be on a file system that they share. A unit whose worker dies is tried again.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        import ray as cluster
        from ray.util import ActorPool
    except ImportError:
        raise UsageError('--executor ray needs Ray: pip install "camdbench[ray]"') from None
    started = not cluster.is_initialized()
    if started:
        cluster.init(log_to_driver=False, include_dashboard=False)
    try:
        resources, threads = cluster.cluster_resources(), torch.get_num_threads()
        on_gpu = worker.device.startswith("cuda")
        room = int(resources.get("GPU", 0)) if on_gpu else int(resources.get("CPU", 1)) // threads
        needs: dict[str, Any] = {"num_gpus": 1} if on_gpu else {"num_cpus": threads}
        hire: Any = cluster.remote(max_restarts=3, max_task_retries=3, **needs)(Worker)
        twin = worker.elsewhere()
        pool: Any = ActorPool([hire.remote(*twin) for _ in range(min(max(room, 1), len(units)))])
        yield from pool.map_unordered(lambda actor, unit: actor.execute.remote(unit), units)
    finally:
        if started:
            cluster.shutdown()


EXECUTORS: dict[str, Executor] = {"local": local, "ray": ray}


def executor(name: str) -> Executor:
    """The executor of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    return EXECUTORS[name]
