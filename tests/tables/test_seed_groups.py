"""Networks that differ only in their training seed: by the recipe of the record, else by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camdbench.core.errors import UsageError
from camdbench.tables.cell_values import Cells
from camdbench.tables.seed_groups import seeded_cells

VALUES = {"gradcam": {"ad": [1.0, 2.0]}}


def run_of(make_run: Any, name: str, models: dict[str, dict[str, object]]) -> Path:
    """A run whose record holds these facts of its models; the values of a model are its place in the record."""
    values = {model: {"gradcam": {"ad": [10.0 * place, 10.0 * place + 1]}} for place, model in enumerate(models)}
    folder: Path = make_run(VALUES, name=name, models=list(models), values_of=values)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"models": models}))
    return folder


def trained(weights: str, recipe: str, seed: int) -> dict[str, object]:
    return {"weights_hash": weights, "training": {"recipe": recipe, "seed": seed}}


def groups(cells: Cells) -> dict[str, set[str]]:
    return {str(name): set(own["model"]) for name, own in cells.keys.groupby("network")}


def test_models_of_one_recipe_are_a_group_whatever_their_names(make_run: Any) -> None:
    models = {"so-s0": trained("a", "r1", 0), "so-s1": trained("b", "r1", 1), "alone": trained("c", "r2", 0)}
    cells = seeded_cells([run_of(make_run, "run", models)])
    assert groups(cells) == {"so": {"so-s0 a", "so-s1 b"}}
    others = {"net-early": trained("d", "r3", 0), "net-late": trained("e", "r3", 1)}
    assert groups(seeded_cells([run_of(make_run, "other", others)])) == {"net": {"net-early d", "net-late e"}}
    assert dict(zip(cells.keys["model"], cells.values.tolist(), strict=True)) == {"so-s0 a": [0, 1], "so-s1 b": [10, 11]}


def test_without_a_record_the_name_says_the_seed(make_run: Any) -> None:
    models = {"ce_seed0": {"weights_hash": "a"}, "ce_seed1": {"weights_hash": "b"}, "cfce-s0": {"weights_hash": "c"}}
    assert groups(seeded_cells([run_of(make_run, "run", models)])) == {"ce": {"ce_seed0 a", "ce_seed1 b"}}


def test_one_name_in_two_runs_is_two_networks_and_the_same_rows_count_once(make_run: Any) -> None:
    runs = [run_of(make_run, f"run-{seed}", {"net": trained("ab"[seed], "r", seed)}) for seed in range(2)]
    cells = seeded_cells([*runs, runs[0]])
    assert groups(cells) == {"net": {"net a", "net b"}}
    assert cells.values.tolist() == [[0, 1], [0, 1]]


def test_two_recipes_of_one_name_have_names_of_their_own(make_run: Any) -> None:
    models = {f"net-s{seed}": trained("abcd"[seed], "r1xxxxx" if seed < 2 else "r2xxxxx", seed) for seed in range(4)}
    assert set(groups(seeded_cells([run_of(make_run, "run", models)]))) == {"net r1xxxx", "net r2xxxx"}


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"a": trained("a", "r1", 0), "b": trained("b", "r2", 0)}, r"no two models differ only in their training seed \(a, b\)"),
        ({"a": trained("a", "r", 3), "b": trained("b", "r", 3)}, "a and b have the same seed, 3, but other weights"),
    ],
)
def test_what_is_no_group_is_refused(make_run: Any, models: dict[str, dict[str, object]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        seeded_cells([run_of(make_run, "run", models)])
