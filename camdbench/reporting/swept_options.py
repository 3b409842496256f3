"""Options that a run varied: specs that differ in the value of one option, at any depth of wrappers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers
from camdbench.core.spec import Spec, parse_spec

IDENTITY: Mapping[tuple[str, str], float] = {("power", "alpha"): 1.0}
"""Wrappers and options with the value at which the map is that of the wrapped explainer."""

_Place = tuple[int, ...]  # of a spec within another: positions among wrapped specs, from the outside
_PLACEHOLDER = "·"


@dataclass(frozen=True)
class SweptLine:
    """Specs that agree in all but one option.

    Attributes:
        label: the specs without that option; wrappers of which it is the only option are omitted.
        specs: by value of the option; numbers in ascending order.
    """

    label: str
    specs: Mapping[Any, str]


@dataclass(frozen=True)
class SweptOption:
    """An option of a registered name of which a run has several values.

    Attributes:
        name: registered name, such as `opticam`.
        option: such as `iterations`.
        lines: explainers with at least two values.
    """

    name: str
    option: str
    lines: tuple[SweptLine, ...]

    @property
    def values(self) -> list[Any]:
        """All values, numbers in ascending order."""
        return _ordered({value: None for line in self.lines for value in line.specs})

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(map(_is_number, self.values))

    @property
    def is_wide(self) -> bool:
        """Whether the values are positive numbers that span more than two decades."""
        return self.is_numeric and min(self.values) > 0 and max(self.values) > 100 * min(self.values)


def swept(specs: Sequence[str]) -> list[SweptOption]:
    """Return the options of which explainers have several values while all else is equal.

    An option that a spec does not name has its default. An explainer without a wrapper takes part in the sweep of an option of the
    wrapper at the value that leaves maps unchanged (`IDENTITY`): `gradcam` is `power(gradcam, alpha=1.0)`.

    >>> [(one.name, one.option, [dict(line.specs) for line in one.lines]) for one in swept(["power(gradcam, alpha=2.0)", "gradcam"])]
    [('power', 'alpha', [{1.0: 'gradcam', 2.0: 'power(gradcam, alpha=2.0)'}])]

    Args:
        specs: canonical specs of explainers; names that are no specs are omitted.

    Returns:
        Options in order of first appearance.
    """
    parsed = {spec: text for text in specs if (spec := _parsed(text)) is not None}
    found = dict[tuple[str, str], dict[Spec, dict[Any, str]]]()
    for spec, text in parsed.items():
        for place, node in _nodes(spec):
            for option, value in node.options:
                rest = _replaced(spec, place, _without(node, option))
                found.setdefault((node.name, option), {}).setdefault(_marked(spec, place, option), {})[_hashable(value)] = text
                own = found[node.name, option][_marked(spec, place, option)]
                if rest in parsed and (default := _default(node, option)) is not None:
                    own.setdefault(_hashable(default), parsed[rest])
                if (node.name, option) in IDENTITY and not _without(node, option).options:
                    inner = _replaced(spec, place, node.wrapped[0])
                    own |= {IDENTITY[node.name, option]: parsed[inner]} if inner in parsed else {}
    options = list[SweptOption]()
    for (name, option), lines in found.items():
        kept = tuple(SweptLine(_label(rest, name), _ordered_specs(own, specs)) for rest, own in lines.items() if len(own) > 1)
        options += [SweptOption(name, option, kept)] if kept else []
    return options


def _parsed(text: str) -> Spec | None:
    try:
        return parse_spec(text)
    except UsageError:
        return None


def _nodes(spec: Spec, place: _Place = ()) -> Iterator[tuple[_Place, Spec]]:
    """Yield a spec and all wrapped specs, with their places."""
    yield place, spec
    for number, inner in enumerate(spec.wrapped):
        yield from _nodes(inner, (*place, number))


def _replaced(spec: Spec, place: _Place, node: Spec) -> Spec:
    """Return the spec with another one at a place."""
    if not place:
        return node
    first, *rest = place
    inner = [_replaced(own, tuple(rest), node) if number == first else own for number, own in enumerate(spec.wrapped)]
    return replace(spec, wrapped=tuple(inner))


def _without(node: Spec, option: str) -> Spec:
    return replace(node, options=tuple(own for own in node.options if own[0] != option))


def _marked(spec: Spec, place: _Place, option: str) -> Spec:
    """Return the spec with a placeholder for the value of an option, which specs of one line share."""
    node = next(own for at, own in _nodes(spec) if at == place)
    return _replaced(spec, place, Spec.of(node.name, {**node.arguments, option: _PLACEHOLDER}, node.wrapped))


def _label(line: Spec, name: str) -> str:
    """Name of a line: its spec without the option that varies."""

    def plain(spec: Spec) -> Spec:
        inner = tuple(map(plain, spec.wrapped))
        kept = tuple(own for own in spec.options if own[1] != _PLACEHOLDER)
        if len(kept) < len(spec.options) and not kept and inner and spec.name == name:
            return inner[0]
        return Spec(spec.name, kept, inner)

    return str(plain(line))


def _default(node: Spec, option: str) -> Any:
    """Default of an option; None if it is not known."""
    if node.name not in explainers:
        return None
    return explainers.get(node.name).defaults(node.arguments.get("protocol")).get(option)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) or value is None else repr(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(values: Mapping[Any, None]) -> list[Any]:
    return sorted(values) if all(map(_is_number, values)) else list(values)


def _ordered_specs(own: Mapping[Any, str], specs: Sequence[str]) -> dict[Any, str]:
    """Order values: numbers ascending, others as their specs were run."""
    listed = sorted(own, key=lambda value: specs.index(own[value]))
    return {value: own[value] for value in _ordered(dict.fromkeys(listed))}
