"""References: stratified, per image, extended by more draws, and none of them the image itself."""

from __future__ import annotations

from collections import Counter

import pytest

from camdbench.auditing.reference_draws import POOL, check_draws, draw_references, pool_of, reference_classes
from camdbench.core.errors import UsageError
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts


def data_of(**options: object) -> Shortcuts:
    found = shortcuts(size=32, **options)  # pyright: ignore[reportArgumentType]
    assert isinstance(found, Shortcuts)
    return found


@pytest.mark.parametrize(("classes", "draws"), [(8, 32), (8, 24), (3, 12), (2, 2)])
def test_each_shape_and_each_texture_is_drawn_equally_often(classes: int, draws: int) -> None:
    data = data_of(classes=classes)
    pool, found = pool_of(data), draw_references(data, "val-00003", draws)
    assert len(found) == draws
    assert set(Counter(pool.shapes[one.objects] for one in found).values()) == {draws // classes}
    assert set(Counter(pool.background(one.backgrounds) for one in found).values()) == {draws // classes}
    assert len({one.objects for one in found}) == len({one.backgrounds for one in found}) == draws
    if draws % (2 * classes) == 0:
        for half in (found[::2], found[1::2]):
            assert set(Counter(pool.shapes[one.objects] for one in half).values()) == {draws // classes // 2}
            assert set(Counter(pool.background(one.backgrounds) for one in half).values()) == {draws // classes // 2}


def test_draws_depend_on_seed_and_image_alone_and_grow() -> None:
    data = data_of()
    first = draw_references(data, "val-00003", 32)
    assert draw_references(data_of(count=5), "val-00003", 32) == first
    assert set(draw_references(data, "val-00003", 16)) < set(first)
    assert draw_references(data, "val-00003", 32, seed=1) != first != draw_references(data, "val-00004", 32)
    assert len(draw_references(data, "val-00003", 512)) == 512  # more than the pool has of a class


def test_strata_are_the_classes_of_the_draws() -> None:
    data = data_of()
    pool, strata = pool_of(data), reference_classes(data, [3, 0], 16, seed=2)
    for row, name in zip(strata, ("val-00003", "val-00000"), strict=True):
        drawn = draw_references(data, name, 16, seed=2)
        assert row.tolist() == [[pool.shapes[one.objects], pool.background(one.backgrounds)] for one in drawn]


def test_an_image_is_not_its_own_reference() -> None:
    data = data_of(split="shifted", classes=2)
    for name in data.ids[:4]:
        index = data.ids.index(name)
        found = draw_references(data, name, 2 * POOL)
        assert index not in {one.objects for one in found} | {one.backgrounds for one in found}
        assert len({one.objects for one in found}) == POOL - 1


@pytest.mark.parametrize(("draws", "near"), [(30, "such as 32"), (3, "such as 8"), (0, "such as 8"), (-8, "such as 8")])
def test_draws_that_cannot_be_stratified_are_refused(draws: int, near: str) -> None:
    with pytest.raises(UsageError, match=f"^draws = {draws}: .*use a multiple of 8, {near}$"):
        check_draws(draws, 8)
