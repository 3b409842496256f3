"""Executors: compute the units of a run in this process, or by Ray workers on one or more hosts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from camdbench.runner.prepare import Run, Unit
from camdbench.runner.worker import SILENT, SampleLoader, UnitSummary, Worker, Working

if TYPE_CHECKING:
    from camdbench.runner.config import Request
    from camdbench.runner.resources import Resources

Executor = Callable[[Run, Sequence[Unit], Working], Generator[UnitSummary]]


@contextmanager
def executing(request: Request, resources: Resources | None = None) -> Generator[Executor]:
    """Yield the executor of a request, after all checks that need no model, data or run directory.

    Raises:
        UsageError: workers cannot have an object of the run; Ray is not installed; its cluster does not answer or is too small.
    """
    if request.config.executor == "local":
        yield local
        return
    from camdbench.runner.ray_workers import on_cluster

    with on_cluster(request, resources) as compute:
        yield lambda run, units, _: compute(run, units)  # workers report whole units


def local(run: Run, units: Sequence[Unit], working: Working = SILENT) -> Generator[UnitSummary]:
    """One unit after the other, in this process; `working` is called during each."""
    worker = Worker(run.resources, run.directory)
    loader = SampleLoader(run.resources.images, units, run.resources.workers)
    try:
        for unit in units:
            yield worker.run(unit, loader, working)
    finally:
        loader.close()
