"""Train every guided loss of guided.yaml with its seeds, evaluate the networks, and write means and standard deviations over seeds.

    python benchmarks/shortcuts/guided.py --out DIR [--models ce,so] [--epochs 1] [--count 640] [--limit 64]

Existing networks are not trained again; an interrupted run resumes.
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
@click.option("--study", default=str(HERE / "guided.yaml"), help="YAML file of the study.")
@click.option("--out", required=True, help="Output folder: networks and runs.")
@click.option("--models", help="Only these models of the study, comma-separated.")
@click.option("--epochs", type=int, help="Override the number of epochs.")
@click.option("--count", type=int, help="Override the number of training images.")
@click.option("--limit", type=int, help="Override the number of evaluated images.")
@click.option("--table", help="Output file of the table.  [default: OUT/guided.csv]")
def main(study: str, out: str, models: str | None, epochs: int | None, count: int | None, limit: int | None, table: str | None) -> None:
    """Train and evaluate the networks; write the table."""
    plan: dict[str, Any] = yaml.safe_load(Path(study).read_text(encoding="utf-8"))
    chosen = plan["models"] if models is None else {name: plan["models"][name] for name in models.split(",")}
    found = list[pd.DataFrame]()
    for name, changes in chosen.items():
        for seed in plan["seeds"]:
            path = _trained(plan["base"] | changes, name, seed, Path(out), epochs, count)
            found.append(_evaluated(path, plan["evaluation"], limit, Path(out)).assign(model=name, seed=seed))
    rows = over_seeds(pd.concat(found))
    target = Path(table) if table is not None else Path(out) / "guided.csv"
    rows.to_csv(target, index=False, float_format="%.6g", lineterminator="\n")
    print(target)


def _trained(written: Mapping[str, Any], name: str, seed: int, out: Path, epochs: int | None, count: int | None) -> Path:
    data = written["data"] | ({"limit": count} if count is not None else {})
    recipe = check_recipe({**written, "data": data, "name": f"{name}-s{seed}", "seed": seed}, name)
    path = out / f"{recipe.name}.safetensors"
    return path if path.is_file() else train(recipe, out=out, epochs=epochs)


def _evaluated(path: Path, settings: Mapping[str, Any], limit: int | None, out: Path) -> pd.DataFrame:
    """Summary of the network on every split."""
    parts = list[pd.DataFrame]()
    for split in settings["splits"]:
        folder = str(out / f"{path.stem}-{split}")
        camdbench.run(
            models=str(path),
            explainers=settings["explainers"],
            metrics=settings["metrics"],
            split=split,
            limit=limit or settings["limit"],
            out=folder,
        )
        parts.append(camdbench.summarise(folder))
    return pd.concat(parts)


def over_seeds(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds: model, split, metric, explainer, mean, sd, n."""
    grouped = numbers.groupby(["model", "split", "metric", "explainer"], sort=False, dropna=False)["mean"]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()


if __name__ == "__main__":
    main()
