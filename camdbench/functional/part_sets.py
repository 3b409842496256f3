"""Sets of parts of classes that are combinations of parts: minimal sufficient sets, and pairs shared with other classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

Variants = tuple[tuple[int, ...], ...]  # variant of each of K parts of each class


class SharedPairs(NamedTuple):
    """Two classes that share two parts with a class, each other ones.

    Attributes:
        classes: indices of the two classes.
        pairs: positions of the parts that each of them shares.
    """

    classes: tuple[int, int]
    pairs: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def disjoint(self) -> bool:
        """Whether the pairs have no part in common."""
        return not set(self.pairs[0]) & set(self.pairs[1])


@cache
def minimal_sufficient_sets(variants: Variants, own: int) -> tuple[frozenset[int], ...]:
    """Minimal sets of parts that no other class has: positions of parts, smaller sets first.

    >>> [sorted(parts) for parts in minimal_sufficient_sets(((0, 0, 1), (1, 0, 1), (0, 1, 1)), 0)]
    [[0, 1]]
    >>> [sorted(parts) for parts in minimal_sufficient_sets(((0, 0, 1), (1, 0, 1), (0, 1, 1)), 1)]
    [[0]]
    """
    found = list[frozenset[int]]()
    for size in range(1, len(variants[own]) + 1):
        for parts in map(frozenset, combinations(range(len(variants[own])), size)):
            others = (variant for index, variant in enumerate(variants) if index != own)
            if not any(known <= parts for known in found) and not any(all(other[k] == variants[own][k] for k in parts) for other in others):
                found.append(parts)
    return tuple(found)


@cache
def shared_pairs(variants: Variants, own: int) -> SharedPairs | None:
    """The first two classes that share exactly two parts each with a class, disjoint ones; else the last two classes; None: fewer than two.

    >>> shared_pairs(((0, 0, 0, 0), (0, 0, 1, 1), (2, 2, 0, 0)), 0)
    SharedPairs(classes=(1, 2), pairs=((0, 1), (2, 3)))
    """
    common = {
        index: tuple(k for k, (a, b) in enumerate(zip(variants[own], other, strict=True)) if a == b) for index, other in enumerate(variants)
    }
    near: Sequence[int] = [index for index, parts in common.items() if index != own and len(parts) == 2]
    found = None
    for pair in combinations(near, 2):
        found = SharedPairs(pair, (common[pair[0]], common[pair[1]]))
        if found.disjoint:
            break
    return found
