"""Infidelity: against Captum's, given the same perturbations, and a loop over samples."""

from __future__ import annotations

import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from helpers.each import each
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.registries import metrics
from camdbench.functional.infidelity import squares
from camdbench.functional.normalise import upsample
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.pass_counts import PassCounts

CLASSIFIER = toy_classifier("dense")
BATCH = toy_batch()
RAW = torch.randn(4, 8, 6, generator=torch.Generator().manual_seed(3))
SAMPLES, SIDES = 12, (2, 5)


def inputs_of(raw: Tensor | None = RAW, saliency: Tensor | None = None) -> MetricInputs:
    """The metric_inputs of a run; the normalised map is another one than the raw map, so that they cannot be mistaken."""
    maps = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(4)) if saliency is None else saliency
    return MetricInputs(CLASSIFIER, BATCH.images, BATCH.labels, maps, raw=raw, ids=BATCH.ids, seed=5)


def measured(options: str, metric_inputs: MetricInputs | None = None) -> MetricResult:
    """One metric as a run calls it."""
    checked = metrics.parse_one(f"infidelity({options})")
    with CLASSIFIER.frozen():
        return metrics.load(checked.name)(metric_inputs or inputs_of(), **metrics.get(checked.name).arguments(checked))


def covered(index: int, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Samples (N, 3, H, W) of one image, each with one square covered, and which pixels it covers (N, H, W)."""
    drawn = squares(generator_for(5, BATCH.ids[index], "infidelity"), SAMPLES, SIDES, SIZE)
    images, where = BATCH.images[index].repeat(SAMPLES, 1, 1, 1), torch.zeros(SAMPLES, *SIZE, dtype=torch.bool)
    for sample, (top, left, side) in enumerate(drawn.tolist()):
        images[sample, :, top : top + side, left : left + side] = fill
        where[sample, top : top + side, left : left + side] = True
    return images, where


@pytest.mark.parametrize("beta", [True, False])
def test_it_is_captums_in_pixel_space(beta: bool) -> None:
    found = measured(f"samples={SAMPLES}, blocks={SIDES}, scaled=False, beta={beta}").values
    phi = upsample(RAW, SIZE)[:, None].expand(-1, 3, -1, -1)
    for index in range(4):

        def perturb(inputs: Tensor, index: int = index) -> tuple[Tensor, Tensor]:
            images, _ = covered(index, torch.zeros(3, 1, 1))
            return inputs - images, images

        label = int(BATCH.labels[index])
        with torch.no_grad():
            expected = captum_infidelity(
                CLASSIFIER,
                perturb,
                BATCH.images[index : index + 1],
                phi[index : index + 1],
                target=label,
                n_perturb_samples=SAMPLES,
                normalize=beta,
            )
        assert found[index].item() == pytest.approx(expected.item(), rel=1e-4)


@each("kind", ["difference", "indicator"])
@each("score", ["logit", "probability"])
@each("masking", ["pixels", "normalised"])
def test_every_sample_is_one_of_the_papers_terms(masking: str, score: str, kind: str) -> None:
    found = measured(
        f"samples={SAMPLES}, blocks={SIDES}, scaled=False, beta=False, masking={masking!r}, scored_output={score!r}, perturbation={kind!r}"
    ).values
    phi = upsample(RAW, SIZE).double()
    for index in range(4):
        fill = CLASSIFIER.mean[0] if masking == "normalised" else torch.zeros(3, 1, 1)
        images, where = covered(index, fill)
        with torch.no_grad():
            logits = CLASSIFIER(torch.cat([BATCH.images[index : index + 1], images])).double()
        f = (logits if score == "logit" else logits.softmax(1))[:, BATCH.labels[index]]
        terms = []
        for sample in range(SAMPLES):
            change = BATCH.images[index] - images[sample]
            if masking == "normalised":
                change = change / CLASSIFIER.std[0]
            told = (where[sample] * phi[index]).sum() if kind == "indicator" else (change.double() * phi[index]).sum()
            terms.append((told - (f[0] - f[1 + sample])) ** 2)
        assert found[index].item() == pytest.approx(float(sum(terms) / SAMPLES), rel=1e-4)


def test_a_map_that_is_the_change_itself_has_none() -> None:
    """Of a network that is a sum over pixels, the map of that sum is a perfect prediction."""
    from torch import nn

    from camdbench.models.classifier import Classifier

    weights = torch.randn(*SIZE, generator=torch.Generator().manual_seed(0))

    class Sum(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([(images * weights).sum((1, 2, 3)), images.new_zeros(len(images))], 1)

    batch = toy_batch(2)
    right, wrong = (
        MetricInputs(Classifier(Sum(), mean=0, std=1), batch.images, torch.zeros(2, dtype=torch.int64), torch.rand(2, *SIZE), raw=raw)
        for raw in (3 * weights.expand(2, -1, -1), torch.rand(2, *SIZE))
    )
    assert measured("", right).values.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert (measured("", wrong).values > 0.01).all()


def test_the_scale_of_the_map_does_not_matter_with_beta_and_does_without() -> None:
    for beta, same in ((True, True), (False, False)):
        one, other = (measured(f"beta={beta}", inputs_of(scale * RAW)).values for scale in (1, 10))
        assert torch.allclose(one, other, rtol=1e-4) == same


def test_sides_shrink_with_the_image_unless_told_otherwise() -> None:
    half = tuple(round(side * 12 / 224) for side in (16, 32, 56))
    assert measured("").values.tolist() == measured(f"blocks={half}, scaled=False").values.tolist()


def test_samples_cost_one_pass_each() -> None:
    metric_inputs = inputs_of()
    metric_inputs.logits  # noqa: B018 - made before
    CLASSIFIER.passes = PassCounts()
    measured(f"samples={SAMPLES}", metric_inputs)
    measured(f"samples={SAMPLES}, beta=False", metric_inputs)
    assert CLASSIFIER.passes == PassCounts(forward=4 * SAMPLES)


def test_a_map_of_zeros_tells_nothing() -> None:
    raw = RAW.clone()
    raw[2] = 0
    found = measured("", inputs_of(raw))
    assert found.undefined.tolist() == found.values.isnan().tolist() == [False, False, True, False]
    assert not measured("beta=False", inputs_of(raw)).undefined.any()


def test_normalised_maps_serve_where_the_raw_one_is_not_known_and_on_request() -> None:
    with pytest.raises(NotApplicable, match="maps='default'"):
        measured("", inputs_of(None))
    saliency = torch.rand(4, *SIZE)
    assert torch.equal(measured("maps='default'", inputs_of(RAW, saliency)).values, measured("", inputs_of(saliency)).values)


def test_no_block_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one side"):
        measured("blocks=()")
