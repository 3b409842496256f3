"""Sets of parts: minimal sufficient sets and shared pairs against a literal reading of their definitions."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np

from camdbench.functional.part_sets import minimal_sufficient_sets, shared_pairs

VARIANTS = tuple(tuple(map(int, row)) for row in np.unique(np.random.default_rng(3).integers(0, 3, (12, 5)), axis=0))


def literal(own: int) -> set[frozenset[int]]:
    subsets = [set(parts) for parts in chain.from_iterable(combinations(range(5), size) for size in range(1, 6))]
    told_apart = [
        parts for parts in subsets if all(any(other[k] != VARIANTS[own][k] for k in parts) for i, other in enumerate(VARIANTS) if i != own)
    ]
    return {frozenset(parts) for parts in told_apart if not any(smaller < parts for smaller in told_apart)}


def test_minimal_sufficient_sets_are_those_of_the_definition_also_of_the_last_class() -> None:
    for own in range(len(VARIANTS)):
        found = minimal_sufficient_sets(VARIANTS, own)
        assert set(found) == literal(own)
        assert len(found) == len(set(found)) > 0


def test_equal_classes_have_no_sufficient_set() -> None:
    assert minimal_sufficient_sets(((0, 1), (0, 1)), 0) == ()


def test_pairs_are_shared_with_the_first_two_classes_that_share_disjoint_ones() -> None:
    variants = ((0, 0, 0, 0, 0), (0, 0, 1, 1, 1), (0, 1, 0, 1, 1), (1, 1, 0, 0, 1), (1, 1, 1, 0, 0))
    found = shared_pairs(variants, 0)
    assert found is not None
    assert (found.classes, found.pairs, found.disjoint) == ((1, 3), ((0, 1), (2, 3)), True)
    last = shared_pairs(variants[:3], 0)  # pairs with part 0 in common
    assert last is not None
    assert (last.classes, last.disjoint) == ((1, 2), False)
    assert shared_pairs(variants[:2], 0) is None
