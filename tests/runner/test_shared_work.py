"""What explainers share when they are scored: passes counted by a hook of the test, numbers from paper, values to the bit."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.each import each
from helpers.network_hooks import images_counted
from helpers.toys import Toy, ToyData, size_of, toy_batch, toy_classifier
from torch import Tensor

import camdbench
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.explainers.common.saliency import Saliency
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.usage import Usage
from camdbench.models.pass_counts import PassCounts
from camdbench.runner import shared_work
from camdbench.runner.resources import ReferenceImages
from camdbench.runner.results import BatchResult
from camdbench.runner.scoring import score_batch

CAMS = ("gradcam", "hirescam", "layercam", "xgradcam")
IMAGES = 4
# forward passes per image beside the image's own; of `cgc_loss` three reference images, as they are and cropped, are explained once
ROWS = {
    "infidelity(samples=6)": 6,
    "max_sensitivity(samples=3),avg_sensitivity(samples=3)": 3,
    "max_sensitivity(samples=3),max_sensitivity(samples=3, radius=0.1)": 6,
    "random_logit": 0,
    "cgc_loss(negatives=2),cgc_loss(negatives=2, protocol=release)": 1 + 2 * 3 / IMAGES,
    "randomisation(layers=3)": 3,
    "quantus:MaxSensitivity(nr_samples=2)": 2,
    "quantus:FaithfulnessCorrelation(subset_size=20, nr_runs=5)": 1 + 5,
}
PATHS = {"max_sensitivity(samples=3)": 3, "cgc_loss(negatives=2)": 1 + 2 * 3 / IMAGES, "randomisation(layers=2)": 2, "random_logit": 0}


def scored(
    names: Sequence[str], wanted: str, *, head: str = "gap", sizes: Sequence[int] = (IMAGES,), seed: int = 0
) -> tuple[dict[str, list[BatchResult]], float, PassCounts]:
    """Results by explainer, images through the network per image of the batch, and the classifier's own count."""
    classifier, data = toy_classifier(head), ToyData(toy_batch(IMAGES, size=size_of(head)))
    found, start = dict[str, list[BatchResult]](), 0
    others = ReferenceImages(data, seed=seed, target="label")
    jobs, asked = [explainers.parse_one(name) for name in names], metrics.parse(wanted)
    with torch.inference_mode(mode=False), classifier.frozen(), images_counted(type(classifier.network)) as count:
        for size in sizes:
            batch = data.batch.part(start, start + size)
            for result in score_batch(classifier, batch, jobs, asked, target="label", seed=seed, others=others):
                found.setdefault(result.explainer, []).append(result)
            start += size
    return found, count.images / IMAGES, classifier.passes


def values(results: Sequence[BatchResult]) -> list[Any]:
    """Values, states and curves of all metrics, in a form that compares to the bit."""
    found = list[Any]()
    for metric, own in (item for result in results for item in result.scores.items()):
        numbers = torch.tensor(own.values, dtype=torch.float64).numpy().tobytes()
        found.append((metric, numbers, own.status, own.reasons, {name: curve.y.numpy().tobytes() for name, curve in own.curves.items()}))
    return found


@pytest.mark.parametrize(("wanted", "more"), ROWS.items(), ids=ROWS)
def test_four_cams_pass_as_many_images_as_one_with_equal_values_and_are_charged_as_alone(wanted: str, more: float) -> None:
    alone = {name: scored([name], wanted) for name in CAMS}
    for count in (1, 2, 4):
        found, images, passes = scored(CAMS[:count], wanted)
        assert images == 1 + more
        assert passes.forward == images * IMAGES
        for name in CAMS[:count]:
            own = alone[name][0][name]
            assert values(found[name]) == values(own)
            assert {stage: usage.passes for stage, usage in found[name][0].usage.items()} == {
                stage: usage.passes for stage, usage in own[0].usage.items()
            }


def test_the_minimum_holds_for_the_images_of_the_issue_and_for_several_batches() -> None:
    everything = ",".join(PATHS)
    for sizes in ((4,), (2, 2), (1, 1, 1, 1)):
        images = {count: scored(CAMS[:count], everything, sizes=sizes)[1] for count in (1, 4)}
        assert images == {1: 1 + sum(PATHS.values()), 4: 1 + sum(PATHS.values())}


@pytest.mark.parametrize(
    ("head", "names"),
    {
        "gap": ("opticam(iterations=2)", "gradcam", "rise(masks=4)", "scorecam", "shapleycam"),
        "dense": ("opticam(iterations=2)", "augsmooth(gradcam)", 'gradcam(layer="conv2")', "gradcam", "shapleycam"),
        "vit": ("legrad", "gradcam", "rollout", "tibav"),
    }.items(),
)
def test_explainers_that_search_or_mask_beside_cams_have_the_values_and_the_usage_of_their_own(head: str, names: Sequence[str]) -> None:
    found, together, _ = scored(names, ",".join(PATHS), head=head, sizes=(3, 1))
    apart = 0.0
    for name in names:
        own, images, _ = scored([name], ",".join(PATHS), head=head, sizes=(3, 1))
        both = found[str(explainers.parse_one(name))], next(iter(own.values()))
        assert values(both[0]) == values(both[1])
        assert [result.usage["metrics"].passes for result in both[0]] == [result.usage["metrics"].passes for result in both[1]]
        apart += images
    assert together < apart


def test_the_unit_counts_shared_passes_once_and_a_row_all_that_it_uses() -> None:
    found, images, passes = scored(CAMS, "max_sensitivity(samples=3)")
    assert (images, passes) == (4, PassCounts(forward=4 * IMAGES, tail_backward=4 * IMAGES))
    for name in CAMS:
        assert found[name][0].usage["metrics"].passes == PassCounts(forward=3 * IMAGES, tail_backward=3 * IMAGES)
        assert found[name][0].usage["metrics"].seconds > 0


class TestBudget:
    WANTED = "max_sensitivity(samples=3)"
    OF_ONE = 3 * 4 * IMAGES * 8 * 6  # bytes of three raw maps of 8 x 6 places

    @each(("room", "images"), [(4, 1 + 3), (3, 1 + 3), (1, 1 + 2 * 3), (0.9, 1 + 4 * 3), (0, 1 + 4 * 3)])
    def test_beyond_it_maps_are_made_in_the_explainers_turn(self, monkeypatch: pytest.MonkeyPatch, room: float, images: int) -> None:
        expected = {name: values(own) for name, own in scored(CAMS, self.WANTED)[0].items()}
        monkeypatch.setattr(shared_work, "KEPT_MAP_BYTES", int(room * self.OF_ONE))
        found, seen, _ = scored(CAMS, self.WANTED)
        assert seen == images
        assert {name: values(own) for name, own in found.items()} == expected


class TestManyPasses:
    WANTED = "max_sensitivity(samples=3),random_logit"
    NAMES = ("gradcam", "rise(masks=98)", "rise(masks=99)", "scorecam", "hirescam")  # the third needs 100 passes of an image

    def test_an_explainer_of_many_passes_makes_its_maps_in_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order, saliency = list[str](), shared_work.saliency

        def watched(trace: Trace, spec: Spec, **more: Any) -> Saliency:
            order.append(str(spec))
            return saliency(trace, spec, **more)

        monkeypatch.setattr(shared_work, "saliency", watched)
        found, _, _ = scored(self.NAMES, self.WANTED)
        assert order[: 3 * 3] == 3 * ["gradcam", "rise(masks=98)", "hirescam"]
        assert set(order[4 * 3 :]) == {"rise(masks=99)", "scorecam"}
        for name in self.NAMES:
            own, _, _ = scored([name], self.WANTED)
            both = found[str(explainers.parse_one(name))], next(iter(own.values()))
            assert values(both[0]) == values(both[1])
            assert both[0][0].usage["metrics"].passes == both[1][0].usage["metrics"].passes

    def test_explainers_before_it_are_finished_without_it(self) -> None:
        classifier, jobs = toy_classifier(), [explainers.parse_one(name) for name in ("gradcam", "rise(masks=99)")]
        with torch.inference_mode(mode=False), classifier.frozen():
            results = score_batch(classifier, toy_batch(IMAGES), jobs, metrics.parse(self.WANTED), target="label", seed=0)
            assert next(results).explainer == "gradcam"
        assert classifier.passes.forward == (1 + 3) * IMAGES


def twice(trace: Trace) -> Tensor:
    return 2 * trace.images.mean(1)


def of_images_only(trace: Trace) -> Tensor:
    if trace.images.amax() > 1:  # noise leaves [0, 1]
        raise ValueError("altered images are beyond me")
    return trace.images.mean(1)


def of_no_noise(trace: Trace) -> Tensor:
    if trace.images.amax() > 1:
        raise NotApplicable("noise has no meaning here")
    return trace.images.mean(1)


def exits(trace: Trace) -> Tensor:
    if trace.images.amax() > 1:
        raise SystemExit(3)
    return trace.images.mean(1)


def spoils(trace: Trace) -> Tensor:
    """Changes what the trace of altered images keeps, which the others read after it."""
    if trace.images.amax() > 1:
        trace.activations.mul_(0)
        trace.images.mul_(0)
    return trace.images.mean(1)


def run(given: dict[str, Any], out: Path, wanted: str = "max_sensitivity(samples=2)", **more: Any) -> pd.DataFrame:
    batch = toy_batch(IMAGES)
    batch.images[:, :, 0, 0] = 1
    data = InMemoryDataset(batch)
    return camdbench.run(given, wanted, models={"mine": toy_classifier()}, dataset=data, out=out, **more)


def rows(found: pd.DataFrame) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: own.sort_values(["metric", "image"])[["metric", "image", "value", "status", "reason"]].astype(str).to_numpy().tolist()
        for name, own in found.groupby("explainer")
    }


@pytest.mark.parametrize("failing", [of_images_only, of_no_noise, exits, spoils], ids=lambda own: own.__name__)
def test_one_that_fails_on_altered_images_fails_for_its_own_rows_wherever_it_stands(failing: Any, tmp_path: Path) -> None:
    good = {"gradcam": "gradcam", "twice": twice, "hirescam": "hirescam"}
    expected = rows(run(good, tmp_path / "good"))
    alone = rows(run({"failing": failing}, tmp_path / "alone"))
    assert {own[3] for own in alone["failing"]} <= {"error", "not_applicable"}
    for place in range(4):
        items = [*good.items()]
        items.insert(place, ("failing", failing))
        with images_counted(Toy) as count:
            found = rows(run(dict(items), tmp_path / f"at {place}"))
        assert found == expected | alone, place
        again = 4 if failing is spoils else 2  # images that its own turn explains once more, at most
        assert count.images <= IMAGES * (1 + 2 + again) + 8, place  # and a few of the check of the network


def test_runs_that_grow_in_any_order_and_saved_maps_have_the_same_rows(tmp_path: Path) -> None:
    wanted = ",".join([*PATHS, "infidelity(samples=3)"])
    whole = rows(run({name: name for name in CAMS}, tmp_path / "whole", wanted, save_maps="raw"))
    run({name: name for name in CAMS[1:3]}, tmp_path / "parts", wanted)
    assert rows(run({name: name for name in CAMS}, tmp_path / "parts", wanted)) == whole
    assert rows(run({name: name for name in reversed(CAMS)}, tmp_path / "reversed", wanted)) == whole
    batch = toy_batch(IMAGES)
    batch.images[:, :, 0, 0] = 1
    given: dict[str, Any] = {"models": {"mine": toy_classifier()}, "dataset": InMemoryDataset(batch)}
    with images_counted(Toy) as count:
        again = rows(camdbench.score(tmp_path / "whole", "infidelity(samples=3)", out=tmp_path / "score", **given))
    for name, own in again.items():
        expected = [row for row in whole[name] if row[0].startswith("inf")]
        assert [float(row[2]) for row in own] == pytest.approx([float(row[2]) for row in expected], rel=1e-3)  # maps are saved in float16
    assert count.images <= IMAGES * (1 + 3) + 8  # and a few of the check of the network


def test_given_maps_beside_explainers_are_scored_but_not_explained_again(tmp_path: Path) -> None:
    maps = torch.rand(IMAGES, 16, 12, generator=torch.Generator().manual_seed(0)).numpy()
    wanted = "max_sensitivity(samples=2),infidelity(samples=3)"
    expected = rows(run({"gradcam": "gradcam", "hirescam": "hirescam"}, tmp_path / "computed", wanted))
    found = rows(run({"gradcam": "gradcam", "hirescam": "hirescam"}, tmp_path / "run", wanted, maps={"theirs": maps}))
    assert {own[3] for own in found["theirs"] if own[0].startswith("max")} == {"not_applicable"}
    assert {own[3] for own in found["theirs"] if own[0].startswith("inf")} == {"ok"}
    assert {name: found[name] for name in expected} == expected


def test_a_batch_that_is_too_large_for_one_explainer_is_halved_in_its_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"gradcam": "gradcam", "large": large, "hirescam": "hirescam"}
    monkeypatch.setitem(LIMIT, "images", 1000)
    expected = rows(run(given, tmp_path / "whole"))
    monkeypatch.setitem(LIMIT, "images", 2)
    assert rows(run(given, tmp_path / "halved")) == expected
    monkeypatch.setitem(LIMIT, "images", 0)
    found = rows(run(given, tmp_path / "never"))
    assert {own[3] for own in found["large"]} == {"error"}
    assert found["gradcam"] == expected["gradcam"]
    for own, wanted in zip(found["hirescam"], expected["hirescam"], strict=True):  # one image at a time, as it comes after the large one
        assert float(own[2]) == pytest.approx(float(wanted[2]), rel=1e-4)


def test_a_run_that_is_interrupted_while_an_explainer_waits_for_its_turn_ends_with_the_same_rows(tmp_path: Path) -> None:
    given = {"gradcam": "gradcam", "stopped": stopped, "hirescam": "hirescam"}
    expected = rows(run(given, tmp_path / "whole", batch_size=2))
    LIMIT["stop"] = True
    try:
        with pytest.raises(KeyboardInterrupt):
            run(given, tmp_path / "run", batch_size=2)
    finally:
        del LIMIT["stop"]
    assert rows(run(given, tmp_path / "run", batch_size=2)) == expected


LIMIT: dict[str, Any] = {"images": 1000}


def large(trace: Trace) -> Tensor:
    if trace.images.amax() > 1 and len(trace.images) > LIMIT["images"]:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return trace.images.mean(1)


def stopped(trace: Trace) -> Tensor:
    if trace.images.amax() > 1 and "image-2" in trace.batch.ids and "stop" in LIMIT:
        raise KeyboardInterrupt
    return trace.images.mean(1)


def test_parts_are_made_once_and_charged_to_each_reader_with_the_parts_inside_them() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        trace = Trace(classifier, toy_batch(IMAGES))
        assert trace.logits.shape == (IMAGES, 5)
        work = shared_work.SharedWork(trace, [], None)

        def inner() -> Tensor:
            return work.part("inner", lambda: classifier(trace.images))

        def outer() -> Tensor:
            return work.part("outer", lambda: inner() + classifier(torch.cat([trace.images] * 2))[:IMAGES])

        spent = list[Usage]()
        for read in ((outer, inner), (inner,), (outer,)):
            usage = work.begin()
            for part in read:
                part()
            spent.append(usage())
        with pytest.raises(ZeroDivisionError):
            work.part("broken", lambda: 1 / 0)
        usage = work.begin()
        inner()
        assert usage().passes == PassCounts(forward=IMAGES)
    assert [own.passes.forward for own in spent] == [3 * IMAGES, IMAGES, 3 * IMAGES]
    assert classifier.passes.forward == (1 + 3) * IMAGES


def test_maps_of_reference_images_end_with_their_classifier() -> None:
    """Another classifier may take its address."""
    classifier, data = toy_classifier(), ToyData(toy_batch(IMAGES))
    others = ReferenceImages(data, seed=0, target="label")
    with torch.inference_mode(mode=False), classifier.frozen():
        jobs, asked = [explainers.parse_one("gradcam")], metrics.parse("cgc_loss(negatives=2)")
        assert list(score_batch(classifier, data.batch, jobs, asked, target="label", seed=0, others=others))
    assert [len(known) for known in others.known.values()] == [1]
    del classifier
    gc.collect()
    assert not others.known
