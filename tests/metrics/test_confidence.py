"""Average Drop, Gain and Increase: by hand, by the papers' and Xplique's formulas, and beside torch-cam and grad-cam."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.other_libraries import GivenCams
from helpers.toys import toy_batch, toy_classifier
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor, nn
from torchcam.metrics import ClassificationMetric

from camdbench.core.registries import metrics
from camdbench.datasets.samples import Batch
from camdbench.metrics import confidence
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.confidence import average_drop
from camdbench.models.classifier import Classifier


class Golden(NamedTuple):
    """The probability of the class on an image, on the masked image, and the metric's value, worked out by hand."""

    before: float
    after: float
    value: float


class Row(NamedTuple):
    """One metric: the specs that are checked, and its golden values."""

    specs: tuple[str, ...]
    golden: tuple[Golden, ...]


ROWS = {
    "ad": Row(("ad",), (Golden(0.5, 0.25, 50.0), Golden(0.8, 0.2, 75.0), Golden(0.25, 0.5, 0.0), Golden(0.4, 0.4, 0.0))),
    "ag": Row(("ag",), (Golden(0.5, 0.75, 50.0), Golden(0.2, 0.8, 75.0), Golden(0.5, 0.25, 0.0), Golden(0.4, 0.4, 0.0))),
    "ai": Row(("ai", "ai(tolerance=0.01)"), (Golden(0.5, 0.75, 100.0), Golden(0.5, 0.25, 0.0), Golden(0.4, 0.4, 0.0))),
}
SPECS = [pytest.param(spec, id=spec) for row in ROWS.values() for spec in row.specs]
GOLDEN = [pytest.param(name, case, id=f"{name}-{case.before}-{case.after}") for name, row in ROWS.items() for case in row.golden]

every_spec = pytest.mark.parametrize("spec", SPECS)


@each(("name", "case"), GOLDEN)
def test_the_value_is_the_one_worked_out_by_hand(name: str, case: Golden) -> None:
    assert _score_of_probabilities(name, case.before, case.after) == pytest.approx(case.value, abs=1e-5)


def test_average_increase_counts_what_exceeds_its_tolerance() -> None:
    assert _score_of_probabilities("ai(tolerance=0.2)", 0.5, 0.69) == 0
    assert _score_of_probabilities("ai(tolerance=0.2)", 0.5, 0.71) == 100


def test_the_probabilities_are_read_once_for_all_metrics_that_compare_them(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, batch, rows = toy_classifier(), toy_batch(4), list[int]()
    read = confidence.log_odds
    monkeypatch.setattr(confidence, "log_odds", lambda logits, classes: rows.append(len(logits)) or read(logits, classes))
    alone = [scores(classifier, batch, name) for name in ROWS]
    assert rows == [4] * 6
    rows.clear()
    with classifier.frozen():
        inputs = MetricInputs(classifier, batch.images, batch.labels, some_maps(batch))
        together = [metrics.load(name)(inputs) for name in ROWS]
        assert rows == [4, 4]
        average_drop(inputs, scored_class="predicted")  # of another class
    assert rows == [4] * 4
    assert all(map(torch.equal, alone, together))


@every_spec
class TestEveryMetric:
    def test_gives_one_finite_value_per_image(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        values = scores(classifier, batch, spec)
        assert values.shape == (4,)
        assert values.isfinite().all()

    def test_tells_maps_apart(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        found = {tuple(scores(classifier, batch, spec, some_maps(batch, seed)).tolist()) for seed in range(8)}
        assert len(found) > 1

    def test_a_mask_of_ones_moves_nothing(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        ones = torch.ones(4, *batch.images.shape[-2:])
        assert scores(classifier, batch, spec, ones).tolist() == [0, 0, 0, 0]

    def test_a_mask_of_zeros_is_scored(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        values = scores(classifier, batch, spec, torch.zeros(4, *batch.images.shape[-2:]))
        assert values.isfinite().all()

    def test_an_image_of_one_pixel_is_scored(self, spec: str) -> None:
        classifier = pixel_classifier()
        values = MetricInputs(classifier, torch.rand(1, 3, 1, 1), torch.tensor([1]), torch.full((1, 1, 1), 0.5))
        assert metrics.load(spec.partition("(")[0])(values).isfinite().all()

    def test_a_network_that_gives_nan_has_no_score(self, spec: str) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        network[1].weight.data.fill_(torch.nan)
        classifier = Classifier(network.eval(), mean=0, std=1)
        batch = Batch(("a", "b"), torch.rand(2, 3, 2, 2), torch.tensor([0, 2]))
        assert scores(classifier, batch, spec, torch.full((2, 2, 2), 0.5)).isnan().all()

    @pytest.mark.parametrize("scale", [30.0, 100.0, 1e4], ids="logits of {:g}".format)
    def test_it_is_finite_where_float32_probabilities_are_one_and_zero(self, batch: Batch, spec: str, scale: float) -> None:
        classifier = toy_classifier()
        classifier.network.head[-1].weight.data.mul_(scale)
        for target in range(5):
            labelled = Batch(batch.ids, batch.images, torch.full((4,), target))
            values = scores(classifier, labelled, spec)
            assert values.isfinite().all()
            assert ((values >= 0) & (values <= 100)).all()


def test_the_image_is_masked_in_pixel_space_before_mean_and_std() -> None:
    seen = list[Tensor]()

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.mean((2, 3))

    classifier = Classifier(Spy(), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    images, mask = torch.full((1, 3, 2, 2), 0.6), torch.tensor([[[0.0, 1.0], [0.5, 0.25]]])
    average_drop(MetricInputs(classifier, images, torch.tensor([0]), mask, logits=torch.zeros(1, 3)))
    black, full = [(0 - 0.1) / 0.5, (0 - 0.2) / 0.25, (0 - 0.3) / 0.125], [(0.6 - 0.1) / 0.5, (0.6 - 0.2) / 0.25, (0.6 - 0.3) / 0.125]
    torch.testing.assert_close(seen[-1][0, :, 0, 0], torch.tensor(black))
    torch.testing.assert_close(seen[-1][0, :, 0, 1], torch.tensor(full))
    torch.testing.assert_close(seen[-1][0, 0, 1], torch.tensor([(0.3 - 0.1) / 0.5, (0.15 - 0.1) / 0.5]))


class TestProtocols:
    """On eight images whose explained class is mostly not the predicted one."""

    batch = toy_batch(8)

    def normalised(self, classifier: Classifier) -> Tensor:
        return (self.batch.images - classifier.mean) / classifier.std

    def probabilities(self, classifier: Classifier, images: Tensor) -> Tensor:
        """Of the explained classes, (B,)."""
        with torch.no_grad():
            return classifier(images).double().softmax(1)[range(8), self.batch.labels]

    def test_adcc_is_torchcams_average_drop_and_increase_in_confidence(self) -> None:
        classifier, maps = toy_classifier("dense"), some_maps(self.batch)
        metric = ClassificationMetric(GivenCams(classifier.network, maps), lambda logits: logits.softmax(1))
        metric.update(self.normalised(classifier))  # of the predicted class
        found = {name: scores(classifier, self.batch, f"{name}(protocol=adcc)", maps).mean().item() for name in ("ad", "ai")}
        assert found["ad"] == pytest.approx(100 * metric.summary()["avg_drop"], abs=1e-3)
        assert found["ai"] == 100 * metric.summary()["conf_increase"]
        assert 0 < found["ai"] < 100
        assert (classifier(self.batch.images).argmax(1) != self.batch.labels).any()  # so that the class matters

    def test_in_normalised_space_they_are_grad_cams_with_the_division_that_it_leaves_out(self, classifier: Classifier) -> None:
        maps, inputs = some_maps(self.batch), self.normalised(classifier)
        targets = [ClassifierOutputSoftmaxTarget(int(label)) for label in self.batch.labels]
        fallen, risen = (
            metric()(inputs, maps.numpy()[:, None], targets, classifier.network) for metric in (DropInConfidence, IncreaseInConfidence)
        )
        p = self.probabilities(classifier, self.batch.images).numpy()
        assert scores(classifier, self.batch, "ad(masking='normalised')", maps).numpy() == pytest.approx(100 * fallen / p, abs=1e-2)
        assert scores(classifier, self.batch, "ai(masking='normalised')", maps).tolist() == (100 * risen).tolist()
        assert 0 < np.mean(risen) < 1

    def test_they_are_xpliques_where_the_map_reaches_from_0_to_1(self, classifier: Classifier) -> None:
        """Its maps are brought to that range, its images are in [0, 1], and 1e-8 is added to what it divides by."""
        maps = some_maps(self.batch)
        maps[:, 0, 0], maps[:, 0, 1] = 0, 1
        p, o = (self.probabilities(classifier, images) for images in (self.batch.images, self.batch.images * maps[:, None]))
        expected = {"ad": (p - o).relu() / (p + 1e-8), "ag": (o - p).relu() / (1 - p + 1e-8), "ai": (o > p).double()}
        for name, values in expected.items():
            torch.testing.assert_close(scores(classifier, self.batch, name, maps).double(), 100 * values, rtol=1e-4, atol=1e-4)
        assert (expected["ad"] > 0).any()
        assert (expected["ag"] > 0).any()

    @pytest.mark.parametrize("keep", [0.5, 0.3])
    def test_score_cams_code_blackens_what_lies_below_a_rank(self, classifier: Classifier, keep: float) -> None:
        maps = some_maps(self.batch)
        kept = torch.zeros_like(maps).flatten(1)
        for row, values in zip(kept, maps.flatten(1), strict=True):
            for place in sorted(range(len(values)), key=lambda place: -float(values[place]))[: round(keep * len(values))]:
                row[place] = values[place]
        inputs = self.normalised(classifier) * kept.view_as(maps)[:, None]
        p, o = (self.probabilities(classifier, images) for images in (self.batch.images, classifier.mean + classifier.std * inputs))
        found = scores(classifier, self.batch, f"ad(protocol=scorecam50, keep={keep})", maps)
        torch.testing.assert_close(found.double(), 100 * (p - o).relu() / p, rtol=1e-4, atol=1e-3)
        assert not torch.allclose(found, scores(classifier, self.batch, "ad(masking='normalised')", maps), atol=1.0)

    def test_half_is_kept_unless_another_share_is_given(self, classifier: Classifier) -> None:
        found = [scores(classifier, self.batch, f"ad(protocol=scorecam50{more})") for more in ("", ", keep=0.5")]
        assert torch.equal(*found)

    @pytest.mark.parametrize("protocol", ["opticam", "adcc", "scorecam50"])
    def test_no_image_has_both_a_drop_and_a_gain(self, classifier: Classifier, protocol: str) -> None:
        drop, gain = (scores(classifier, self.batch, f"{name}(protocol={protocol})") for name in ("ad", "ag"))
        assert (drop * gain).tolist() == [0] * 8
        assert (drop + gain > 0).all()


def scores(classifier: Classifier, batch: Batch, spec: str, maps: Tensor | None = None) -> Tensor:
    """One metric on one batch, as a run scores it."""
    checked = metrics.parse_one(spec)
    with classifier.frozen():
        metric_inputs = MetricInputs(classifier, batch.images, batch.labels, some_maps(batch) if maps is None else maps)
        return metrics.load(checked.name)(metric_inputs, **metrics.get(checked.name).arguments(checked))


def some_maps(batch: Batch, seed: int = 3) -> Tensor:
    """Maps (B, H, W) in [0, 1] that depend on the position in the batch and on the seed alone."""
    return torch.rand(len(batch), *batch.images.shape[-2:], generator=torch.Generator().manual_seed(seed))


class _Pixels(nn.Module):
    """Its logits are the first channels of the first pixel, stretched so that every probability can be reached."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :2, 0, 0] * 10


def pixel_classifier() -> Classifier:
    """A network of two classes without weights."""
    return Classifier(_Pixels(), mean=0, std=1)


def _score_of_probabilities(spec: str, before: float, after: float) -> float:
    """The metric on an image whose class has probability `before`, masked so that it has `after`."""
    checked = metrics.parse_one(spec)
    logits = torch.tensor([[math.log(before / (1 - before)), 0.0]], dtype=torch.float64)
    metric_inputs = MetricInputs(pixel_classifier(), torch.zeros(1, 3, 1, 1), torch.tensor([0]), torch.ones(1, 1, 1), logits=logits)
    metric_inputs.cached(
        ("masked logits", "pixels", 1.0), lambda: torch.tensor([[math.log(after / (1 - after)), 0.0]], dtype=torch.float64)
    )
    return metrics.load(checked.name)(metric_inputs, **metrics.get(checked.name).arguments(checked)).item()
