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
from typing import Any, NoReturn

import torch

from camdbench.core.errors import CamdbenchError, CamdbenchWarning
from camdbench.runner.host_check import Terms
from camdbench.runner.prepare import Unit
from camdbench.runner.worker import UnitSummary, Worker

ATTEMPTS = 4  # workers that a unit may cost
_TOGETHER = 30.0  # seconds that the first worker waits for the others, so that a host that does not fit is seen before work begins
_PAUSE = 10.0  # seconds between looks at a cluster in which nothing happens
_SILENCE, _PATIENCE = 30.0, 600.0  # seconds without any worker until a warning, and until the run ends
_KEPT = "finished parts are kept, run the same command again"


class RemoteWorker:
    """A `Worker` in a process of a cluster.

    Args:
        terms: what its host must have in common with the one that started the run.
        arguments: pickled arguments of `Worker`, read only after the check, as another version may not understand them.
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
            self._worker = Worker(*pickle.loads(self._arguments))  # noqa: S301 - of the process that started the run
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
