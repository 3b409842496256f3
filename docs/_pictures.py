"""Pictures and values of every explainer and metric on two images of `conflict`, by the embedded networks.

`python docs/_pictures.py` draws them; a build draws them if the code or these specs have changed, else it uses those in
`docs/reference/pictures`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _drawing import bar_plot, curve_plot, map_strip
from _networks import load
from _page_text import file_of

import camdbench
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import parse_spec
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.reporting.curve_axes import curve_axes
from camdbench.runner.stored_maps import StoredMaps
from camdbench.tables.load import load_curves, load_rows, load_run, load_usage

HERE = Path(__file__).parent
IMAGES = (0, 5)  # of `conflict`: the network follows the background of the first and sees the object of the second
NUMBERS = [Path(camdbench.__file__).parent / name for name in ("explainers", "metrics", "functional", "models", "datasets")]  # their code
MODEL, NETWORKS = "shortcuts-ce", ("shortcuts-ce", "shortcuts-cfce", "shortcuts-cgc", "shortcuts-rcfce", "shortcuts-so")
FEWER = {  # explainers whose defaults take more than some 300 passes
    "extremal": 'extremal(areas=(0.05, 0.2), max_iter=40, step=4, sigma=9.0, blur_sigma=9.0, search_dtype="network")',
    "captum:ShapleyValueSampling": "captum:ShapleyValueSampling(n_samples=4)",
    "iscam": "iscam(samples=3)",
    "kernelshap": "kernelshap(samples=200)",
    "lime": "lime(samples=200)",
    "rise": "rise(masks=300)",
    "sobol": "sobol(designs=3)",
    "sscam": "sscam(samples=3)",
}
NAMED = {  # explainers that need another explainer or a layer
    "captum:LayerLRP": 'captum:LayerLRP(layer="features.9")',
    "augsmooth": "augsmooth(gradcam)",
    "inside_box": "inside_box(gradcam)",
    "inverted": "inverted(gradcam)",
    "outside_box": "outside_box(gradcam)",
    "power": "power(gradcam, alpha=2.0)",
    "refine": 'refine(gradcampp, layers=("layer2", "layer3"))',
    "sess": "sess(gradcam, scales=2)",
    "smooth": "smooth(gradcam)",
}
OTHERS = dict.fromkeys(("attnlrp", "cplrp", "genericattention", "legrad", "rawattention", "rollout", "tibav"), "vit")  # need attention
OTHERS |= dict.fromkeys(("captum:LRP", "captum:LayerLRP"), "plain")  # have no rule for additions
ABOUT = {
    MODEL: f"`{MODEL}`. On the first image the prediction follows the background and is wrong",
    "vit": "a small vision transformer, trained on 2,000 images of `shortcuts` for these pictures",
    "plain": "a small network of convolutions, ReLUs and max pooling, trained on 2,000 images of `shortcuts` for these pictures",
}
MAPS = ("gradcam", "centre")  # explainers whose maps metrics score
SHORTER = {"iir": "iir(steps=20)"}  # metrics whose defaults take minutes
SECOND = {"mcs": "mcs(network='shortcuts-so')"}
CLAIMING = {"completeness": "integratedgradients(steps=20)"}


class _Group(NamedTuple):
    """A run and what is drawn of it: entries, and the function that draws them into a folder."""

    name: str
    draw: Callable[[Path, Path], dict[str, dict[str, str]]]

    def drawn(self, folder: Path, run: Path) -> dict[str, dict[str, str]]:
        """Facts of the pictures, which are drawn into a folder."""
        return self.draw(folder, run)


def draw_all(folder: Path) -> dict[str, Any]:
    """Draw what has changed and return the facts by `KIND/NAME`: `text`, Markdown of the picture, and `cost`."""
    file, found = folder / "pictures.json", dict[str, Any]()
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    numbers = _hash_of(*NUMBERS)
    key = numbers + _hash_of(HERE / "_pictures.py", HERE / "_drawing.py")
    stale = [group for group in GROUPS if kept.get(group.name, {}).get("key") != key]
    runs = [folder / "runs" / f"{group.name}-{numbers}" for group in stale]
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:  # starts nothing if nothing is stale
        for group, facts in zip(stale, pool.map(_Group.drawn, stale, repeat(folder), runs), strict=True):
            kept[group.name] = {"key": key, "facts": facts}
            file.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    for group in GROUPS:
        found |= kept[group.name]["facts"]
    return found


def _hash_of(*places: Path) -> str:
    """Hash of files, or of the code in folders without docstrings and differences, which change no number."""
    files = [file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    folders = [place for place in places if place.is_dir()]
    parts = (_code(file) if any(folder in file.parents for folder in folders) else file.read_bytes() for file in files)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:8]


def _code(file: Path) -> bytes:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Difference":
            node.args, node.keywords = [], []
    return ast.dump(tree).encode()


def _run(out: Path, explained: Iterable[str], scored: Iterable[str], **options: Any) -> pd.DataFrame:
    """Rows of a run; a finished one is read, another one begins anew."""
    done = out.with_suffix(".done")
    if done.is_file():
        return load_rows(out)
    shutil.rmtree(out, ignore_errors=True)
    given: dict[str, Any] = {"models": MODEL, "split": "conflict", "target": "predicted", "save_maps": "raw", "device": "cpu"}
    if "dataset" not in options and "limit" not in options:
        ids = out.with_suffix(".txt")
        ids.parent.mkdir(parents=True, exist_ok=True)
        ids.write_text("".join(f"conflict-{index:05}\n" for index in IMAGES), encoding="utf-8")
        given["image_ids"] = ids
    rows = camdbench.run(",".join(explained), ",".join(scored), out=out, progress=False, **given | options)
    done.touch()
    return rows


def _pictures() -> list[np.ndarray]:
    data = shortcuts(split="conflict")
    return [data[index].image.permute(1, 2, 0).numpy() for index in IMAGES]


def _write(folder: Path, name: str, content: bytes) -> str:
    """Write a picture and return its path from a page."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return f"../pictures/{name}"


def spec_of(name: str) -> str:
    """The spec by which an explainer is drawn."""
    return FEWER.get(name) or NAMED.get(name) or name


def explainer_pictures(folder: Path, out: Path) -> dict[str, dict[str, str]]:
    """Maps of every explainer with AD, AG and AI beside."""
    specs = {entry.name: str(explainers.parse_one(spec_of(entry.name))) for entry in explainers}
    own = {name: spec for name, spec in specs.items() if name not in OTHERS}
    found = _mapped(folder, out, own, MODEL)
    for network in dict.fromkeys(OTHERS.values()):
        chosen = {name: spec for name, spec in specs.items() if OTHERS.get(name) == network}
        found |= _mapped(folder, out.with_name(f"{out.name}-{network}"), chosen, network)
    return found


def _mapped(folder: Path, out: Path, specs: Mapping[str, str], network: str) -> dict[str, dict[str, str]]:
    """Pictures and values of explainers by one network."""
    model: Any = network if network == MODEL else load(network)
    rows = _run(out, specs.values(), ("ad", "ag", "ai"), models=model)
    about, usage = load_run(out), load_usage(out)
    stored, pictures, found = StoredMaps(out, about), _pictures(), dict[str, dict[str, str]]()
    for name, spec in specs.items():
        own = rows[rows["explainer"] == spec]
        maps = [stored.exact(network, spec, image, (96, 96)) for image in about["ids"]]
        drawn = [[one] for one in maps if one is not None]
        if len(drawn) < len(maps):
            raise RuntimeError(f"{name}: no map by {network}: {next(text for text in own['reason'] if text)}; give it another network")
        path = _write(folder, f"explainers/{file_of(name)}.jpg", map_strip(pictures, drawn))
        shown = f"`{spec}`" if spec != name else f"`{name}` with default options"
        lines = [f"![Two images, each with its map by {name}]({path})", "", _values(own, about["ids"], ("ad", "ag", "ai"), "metric"), ""]
        lines += [f"Maps of {shown} for the predicted class of {ABOUT[network]}."]
        found[f"explainers/{name}"] = {
            "text": "\n".join(lines),
            "cost": f"{_counted(usage[usage['explainer'] == spec])} per image, by {shown}",
        }
    return found


def _counted(usage: pd.DataFrame) -> str:
    """Counted passes per image of an explainer."""
    own = usage[usage["stage"].isin(["trace", "explain"])]
    images = max(int(own["images"].max()), 1)
    counts = {kind.replace("_", " "): own[kind].sum() / images for kind in ("forward", "backward", "tail_forward", "tail_backward")}
    return " + ".join(f"{count:g} {kind}" for kind, count in counts.items() if count) or "0 passes"


def _values(rows: pd.DataFrame, images: list[str], columns: Iterable[str], axis: str) -> str:
    """Markdown table: a line for each image, a column for each metric or explainer."""
    columns = list(columns)
    heads = [_head_of(one) if axis == "metric" else f"`{one}`" for one in columns]
    lines = [f"| image | {' | '.join(heads)} |", f"|{' --- |' * (len(columns) + 1)}"]
    for place, image in zip(("first", "second"), images, strict=False):
        cells = [_value(rows[(rows["image"] == image) & (rows[axis] == one)]) for one in columns]
        lines.append(f"| {place} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _head_of(metric: str) -> str:
    facts = metrics.get(metric).facts
    return f"[{metric.upper()}](../metrics/{file_of(metric)}.md) {'↑' if facts.higher_is_better else '↓'}"


def _value(rows: pd.DataFrame) -> str:
    if not len(rows):
        return "-"
    row = rows.iloc[0]
    if row["status"] != "ok":
        return str(row["status"]).replace("_", " ")
    unit = " %" if metrics.get(parse_spec(row["metric"]).name).facts.unit == "%" else ""
    return f"{row['value']:.4g}{unit}"


def metric_pictures(folder: Path, out: Path) -> dict[str, dict[str, str]]:
    """Curves and values of metrics of maps, on the two images."""
    special = {"mosaic", "backgrounds", "second network", "parts"}
    known = [one for one in metrics if one.facts.scope == "map" and not special & set(one.facts.needs) and one.name not in CLAIMING]
    specs = {one.name: str(metrics.parse_one(SHORTER.get(one.name, one.name))) for one in known}
    light = [specs[one.name] for one in known if "explainer" not in one.facts.needs and ":" not in one.name]
    runs = [out.with_name(f"{out.name}-{name}") for name in MAPS]
    scored = [_run(run, [name], specs.values() if name == MAPS[0] else light) for name, run in zip(MAPS, runs, strict=True)]
    rows, curves, about = pd.concat(scored), pd.concat(map(load_curves, runs)), load_run(runs[0])
    stored = [StoredMaps(run, load_run(run)) for run in runs]
    maps = [[own.exact(MODEL, name, image, (96, 96)) for name, own in zip(MAPS, stored, strict=True)] for image in about["ids"]]
    path = _write(folder, "metrics/maps.jpg", map_strip(_pictures(), maps))  # type: ignore[arg-type]
    found = dict[str, dict[str, str]]()
    for name, spec in specs.items():
        own = rows[rows["metric"] == spec]
        shown = [one for one in MAPS if one in set(own["explainer"])]
        found[name] = _scored(folder, name, own, curves[curves["metric"] == spec], about, path, shown)
    for name, explained in CLAIMING.items():
        spec, run = str(explainers.parse_one(explained)), out.with_name(f"{out.name}-{name}")
        rows = _run(run, [spec], [name])
        about = load_run(run)
        maps = [[StoredMaps(run, about).exact(MODEL, spec, image, (96, 96))] for image in about["ids"]]
        path = _write(folder, f"metrics/{name}.jpg", map_strip(_pictures(), maps))  # type: ignore[arg-type]
        found[name] = _scored(folder, name, rows, curves[:0], about, path, (spec,))
    return {f"metrics/{name}": facts for name, facts in found.items()}


def _scored(
    folder: Path, name: str, rows: pd.DataFrame, curves: pd.DataFrame, about: Mapping[str, Any], maps: str, specs: Iterable[str]
) -> dict[str, str]:
    """Markdown of the maps with the values, and of the curves if there are any."""
    specs = list(specs)
    text = f"![Two images with the maps of {' and '.join(specs)}]({maps})\n\n" + _values(rows, about["ids"], specs, "explainer")
    if axes := _drawn_curves(folder, name, curves, about):
        text = f"![Curves of {name}]({axes})\n\n{text}"
    scores = "class of `shortcuts-ce`, by the default protocol"
    return {"text": f"{text}\n\nMaps of {' and '.join(f'`{one}`' for one in specs)} for the predicted {scores}.", "cost": ""}


def _drawn_curves(folder: Path, name: str, curves: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """Path of the plot of a metric's curves; empty if it has none with ordered points."""
    lines, labels = dict[str, tuple[list[float], list[float]]](), None
    for (explainer, image, curve), points in curves.groupby(["explainer", "image", "curve"], sort=False, observed=True):
        axes = curve_axes(name, str(curve), about["metrics"][name])
        if axes is None or (str(image) not in about["ids"] and len(lines) >= 6):
            continue
        labels = labels or axes
        place = f", image {about['ids'].index(image) + 1}" if image in about["ids"] else ""
        extra = "" if curve == "curve" else f", {curve}"
        lines[f"{explainer}{place}{extra}"] = (points["x"].tolist(), points["value"].tolist())
    if labels is None or not lines:
        return ""
    return _write(folder, f"metrics/{file_of(name)}-curve.png", curve_plot(lines, labels.x, labels.y))


def mosaic_pictures(folder: Path, out: Path) -> dict[str, dict[str, str]]:
    """Values of metrics of mosaics, on two mosaics."""
    found = dict[str, dict[str, str]]()
    wanted = [one.name for one in metrics if "mosaic" in one.facts.needs]
    for kind in ("grid", "focus"):
        dataset = f"grid(shortcuts, confidence=0{', mosaic=focus' if kind == 'focus' else ''})"
        own = [name for name in wanted if (name == "focus") is (kind == "focus")]
        run = out.with_name(f"{out.name}-{kind}")
        rows = _run(run, MAPS, own, dataset=dataset, split="val", limit=2, target="label")
        about = load_run(run)
        pictures, maps = _mosaics(dataset), StoredMaps(run, about)
        size = pictures[0].shape[:2]
        drawn = [[maps.exact(MODEL, spec, image, (size[0], size[1])) for spec in MAPS] for image in about["ids"]]
        path = _write(folder, f"metrics/{kind}.jpg", map_strip(pictures, drawn))  # type: ignore[arg-type]
        for name in own:
            found[f"metrics/{name}"] = _scored(folder, name, rows[rows["metric"] == name], load_curves(run)[:0], about, path, MAPS)
    return found


def _mosaics(dataset: str) -> list[np.ndarray]:
    from camdbench.core.registries import datasets
    from camdbench.datasets.open_dataset import open_dataset

    data = open_dataset(datasets.parse_one(dataset), "val", None)
    return [data[index].image.permute(1, 2, 0).numpy() for index in range(2)]


def network_pictures(folder: Path, out: Path) -> dict[str, dict[str, str]]:
    """Values of metrics of networks, for the five embedded ones."""
    wanted = [one.name for one in metrics if one.facts.scope == "model" and "parts" not in one.facts.needs]
    options: dict[str, Any] = {"split": "balanced", "save_maps": "none", "target": "label"}
    _run(out, ["none"], wanted, models=",".join(NETWORKS), limit=64, **options)
    second = out.with_name(f"{out.name}-second")
    _run(second, ["gradcam"], SECOND.values(), models=",".join(NETWORKS[:4]), limit=16, **options)
    specs = {name: str(metrics.parse_one(spec)) for name, spec in SECOND.items()}
    found = _bars(folder, out, {name: name for name in wanted}, "64 images of `balanced`")
    return found | _bars(folder, second, specs, "16 images of `balanced`, with Grad-CAM")


def _bars(folder: Path, run: Path, specs: Mapping[str, str], images: str) -> dict[str, dict[str, str]]:
    """Bars and table of the values of a run, for each network."""
    table, found = camdbench.summarise(run, interval=None), dict[str, dict[str, str]]()
    for name, spec in specs.items():
        own = table[(table["metric"] == spec) & np.isfinite(table["mean"])]
        values = dict(zip(own["model"].astype(str), own["mean"].astype(float), strict=True))
        unit = metrics.get(name).facts.unit
        path = _write(folder, f"metrics/{file_of(name)}.png", bar_plot(values, f"{name} {unit}".strip()))
        lines = [f"| `{model}` | {value:.4g} {unit} |" for model, value in values.items()]
        text = "\n".join(
            [f"![{name} of embedded networks]({path})", "", "| network | value |", "| --- | --- |", *lines, "", f"On {images}."]
        )
        found[f"metrics/{name}"] = {"text": text, "cost": ""}
    return found


GROUPS = (
    _Group("explainers", explainer_pictures),
    _Group("metrics", metric_pictures),
    _Group("mosaics", mosaic_pictures),
    _Group("networks", network_pictures),
)

if __name__ == "__main__":
    drawn = draw_all(HERE / "reference" / "pictures")
    sys.stdout.write(f"{len(drawn)} pictures\n")
