"""Metrics that are meant to measure one thing: twins by name, and one metric under several protocols."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from camdbench.core.spec import Spec, parse_spec

TWINS = (("insertion", "deletion"), ("morf", "lerf"), ("road_morf", "road_lerf"))
"""Pairs of registered metrics that score one property from both ends of the order of pixels."""
_OTHER = {one: two for pair in TWINS for one, two in (pair, pair[::-1])}


def twin_of(metric: str, metrics: Iterable[str]) -> str:
    """Return the twin of a metric among metric specs, by name and never by position; empty if there is none.

    The twin has the same options. If no twin has, it is the only metric of the twin's name, unless the metric has siblings of other
    options, which would share it.

    >>> twin_of("deletion(protocol=rise)", ["insertion", "insertion(protocol=rise)", "deletion(protocol=rise)"])
    'insertion(protocol=rise)'
    >>> twin_of("deletion", ["insertion(protocol=rise)", "deletion"])
    'insertion(protocol=rise)'
    """
    specs = {name: parse_spec(name) for name in dict.fromkeys([metric, *metrics])}
    own = specs[metric]
    twins = {name: spec for name, spec in specs.items() if spec.name == _OTHER.get(own.name)}
    same = [name for name, spec in twins.items() if spec.options == own.options]
    if same:
        return same[0]
    siblings = [name for name, spec in specs.items() if spec.name == own.name]
    return next(iter(twins)) if len(twins) == 1 == len(siblings) else ""


def protocol_pairs(metrics: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of metric specs that are one metric under two sets of options, such as two protocols.

    >>> protocol_pairs(["ad", "deletion", "deletion(protocol=rise)"])
    [('deletion', 'deletion(protocol=rise)')]
    """
    specs: list[tuple[str, Spec]] = [(name, parse_spec(name)) for name in metrics]
    return [(one, two) for place, (one, a) in enumerate(specs) for two, b in specs[place + 1 :] if a.name == b.name]
