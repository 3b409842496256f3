"""One valid file of every format that a command reads, in a folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.dataset_cases import CASES as DATASETS
from helpers.plugin_mutations import PLUGIN

RECIPE = """name: tiny
network: shortcuts
data: {dataset: 'shortcuts(size=32)', train: train, limit: 8, evaluation: [val], evaluation_limit: 4}
loss: ce(smoothing=0.1)
optimiser: {lr: 0.003, weight_decay: 0.05, schedule: one_cycle}
epochs: 1
batch_size: 4
seed: 0
keep: last
"""
PROBE = """name: tiny-probe
model: shortcuts-ce
backbone: frozen
data: {dataset: shortcuts, train: train, limit: 4, evaluation: [val], evaluation_limit: 2}
optimiser: {lr: 0.01}
epochs: 1
batch_size: 2
"""
OPTIONS = """models: {net: net.safetensors}
explainers: [fakecam, 'odd=mine.py:of_classifier']
metrics: [ad, mine.py:mean_inside]
maps: {theirs: maps.npz}
plugins: [mine.py]
dataset: shortcuts
limit: 2
device: cpu
"""
_THINGS = """import datasets


def things():
    return datasets.load_from_disk("hub")
"""


def make_files(folder: Path, succeed: Callable[[list[str]], None]) -> None:
    """Write the files.

    Args:
        folder: created if missing.
        succeed: runs a command in the current folder, which must succeed.
    """
    here = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        _write_runs(succeed)
        rng = np.random.default_rng(0)
        _write_maps(rng)
        _write_weights()
        for name, text in (
            ("mine.py", PLUGIN),
            ("tiny.yaml", RECIPE),
            ("probe.yaml", PROBE),
            ("options.yaml", OPTIONS),
            ("hub.py", _THINGS),
        ):
            Path(name).write_text(text, encoding="utf-8")
        _copy_recipe()
        _write_pictures(rng)
        _write_data(Path("data"), rng)
        _write_own_data(rng)
        _write_transformers()
        succeed(["train", "-q", "--recipe", "tiny.yaml", "--device", "cpu", "--preview-images", "0", "--out", "trained"])
        shutil.copy("state.pt", "trained/tiny.resume")
        succeed(["probe", "-q", "--recipe", "probe.yaml", "--device", "cpu", "--out", "probed"])
        for name, case in DATASETS.items():
            case.build(Path("layouts", name))
    finally:
        os.chdir(here)


def _write_runs(succeed: Callable[[list[str]], None]) -> None:
    words = ["run", "-q", "--metrics", "ad,insertion", "--limit", "2", "--device", "cpu"]
    succeed([*words, "--explainers", "fakecam,uniform", "--save-maps", "raw", "--out", "run"])
    succeed([*words, "--explainers", "uniform,random", "--save-maps", "raw", "--out", "other"])
    succeed([*words, "--explainers", "uniform,random", "--save-maps", "view", "--out", "seen"])
    succeed(["check", "run", "--against", "golden.csv", "--update"])
    _write_partial(Path("run"))


def _write_partial(run: Path) -> None:
    """Partial results of a unit, as an interrupted session leaves them."""
    import torch

    from camdbench.runner.results import BatchResult, MetricScores

    record = json.loads((run / "run.json").read_text("utf-8"))
    scores = {metric: MetricScores((1.0, 2.0), ("ok", "ok"), ("", "")) for metric in record["metrics"]}
    folder = run / "partial" / "model=shortcuts-ce" / "chunk-00000"
    folder.mkdir(parents=True)
    state = BatchResult("random", tuple(record["ids"]), (0, 1), (0, 1), scores, raw=torch.zeros(2, 7, 7)).state()
    torch.save([state], folder / "a.pt")


def _write_maps(rng: np.random.Generator) -> None:
    import h5py
    import zarr

    maps = rng.random((2, 7, 7)).astype(np.float32)
    ids = json.loads(Path("run/run.json").read_text("utf-8"))["ids"]
    np.save("maps.npy", maps)
    np.savez("maps.npz", maps=maps)
    np.savez("maps-by-id.npz", **dict(zip(ids, maps, strict=True)))
    with h5py.File("maps.h5", "w") as store:
        store["maps"], store["ids"] = maps, np.array(ids, dtype="S")
    group = zarr.open_group("maps.zarr", mode="w")
    for name, own in (("maps", maps), ("other", maps)):
        group.create_array(name, shape=own.shape, dtype=own.dtype)[:] = own
    del group["other"]
    Path("maps-by-id").mkdir()
    np.save(f"maps-by-id/{ids[0]}.npy", maps[0])
    Image.fromarray((255 * maps[1]).astype(np.uint8)).save(f"maps-by-id/{ids[1]}.png")
    Path("ids.txt").write_text("\n".join(ids), encoding="utf-8")


def _write_weights() -> None:
    import torch

    weights = Path(sys.modules["camdbench"].__file__ or "").parent / "models" / "weights"
    for suffix in ("safetensors", "json"):
        shutil.copy(weights / f"shortcuts-ce.{suffix}", f"net.{suffix}")
    torch.save({"conv1.weight": torch.zeros(2, 2)}, "state.pt")
    torch.save({"state_dict": {"module.conv1.weight": torch.zeros(2, 2)}}, "state.pth", _use_new_zipfile_serialization=False)


def _copy_recipe() -> None:
    from camdbench.papers.recipe_files import recipe_folder

    source = recipe_folder() / "cfce"
    names = {"table1.yaml": "table.yaml", "table1.csv": "table.csv", "paper.yaml": "paper.yaml", "train.yaml": "train.yaml"}
    for there, here in names.items():
        shutil.copy(source / there, here)


def _write_pictures(rng: np.random.Generator) -> None:
    picture = Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "webp", "gif", "tif"):
        picture.save(f"picture.{suffix}")


def _write_data(root: Path, rng: np.random.Generator) -> None:
    for folder in ("images/a", "images/b", "masks/a", "masks/b"):
        (root / folder).mkdir(parents=True)
        pixels = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels[..., 0] if "masks" in folder else pixels).save(root / folder / "0.png")
    (root / "boxes.csv").write_text("image,x0,y0,x1,y1\na/0.png,1,2,50,60\nb/0.png,3,4,40,50\n", encoding="utf-8")
    (root / "classes.txt").write_text("a\nb\n", encoding="utf-8")


def _write_own_data(rng: np.random.Generator) -> None:
    """Tables of paths, annotations in COCO's form, class names, and a data set of Hugging Face."""
    import datasets
    import pandas as pd

    table = pd.DataFrame({"image": ["data/images/a/0.png", "data/images/b/0.png"], "label": ["a", "b"]})
    table = table.assign(x0=1.0, y0=2.0, x1=50.0, y1=60.0, mask=["data/masks/a/0.png", "data/masks/b/0.png"])
    table.to_csv("own.csv", index=False)
    table.to_parquet("own.parquet")
    Path("names.txt").write_text("a\nb\n", encoding="utf-8")
    images = [{"id": n, "file_name": f"{name}/0.png", "height": 96, "width": 96} for n, name in enumerate("ab")]
    shapes = ([[1, 1, 50, 1, 50, 60]], {"counts": [96 * 40, 96 * 56], "size": [96, 96]})
    annotations = [
        {"id": n, "image_id": n, "category_id": n + 1, "bbox": [1, 1, 49, 59], "area": 9, "iscrowd": 0, "segmentation": shape}
        for n, shape in enumerate(shapes)
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": n + 1, "name": name} for n, name in enumerate("ab")]}
    Path("own.json").write_text(json.dumps(content), encoding="utf-8")
    pixels = [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(2)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"image": pixels, "label": [0, 1]}, features=features).save_to_disk("hub")


def _write_transformers() -> None:
    """A network in one file, in several, and a zero-shot one."""
    import torch
    import transformers

    from helpers.hf_families import build
    from helpers.toy_clip import network_of, tokenizer_of

    network = build("vit")
    network.save_pretrained("vit")
    network.save_pretrained("sharded", max_shard_size="20KB")
    for folder in ("vit", "sharded"):
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    torch.save(network.state_dict(), "vit.bin")
    network_of("CLIP").save_pretrained("clip")
    tokenizer_of("CLIP").save_pretrained("clip")
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessor(**sizes).save_pretrained("clip")
    Path("prompts.txt").write_text("a cat\na dog\na photo of {}.\n", encoding="utf-8")


def chosen_file(pattern: str, draw: random.Random) -> Path:
    """A file of the current folder that fits a pattern; each suffix is as likely as any other."""
    found = [path for path in sorted(Path().glob(pattern)) if path.is_file()]
    assert found, pattern
    suffix = draw.choice(sorted({path.suffix for path in found}))
    return draw.choice([path for path in found if path.suffix == suffix])
