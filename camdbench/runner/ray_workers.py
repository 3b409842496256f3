"""Workers on a Ray cluster: each checks its host, then computes units; a unit whose worker dies is tried again."""

from __future__ import annotations

import os
import pickle
import socket
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from camdbench.core.errors import CamdbenchError, CamdbenchWarning, UsageError, first_line
from camdbench.core.registry import PLUGINS, load_plugin
from camdbench.models.devices import pick_device
from camdbench.runner.door import hold, own_entries, own_references
from camdbench.runner.host_check import Terms, agreed
from camdbench.runner.prepare import Run, Unit
from camdbench.runner.ray_cluster import check_room, joined, room
from camdbench.runner.resources import Resources
from camdbench.runner.worker import UnitSummary, Worker

if TYPE_CHECKING:
    from camdbench.runner.config import Request

ATTEMPTS = 4  # workers that a unit may cost
_TOGETHER = 30.0  # seconds that the first worker waits for the others, so that a host that does not fit is seen before work begins
_PAUSE = 10.0  # seconds between looks at a cluster in which nothing happens
_SILENCE, _PATIENCE = 30.0, 600.0  # seconds without any worker until a warning, and until the run ends
_FIX = "give FILE.py:NAME, or use --executor local"
_KEPT = "finished parts are kept, run the same command again"


@contextmanager
def on_cluster(request: Request, resources: Resources | None = None) -> Generator[Callable[[Run, Sequence[Unit]], Generator[UnitSummary]]]:
    """Join a Ray cluster and yield what computes units on it.

    Raises:
        UsageError: workers cannot have an object of the run; Ray is not installed; its cluster does not answer or is too small.
    """
    _check_objects(request, resources)
    device, threads = pick_device(request.config.device), torch.get_num_threads()
    if ":" in str(device):
        raise UsageError(f"--device = {device}: --executor ray gives each worker one GPU; use --device {device.type}")
    needs: dict[str, float] = {"GPU": 1} if device.type == "cuda" else {"CPU": threads}
    with joined() as cluster:
        check_room(cluster, needs)
        yield partial(_compute, cluster, needs)


def _compute(cluster: Any, needs: dict[str, float], run: Run, units: Sequence[Unit]) -> Generator[UnitSummary]:
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


def _check_objects(request: Request, resources: Resources | None) -> None:
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


class RemoteWorker:
    """A `Worker` in a process of a cluster.

    Args:
        terms: what its host must have in common with the one that started the run.
        arguments: pickled resources, run directory, plug-ins and references of own explainers and metrics, read only after the check,
            as another version may not understand them.
        threads: threads of torch; None leaves their number to the host.
    """

    def __init__(self, terms: Terms, arguments: bytes, threads: int | None) -> None:
        self._terms, self._arguments, self._threads = terms, arguments, threads
        self._worker: Worker | None = None
        self._checked = set[str]()  # models whose weights are those of the run

    def meet(self) -> Any:
        """Check this host and load what the run needs; return the answer of `Terms.meet`.

        Raises:
            UsageError: the host does not fit.
        """
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        reply = self._terms.meet()
        with _naming_host():
            resources, directory, plugins, own = pickle.loads(self._arguments)  # noqa: S301 - of the process that started the run
            for plugin in plugins:
                load_plugin(plugin)
            hold(own)
            self._worker = Worker(resources, directory)
            self._arguments = b""  # data in memory are there once
            self._terms.check_images(self._worker.resources.images.ids)
        return reply

    def run(self, unit: Unit) -> UnitSummary:
        """Compute a unit; the summary names this process.

        Raises:
            CamdbenchError: as of `Worker.run`, or the weights differ.
        """
        assert self._worker is not None
        with _naming_host():
            if unit.model not in self._checked:
                self._terms.check_weights(unit.model, self._worker.resources.classifier(unit.model).weights_hash())
                self._checked.add(unit.model)
            return replace(self._worker.run(unit), worker=f"{socket.gethostname()}:{os.getpid()}")


@contextmanager
def _naming_host() -> Generator[None]:
    """Begin an error of this package with the name of the host."""
    try:
        yield
    except CamdbenchError as error:
        raise type(error)(f"host {socket.gethostname()}: {error}") from error


class _Death(Exception):
    """A worker ended before its answer, or could not be reached; the message is the reason."""


class Pool:
    """Workers of a run, and what each of them does.

    Args:
        ray: the module, connected.
        terms: what the hosts must have in common.
        hire: starts a worker.
        room: returns the number of workers that the cluster has room for.
    """

    def __init__(self, ray: Any, terms: Terms, hire: Callable[[], Any], room: Callable[[], int]) -> None:
        self._ray, self._terms, self._hire, self._room = ray, terms, hire, room
        self._doing = dict[Any, tuple[Any, Unit | None]]()  # by awaited answer: worker, and its unit if it has met the terms
        self._workers, self._idle = list[Any](), list[Any]()
        self._deaths, self._last = Counter[Unit | None](), time.monotonic()

    def compute(self, units: Sequence[Unit]) -> Generator[UnitSummary]:
        """Compute units and yield each when it is finished; the workers end with the generator.

        Raises:
            CamdbenchError: a unit costs more than `ATTEMPTS` workers, or none starts; the error of a worker.
        """
        waiting, left = deque(units), len(units)
        try:
            for _ in range(min(max(self._room(), 1), left)):
                self._add()
            self._ray.wait(list(self._doing), num_returns=len(self._doing), timeout=_TOGETHER)
            while left:
                for worker, unit, answer in self._answers():
                    if isinstance(answer, _Death):
                        self._end(worker)  # one that is only out of reach would go on
                        self._count(unit, answer)
                        waiting.extendleft([] if unit is None else [unit])
                        continue
                    self._idle.append(worker)
                    if unit is None:
                        self._terms.check_reply(answer)
                    else:
                        left -= 1
                        yield answer
                while waiting and self._idle:
                    worker, unit = self._idle.pop(0), waiting.popleft()
                    self._doing[worker.run.remote(unit)] = worker, unit
        finally:
            for worker in list(self._workers):
                self._end(worker)

    def _add(self) -> None:
        worker = self._hire()
        self._workers.append(worker)
        self._doing[worker.meet.remote()] = worker, None

    def _end(self, worker: Any) -> None:
        self._workers.remove(worker)
        with suppress(Exception):  # of a worker or a cluster that is gone
            self._ray.kill(worker)

    def _answers(self) -> Iterator[tuple[Any, Unit | None, Any]]:
        """Answers that have arrived, each with its worker and unit; after a pause without any, look whether one can come."""
        arrived, _ = self._ray.wait(list(self._doing), num_returns=len(self._doing), timeout=0)
        if not arrived:
            arrived, _ = self._ray.wait(list(self._doing), timeout=_PAUSE)
        if arrived or any(unit is not None for _, unit in self._doing.values()):
            self._last = time.monotonic()
        else:
            self._check_hope(time.monotonic() - self._last)
        for reference in arrived:
            worker, unit = self._doing.pop(reference)
            yield worker, unit, self._answer(reference)

    def _answer(self, reference: Any) -> Any:
        """The answer, or a `_Death`; an error of the worker's code is raised here."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            _raise_cause(error)
        except self._ray.exceptions.RayActorError as error:
            if error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1]
                raise CamdbenchError(
                    f"--executor ray: a worker cannot start ({reason}); install the same camdbench on all hosts"
                ) from error
            return _Death(_reason(error))
        except self._ray.exceptions.RayError as error:
            return _Death(_reason(error))

    def _count(self, unit: Unit | None, death: _Death) -> None:
        """Count a death and start another worker; workers that die before their first unit are not replaced without end.

        Raises:
            CamdbenchError: the unit has cost too many workers, or none is left.
        """
        self._deaths[unit] += 1
        too_many, others = self._deaths[unit] >= ATTEMPTS, bool(self._workers)
        what = "before its first unit" if unit is None else f"with model {unit.model}, images {unit.start}-{unit.stop - 1}"
        if too_many and (unit is not None or not others):
            fix = "look at the memory of the hosts" + (", or use a smaller --batch-size" if unit else "")
            raise CamdbenchError(f"--executor ray: {self._deaths[unit]} workers died {what} ({death}); {fix}; {_KEPT}")
        more = "the others go on" if too_many else "another one takes its place"
        warnings.warn(f"a worker died {what} ({death}); {more}", CamdbenchWarning, stacklevel=2)
        if not too_many:
            self._add()

    def _check_hope(self, seconds: float) -> None:
        """Look at a cluster in which no worker computes.

        Raises:
            CamdbenchError: it has no host for one left, or has been busy for too long.
        """
        if not self._room():
            raise CamdbenchError(f"--executor ray: the cluster has no host left that has room for a worker; {_KEPT}")
        if seconds > _PATIENCE:
            raise CamdbenchError(f"--executor ray: no worker has started in {_PATIENCE:.0f} s, perhaps as others use the cluster; {_KEPT}")
        if _SILENCE < seconds <= _SILENCE + _PAUSE:
            warnings.warn(
                f"no worker has started for {_SILENCE:.0f} s, perhaps as others use the cluster; waiting", CamdbenchWarning, stacklevel=2
            )


def _raise_cause(error: Any) -> NoReturn:
    """Raise the exception of a worker as this process would have raised it; Ray's text holds the traceback."""
    raise error.cause from (None if isinstance(error.cause, CamdbenchError) else error)


def _reason(error: Exception) -> str:
    text = str(error)
    if "low on memory" in text or "OutOfMemory" in type(error).__name__:
        return "its host ran out of memory"
    return "its process was killed, as for lack of memory, or its host is gone"
