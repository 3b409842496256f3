"""Kill -9 at random moments, then the same command again: the same rows, none twice, none lost."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from camdbench.runner.run import run

KILLS = 20
REQUEST: dict[str, Any] = {
    "explainers": "gradcam,hirescam,fakecam,random,opticam(iterations=3)",
    "metrics": "ad,ag,ai",
    "limit": 96,
    "dataset": "shortcuts(size=32)",
    "device": "cpu",
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def sessions() -> Any:
    """A way to start sessions whose imports are done, so that kills hit work and not the import of torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["camdbench.runner.run", "camdbench.runner.executors", "camdbench.datasets.shortcuts.dataset"])
    return context


def rows(out: Path) -> pd.DataFrame:
    from camdbench.tables.load import load_rows

    return load_rows(out).drop(columns="run")


@pytest.mark.timeout(600)
def test_a_run_killed_at_random_moments_ends_with_the_rows_of_one_that_was_not(tmp_path: Path, sessions: Any):
    whole = sessions.Process(target=run, kwargs={"out": tmp_path / "warm-up", **REQUEST})
    whole.start()  # pays for the imports of the server that all sessions come from
    whole.join()
    start = time.monotonic()
    whole = sessions.Process(target=run, kwargs={"out": tmp_path / "whole", **REQUEST})
    whole.start()
    whole.join()
    assert whole.exitcode == 0
    duration = time.monotonic() - start
    expected = rows(tmp_path / "whole")
    draw = random.Random(0)
    killed = number = here = 0
    for _ in range(10 * KILLS):
        out = tmp_path / f"run-{number}"
        session = sessions.Process(target=run, kwargs={"out": out, **REQUEST})
        session.start()
        session.join(draw.uniform(0, 0.9 * duration))
        finished = not session.is_alive()
        if finished:
            assert session.exitcode == 0
        else:
            assert session.pid is not None
            os.kill(session.pid, signal.SIGKILL)
            session.join()
            killed, here = killed + 1, here + 1
            for part in out.glob("rows/**/[!.]*.parquet"):
                pq.read_table(part)  # whatever is there is whole
        if killed == KILLS:
            break
        if finished or here == 4:  # several kills in a row on one folder; a finished run has nothing left to kill
            number, here = number + 1, 0
    assert killed == KILLS
    for out in sorted(tmp_path.glob("run-*")):
        run(out=out, **REQUEST)
        found = rows(out)
        assert not found.duplicated(["model", "explainer", "image", "metric"]).any()
        pd.testing.assert_frame_equal(found, expected)
