"""Commands over mutated files and hostile words: no input may end in an unexpected error.

`python tests/helpers/fuzzing.py 2000` runs 2,000 mutated inputs and prints those that do.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import click
import numpy as np
from PIL import Image

from camdbench.cli.main import COMMANDS, cli, run_cli
from helpers.mutations import mutate

_RECIPE = """name: tiny
network: shortcuts
data: {dataset: 'shortcuts(size=32)', train: train, limit: 8, evaluation: [val], evaluation_limit: 4}
loss: ce(smoothing=0.1)
optimiser: {lr: 0.003, weight_decay: 0.05, schedule: one_cycle}
epochs: 1
batch_size: 4
seed: 0
keep: last
"""
_PROBE = """name: tiny-probe
model: shortcuts-ce
backbone: frozen
data: {dataset: shortcuts, train: train, limit: 4, evaluation: [val], evaluation_limit: 2}
optimiser: {lr: 0.01}
epochs: 1
batch_size: 2
"""
_PLUGIN = """from camdbench import explainer, metric


@explainer('bright', paper='mine', control=True)
def bright(trace, *, power: float = 1.0):
    '''Where the image is bright.'''
    return trace.images.mean(1)
"""
_DEVICE = ("--device", "cpu")
_FAKE = ("-q", "--explainers", "fakecam", "--metrics", "ad", "--limit", "2", *_DEVICE)


@dataclass(frozen=True)
class Case:
    """A command and the file that it reads.

    Attributes:
        words: the command line.
        file: path of the file in the folder of `make_files`; glob patterns are allowed.
    """

    words: tuple[str, ...]
    file: str


def _case(words: str, file: str) -> Case:
    return Case(tuple(words.split()), file)


CASES = [
    *(
        _case(words, file)
        for file in ("run/run.json", "run/sessions/*.json", "run/rows/*/*/*.parquet")
        for words in ("summarise run", "compare run")
    ),
    _case("figures run --out figures", "run/curves/*/*/*.parquet"),
    _case("figures run --out figures", "run/rows/*/*/*.parquet"),
    _case("summarise run", "run/usage/*/*.parquet"),
    _case("summarise run --significance", "run/curves/*/*/*.parquet"),
    _case("check run --against golden.csv", "golden.csv"),
    _case("check run --against golden.csv --update", "golden.csv"),
    _case("check run --against golden.csv", "run/run.json"),
    _case("diff run other", "run/run.json"),
    _case("compare run other", "other/run.json"),
    _case("compare run --training-seeds", "run/run.json"),
    _case("score run -q --metrics ai --device cpu --out scored", "run/maps/*/*/*.safetensors"),
    _case("score run -q --metrics ai --device cpu --out scored", "run/run.json"),
    _case("run -q --explainers fakecam --metrics ad,insertion --limit 2 --save-maps raw --device cpu --out run", "run/run.json"),
    _case("run -q --explainers random --metrics ad,insertion --limit 2 --save-maps raw --device cpu --out run", "run/run.json"),
    _case("run -q --explainers random --metrics ad,insertion --limit 2 --save-maps raw --device cpu --out run", "run/partial/*/*/*.pt"),
    _case("score maps.npy -q --metrics ad --limit 2 --device cpu --out scored", "maps.npy"),
    _case("score maps.npz -q --metrics ad --limit 2 --device cpu --out scored", "maps.npz"),
    _case("score maps-by-id.npz -q --metrics ad --limit 2 --device cpu --out scored", "maps-by-id.npz"),
    Case(("run", *_FAKE, "--image-ids", "ids.txt"), "ids.txt"),
    Case(("run", *_FAKE, "--models", "net.safetensors"), "net.safetensors"),
    Case(("run", *_FAKE, "--models", "net.safetensors"), "net.json"),
    Case(("run", *_FAKE, "--models", "resnet18", "--weights", "state.pt"), "state.pt"),
    Case(("run", "-q", "--plugin", "mine.py", "--explainers", "bright", "--metrics", "ad", "--limit", "2", *_DEVICE), "mine.py"),
    _case("list explainers --plugin mine.py", "mine.py"),
    _case("train -q --recipe tiny.yaml --device cpu --preview-images 0 --out trained", "tiny.yaml"),
    _case("train -q --recipe tiny.yaml --device cpu --preview-images 0 --out trained", "tiny.yaml"),
    _case("probe -q --recipe probe.yaml --device cpu --out probed", "probe.yaml"),
    _case("list recipes table.yaml", "table.yaml"),
    _case("list recipes table.yaml", "table.csv"),
    _case("reproduce table.yaml --small --device cpu --limit 2 --out made", "paper.yaml"),
    _case("list recipes table.yaml", "train.yaml"),
    _case("explain picture.png --explainers fakecam --metrics ad --device cpu --size 96", "picture.png"),
    *(
        Case(
            ("run", "-q", "--explainers", "fakecam", "--metrics", "ad", "--dataset", "folder(size=96)", "--data-root", "data", *_DEVICE),
            file,
        )
        for file in ("data/images/a/0.png", "data/boxes.csv", "data/classes.txt", "data/masks/a/0.png")
    ),
    _case("data verify folder --data-root data", "data/boxes.csv"),
    _case("data verify folder --data-root data", "data/images/a/0.png"),
]


def make_files(folder: Path) -> None:
    """Write one valid file of every kind into a folder."""
    with _inside(folder):
        words = ["run", "-q", "--metrics", "ad,insertion", "--limit", "2", "--save-maps", "raw", *_DEVICE]
        _succeed([*words, "--explainers", "fakecam", "--out", "run"])
        _succeed([*words, "--explainers", "uniform,fakecam", "--out", "other"])
        _succeed(["check", "run", "--against", "golden.csv", "--update"])
        _write_partial(Path("run"))
        rng = np.random.default_rng(0)
        maps = rng.random((2, 7, 7)).astype(np.float32)
        np.save("maps.npy", maps)
        np.savez("maps.npz", maps=maps)
        ids = json.loads(Path("run/run.json").read_text("utf-8"))["ids"]
        np.savez("maps-by-id.npz", **dict(zip(ids, maps, strict=True)))
        Path("ids.txt").write_text("\n".join(ids), encoding="utf-8")
        weights = Path(sys.modules["camdbench"].__file__ or "").parent / "models" / "weights"
        for suffix in ("safetensors", "json"):
            shutil.copy(weights / f"shortcuts-ce.{suffix}", f"net.{suffix}")
        Path("mine.py").write_text(_PLUGIN, encoding="utf-8")
        Path("tiny.yaml").write_text(_RECIPE, encoding="utf-8")
        Path("probe.yaml").write_text(_PROBE, encoding="utf-8")
        _write_state("state.pt")
        _copy_recipe()
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save("picture.png")
        _write_data(Path("data"), rng)


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


def _write_state(name: str) -> None:
    import torch

    torch.save({"conv1.weight": torch.zeros(2, 2)}, name)


def _copy_recipe() -> None:
    from camdbench.papers.recipe_files import recipe_folder

    source = recipe_folder() / "cfce"
    for there, here in (
        ("table1.yaml", "table.yaml"),
        ("table1.csv", "table.csv"),
        ("paper.yaml", "paper.yaml"),
        ("train.yaml", "train.yaml"),
    ):
        shutil.copy(source / there, here)


def _write_data(root: Path, rng: np.random.Generator) -> None:
    for folder in ("images/a", "images/b", "masks/a", "masks/b"):
        (root / folder).mkdir(parents=True)
        pixels = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels[..., 0] if "masks" in folder else pixels).save(root / folder / "0.png")
    (root / "boxes.csv").write_text("image,x0,y0,x1,y1\na/0.png,1,2,50,60\nb/0.png,3,4,40,50\n", encoding="utf-8")
    (root / "classes.txt").write_text("a\nb\n", encoding="utf-8")


def _succeed(words: Sequence[str]) -> None:
    code, err = call(words)
    assert code == 0, (words, err)


def call(words: Sequence[str], *, seconds: int = 60) -> tuple[int, str]:
    """Run a command in this process; return its exit code and stderr. A command that hangs has the exit code -1."""

    def too_long(number: int, frame: object) -> None:
        del number, frame
        raise TimeoutError

    err = StringIO()
    usual = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(err):
            return run_cli(words), err.getvalue()
    except TimeoutError:
        return -1, f"{err.getvalue()}longer than {seconds} s"
    except BaseException:
        return -2, f"{err.getvalue()}{traceback.format_exc()}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)


def fault(code: int, err: str) -> str:
    """What is wrong with the end of a command; empty if it is an orderly one."""
    lines = [line for line in err.splitlines() if line.strip()]
    if code not in (0, 1, 2, 3, 4):
        return f"exit code {code}: {err[-3000:]}"
    if "Error: unexpected " in err or "Traceback" in err:
        return err[-3000:]
    if code in (1, 2) and not lines:
        return f"exit code {code} without a line"
    return ""


def try_case(case: Case, files: Path, folder: Path, seed: str) -> str:
    """Run a case on a mutated copy of the files; return its fault."""
    shutil.copytree(files, folder, symlinks=True)
    with _inside(folder):
        file = next(iter(sorted(Path().glob(case.file))), None)
        assert file is not None, case
        how = mutate(file, seed)
        found = fault(*call(case.words))
    shutil.rmtree(folder)
    _forget_plugins()
    return f"{' '.join(case.words)} | {case.file} | {how} | {seed}: {found}" if found else ""


def _forget_plugins() -> None:
    from camdbench.core import registries, registry

    for kind in (registries.explainers, registries.metrics):
        for name in [name for name, entry in kind._live.items() if not entry.module.startswith(f"{kind.package}.")]:
            del kind._live[name], kind._functions[name]
    registry.PLUGINS.clear()


WORDS = (
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "nan",
    "9" * 400,
    "a" * 5000,
    "/" + "b/" * 3000,
    "\x1b[31m",
    "\udcff",
    "é\udc80.png",
    "a\nb",
    "=1+1",
    "~nosuch/x",
    "~",
    ".",
    "..",
    "/",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "/proc/self/mem/x",
    "loop",
    "fifo",
    "run",
    "run/run.json",
    "gradcam(",
    "opticam(iterations=10**9)",
    "opticam(" * 200,
    'ad(protocol="\\ud800")',
    "(" * 300,
    ",",
    "all",
    "none",
    "[]",
    "{}",
    "%s%n",
    "--",
    "-",
    "*",
    "cuda:99",
    "meta",
    "http://x",
    "insertion(step=0)",
    "inverted(inverted(gradcam))",
    "ad,ad",
    "sm()",
    "quantus:AUC",
    "picture.png",
    "label",
    "99999999999999999999",
    "0.5,0.5",
    "0,0,0",
    "inf,1,1",
)


def hostile_words(draw: random.Random) -> list[str]:
    """A command line with odd values: a command, some of its options, and arguments."""
    name = draw.choice(list(COMMANDS))
    command = cli.get_command(click.Context(cli), name)
    words = [name]
    if isinstance(command, click.Group):
        sub = draw.choice(list(command.commands))
        words.append(sub)
        command = command.commands[sub]
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words += [draw.choice(WORDS)] if draw.random() < 0.9 else []
        elif (parameter.required and draw.random() < 0.9) or draw.random() < 0.12:
            option = draw.choice(parameter.opts)
            words += [option] if getattr(parameter, "is_flag", False) else [option, draw.choice(_values(parameter))]
    if name in ("run", "score") and "--limit" not in words:
        words += ["--limit", "1"]
    if name == "run" and not {"-e", "--explainers"} & set(words):
        words += ["-e", "fakecam"]
    if name == "explain" and not {"-e", "--explainers"} & set(words):
        words += ["-e", "fakecam"]
    if name in ("train", "probe") and "--epochs" not in words:
        words += ["--epochs", "1"]
    return [word for word in words if word not in ("--download", "--train", "--estimate-time", "-h", "--help")]


def _values(parameter: click.Parameter) -> Sequence[str]:
    kind = parameter.type
    known = list(kind.choices) if isinstance(kind, click.Choice) else []
    good = {
        "recipe": ["tiny.yaml", "probe.yaml"],
        "data_root": ["data"],
        "dataset": ["folder", "shortcuts", "voc2012"],
        "models": ["net.safetensors"],
    }
    if parameter.name in ("executor", "epochs", "workers"):  # valid values that take long or need a cluster
        return ["local", "1", "0"]
    return [*WORDS, *map(str, known), *good.get(parameter.name or "", ())]


def try_words(words: Sequence[str], files: Path, folder: Path) -> str:
    """Run a command line in a copy of the files; return its fault."""
    shutil.copytree(files, folder, symlinks=True)
    with _inside(folder):
        Path("loop").symlink_to("loop")
        os.mkfifo("fifo")
        found = fault(*call(words))
    shutil.rmtree(folder)
    _forget_plugins()
    shown = " ".join(word if len(word) < 40 else f"{word[:20]}…({len(word)})" for word in words)
    return f"{shown!r}: {found}" if found else ""


@contextmanager
def _inside(folder: Path):
    here = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def search(count: int, start: int = 0) -> int:
    """Try mutated files and hostile command lines, in turn; print what ends badly; return the number of bad ends."""
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        files = Path(root, "files")
        make_files(files)
        for number in range(start, start + count):
            draw = random.Random(f"case {number}")
            if draw.random() < 0.6:
                found = try_case(draw.choice(CASES), files, Path(root, "case"), str(number))
            else:
                found = try_words(hostile_words(draw), files, Path(root, "case"))
            if found:
                bad += 1
                click.echo(f"--- {number}: {found}")
        click.echo(f"{count} inputs, {bad} of them end badly")
    return bad


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(1 if search(*map(int, sys.argv[1:])) else 0)
