"""Logits of a network on every coalition of an image's own parts: the only passes of an audit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from camdbench.auditing.reference_draws import check_draws, draw_references, pool_of
from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Dataset
from camdbench.datasets.shortcuts.dataset import Shortcuts
from camdbench.datasets.shortcuts.scenes import Redrawing, scene_of
from camdbench.functional.pass_size import images_per_pass, in_halves
from camdbench.models.classifier import Classifier

DEFAULT_PLAYERS = ("object", "background")
_GAMES = ({"object", "background"}, {"shape", "material", "background"})


def check_players(players: Sequence[str]) -> tuple[str, ...]:
    """Check the names of the players.

    Raises:
        UsageError: they are neither object and background, nor shape, material and background.
    """
    if len(players) != len(set(players)) or set(players) not in _GAMES:
        raise UsageError(f"players = {','.join(players)}: no such game; use object,background or shape,material,background")
    return tuple(players)


def drawn_data(data: Dataset) -> Shortcuts:
    """The data set, of which objects and backgrounds can be rendered anew.

    Raises:
        UsageError: it is another one than `shortcuts`.
    """
    if not isinstance(data, Shortcuts):
        raise UsageError(f"data = {type(data).__name__}: objects and backgrounds cannot be rendered anew; use the data set shortcuts")
    return data


def check_indices(data: Shortcuts, indices: Sequence[int]) -> None:
    """Check the numbers of images.

    Raises:
        UsageError: there is none, or one is out of range.
    """
    if not len(indices):
        raise UsageError("indices: no image; give at least one")
    if wrong := [index for index in indices if not 0 <= index < len(data)]:
        raise UsageError(f"indices: {wrong[0]} is out of range; {data.split} has images 0 to {len(data) - 1}")


def coalition_images(data: Shortcuts, index: int, *, draws: int, seed: int = 0, players: Sequence[str] = DEFAULT_PLAYERS) -> np.ndarray:
    """Render an image for every draw and every coalition but the full one, then the image itself.

    Args:
        data: the data set.
        index: number of the image.
        draws: number of references K, a multiple of the number of classes.
        seed: seed of the references.
        players: names of the p players; those outside a coalition come from the reference.

    Returns:
        (K (2^p - 1) + 1, size, size, 3) 8-bit RGB, the coalitions of one draw after the other.
    """
    pool, own = pool_of(data), Redrawing(data.scene(index))
    absent = [[name for bit, name in enumerate(players) if not coalition >> bit & 1] for coalition in range(2 ** len(players))]
    images = list[np.ndarray]()
    for reference in draw_references(data, data.ids[index], draws, seed):
        objects, backgrounds = scene_of(pool, reference.objects), scene_of(pool, reference.backgrounds)
        images += [own.picture(replaced, objects, backgrounds) for replaced in absent[:-1]]
    return np.stack([*images, own.picture((), own.own, own.own)])


def logits_of_images(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Logits (N, C) float64 of 8-bit images (N, H, W, 3); the batches depend on their number alone."""
    step = images_per_pass(classifier.device, images.shape[1] * images.shape[2])
    parts = list[torch.Tensor]()
    with torch.no_grad(), classifier.frozen():
        for start in range(0, len(images), step):
            batch = torch.from_numpy(images[start : start + step]).permute(0, 3, 1, 2).contiguous().float() / 255
            parts.append(in_halves(classifier, batch.to(classifier.device)).cpu().double())
    return torch.cat(parts).numpy()


def measure_all_logits(
    classifiers: Sequence[Classifier],
    data: Dataset,
    indices: Sequence[int],
    *,
    draws: int = 32,
    seed: int = 0,
    players: Sequence[str] = DEFAULT_PLAYERS,
) -> tuple[np.ndarray, ...]:
    """Logits of every coalition with several networks; images are rendered once for all of them.

    Args:
        classifiers: the networks.
        data: data set `shortcuts(…)`.
        indices: numbers of the N images.
        draws: number of references K per image, a multiple of the number of classes.
        seed: seed of the references.
        players: `object` and `background`, or `shape`, `material` and `background`, in any order.

    Returns:
        For each network (N, K, 2^p, C) float64; bit j of the third index is set if player j is the image's own. (2^p - 1) K + 1 passes
        per image.

    Raises:
        UsageError: other data than `shortcuts`, unknown players, no or unknown images, or a number of draws that cannot be stratified.
    """
    own, names = drawn_data(data), check_players(players)
    check_draws(draws, own.n_classes)
    check_indices(own, indices)
    found: list[list[np.ndarray]] = [[] for _ in classifiers]
    for index in indices:
        images = coalition_images(own, index, draws=draws, seed=seed, players=names)
        for rows, classifier in zip(found, classifiers, strict=True):
            rows.append(_by_coalition(logits_of_images(classifier, images), draws))
    return tuple(np.stack(rows) for rows in found)


def measure_logits(
    classifier: Classifier,
    data: Dataset,
    indices: Sequence[int],
    *,
    draws: int = 32,
    seed: int = 0,
    players: Sequence[str] = DEFAULT_PLAYERS,
) -> np.ndarray:
    """Logits (N, K, 2^p, C) of every coalition with one network; see `measure_all_logits`."""
    return measure_all_logits([classifier], data, indices, draws=draws, seed=seed, players=players)[0]


def _by_coalition(logits: np.ndarray, draws: int) -> np.ndarray:
    """Logits (K, 2^p, C) of the images of `coalition_images`; the full coalition repeats."""
    partial = logits[:-1].reshape(draws, -1, logits.shape[-1])
    return np.concatenate([partial, np.broadcast_to(logits[-1], (draws, 1, logits.shape[-1]))], 1)
