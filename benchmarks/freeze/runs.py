"""Runs: golden, ray, options, two models, interrupted and resumed, scored, and `evaluate`."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys

from neutral import write_json, write_table, write_text
from recorder import Recorder
from spelling import words

LIMITS = {"default": 4, "explainers": 2, "metrics": 2}  # images of the golden runs, unless --full is given
MODELS = ["shortcuts-ce", "shortcuts-cfce"]
_STOPPING = '''"""A metric that interrupts its first run in the second batch, and a stochastic explainer outside the package."""
from pathlib import Path
import camdbench

@camdbench.metric("mean_saliency", paper="none", higher_is_better=True, unit="", tolerance=0.1)
def mean_saliency(inputs):
    """Mean saliency.

    (B,) in [0, 1].
    """
    if "val-00002" in inputs.ids and not Path("interrupted").exists():
        Path("interrupted").touch()
        raise KeyboardInterrupt
    return inputs.saliency.flatten(1).double().mean(1)
'''


def golden_runs(recorder: Recorder) -> None:
    """The runs of the section `golden` of a tox.ini; the maps of the one with all explainers are kept."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(recorder.golden, encoding="utf-8")
    section = parser["golden"]
    for line in section["runs"].strip().splitlines():
        line = re.sub(r"\{\[golden\](\w+)\}", lambda found: section[found[1]], line)
        before, _, name = line.removeprefix("camdbench run").replace("{env_tmp_dir}/", "").partition(" --out ")
        if not recorder.wants(name):
            continue
        limit = [] if recorder.full else ["--limit", str(LIMITS.get(name, 2))]
        maps = words("save_maps") if name == "explainers" else []
        recorder.run(name, *[word for word in shlex.split(before) if word not in ("--device", "cpu", "--quiet")], *limit, *maps)


def other_runs(recorder: Recorder) -> None:
    """Small runs that use other options, executors and commands."""
    steps = {
        "two-models": two_models,
        "options": options_run,
        "ray": _ray,
        "image-ids": _image_ids,
        "resumed": _resumed,
        "scored": _scored,
        "scored-file": _scored_file,
        "evaluate": evaluate,
    }
    for name, step in steps.items():
        if recorder.wants(name):
            step(recorder)


def _ray(recorder: Recorder) -> None:
    recorder.run(
        "ray", "--executor", "ray", "-e", "gradcam,random", "-m", "ad,insertion,accuracy", "--models", ",".join(MODELS), "--limit", "3"
    )


def _image_ids(recorder: Recorder) -> None:
    write_text("val-00005\nval-00002\n", recorder.work / "ids.txt")
    recorder.run("image-ids", "-e", "none", "-m", "accuracy,rfs", *words("image_ids"), "ids.txt")


def two_models(recorder: Recorder, *, store: bool = True) -> None:
    """Two models, two chunks of images, metrics of maps and of models, with curves."""
    metrics = "ad,ag,accuracy,maxboxacc,pxap"
    arguments = ["-e", "gradcam,layercam,centre", "-m", metrics, "--models", ",".join(MODELS), "--limit", "34"]
    recorder.run("two-models", *arguments, *words("save_maps"), store=store)


def options_run(recorder: Recorder, *, store: bool = True) -> None:
    """Options of explainers, metrics and the run that are not the default."""
    explainers = "opticam(iterations=3),power(gradcam, alpha=2.0),rise(masks=16),smoothgrad(samples=2)"
    metrics = "insertion(protocol=rise),ad(keep=0.3),deletion"
    other = [
        "--split",
        "conflict",
        "--sample",
        "4",
        "--seed",
        "3",
        "--batch-size",
        "3",
        "--precision",
        "bf16",
        "--target",
        *words("runner_up"),
    ]
    recorder.run("options", "-e", explainers, "-m", metrics, *other, store=store)


def _resumed(recorder: Recorder) -> None:
    """A run that is interrupted within a chunk, and continued."""
    write_text(_STOPPING, recorder.work / "stopping.py")
    metrics = "mean_saliency,ad,insertion"
    options = ["-e", "gradcam,random,opticam(iterations=2)", "-m", metrics, "--limit", "6", "--batch-size", "2", "--plugin", "stopping.py"]
    recorder.call(
        "run", "--device", "cpu", "--quiet", *options, *words("save_maps"), "--out", "resumed", name="interrupted", folder="files"
    )
    files = [path for path in (recorder.work / "resumed").rglob("*") if path.is_file() and path.parent.name != "sessions"]
    left = sorted(path.suffix for path in files)
    write_json({"files left by the interruption": left}, recorder.out / "files" / "interrupted-files.json")
    recorder.run("resumed", *options, *words("save_maps"))


def _scored(recorder: Recorder) -> None:
    """Saved maps of a run under further metrics."""
    if not (recorder.work / "two-models").is_dir():
        two_models(recorder, store=False)
    options = ["--out", "scored", "--device", "cpu", "--quiet"]
    recorder.call("score", "two-models", "-m", "iou,sparseness,average_precision", *options)
    recorder.finish("scored")


def _scored_file(recorder: Recorder) -> None:
    """An array of maps, one of them constant, from a file."""
    import numpy as np
    import torch

    array = torch.rand(5, 12, 12, generator=torch.Generator().manual_seed(0))
    array[3] = 0.5
    np.save(recorder.work / "array.npy", array.numpy())
    options = ["--limit", "5", "--out", "scored-file", "--device", "cpu", "--quiet"]
    recorder.call("score", "array.npy", *words("explainer_name"), "theirs", "-m", "ad,insertion,iou", *options)
    recorder.finish("scored-file")


def evaluate(recorder: Recorder) -> None:
    """Rows and numbers of `camdbench.evaluate`, in a process of its own."""
    subprocess.run([sys.executable, __file__, str(recorder.out)], cwd=recorder.work, check=True)


def _evaluate(out: str) -> None:
    from pathlib import Path

    import torch

    import camdbench
    from camdbench.datasets.shortcuts.dataset import shortcuts

    torch.set_num_threads(1)
    data = shortcuts(split="val")
    samples = [data[place] for place in range(5)]
    images, masks = (torch.stack([getattr(sample, name) for sample in samples]) for name in ("image", "mask"))
    saliency = torch.rand(5, 12, 12, generator=torch.Generator().manual_seed(0))
    saliency[3] = 0.5
    labels, boxes = torch.tensor([sample.label for sample in samples]), [sample.boxes for sample in samples]
    for name, metrics, known in (("all", "all", {"boxes": boxes, "masks": masks}), ("default", "ad,ag,ai", {})):
        rows = camdbench.evaluate("shortcuts-ce", images, labels, saliency, metrics=metrics, batch_size=2, **known)
        write_table(rows, Path(out) / "evaluate" / f"{name}.parquet")
        write_json(dict(rows.attrs), Path(out) / "evaluate" / f"{name}.json")


if __name__ == "__main__":
    _evaluate(sys.argv[1])
