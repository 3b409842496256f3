"""The pool of workers: every unit is computed once, whichever workers die, and no wait is without end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from camdbench.core.errors import CamdbenchError, CamdbenchWarning, UsageError
from camdbench.runner import ray_workers
from camdbench.runner.prepare import Unit
from camdbench.runner.ray_workers import Pool

UNITS = [Unit("resnet18", chunk, 32 * chunk, 32 * chunk + 32, ()) for chunk in range(4)]
NEVER = object()


class TaskError(Exception):
    """As `RayTaskError`: the code of the worker raised `cause`."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("a traceback")
        self.cause = cause


class ActorError(Exception):
    """As `RayActorError`."""

    def __init__(self, text: str = "killed", *, actor_init_failed: bool = False) -> None:
        super().__init__(text)
        self.actor_init_failed = actor_init_failed


class Reference:
    """As an object reference, whose value arrives at once or never."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Hired:
    """A worker that answers as its script says: first to `meet`, then to each `run`; after that it computes."""

    def __init__(self, number: int, script: Sequence[Any]) -> None:
        self.number, self.script = number, list(script)
        self.meet, self.run = SimpleNamespace(remote=self._next), SimpleNamespace(remote=self._next)

    def _next(self, unit: Unit | None = None) -> Any:
        said = self.script.pop(0) if self.script else None
        return Reference(("answer", unit) if said is None else said)


class Cluster:
    """The part of Ray that the pool uses, in which a script says who dies and whose clock runs while nothing arrives."""

    exceptions = SimpleNamespace(RayTaskError=TaskError, RayActorError=ActorError, RayError=(ActorError, OSError))

    def __init__(self, *scripts: Sequence[Any], room: Callable[[], int] = lambda: 2) -> None:
        self.scripts, self.room, self.now = list(scripts), room, 0.0
        self.hired, self.killed = list[Hired](), list[int]()

    def hire(self) -> Hired:
        self.hired.append(Hired(len(self.hired), self.scripts.pop(0) if self.scripts else ()))
        return self.hired[-1]

    def wait(self, references: list[Any], num_returns: int = 1, timeout: float = 0.0) -> tuple[list[Any], list[Any]]:
        assert references, "Ray refuses an empty list"
        arrived = [own for own in references if own.value is not NEVER]
        self.now += timeout if len(arrived) < num_returns else 0.0
        return arrived[:num_returns], [own for own in references if own not in arrived[:num_returns]]

    def get(self, reference: Any) -> Any:
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def kill(self, worker: Hired) -> None:
        self.killed.append(worker.number)


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cluster], list[Unit]]:
    def run(cluster: Cluster) -> list[Unit]:
        monkeypatch.setattr(ray_workers, "time", SimpleNamespace(monotonic=lambda: cluster.now))
        terms: Any = SimpleNamespace(check_reply=lambda reply: None)
        found: list[Any] = list(Pool(cluster, terms, cluster.hire, cluster.room).compute(UNITS))
        return [unit for _, unit in found]

    return run


DEATH = ActorError()


@pytest.mark.filterwarnings("ignore:a worker died")
@pytest.mark.parametrize(
    ("scripts", "warning", "hired"),
    [
        ([], None, 2),
        ([[None, DEATH]], "a worker died with model resnet18, images 0-31 .*another one takes its place", 3),
        ([[None, DEATH], [], [NEVER]], "killed, as for lack of memory, or its host is gone", 3),  # no room for another: the one left works
        ([[None, None, DEATH], [None, ActorError("the node is low on memory")]], "its host ran out of memory", 4),
        ([[DEATH], [DEATH], [DEATH], [DEATH]], "before its first unit", 5),
        ([[DEATH], [], [DEATH], [DEATH], [DEATH]], "the others go on", 5),  # such workers are not replaced without end
        ([[NEVER], [None, DEATH]], "died with", 3),
        ([[None, OSError("the object is lost")]], "died with", 3),
    ],
)
def test_every_unit_is_computed_once_whoever_dies(compute: Any, scripts: list[list[Any]], warning: str | None, hired: int):
    cluster = Cluster(*scripts)
    if warning is None:
        found = compute(cluster)
    else:
        with pytest.warns(CamdbenchWarning, match=warning):
            found = compute(cluster)
    assert sorted(unit.chunk for unit in found) == [0, 1, 2, 3]
    assert len(cluster.hired) == hired
    assert set(cluster.killed) == set(range(hired))


@pytest.mark.filterwarnings("ignore:a worker died")
@pytest.mark.parametrize(
    ("cluster", "error", "message"),
    [
        (
            Cluster(*[[None, DEATH]] * 9, room=lambda: 1),
            CamdbenchError,
            r"4 workers died with model resnet18, images 0-31 \(.*\); look at the memory .* smaller --batch-size; finished parts are kept",
        ),
        (Cluster(*[[DEATH]] * 9), CamdbenchError, "workers died before its first unit"),
        (Cluster([NEVER], [NEVER], room=iter([2, 0]).__next__), CamdbenchError, "no host left that has room for a worker; finished parts"),
        (Cluster([None, TaskError(UsageError("--target = 9: bad"))]), UsageError, "^--target = 9: bad$"),
        (Cluster([TaskError(KeyError("x"))]), KeyError, "x"),
        (
            Cluster([ActorError("a\n b\nModuleNotFoundError: No module named 'camdbench'\n", actor_init_failed=True)]),
            CamdbenchError,
            r"a worker cannot start \(ModuleNotFoundError: No module named 'camdbench'\); install the same camdbench",
        ),
    ],
)
def test_what_cannot_go_on_ends_in_one_line(compute: Any, cluster: Cluster, error: type[Exception], message: str):
    with pytest.raises(error, match=message) as raised:
        compute(cluster)
    assert "\n" not in str(raised.value)
    assert set(cluster.killed) == {worker.number for worker in cluster.hired}


def test_a_run_that_waits_for_others_says_so_and_ends(compute: Any):
    cluster = Cluster([NEVER], [NEVER])
    with (
        pytest.warns(CamdbenchWarning, match="no worker has started for 30 s, perhaps as others") as warned,
        pytest.raises(CamdbenchError, match="no worker has started in 600 s"),
    ):
        compute(cluster)
    assert len(warned) == 1
    assert 600 < cluster.now < 700
