"""Cost of an explainer: image passes per image, as a function of its options; free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = ("forward", "backward", "tail forward", "tail backward")
RUN_TIME = {
    "per channel": 1,
    "per replay": 0,
    "per replayed channel": 0,
    "per window position": 1,
    "per feature": 1,
    "per further feature": 0,
    "per window": 1,
    "per kept window": 1,
    "per layer": 1,
}  # quantity -> its least value


@dataclass(frozen=True)
class PassEstimate:
    """Image passes for one image, through the whole network or through its tail, the part behind the target layer.

    Attributes:
        forward: forward passes.
        backward: backward passes.
        tail_forward: forward passes through the tail.
        tail_backward: backward passes through the tail.
        lower_bound: whether a quantity known only at run time, such as the number of channels, adds to them.

    >>> print(PassEstimate(1, 1) * 500 + PassEstimate(1, lower_bound=True))
    at least 1,001
    """

    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0
    lower_bound: bool = False

    @property
    def total(self) -> int:
        """All passes, through the whole network and through the tail."""
        return self.forward + self.backward + self.tail_forward + self.tail_backward

    def __add__(self, other: PassEstimate) -> PassEstimate:
        *mine, bound = vars(self).values()
        *theirs, other_bound = vars(other).values()
        return PassEstimate(*map(sum, zip(mine, theirs, strict=True)), lower_bound=bound or other_bound)

    def __mul__(self, factor: int) -> PassEstimate:
        *passes, bound = vars(self).values()
        return PassEstimate(*(factor * number for number in passes), lower_bound=bound)

    def __str__(self) -> str:
        return f"{'at least ' if self.lower_bound else ''}{self.total:,}"


@dataclass(frozen=True)
class Repeat:
    """Repeated passes.

    Attributes:
        times: repetitions: an option, a quantity of `RUN_TIME`, or a tuple of these (their product). A tuple-valued option
            counts its length, True and False count 1 and 0, None and text count 1. The empty tuple counts 1.
        forward: forward passes of each repetition.
        backward: backward passes.
        tail_forward: forward passes through the tail.
        tail_backward: backward passes through the tail.
        when: an option and the values at which these passes are made: `("objective", "iomask", "iodiff")`; default: always.
    """

    times: str | tuple[str, ...]
    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0
    when: tuple[str | bool, ...] = ()

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of `times`."""
        return (self.times,) if isinstance(self.times, str) else self.times

    def passes(self, options: Mapping[str, Any], quantities: Mapping[str, int]) -> PassEstimate:
        """Passes of all repetitions; arguments as in `Cost.passes`."""
        if self.when and options[str(self.when[0])] not in self.when[1:]:
            return PassEstimate()
        unknown = any(name in RUN_TIME and name not in quantities for name in self.factors)
        values = RUN_TIME | dict(quantities)
        times = math.prod(values[name] if name in RUN_TIME else _count(options[name]) for name in self.factors)
        return PassEstimate(self.forward, self.backward, self.tail_forward, self.tail_backward, unknown) * times

    def __str__(self) -> str:
        return self.describe()

    def describe(self, switches: Iterable[str] = ()) -> str:
        """Text shown by `camdbench list`; `switches` are options that are true or false.

        >>> print(Repeat(("areas", "max_iter"), 1, 1, when=("variant", "dual")))
        areas x max_iter x (1 forward + 1 backward) if variant=dual
        >>> print(Repeat(("samples", "per channel"), forward=1))
        samples x 1 forward per channel
        >>> print(Repeat("best", forward=1, when=("objective", "diff")).describe(["best"]))
        1 forward if best and objective=diff
        """
        passes = _passes_text(self.forward, self.backward, self.tail_forward, self.tail_backward)
        named = [name for name in self.factors if name not in RUN_TIME and name not in switches]
        at_run_time = [name for name in self.factors if name in RUN_TIME]
        text = " x ".join([*named, f"({passes})" if named and "+" in passes else passes])
        conditions = [name for name in self.factors if name in switches]
        conditions += [f"{self.when[0]}={' or '.join(map(str, self.when[1:]))}"] if self.when else []
        return " ".join([text, *at_run_time, *(["if", " and ".join(conditions)] if conditions else [])])


@dataclass(frozen=True)
class Cost:
    """Image passes per image of an explainer that runs alone.

    Attributes:
        forward: forward passes through the whole network.
        backward: backward passes through the whole network.
        tail_forward: forward passes through the tail, the part behind the target layer.
        tail_backward: backward passes through the tail.
        repeats: passes whose number depends on options or on the network.
        wrapped: runs of the wrapped explainer per run of the wrapper: a number, an option or a quantity of `RUN_TIME`.
        note: exception or computation not counted.
    """

    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0
    repeats: tuple[Repeat, ...] = ()
    wrapped: int | str = 0
    note: str = ""

    @property
    def option_names(self) -> set[str]:
        """Options that determine the number of passes."""
        names = {str(name) for each in self.repeats for name in (*each.factors, *each.when[:1])}
        return (names | ({self.wrapped} if isinstance(self.wrapped, str) else set())) - set(RUN_TIME)

    def passes(
        self,
        options: Mapping[str, Any],
        wrapped: PassEstimate = PassEstimate(),
        quantities: Mapping[str, int] | None = None,
    ) -> PassEstimate:
        """Passes for given option values.

        Args:
            options: values of all options.
            wrapped: passes of the wrapped explainer.
            quantities: values of `RUN_TIME` quantities; a missing one counts its least value.

        >>> Cost(forward=1, repeats=(Repeat("iterations", 1, 1),)).passes({"iterations": 100}).total
        201
        """
        own = PassEstimate(self.forward, self.backward, self.tail_forward, self.tail_backward)
        known = quantities or {}
        if isinstance(times := self.wrapped, str):
            own += PassEstimate(lower_bound=times in RUN_TIME and times not in known)
            times = {**RUN_TIME, **known}[times] if times in RUN_TIME else _count(options[times])
        return sum((repeat.passes(options, known) for repeat in self.repeats), own + wrapped * times)

    def __str__(self) -> str:
        return self.describe()

    def describe(self, switches: Iterable[str] = ()) -> str:
        """Text shown by `camdbench list`; `switches` are options that are true or false.

        >>> print(Cost(forward=1, wrapped=6))
        1 forward + 6 x the wrapped explainer
        >>> print(Cost(wrapped="per kept window"))
        the wrapped explainer per kept window
        """
        wrapped = "the wrapped explainer" if self.wrapped else ""
        if self.wrapped in RUN_TIME:
            wrapped += f" {self.wrapped}"
        elif self.wrapped not in (0, 1):
            wrapped = f"{self.wrapped} x {wrapped}"
        own = _passes_text(self.forward, self.backward, self.tail_forward, self.tail_backward)
        text = " + ".join(filter(None, [own, *(repeat.describe(switches) for repeat in self.repeats), wrapped])) or "no passes"
        return f"{text} ({self.note})" if self.note else text


def check_cost(owner: str, cost: object, options: Iterable[str], *, wraps: bool) -> None:
    """Check that a cost is a `Cost` and that its options exist.

    Raises:
        TypeError: it is not, or an option does not exist.
    """
    if not isinstance(cost, Cost):
        raise TypeError(f"{owner!r}: cost = {cost!r}: not a Cost; write cost=Cost(forward=1), from camdbench.core.cost")
    if unknown_names := cost.option_names - set(options):
        raise TypeError(f"{owner!r}: cost repeats by {', '.join(sorted(unknown_names))}; name an option or one of {', '.join(RUN_TIME)}")
    if wraps != bool(cost.wrapped):
        fix = "state wrapped=1, or how often it runs" if wraps else "leave wrapped out"
        raise TypeError(f"{owner!r}: cost has wrapped={cost.wrapped}; {fix} the wrapped explainer")


def _count(value: object) -> int:
    """Number of repetitions that an option value stands for."""
    if isinstance(value, tuple):
        return len(value)
    return int(value) if isinstance(value, int) else 1


def _passes_text(*numbers: int) -> str:
    return " + ".join(f"{number} {kind}" for number, kind in zip(numbers, _KINDS, strict=True) if number)
