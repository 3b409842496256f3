"""Models that differ only in their training seed, found in the records of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from camdbench.core.errors import UsageError
from camdbench.tables.cell_values import Cells, join_cells
from camdbench.tables.load import load_run
from camdbench.tables.load_cells import load_cells

_SEED = re.compile(r"[-_.]s(?:eed)?[-_]?(\d+)$")  # NAME-s0, NAME_seed1


class SeededNetwork(NamedTuple):
    """One trained model.

    Attributes:
        name: name in the rows.
        weights: hash of its weights.
        recipe: hash of the training recipe, else the name without the seed; equal for models that differ only in the seed.
        seed: the seed; None if unknown.
    """

    name: str
    weights: str
    recipe: str
    seed: int | None


def seeded_cells(runs: Sequence[str | Path]) -> Cells:
    """Return the cells of models that were trained with several seeds, from one or more runs.

    Returns:
        Cells whose keys have a column `network`, the common name of a group, and a unique name as `model`.

    Raises:
        UsageError: not a run, no models that differ only in the seed, or two with the same seed.
    """
    found = list[tuple[SeededNetwork, Cells]]()
    for run in runs:
        cells = load_cells(run)
        networks = {name: seeded_network(name, facts) for name, facts in load_run(run)["models"].items()}
        models = cells.keys["model"]
        found += [(networks[name], cells.select((models == name).to_numpy())) for name in models.unique() if name in networks]
    families = _families([network for network, _ in found])
    if not families:
        names = ", ".join(dict.fromkeys(network.name for network, _ in found))
        raise UsageError(
            f"--training-seeds: no two models differ only in their training seed ({names}); train one recipe with several seeds "
            "(camdbench train --seed N), or name the models NAME-s0, NAME-s1, …"
        )
    kept = [
        replace(own, keys=own.keys.assign(network=families[network.recipe], model=f"{network.name} {network.weights}"))
        for network, own in found
        if network.recipe in families
    ]
    return _once(join_cells(kept))


def _once(cells: Cells) -> Cells:
    """Merge cells with one key, of a network in several runs; the first row of an image counts."""
    groups = cells.keys.groupby(list(cells.keys.columns), sort=False, dropna=False).indices.values()
    for first, *others in groups:
        for other in others:
            new = (cells.status[first] == 0) & (cells.status[other] > 0)
            cells.values[first, new], cells.status[first, new] = cells.values[other, new], cells.status[other, new]
    return cells.select(~cells.keys.duplicated().to_numpy())


def seeded_network(name: str, facts: dict[str, object]) -> SeededNetwork:
    """Recipe and seed of a model, from its training record, else from its name."""
    weights = str(facts.get("weights_hash", name))
    training = facts.get("training")
    if isinstance(training, dict):
        return SeededNetwork(name, weights, str(training["recipe"]), int(training["seed"]))
    numbered = _SEED.search(name)
    return SeededNetwork(name, weights, _SEED.sub("", name), int(numbered[1]) if numbered else None)


def _families(networks: Sequence[SeededNetwork]) -> dict[str, str]:
    """Return the common name of each group of at least two models, by recipe.

    Raises:
        UsageError: two models of a group have the same seed.
    """
    members = dict[str, dict[str, SeededNetwork]]()
    for network in networks:
        members.setdefault(network.recipe, {})[network.weights] = network
    found = dict[str, str]()
    for recipe, by_weights in members.items():
        own = list(by_weights.values())
        if len(own) > 1:
            _refuse_same_seed(own)
            found[recipe] = _common_name([network.name for network in own])
    twice = {name for name in found.values() if list(found.values()).count(name) > 1}
    return {recipe: f"{name} {recipe[:6]}" if name in twice else name for recipe, name in found.items()}


def _refuse_same_seed(networks: Sequence[SeededNetwork]) -> None:
    by_seed = dict[int, SeededNetwork]()
    for network in networks:
        if network.seed is not None and (other := by_seed.setdefault(network.seed, network)) is not network:
            raise UsageError(
                f"{other.name} and {network.name} have the same seed, {network.seed}, but other weights; leave one of their runs out"
            )


def _common_name(names: Sequence[str]) -> str:
    """Return the common prefix of names, without the remainder of the seed.

    >>> _common_name(["cfce-s0", "cfce-s1"]), _common_name(["net", "net"]), _common_name(["a", "b"])
    ('cfce', 'net', 'a')
    """
    if len(set(names)) == 1:
        return _SEED.sub("", names[0])
    alike = "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))
    return re.sub(r"[-_.](s(eed)?)?[-_]?\d*$", "", alike) or names[0]
