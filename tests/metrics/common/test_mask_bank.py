"""The mask bank: one for all explainers and metrics, and scores as those of images built pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.metric_inputs import inputs_of, measure
from helpers.network_hooks import images_counted
from helpers.toys import SIZE, Toy, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainers, metrics
from camdbench.datasets.samples import Batch
from camdbench.functional.cell_grid import random_subsets
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.mask_bank import Readout, Subsets, cell_map, map_sums, subset_masks, subset_scores
from camdbench.runner.scoring import score_batch

CAMS = "gradcam,hirescam,layercam,xgradcam"
N, MU, NON = "sensitivity_n(cells=4, sizes=3, samples=6)", "mufidelity(cells=4, share=0.25, samples=6)", "non_sensitivity(cells=4)"


def images_of(count: int, asked: str, batch: Batch) -> int:
    """Images that pass through the network when the first CAMs are scored."""
    classifier = toy_classifier()
    with torch.inference_mode(mode=False), classifier.frozen(), images_counted(Toy) as seen:
        list(score_batch(classifier, batch, explainers.parse(CAMS)[:count], metrics.parse(asked), target="label", seed=0))
    return seen.images


@each(("asked", "bank"), [(N, 3 * 6), (MU, 6), (NON, 16), (f"{N},{NON}", 3 * 6 + 16), (f"{N},{MU},{NON}", 3 * 6 + 16)])
def test_one_two_and_four_cams_cost_one_bank(asked: str, bank: int) -> None:
    """Subsets of 4 of 16 cells are among those of Sensitivity-n, so that MuFidelity with this share adds none."""
    batch = toy_batch(2)
    assert {count: images_of(count, asked, batch) for count in (1, 2, 4)} == dict.fromkeys((1, 2, 4), 2 * (1 + bank))


def test_other_classes_and_outputs_read_the_same_bank() -> None:
    readouts = [(name, output) for name in ("target", "predicted") for output in ("logit", "probability", "objective")]
    asked = ",".join(f"{N[:-1]}, scored_class={name!r}, scored_output={output!r})" for name, output in readouts)
    assert images_of(2, asked, toy_batch(2)) == 2 * (1 + 3 * 6)


@pytest.mark.parametrize("masking", ["pixels", "normalised"])
def test_scores_are_those_of_images_built_pixel_by_pixel(masking: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch(3)
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch, seed=7)
        found = {
            (name, output): subset_scores(inputs, Subsets(3, 2, 5), Readout(masking, name, output))
            for name in ("target", "predicted")
            for output in ("logit", "probability")
        }
        fill = classifier.mean[0] if masking == "normalised" else torch.zeros(3, 1, 1)
        for index, name in enumerate(batch.ids):
            subsets = random_subsets(generator_for(7, name, "subsets of 2 of 3 x 3 cells"), 9, 2, 5)
            with torch.no_grad():
                logits = classifier(torch.stack([without(batch.images[index], own, 3, fill) for own in subsets])).double()
            for chosen, label in (("target", batch.labels[index]), ("predicted", inputs.logits[index].argmax())):
                torch.testing.assert_close(found[chosen, "logit"][index], logits[:, label], rtol=1e-5, atol=1e-6)
                torch.testing.assert_close(found[chosen, "probability"][index], logits.softmax(1)[:, label], rtol=1e-4, atol=1e-6)


def test_the_objective_is_read_of_the_same_bank() -> None:
    """By default it is the logit of the explained class."""
    classifier, batch, subsets = toy_classifier("dense"), toy_batch(3), Subsets(3, 2, 5)
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch)
        found, logits = (subset_scores(inputs, subsets, Readout("pixels", "target", output)) for output in ("objective", "logit"))
        assert torch.equal(found, logits)
        maps, explained = torch.rand(3, *SIZE), lambda logits, rows: logits.sum(1) + rows
        own = MetricInputs(classifier, batch.images, batch.labels, maps, ids=batch.ids, explained=explained)
        sums, removed = subset_scores(own, subsets, Readout("pixels", "target", "objective")), subset_masks(own, subsets)
        for image in range(3):
            altered = torch.stack([without(batch.images[image], removed[image, place], 3, torch.zeros(3, 1, 1)) for place in range(5)])
            with torch.no_grad():
                torch.testing.assert_close(sums[image], classifier(altered).double().sum(1) + image, rtol=1e-4, atol=1e-5)


def without(image: Tensor, removed: Tensor, count: int, fill: Tensor) -> Tensor:
    """An image without some cells."""
    changed = image.clone()
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            if removed[row * count // SIZE[0] * count + column * count // SIZE[1]]:
                changed[:, row, column] = fill[:, 0, 0]
    return changed


def test_sums_of_the_map_are_those_over_the_removed_pixels() -> None:
    classifier, batch = toy_classifier(), toy_batch(2)
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch, "saliency(channels='sum')")
        subsets = Subsets(4, 3, 5)
        removed, sums = subset_masks(inputs, subsets), map_sums(inputs, subsets, "raw")
        for image in range(2):
            for sample in range(5):
                gone = without(torch.ones(1, *SIZE), removed[image, sample], 4, torch.zeros(1, 1, 1))[0] == 0
                assert sums[image, sample].item() == pytest.approx(inputs.raw[image][gone].double().sum().item(), rel=1e-4, abs=1e-6)
        assert torch.equal(subset_masks(inputs, Subsets(2)), torch.eye(4, dtype=torch.bool).expand(2, -1, -1))
        assert cell_map(inputs, 2, "default").sum(1).tolist() == pytest.approx(inputs.saliency.double().sum((1, 2)).tolist())


def test_subsets_depend_on_seed_and_image_alone() -> None:
    classifier, batch = toy_classifier(), toy_batch(3)
    with torch.inference_mode(mode=False), classifier.frozen():
        drawn, alone, other = (
            subset_masks(inputs_of(classifier, part, seed=seed), Subsets(4, 3, 5))
            for part, seed in ((batch, 0), (batch.part(1, 2), 0), (batch, 1))
        )
    assert torch.equal(drawn[1:2], alone)
    assert not torch.equal(drawn, other)
    assert not torch.equal(drawn[0], drawn[1])


def test_an_unknown_raw_map_is_no_error_of_the_metric() -> None:
    classifier, batch = toy_classifier(), toy_batch(2)
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch)
        inputs.raw = None
        with pytest.raises(NotApplicable, match="maps='default'"):
            measure(inputs, MU)
        assert measure(inputs, f"{MU[:-1]}, maps='default')").values.isfinite().all()
