"""Box accuracies against a literal reading of Opti-CAM's eq. A5, and against OpenCV as wsolevaluation uses it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.dataset_layouts import FISH, put, write, xml
from helpers.each import each
from helpers.localisation import box_maps, inputs_of, measure, pixels, random_boxes, random_maps
from helpers.toys import SIZE
from PIL import Image
from skimage import measure as skimage_measure
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.datasets.imagenet import imagenet
from camdbench.datasets.samples import Batch
from camdbench.functional.file_boxes import Placement
from camdbench.functional.normalise import normalise, upsample
from camdbench.metrics.common.ground_truth import maps_of
from camdbench.metrics.common.result import MetricResult
from camdbench.tables.aggregates import CellData, aggregate


def table_number(found: MetricResult) -> float:
    """What the summary shows, from the points."""
    cell = CellData(found.values.numpy(), {part: (curve.x.numpy(), curve.y.numpy()) for part, curve in found.curves.items()})
    return float(aggregate("maximum over thresholds", cell, np.ones((1, len(found.values))))[0])


def overlaps(values: Tensor, boxes: list[list[float]], threshold: float, *, every: bool, connectivity: int = 8) -> float:
    """The best IoU of the largest region, or of any, with any box; regions one threshold at a time."""
    found = skimage_measure.regionprops(skimage_measure.label((values.double() > threshold).numpy(), connectivity=connectivity // 4))
    chosen = found if every else sorted(found, key=lambda one: -one.area)[:1]  # sorted keeps the raster order of equals
    best = 0.0
    for region in chosen:
        y0, x0, y1, x1 = region.bbox
        predicted = pixels((x0, y0, x1, y1))
        best = max([best, *(len(predicted & own) / len(predicted | own) for own in map(pixels, boxes) if own)])
    return best


@each(
    ("spec", "deltas", "every"),
    [
        ("boxacc(thresholds=20)", (0.3, 0.5, 0.7), False),
        ("maxboxacc(thresholds=20)", (0.5,), False),
        ("maxboxacc(thresholds=20, deltas=(0.25, 0.6))", (0.25, 0.6), False),
        ("maxboxaccv2(thresholds=20)", (0.3, 0.5, 0.7), True),
        ("boxacc(thresholds=20, connectivity=4)", (0.3, 0.5, 0.7), False),
        ("maxboxaccv2(thresholds=20, connectivity=4)", (0.3, 0.5, 0.7), True),
    ],
)
@each("cells", [(5, 4), (16, 12)], ids=["smooth", "noise"])
def test_points_are_the_paper_read_literally(spec: str, deltas: tuple[float, ...], every: bool, cells: tuple[int, int]) -> None:
    maps, boxes = random_maps(cells=cells, seed=4), random_boxes(seed=1)
    found = measure(spec, inputs_of(maps, boxes=boxes))
    how = {"every": every, "connectivity": 4 if "connectivity=4" in spec else 8}
    best = np.array([[overlaps(values, own, k / 20, **how) for k in range(20)] for values, own in zip(maps, boxes, strict=True)])
    assert list(found.curves) == [f"iou {delta:g}" for delta in deltas]
    for delta, curve in zip(deltas, found.curves.values(), strict=True):
        assert curve.x.tolist() == pytest.approx([k / 20 for k in range(20)])
        assert curve.y.tolist() == (100.0 * (best >= delta)).tolist()
    assert found.values.tolist() == pytest.approx(np.mean([100 * (best >= delta).mean(1) for delta in deltas], axis=0).tolist())
    assert table_number(found) == pytest.approx(np.mean([100 * (best >= delta).mean(0).max() for delta in deltas]))


def test_no_threshold_is_chosen_for_an_image_alone() -> None:
    """Each of two images is right at one threshold, and no threshold is right for both."""
    low, high = torch.zeros(SIZE), torch.zeros(SIZE)
    low[2:10, 2:10], low[4:6, 4:6] = 0.3, 1  # the box at thresholds below 0.3
    high[:, :], high[2:10, 2:10] = 0.6, 1  # the box from 0.6 on
    found = measure("maxboxacc", inputs_of(torch.stack([low, high]), boxes=[[[2, 2, 10, 10]]] * 2))
    assert found.curves["iou 0.5"].y.amax(1).tolist() == [100, 100]
    assert table_number(found) == 50


def test_the_box_itself_is_perfect_and_noise_is_not() -> None:
    boxes = [own[:1] for own in random_boxes()]
    for name in ("boxacc", "maxboxacc", "maxboxaccv2"):
        assert table_number(measure(name, inputs_of(box_maps(boxes), boxes=boxes))) == 100
        assert table_number(measure(name, inputs_of(random_maps(cells=SIZE), boxes=boxes))) < 70


def test_any_region_finds_at_least_what_the_largest_finds() -> None:
    given = inputs_of(random_maps(seed=7), boxes=random_boxes(seed=7))
    largest, any_ = (measure(name, given).curves["iou 0.5"].y for name in ("boxacc", "maxboxaccv2"))
    assert (any_ >= largest).all()
    assert (any_ > largest).any()


class TestDegenerateMaps:
    boxes = ([[2.0, 3.0, 8.0, 9.0]],)

    @pytest.mark.parametrize("name", ["boxacc", "maxboxacc", "maxboxaccv2"])
    def test_a_map_of_zeros_has_no_value_and_under_clovaai_misses(self, name: str) -> None:
        given = inputs_of(torch.zeros(1, *SIZE), boxes=self.boxes)
        assert measure(name, given).undefined.tolist() == [True]
        assert measure(f"{name}(constant_map='scored')", given).values.tolist() == [0]
        if name != "boxacc":
            assert measure(f"{name}(protocol='clovaai')", given).values.tolist() == [0]

    def test_a_map_of_ones_is_the_whole_image_at_every_threshold(self) -> None:
        given = inputs_of(torch.ones(1, *SIZE), boxes=[[[0, 0, 12, 10]]])  # IoU 10/16
        assert measure("boxacc", given).values.item() == pytest.approx(200 / 3)

    def test_an_image_without_a_box_has_no_value(self) -> None:
        given = inputs_of(random_maps(2), boxes=[[], [[90, 90, 99, 99]]])
        for spec in ("boxacc", "maxboxacc(protocol='clovaai')", "maxboxaccv2(protocol='clovaai')"):
            assert measure(spec, given).undefined.tolist() == [True, True]

    @pytest.mark.parametrize("deltas", ["()", "(0.5, 1.5)", "(0.0,)"])
    def test_an_overlap_that_cannot_be_reached_is_refused(self, deltas: str) -> None:
        with pytest.raises(UsageError, match="deltas"):
            measure(f"boxacc(deltas={deltas})", inputs_of(random_maps(1), boxes=self.boxes))


def as_the_release_does(raw: Tensor, truth: list[list[float]], interval: float, *, every: bool) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds and the best IoU at each, step by step as section 1.11 of the metrics' specification describes the code."""
    resized = cv2.resize(raw.numpy(), (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC)
    span = resized.max() - resized.min()
    image = ((resized - resized.min()) / span * 255).astype(np.uint8) if span > 0 else np.zeros(SIZE, np.uint8)
    thresholds, best = np.arange(0, 1, interval), list[float]()
    for threshold in thresholds:
        binary = cv2.threshold(image, int(threshold * image.max()), 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        if len(contours) and not every:
            contours = [max(contours, key=cv2.contourArea)]
        boxes = [(x, y, min(x + w, SIZE[1] - 1), min(y + h, SIZE[0] - 1)) for x, y, w, h in map(cv2.boundingRect, contours)]
        best.append(max(inclusive_iou(box, [int(edge) for edge in own]) for box in boxes or [(0, 0, 0, 0)] for own in truth))
    return thresholds, np.array(best)


def inclusive_iou(a: tuple[int, ...], b: list[int]) -> float:
    """Intersection over union where both ends of a box are pixels of it."""
    both = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1) * max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return both / (sum(areas) - both)


def inside(boxes: list[list[list[float]]]) -> list[list[list[float]]]:
    return [[[max(x0, 0), max(y0, 0), min(x1, SIZE[1]), min(y1, SIZE[0])] for x0, y0, x1, y1 in own] for own in boxes]


class TestRelease:
    @pytest.mark.parametrize(("name", "every", "deltas"), [("maxboxacc", False, (0.5,)), ("maxboxaccv2", True, (0.3, 0.5, 0.7))])
    @pytest.mark.parametrize("cells", [(5, 4), (8, 6)], ids=["5x4", "8x6"])
    def test_the_clovaai_protocol_is_the_released_code(
        self, name: str, every: bool, deltas: tuple[float, ...], cells: tuple[int, int]
    ) -> None:
        raw = torch.rand(12, *cells, generator=torch.Generator().manual_seed(5)) * 7 - 2
        boxes = inside([[[edge + 0.6 for edge in box] for box in own] for own in random_boxes(12, seed=2)])
        found = measure(f"{name}(protocol='clovaai', connectivity=4)", inputs_of(random_maps(12), raw=raw, boxes=boxes))  # not read there
        best = np.array([as_the_release_does(one, own, 0.001, every=every)[1] for one, own in zip(raw, boxes, strict=True)])
        theirs = np.mean([100 * (best >= delta).mean(0).max() for delta in deltas])
        assert table_number(found) == pytest.approx(theirs)
        assert 0 < theirs < 100

    @pytest.mark.parametrize("ends", ["inclusive", "exclusive"])
    def test_true_boxes_are_the_file_s_numbers_however_the_data_set_was_opened(self, tmp_path: Path, ends: str) -> None:
        raw = torch.rand(4, 5, 4, generator=torch.Generator().manual_seed(6))
        stated = [[(4, 10, 19, 30)], [(0, 0, 23, 31)], [(2, 2, 2, 9), (6, 3, 20, 20)], [(8, 12, 23, 31)]]  # of images of twice the size
        for index, own in enumerate(stated):
            put(Image.new("RGB", (2 * SIZE[1], 32)), tmp_path / "val" / FISH / f"{index}.JPEG")
            write(tmp_path / "Annotations" / "CLS-LOC" / "val" / f"{index}.xml", xml([(FISH, box) for box in own]))
        data = imagenet(tmp_path, box_ends=ends, preprocess="keep")
        batch = Batch.of([data[index] for index in range(4)])
        assert batch.file_boxes is not None
        halved = tuple(own.placed(Placement((32, 24), SIZE)) for own in batch.file_boxes)
        given = inputs_of(random_maps(4), raw=raw, file_boxes=halved, boxes=[(own.exclusive() / 2).tolist() for own in halved])
        for name, every, delta in (("maxboxacc", False, "0.5"), ("maxboxaccv2", True, "0.3")):
            curves = measure(f"{name}(protocol='clovaai', thresholds=50)", given).curves[f"iou {delta}"].y
            for one, own, curve in zip(raw, stated, curves, strict=True):
                best = as_the_release_does(one, [[edge / 2 for edge in box] for box in own], 0.02, every=every)[1]
                assert curve.tolist() == (100.0 * (best >= float(delta))).tolist()

    def test_its_curve_at_a_coarser_interval_too(self) -> None:
        raw, boxes = torch.rand(6, 5, 4, generator=torch.Generator().manual_seed(8)), inside(random_boxes())
        found = measure("maxboxacc(protocol='clovaai', thresholds=50)", inputs_of(random_maps(), raw=raw, boxes=boxes))
        for one, own, curve in zip(raw, boxes, found.curves["iou 0.5"].y, strict=True):
            assert curve.tolist() == (100.0 * (as_the_release_does(one, own, 0.02, every=False)[1] >= 0.5)).tolist()

    def test_maps_are_resized_as_opencv_does(self) -> None:
        raw = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1))
        ours = maps_of(inputs_of(random_maps(3), raw=raw), "range", "bicubic")
        theirs = np.stack([cv2.resize(one.numpy(), (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC) for one in raw])
        np.testing.assert_allclose(ours.numpy(), normalise(torch.from_numpy(theirs), "range").numpy(), atol=1e-5)

    def test_bilinear_maps_are_the_finished_ones(self) -> None:
        raw = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1))
        assert torch.equal(maps_of(inputs_of(random_maps(3), raw=raw), "range"), normalise(upsample(raw, SIZE), "range"))

    def test_a_map_that_is_not_finite_counts_as_zero(self) -> None:
        given = inputs_of(random_maps(1), raw=torch.full((1, 5, 4), torch.nan), boxes=[[[2.0, 3.0, 8.0, 9.0]]])
        assert measure("maxboxacc(protocol='clovaai')", given).values.tolist() == [0]


def test_the_table_takes_the_maximum_of_means() -> None:
    for name in ("boxacc", "maxboxacc", "maxboxaccv2"):
        assert {protocol.reduction for protocol in metrics.get(name).protocols} == {"maximum over thresholds"}
