"""The plan: what is missing, and which explainers share a pass over the same images."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camdbench.core.spec import Spec
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.prepare import Run, missing_units
from camdbench.runner.resources import Resources
from camdbench.runner.run_directory import PartKey

GRADCAM, OPTICAM = Spec("gradcam"), Spec.of("opticam", {"iterations": 5})


def plan(done: set[PartKey], images: int = 70) -> list[tuple[str, int, int, int, tuple[str, ...]]]:
    units = missing_units(["m"], ["m@w"], [GRADCAM, OPTICAM], images, 32, done.__contains__)
    return [(unit.model, unit.chunk, unit.start, unit.stop, tuple(map(str, unit.explainers))) for unit in units]


def test_everything_is_missing_at_first_and_the_last_chunk_is_short():
    both = ("gradcam", "opticam(iterations=5)")
    assert plan(set()) == [("m", 0, 0, 32, both), ("m", 1, 32, 64, both), ("m", 2, 64, 70, both)]


def test_a_finished_job_is_left_out_and_its_chunk_keeps_the_others():
    done = {PartKey("m@w", "gradcam", 1), PartKey("m@w", "opticam(iterations=5)", 2), PartKey("m@w", "gradcam", 2)}
    assert [unit[1:] for unit in plan(done)] == [(0, 0, 32, ("gradcam", "opticam(iterations=5)")), (1, 32, 64, ("opticam(iterations=5)",))]


def test_parts_of_another_model_do_not_count():
    assert len(plan({PartKey("other", str(spec), chunk) for spec in (GRADCAM, OPTICAM) for chunk in range(3)})) == 3


@given(st.integers(1, 200), st.sets(st.tuples(st.sampled_from(["gradcam", "opticam(iterations=5)"]), st.integers(0, 6))))
def test_done_and_missing_jobs_together_cover_every_image_once(images: int, finished: set[tuple[str, int]]):
    done = {PartKey("m@w", name, chunk) for name, chunk in finished}
    units = missing_units(["m"], ["m@w"], [GRADCAM, OPTICAM], images, 32, done.__contains__)
    for name in ("gradcam", "opticam(iterations=5)"):
        planned = [position for unit in units if name in map(str, unit.explainers) for position in range(unit.start, unit.stop)]
        kept = [position for position in range(images) if PartKey("m@w", name, position // 32) in done]
        assert sorted(planned + kept) == list(range(images))


@pytest.mark.parametrize(("images", "size"), [(4096, 32), (4097, 256), (1, 32)])
def test_large_runs_have_large_chunks_unless_asked_otherwise(images: int, size: int):
    request = check_config(RunConfig(explainers="gradcam", metrics="ad"))
    some = cast("Resources", SimpleNamespace(images=SimpleNamespace(ids=range(images))))
    run = Run(request, some, ("net",))
    assert {unit.stop - unit.start for unit in run.missing()[0][:-1]} <= {size}
    assert (len(run.missing()[0]), run.missing()[1]) == (-(-images // size),) * 2
    assert replace(run, request=replace(request, chunk_size=7)).chunk_size == 7
