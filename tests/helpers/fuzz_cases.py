"""Commands by format of the file that they read, and mutations that once ended badly."""

from __future__ import annotations

from typing import NamedTuple

from helpers.dataset_cases import CASES as DATASETS


class Case(NamedTuple):
    """A command and the file that it reads.

    Attributes:
        words: the command line.
        file: pattern of the file in the folder of `make_files`.
        kind: format of the file.
    """

    words: tuple[str, ...]
    file: str
    kind: str = ""


class Failed(NamedTuple):
    """A mutation that once ended badly: the case's words and file, the mutation and its seed."""

    words: str
    file: str
    mutation: str
    seed: str


_FAKE = "run -q --explainers fakecam --metrics ad --limit 2 --device cpu"
_RESUME = "run -q --explainers {} --metrics ad,insertion --limit 2 --save-maps raw --device cpu --out run"
_OWN = "run -q --models mine.py:network --dataset mine.py:things --explainers mine.py:{} --metrics mine.py:mean_inside,ad --device cpu"
_TRAIN = "train -q --recipe tiny.yaml --device cpu --preview-images 0 --out"
_FOLDER = "run -q --explainers fakecam --metrics ad --dataset folder(size=96) --data-root data --device cpu"
_EXPLAIN = "explain --explainers fakecam --metrics ad --device cpu"

# format -> pairs of a command line and a pattern of the file that it reads
_FORMATS: dict[str, tuple[tuple[str, str], ...]] = {
    "run.json": (
        *((words, "run/run.json") for words in ("summarise run", "compare run", "compare run --training-seeds", "diff run other")),
        ("check run --against golden.csv", "run/run.json"),
        ("compare run other", "other/run.json"),
        ("score run -q --metrics ai --device cpu --out scored", "run/run.json"),
        (_RESUME.format("fakecam"), "run/run.json"),
        (_RESUME.format("random"), "run/run.json"),
    ),
    "sessions": (
        ("summarise run", "run/sessions/*.json"),
        ("compare run", "run/sessions/*.json"),
        (_RESUME.format("random"), "run/sessions/*.json"),
    ),
    "rows": (
        *((words, "run/rows/**/*.parquet") for words in ("summarise run", "compare run", "figures run --out figures")),
        ("summarise run other", "other/rows/**/*.parquet"),
        (_RESUME.format("fakecam"), "run/rows/**/*.parquet"),
    ),
    "curves": (("figures run --out figures", "run/curves/**/*.parquet"),),
    "usage": (("summarise run", "run/usage/**/*.parquet"), ("compare run --all", "run/usage/**/*.parquet")),
    "partial results": ((_RESUME.format("random"), "run/partial/**/*.pt"),),
    "saved maps": (("score run -q --metrics ai --device cpu --out scored", "run/maps/**/*.safetensors"),),
    "maps as pictures": (("report seen --out page.html", "seen/maps/**/*"), ("figures seen --out figures", "seen/maps/**/*")),
    "predictions": (("report seen --out page.html", "seen/predictions/**/*.parquet"),),
    "golden CSV": (("check run --against golden.csv", "golden.csv"), ("check run --against golden.csv --update", "golden.csv")),
    "maps .npy": (("score maps.npy -q --metrics ad --limit 2 --device cpu --out scored", "maps.npy"),),
    "maps .npz": (
        ("score maps.npz -q --metrics ad --limit 2 --device cpu --out scored", "maps.npz"),
        ("score maps-by-id.npz -q --metrics ad --limit 2 --device cpu --out scored", "maps-by-id.npz"),
        (f"{_FAKE} --maps theirs=maps-by-id.npz", "maps-by-id.npz"),
    ),
    "maps .h5": (
        ("score maps.h5 -q --metrics ad --limit 2 --device cpu --out scored", "maps.h5"),
        (f"{_FAKE} --maps a=maps.h5", "maps.h5"),
    ),
    "maps .zarr": ((f"{_FAKE} --maps theirs=maps.zarr", "maps.zarr/**/*"),),
    "maps in a folder": ((f"{_FAKE} --maps theirs=maps-by-id", "maps-by-id/*"),),
    "image ids": ((f"{_FAKE} --image-ids ids.txt", "ids.txt"),),
    "weights .safetensors": ((f"{_FAKE} --models net.safetensors", "net.safetensors"),),
    "sidecar of weights": ((f"{_FAKE} --models net.safetensors", "net.json"),),
    "weights .pt": ((f"{_FAKE} --models resnet18 --weights state.pt", "state.pt"),),
    "weights .pth": ((f"{_FAKE} --models resnet18 --weights state.pth", "state.pth"),),
    "network of transformers": (("layers hf/./vit", "vit/*"), ("layers hf/./sharded", "sharded/*")),
    "zero-shot network": ((f"{_EXPLAIN} picture.png --model hf-zero-shot/./clip --prompts prompts.txt", "clip/*"),),
    "prompts": ((f"{_EXPLAIN} picture.png --model hf-zero-shot/./clip --prompts prompts.txt", "prompts.txt"),),
    "plug-in": (
        ("run -q --plugin mine.py --explainers bright --metrics ad,spread --limit 2 --device cpu", "mine.py"),
        ("list explainers --plugin mine.py", "mine.py"),
        ("list metrics spread --plugin mine.py", "mine.py"),
    ),
    "functions of a file": (
        *((_OWN.format(name), "mine.py") for name in ("of_classifier", "of_network")),
        ("layers mine.py:network", "mine.py"),
        ("layers mine.py:module", "mine.py"),
        ("data verify mine.py:things", "mine.py"),
        (f"{_EXPLAIN} picture.png --model mine.py:module --mean 0 --std 1 --size 32", "mine.py"),
        (f"{_TRAIN} trained --loss mine.py:own_loss", "mine.py"),
    ),
    "training recipe": ((f"{_TRAIN} again", "tiny.yaml"),),
    "training state": ((f"{_TRAIN} trained", "trained/*"), (f"{_FAKE} --models trained/tiny.safetensors", "trained/tiny.json")),
    "probe recipe": (("probe -q --recipe probe.yaml --device cpu --out again", "probe.yaml"),),
    "probe": (("probe -q --recipe probe.yaml --device cpu --out probed", "probed/*"),),
    "table recipe": (
        ("list recipes table.yaml", "table.yaml"),
        ("list recipes table.yaml", "train.yaml"),
        ("reproduce table.yaml --small --device cpu --limit 2 --out made", "paper.yaml"),
    ),
    "printed values": (("list recipes table.yaml", "table.csv"),),
    "configuration": (
        ("run -q --config options.yaml", "options.yaml"),
        ("run -q --config options.yaml --dry-run", "options.yaml"),
        ("run -q --config run/run.yaml --out again", "run/run.yaml"),
        (_RESUME.format("random"), "run/run.yaml"),
    ),
    "picture": tuple((f"{_EXPLAIN} picture.{suffix} --size 96", f"picture.{suffix}") for suffix in ("png", "jpg", "webp", "gif", "tif")),
    "data folder": (
        *((_FOLDER, f"data/{file}") for file in ("images/**/*.png", "masks/**/*.png", "boxes.csv", "classes.txt")),
        ("data verify folder --data-root data", "data/**/*"),
    ),
    "table of own data": tuple(
        (words, file)
        for file in ("own.csv", "own.parquet")
        for words in (
            f"data verify {file}(size=32)",
            f'run -q --explainers fakecam --metrics ad --dataset {file}(size=32,classes="positions") --device cpu',
        )
    ),
    "class names": (('data verify own.csv(size=32,classes="names.txt")', "names.txt"),),
    "COCO": (
        ('data verify own.json(size=32,images="data/images")', "own.json"),
        (
            'run -q --explainers fakecam --metrics ad --dataset own.json(size=32,images="data/images",classes="positions") --device cpu',
            "own.json",
        ),
    ),
    "data set of Hugging Face": (("data verify hub.py:things", "hub/*"),),
    "layouts of data sets": tuple(
        (f"data verify {case.spec} --data-root layouts/{name} --split {case.split}", f"layouts/{name}/**/*")
        for name, case in DATASETS.items()
    ),
}
FORMATS = {kind: [Case(tuple(words.split()), file, kind) for words, file in cases] for kind, cases in _FORMATS.items()}
CASES = [case for cases in FORMATS.values() for case in cases]

# Once ended in an unexpected error, hung, or wrote elsewhere.
FAILED = (
    Failed("score maps.h5 -q --metrics ad --limit 2 --device cpu --out scored", "maps.h5", "_store_change", "7"),
    Failed("layers mine.py:module", "mine.py", "_plugin_result", "408"),
    Failed("run -q --config run/run.yaml --out again", "run/run.yaml", "_yaml_odd", "412"),
    Failed(_RESUME.format("random"), "run/run.yaml", "_flip", "421"),
    Failed("data verify hub.py:things", "hub/*", "_json_change", "1937"),
    Failed("check run --against golden.csv", "golden.csv", "_huge", "1100"),
)
