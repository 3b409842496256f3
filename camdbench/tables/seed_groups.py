"""Networks that differ in their training seed alone, found in the records of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.tables.load import load_rows, load_run

_SEED = re.compile(r"[-_.]s(?:eed)?[-_]?(\d+)$")  # NAME-s0, NAME_seed1
_ROW = ["dataset", "split", "target_rule", "explainer", "metric", "protocol", "image", "label"]


class SeededNetwork(NamedTuple):
    """One trained network.

    Attributes:
        name: its name in the rows.
        weights: hash of its weights.
        recipe: what networks that differ by their seed share: a hash of their training, else their name without the seed.
        seed: the seed; None if unknown.
    """

    name: str
    weights: str
    recipe: str
    seed: int | None


def seeded_rows(runs: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of all networks that have siblings of other seeds, from one run or several.

    Returns:
        The runs' rows with the columns `network`, the name that siblings share, and `model`, a name that no two networks share.

    Raises:
        UsageError: not a run, no networks that differ by their seed, or two with the same seed.
    """
    found = list[tuple[SeededNetwork, pd.DataFrame]]()
    for run in runs:
        rows = load_rows(run)
        networks = {name: _network(name, facts) for name, facts in load_run(run)["models"].items()}
        found += [(networks[str(name)], own) for name, own in rows.groupby("model", sort=False) if str(name) in networks]
    families = _families([network for network, _ in found])
    if not families:
        names = ", ".join(dict.fromkeys(network.name for network, _ in found))
        raise UsageError(
            f"no two networks differ in their training seed alone: {names}; train one recipe under several seeds "
            "(camdbench train --seed N), or call the networks NAME-s0, NAME-s1, …"
        )
    kept = [
        own.assign(network=families[network.recipe], model=f"{network.name} {network.weights}")
        for network, own in found
        if network.recipe in families
    ]
    return pd.concat(kept).drop_duplicates(["network", "model", *_ROW], ignore_index=True)


def _network(name: str, facts: dict[str, object]) -> SeededNetwork:
    weights = str(facts.get("weights_hash", name))
    training = facts.get("training")
    if isinstance(training, dict):
        return SeededNetwork(name, weights, str(training["recipe"]), int(training["seed"]))
    numbered = _SEED.search(name)
    return SeededNetwork(name, weights, _SEED.sub("", name), int(numbered[1]) if numbered else None)


def _families(networks: Sequence[SeededNetwork]) -> dict[str, str]:
    """The common name of each family of at least two networks, by what they share.

    Raises:
        UsageError: two of a family have the same seed.
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
    """What the names have in common, without what the seed left of it.

    >>> _common_name(["cfce-s0", "cfce-s1"]), _common_name(["net", "net"]), _common_name(["a", "b"])
    ('cfce', 'net', 'a')
    """
    if len(set(names)) == 1:
        return _SEED.sub("", names[0])
    alike = "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))
    return re.sub(r"[-_.](s(eed)?)?[-_]?\d*$", "", alike) or names[0]
