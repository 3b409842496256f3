"""Which metrics can be believed: train the ladder of networks, run explainers and metrics on all networks, and audit them.

    python benchmarks/shortcuts/audit.py --out DIR [--images 128] [--seeds 0,1] [--shard 0/2] [--small]

Networks and runs that are there are not computed again, and an interrupted run resumes. With --shard, each process takes a share of the
networks; the same command without it then audits all runs, and writes metric_audit.csv, audit_explainers.csv and audit_networks.csv.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
import yaml

import camdbench
from camdbench.core.provenance import git_revision
from camdbench.runner.shards import parse_shard
from camdbench.tables.load import load_usage
from camdbench.tables.render import to_csv
from camdbench.trainer.recipe import check_recipe, read_recipe
from camdbench.trainer.train import train

HERE = Path(__file__).parent
PASSES = ["forward", "backward", "tail_forward", "tail_backward"]
PROBED = 2  # images of the estimate
TABLES = {"metric_audit.csv": "metrics", "audit_explainers.csv": "explainers", "audit_networks.csv": "networks"}


class Network(NamedTuple):
    """A network of the study.

    Attributes:
        name: its name in rows.
        family: `data`, a rung of the ladder, or `guided`, a network of the package.
        rung: recipe of the ladder, or the network's name.
        seed: training seed; -1 if unknown.
    """

    name: str
    family: str
    rung: str
    seed: int


@click.command()
@click.option("--study", default=str(HERE / "audit.yaml"), show_default=True, help="YAML file of the study.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Output folder: networks, runs, audits and tables.")
@click.option("--images", type=int, help="Largest number of images of each group of metrics.")
@click.option("--seeds", help="Override the training seeds, comma-separated.")
@click.option("--networks", help="Only these rungs and networks of the package, comma-separated.")
@click.option("--groups", help="Only these groups of metrics, comma-separated.")
@click.option(
    "--shard", default="0/1", show_default=True, help="Share of the networks, K/N from 0/N; it trains and runs, and audits nothing."
)
@click.option("--small", is_flag=True, help="A trial of minutes: few networks, images and explainers.")
@click.option("--audit-only", is_flag=True, help="Audit the runs that are there, perhaps of earlier code, and compute nothing else.")
@click.option("--estimate", is_flag=True, help="Print the estimate and stop.")
def main(
    study: str,
    out: Path,
    images: int | None,
    seeds: str | None,
    networks: str | None,
    groups: str | None,
    shard: str,
    small: bool,
    audit_only: bool,
    estimate: bool,
) -> None:
    """Train, run and audit."""
    plan = read_plan(study, images=images, seeds=seeds, networks=networks, groups=groups, small=small)
    own = networks_of(plan)
    part = parse_shard(shard)
    mine = [network for place, network in enumerate(own) if place % part.count == part.index]
    if not audit_only:
        print_estimate(plan, mine, out)
    if estimate:
        return
    for network in () if audit_only else mine:
        model = trained(network, plan, out)
        for group, settings in plan["groups"].items():
            started = time.monotonic()
            run_group(plan, network, model, group, settings, out)
            print(f"{network.name} {group}: {time.monotonic() - started:.0f} s", flush=True)
    if part.count == 1:
        for file, table in audited(plan, own, out).items():
            (out / file).write_text(to_csv(table), encoding="utf-8")
            print(out / file)


def read_plan(
    study: str, *, images: int | None, seeds: str | None, networks: str | None, groups: str | None, small: bool
) -> dict[str, Any]:
    """The study with the changes of the command line; lists of explainers are flat."""
    plan: dict[str, Any] = yaml.safe_load(Path(study).read_text(encoding="utf-8"))
    reduced: dict[str, Any] = plan["small"] if small else {}
    plan |= {name: reduced[name] for name in ("seeds", "draws", "resamples", "ladder", "guided") if name in reduced}
    plan["training"] = {"epochs": reduced.get("epochs"), "count": reduced.get("count")}
    for settings in plan["groups"].values():
        settings["explainers"] = reduced.get("explainers") or list(_flat(settings["explainers"]))
        settings["images"] = min(settings["images"], images or reduced.get("images") or settings["images"])
    if seeds is not None:
        plan["seeds"] = [int(seed) for seed in seeds.split(",")]
    if networks is not None:
        chosen = networks.split(",")
        plan |= {kind: [name for name in plan[kind] if name in chosen] for kind in ("ladder", "guided")}
    if groups is not None:
        plan["groups"] = {name: plan["groups"][name] for name in groups.split(",")}
    return plan


def _flat(listed: Sequence[Any]) -> Iterator[str]:
    for item in listed:
        yield from _flat(item) if isinstance(item, list) else [item]


def networks_of(plan: Mapping[str, Any]) -> list[Network]:
    """All networks of the study, seed by seed, those of the package first."""
    shipped = [Network(name, "guided", name, -1) for name in plan["guided"]]
    return shipped + [Network(f"{rung}-s{seed}", "data", rung, seed) for seed in plan["seeds"] for rung in plan["ladder"]]


def trained(network: Network, plan: Mapping[str, Any], out: Path) -> str:
    """Name of a network for `camdbench run`; a rung is trained unless it is there."""
    if network.family == "guided":
        return network.name
    path = out / "networks" / f"{network.name}.safetensors"
    if not path.is_file():
        recipe = read_recipe(HERE / "ladder" / f"{network.rung}.yaml")
        changes: dict[str, Any] = {"name": network.name, "seed": network.seed}
        if (count := plan["training"]["count"]) is not None:
            changes["data"] = recipe.data.model_dump() | {"limit": count, "evaluation_limit": 8}
        train(check_recipe(recipe.model_dump() | changes, network.name), out=path.parent, epochs=plan["training"]["epochs"])
    return f"{network.name}={path}"


def run_group(plan: Mapping[str, Any], network: Network, model: str, group: str, settings: Mapping[str, Any], out: Path) -> None:
    """Explain and score the images of a group with one network."""
    camdbench.run(
        settings["explainers"],
        settings["metrics"],
        models=model,
        dataset="shortcuts",
        split=plan["split"],
        limit=settings["images"],
        save_maps="raw",
        out=str(run_folder(out, network, group)),
        progress=False,
    )


def run_folder(out: Path, network: Network, group: str) -> Path:
    """The run of a group of metrics with one network."""
    return out / "runs" / f"{network.name}-{group}"


def print_estimate(plan: Mapping[str, Any], networks: Sequence[Network], out: Path) -> None:
    """Count passes and seconds of two images with a network of the package, and print what all networks and images take."""
    shipped = Network("shortcuts-ce", "guided", "shortcuts-ce", -1)
    whole, seconds = 0.0, 0.0
    for group, settings in plan["groups"].items():
        file = out / "probe" / f"{group}.json"
        counted: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        asked = {name: settings[name] for name in ("explainers", "metrics")}
        if counted.get("asked") != asked:
            started = time.process_time()
            probe = {**settings, "images": PROBED}
            folder = Path("probe", f"{zlib.crc32(json.dumps(asked).encode()):08x}")
            run_group(plan, shipped, shipped.name, group, probe, out / folder)
            usage = load_usage(run_folder(out / folder, shipped, group))
            passes = float(usage[PASSES].to_numpy().sum()) / PROBED
            counted = {"asked": asked, "passes": passes, "seconds": (time.process_time() - started) / PROBED}
            file.write_text(json.dumps(counted), encoding="utf-8")
        images = len(networks) * settings["images"]
        whole, seconds = whole + images * (counted["passes"] + 3 * plan["draws"] + 1), seconds + images * counted["seconds"]
        each = f"{counted['passes']:,.0f} passes and {counted['seconds']:.1f} s an image"
        print(f"{group}: {len(networks)} networks, {settings['images']} images, {each}", flush=True)
    print(f"estimate: {whole / 1e6:.1f} million passes, {seconds / 3600:.1f} hours of one core (from {PROBED} images)", flush=True)


def audited(plan: Mapping[str, Any], networks: Sequence[Network], out: Path) -> dict[str, pd.DataFrame]:
    """The tables over all families and groups of metrics."""
    found: dict[str, list[pd.DataFrame]] = {file: [] for file in TABLES}
    for family in dict.fromkeys(network.family for network in networks):
        for group in plan["groups"]:
            own = [one for one in networks if one.family == family and (run_folder(out, one, group) / "run.json").is_file()]
            if not own:
                print(f"no run of family {family}, group {group}")
                continue
            tables = camdbench.audit(
                [run_folder(out, network, group) for network in own],
                draws=plan["draws"],
                resamples=plan["resamples"],
                resample=("images", "explainers", "seeds"),
                out=out / "audits" / f"{family}-{group}",
            )
            facts = {"family": family, "group": group, "networks": len(own), "seeds": len({network.seed for network in own})}
            facts |= {"score": "centred_logit", "draws": plan["draws"]}
            for file, kind in TABLES.items():
                table: pd.DataFrame = getattr(tables, kind)
                if kind == "metrics":  # one line per metric, truth and set; those of single networks are in the folder of the audit
                    table = table[table["model"] == "*"]
                named = table.assign(**{name: value for name, value in facts.items() if name not in table})
                found[file].append(named[[*facts, *(name for name in table if name not in facts)]])
    if not all(found.values()):
        raise click.UsageError(f"--out = {out}: no finished run; run without --audit-only")
    revision = git_revision() or ""
    return {file: pd.concat(parts, ignore_index=True).assign(revision=revision) for file, parts in found.items()}


if __name__ == "__main__":
    main()
