"""Two processes on a CPU take the steps that one would take, and draw negatives from each other."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.one_of_many import train
from helpers.processes import forkserver

from camdbench.trainer.distributed import ALONE, ProcessGroup
from camdbench.trainer.losses.cgc import consistency


def _run(tmp_path: Path, count: int, accumulate: int) -> dict[str, torch.Tensor]:
    out = tmp_path / f"weights-{count}-{accumulate}.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    processes = forkserver("helpers.one_of_many")
    started = [
        processes.Process(target=train, args=(out, accumulate, common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}))
        for rank in range(count)
    ]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join(280)
            assert process.exitcode == 0
    finally:
        for process in started:
            process.kill()
            process.join()
    return torch.load(out, weights_only=True)


@pytest.mark.timeout(600)
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
