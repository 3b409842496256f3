"""Which images of a run its report shows, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest

import numpy as np

from camdbench.tables.cell_values import STATUSES, Cells

OF_A_KIND = 32  # images at random, with a failure, of high disagreement, of large difference between runs
_EXTREMES = 2  # best and worst images of a cell
_FILLS = "further random"
_FAILED = ("error", "constant_map")

Reasons = dict[str, list[str]]  # by image id: why it was chosen


def choose_images(
    cells: Cells,
    limit: int,
    *,
    rises: Mapping[str, bool | None],
    controls: frozenset[str],
    disagreement: np.ndarray,
    moved: np.ndarray | None = None,
    seed: int = 0,
    further: tuple[str, ...] = (),
) -> Reasons:
    """Choose the images of a report.

    Images are taken in this order until there are enough: those asked for; 32 at random; 32 with a failure or a constant map; the 32
    of highest disagreement; the 32 that differ most between two runs; then the best and the worst images of every explainer under
    every metric, in turns; then further ones at random.

    Args:
        cells: cells of means over images.
        limit: number of images.
        rises: by metric, whether higher values are better; None: no direction.
        controls: explainers that are controls; neither their failures nor their best and worst images are chosen.
        disagreement: (M,) as returned by `disagreement`.
        moved: (M,) size of the difference between two runs, NaN where there is none.
        seed: seed of the random images.
        further: ids that are shown in any case.

    Returns:
        By image id, in the order of `cells.images`: its reasons, such as `random`, `error`, `disagreement`, `worst ad: gradcam`.
    """
    rules: list[Iterator[tuple[int, str]]] = [
        ((cells.images.index(name), "asked for") for name in further),
        _at_random(cells, seed, most=OF_A_KIND),
        _failures(cells.select(~cells.keys["explainer"].isin(controls).to_numpy())),
        _largest(disagreement, "disagreement"),
        _largest(moved, "moved between runs") if moved is not None else iter(()),
        _extremes(cells, rises, controls),
        ((place, _FILLS) for place, _ in _at_random(cells, seed, most=None)),
    ]
    found = dict[int, list[str]]()
    for place, reason in chain.from_iterable(rules):
        if place in found:
            found[place] += [] if reason == _FILLS or reason in found[place] else [reason]  # two runs may give one reason
        elif len(found) < limit or reason == "asked for":
            found[place] = [reason]
    return {cells.images[place]: found[place] for place in sorted(found)}


def _at_random(cells: Cells, seed: int, most: int | None) -> Iterator[tuple[int, str]]:
    drawn = np.random.default_rng(seed).permutation(len(cells.images))[:most]
    yield from ((int(place), "random") for place in drawn)


def _failures(cells: Cells) -> Iterator[tuple[int, str]]:
    """Images with an error, then those with a constant map, those of most cells first."""
    left = OF_A_KIND
    for name in _FAILED:
        counts = (cells.status == STATUSES.index(name)).sum(0)
        places = np.flatnonzero(counts)[np.argsort(-counts[counts > 0], kind="stable")][:left]
        left -= len(places)
        yield from ((int(place), name.replace("_", " ")) for place in places)


def _largest(size: np.ndarray, reason: str) -> Iterator[tuple[int, str]]:
    order = np.argsort(-np.nan_to_num(size, nan=-np.inf), kind="stable")[:OF_A_KIND]
    yield from ((int(place), reason) for place in order if np.nan_to_num(size[place]) > 0)


def _extremes(cells: Cells, rises: Mapping[str, bool | None], controls: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Best and worst images of every cell with a direction, one of each cell in turn."""
    own = list[list[tuple[int, str]]]()
    for index, (explainer, metric) in enumerate(zip(cells.keys["explainer"], cells.keys["metric"], strict=True)):
        if rises.get(metric) is None or explainer in controls:
            continue
        order = np.argsort(cells.values[index] if rises[metric] else -cells.values[index], kind="stable")  # worst first, NaN last
        order = order[: np.count_nonzero(~np.isnan(cells.values[index]))]
        worst, best = order[:_EXTREMES], order[::-1][:_EXTREMES]
        own.append(
            [
                (place, f"{word} {metric}: {explainer}")
                for pair in zip(worst.tolist(), best.tolist(), strict=True)
                for place, word in zip(pair, ("worst", "best"), strict=True)
            ]
        )
    yield from (pick for turn in zip_longest(*own) for pick in turn if pick is not None)
