"""Train every guided loss of guided.yaml with its seeds, judge the networks, and write means and spreads over seeds.

    python benchmarks/shortcuts/guided.py --out DIR [--models ce,so] [--epochs 1] [--count 640] [--limit 64]

A network that is there is not trained again, and a run goes on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pandas as pd
import yaml

import camdbench
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.train import train

HERE = Path(__file__).parent


@click.command()
@click.option("--study", default=str(HERE / "guided.yaml"), help="The study.")
@click.option("--out", required=True, help="Folder for networks and runs.")
@click.option("--models", help="Some of the study's models, with commas.")
@click.option("--epochs", type=int, help="Another number of epochs.")
@click.option("--count", type=int, help="Another number of training images.")
@click.option("--limit", type=int, help="Another number of images to judge on.")
@click.option("--table", help="Where the table goes.  [default: OUT/guided.csv]")
def main(study: str, out: str, models: str | None, epochs: int | None, count: int | None, limit: int | None, table: str | None) -> None:
    """Train, judge, and write the table."""
    plan: dict[str, Any] = yaml.safe_load(Path(study).read_text(encoding="utf-8"))
    chosen = plan["models"] if models is None else {name: plan["models"][name] for name in models.split(",")}
    found = list[pd.DataFrame]()
    for name, changes in chosen.items():
        for seed in plan["seeds"]:
            path = _trained(plan["base"] | changes, name, seed, Path(out), epochs, count)
            found.append(_judged(path, plan["judge"], limit, Path(out)).assign(model=name, seed=seed))
    rows = over_seeds(pd.concat(found))
    target = Path(table) if table is not None else Path(out) / "guided.csv"
    rows.to_csv(target, index=False, float_format="%.6g", lineterminator="\n")
    print(target)


def _trained(written: Mapping[str, Any], name: str, seed: int, out: Path, epochs: int | None, count: int | None) -> Path:
    data = written["data"] | ({"limit": count} if count is not None else {})
    recipe = check_recipe({**written, "data": data, "name": f"{name}-s{seed}", "seed": seed}, name)
    path = out / f"{recipe.name}.safetensors"
    return path if path.is_file() else train(recipe, out=out, epochs=epochs)


def _judged(path: Path, judge: Mapping[str, Any], limit: int | None, out: Path) -> pd.DataFrame:
    """The network's numbers on every split."""
    parts = list[pd.DataFrame]()
    for split in judge["splits"]:
        folder = str(out / f"{path.stem}-{split}")
        camdbench.run(
            models=str(path),
            explainers=judge["explainers"],
            metrics=judge["metrics"],
            split=split,
            limit=limit or judge["limit"],
            out=folder,
        )
        parts.append(camdbench.summarise(folder))
    return pd.concat(parts)


def over_seeds(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds: model, split, metric, explainer, mean, sd, n."""
    grouped = numbers.groupby(["model", "split", "metric", "explainer"], sort=False, dropna=False)["mean"]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()


if __name__ == "__main__":
    main()
