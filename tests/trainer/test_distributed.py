"""Two processes on a CPU take the steps that one would take, and draw negatives from each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from camdbench.trainer.distributed import ALONE, ProcessGroup
from camdbench.trainer.losses.cgc import consistency

SCRIPT = """
import sys
import torch
from torch import nn
from camdbench.models.classifier import Classifier
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.losses.cgc import consistency
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.loop import fit
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.tasks.classification import ClassificationTask

torch.set_num_threads(1)
random = torch.Generator().manual_seed(0)
pixels = torch.randint(0, 255, (24, 3, 12, 12), generator=random, dtype=torch.uint8)
masks = torch.rand(24, 12, 12, generator=random) < 0.4
images = InMemorySplit(pixels, torch.arange(24) % 3, tuple("abc"), "", tuple(map(str, range(24))), masks)
weights, device = dict(), torch.device("cpu")
common = {"name": "two", "epochs": 2, "batch_size": 8, "gradient_accumulation": int(sys.argv[2])}
with open_accelerator(check_recipe(common, "t"), device) as accelerator:
    processes = ProcessGroup(accelerator.process_index, accelerator.num_processes)
    for loss in ("ce", "cfce", "so(views=2, kernel=3)"):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
        how = {"name": "sgd", "lr": 0.1, "max_grad_norm": 1.0}
        recipe = check_recipe(common | {"loss": loss, "optimiser": how, "augment": {"flip": 0.5, "crop_scale": 0.6}}, "t")
        classifier = Classifier(network, "1", mean=0.5, std=0.25)
        task = ClassificationTask(classifier, images, images, recipe, device, accelerator)
        fitted = fit(task, recipe, accelerator)
        weights |= {f"{loss}/{name}": value for name, value in fitted.state.items()}
        weights[f"{loss}/log"] = torch.tensor([[line.train_loss, line.train_accuracy, line.validation["loss"]] for line in fitted.log])
    maps = torch.rand(2, 8, 20, generator=random).requires_grad_()
    each = 8 // processes.size
    own = slice(processes.rank * each, (processes.rank + 1) * each)
    for compat in ("paper", "author"):
        found = consistency(maps[0, own], processes.gather(maps[1, own]), 0.5, compat=compat, negatives=True, first=own.start)
        (slope,) = torch.autograd.grad(found.mean(), maps)
        holder = nn.Parameter(torch.zeros_like(maps))
        holder.grad = slope
        processes.average_gradients([holder])
        weights[f"cgc/{compat}"] = holder.grad
        weights[f"cgc/{compat}/loss"] = torch.tensor(processes.sum([float(found.detach().sum())], device))
    if processes.is_main:
        torch.save(weights, sys.argv[1])
"""


def _run(tmp_path: Path, count: int, accumulate: int) -> dict[str, torch.Tensor]:
    script, out = tmp_path / "script.py", tmp_path / f"weights-{count}-{accumulate}.pt"
    script.write_text(SCRIPT, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(Path(__file__).parents[2])
    common = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(out), str(accumulate)],
            env=common | {"WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        for process in started:
            _, complaint = process.communicate(timeout=280)
            assert process.returncode == 0, complaint
    finally:
        for process in started:
            process.kill()
            process.wait()
    return torch.load(out, weights_only=True)


@pytest.mark.timeout(600)  # five processes import torch, on a busy machine slowly
def test_two_processes_take_the_steps_of_one_in_parts_of_a_batch_too(tmp_path: Path) -> None:
    one, two, parts = _run(tmp_path, 1, 1), _run(tmp_path, 2, 1), _run(tmp_path, 2, 2)
    assert one.keys() == two.keys() == parts.keys()
    for name in one:
        for other in (two, parts):
            torch.testing.assert_close(other[name], one[name], rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_partners_stay_partners_among_everybodys_maps() -> None:
    before, after = (F.normalize(torch.rand(6, 9, generator=torch.Generator().manual_seed(seed)), dim=1) for seed in (0, 1))
    for compat in ("paper", "author"):
        options = {"compat": compat, "negatives": True}
        whole = consistency(before, after, 0.5, **options)
        torch.testing.assert_close(consistency(before[2:4], after, 0.5, first=2, **options), whole[2:4])


def test_everybody_takes_an_equal_run_of_each_part() -> None:
    assert ProcessGroup(1, 2).share(8).places.tolist() == [4, 5, 6, 7]
    assert ProcessGroup(1, 2).share(8, 2).places.tolist() == [2, 3, 6, 7]
    assert ALONE.share(8, 2).places.tolist() == list(range(8))
