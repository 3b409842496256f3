"""Entries of a user's explainers and metrics, which exist for the duration of a call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic

from camdbench.core.options import bind_options
from camdbench.core.references import Given, check_names, name_of, read_given
from camdbench.core.registry_entry import Entry, F
from camdbench.core.spec import Spec

if TYPE_CHECKING:
    from camdbench.core.registry import Registry

_LIBRARIES, _SHORT = ("captum", "pytorch_grad_cam", "quantus"), {"pytorch_grad_cam": "pgc"}


@dataclass(frozen=True)
class OwnEntry(Generic[F]):
    """An entry that exists for the duration of a call.

    Attributes:
        entry: facts and options, under the user's name.
        function: what is called.
        code: object whose code is hashed.
        origin: `FILE.py:NAME(options)`, or `object of a Python session`.
        place: the reference with an absolute path; empty for objects.
        fixed: whether a name stands for the reference with its options, as in `NAME=FILE.py:f(k=3)`.
    """

    entry: Entry[F]
    function: Callable[..., Any]
    code: Any
    origin: str
    place: str = ""
    fixed: bool = False

    def reference(self, spec: Spec) -> str:
        """Text of which another process in another folder makes this spec; empty for objects."""
        if self.fixed and spec.options:
            return str(spec)  # of a name that the list has itself
        return self.place if self.fixed or not self.place else self.place + str(spec).removeprefix(spec.name)


@contextmanager
def holding_own(given: Any, registry: Registry[F], make: Callable[[Given], tuple[OwnEntry[F], str]]) -> Generator[Any]:
    """Inside the context, the given functions and objects are registered; yields the specs, in the order given.

    Args:
        given: names, references and objects.
        registry: explainers or metrics.
        make: the entry and the spec of one that is not a plain name.

    Raises:
        UsageError: two are equal, a name is taken, or as in `make`.
    """
    flag = f"{registry.kind}s"
    read = () if given is None else read_given(given, flag)
    if all(one.is_text and not one.label for one in read):
        yield given
        return
    specs, own = list[str](), list[OwnEntry[F]]()
    for one in read:
        if one.is_text and one.label in ("", str(one.thing)):
            specs.append(str(one.thing))
        else:
            entry, spec = make(one)
            own.append(entry)
            specs.append(spec)
    _check_own(specs, own, flag)
    with registry.holding(own):
        yield tuple(specs)


def own_entry(
    entry: Entry[F], function: Callable[..., Any], thing: Any, given: Given, options: Mapping[str, object]
) -> tuple[OwnEntry[F], str]:
    """The entry of a given function or object, and its spec: with the options of a reference, unless a name stands for these.

    Args:
        entry: facts and options of the function, under its name.
        function: what is called.
        thing: object whose code is hashed.
        given: what the user gave.
        options: checked options of the reference.
    """
    entry = replace(entry, module=getattr(thing, "__module__", None) or "")
    if not given.label:
        return OwnEntry(entry, function, thing, given.origin, given.place), str(Spec.of(entry.name, options))
    entry = replace(entry, options=bind_options(entry.options, dict(options)))
    code = partial(thing, **options) if options else thing
    place = given.place and f"{given.label}={given.reference}"
    return OwnEntry(entry, partial(function, **options) if options else function, code, given.origin, place, fixed=True), given.label


def default_name(thing: Any, registry: Registry[Any]) -> str:
    """Name of an object in rows; with its library in front if camdbench has that name, as `quantus-sparseness`."""
    name, library = name_of(thing), getattr(thing, "library", type(thing).__module__.partition(".")[0])
    return f"{_SHORT.get(library, library)}-{name}" if library in _LIBRARIES and registry.has_built_in(name) else name


def _check_own(specs: Sequence[str], own: Sequence[OwnEntry[Any]], flag: str) -> None:
    """Check that specs differ, and that entries of one name are one function.

    Raises:
        UsageError: two are equal.
    """
    check_names(specs, flag)
    functions = {(one.entry.name, one.place or id(one.code)) for one in own}
    check_names([name for name, _ in functions], flag)
