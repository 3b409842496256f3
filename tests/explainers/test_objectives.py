"""Every explainer explains the same objective: a function equal to the default, a positive factor, and refusals by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from contracts.test_explainers import ROWS
from helpers.each import each
from helpers.toys import CLASSES, size_of, toy_batch, toy_classifier
from PIL import Image
from torch import Tensor, nn

import camdbench
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.objective_names import parse_objective, scored_objective
from camdbench.core.registries import explainers
from camdbench.explainers.common.explained_network import Explained
from camdbench.explainers.common.given_pictures import read_pictures
from camdbench.explainers.common.objective_fit import check_fit, why_not
from camdbench.explainers.common.own_objectives import check_objective, code_of_objective, read_objective
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.scored_objectives import classifier_of
from camdbench.explainers.common.trace import Trace
from camdbench.functional.objectives import LOGIT, Objective
from camdbench.models.classifier import Classifier
from camdbench.models.scored_outputs import with_region, with_similarity

# Their paper scores the probability: a function is scored itself, so it is compared with the option that scores the logit.
OF_LOGITS = {
    "lime": 'lime(samples=30, segments="grid", cells=3, compat="captum")',
    "occlusion": 'occlusion(score="logit")',
    "rise": 'rise(masks=40, cells=4, score="logit")',
}
ONE_BY_ONE = 2e-6  # Captum explains another objective image by image, and rounding depends on the size of a batch
CASES = [(name, row.toys[0]) for name, row in ROWS.items()]


def named(text: str) -> Objective:
    return Objective(text, parse_objective(text))


def raw(spec: str, toy: str, objective: Objective = LOGIT, **more: Any) -> Tensor:
    classifier, batch = toy_classifier(toy), toy_batch(3, size=size_of(toy))
    with classifier.frozen():
        return saliency(Trace(classifier, batch, objective=objective, **more), explainers.parse_one(spec)).raw


def labels(toy: str) -> list[int]:
    return toy_batch(3, size=size_of(toy)).labels.tolist()


def own_logits(toy: str, factor: float = 1.0) -> Objective:
    """The logit of each image's own class, as functions."""
    return Objective("mine", None, tuple((lambda z, y=label: factor * z[y]) for label in labels(toy)))


@each(("name", "toy"), CASES)
def test_a_function_equal_to_the_logit_gives_the_maps_of_the_default(name: str, toy: str):
    spec = OF_LOGITS.get(name, ROWS[name].specs[0])
    if explainers.get(name).facts.objective == "logit":
        with pytest.raises(
            NotApplicable, match=f"^{name} explains the logit of the class by its definition, not mine; use objective logit$"
        ):
            raw(spec, toy, own_logits(toy))
        return
    found, expected = raw(spec, toy, own_logits(toy)), raw(spec, toy)
    if name.startswith("captum:"):
        torch.testing.assert_close(found, expected, rtol=ONE_BY_ONE, atol=ONE_BY_ONE)
    else:
        assert torch.equal(found, expected)


def test_a_batch_of_one_gives_captums_maps_to_the_bit():
    classifier, batch = toy_classifier(), toy_batch(1)
    mine = Objective("mine", None, (lambda z: z[2],))
    with classifier.frozen():
        for name in ("captum:Saliency", "captum:GuidedGradCam", "captum:LayerGradCam", "captum:DeepLift"):
            found, expected = (
                saliency(Trace(classifier, batch, target=2, objective=own), explainers.parse_one(name)).raw for own in (mine, LOGIT)
            )
            assert torch.equal(found, expected), name


@each("name", ["gradcam", "hirescam", "layercam", "cam", "saliency", "integratedgradients(steps=3)", "occlusion", "kernelshap"])
def test_a_positive_factor_leaves_normalised_maps_unchanged(name: str):
    classifier, batch = toy_classifier(), toy_batch(3)
    with classifier.frozen():
        one, three = (
            saliency(Trace(classifier, batch, objective=own_logits("gap", factor)), explainers.parse_one(name)).maps
            for factor in (1.0, 4.0)
        )
    torch.testing.assert_close(one, three, rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", ["rise(masks=40, cells=4)", "occlusion", 'lime(samples=30, segments="grid", cells=3)'])
def test_explainers_of_probabilities_are_those_of_the_objective(spec: str):
    assert torch.equal(raw(spec, "dense", named("probability")), raw(spec, "dense"))


def numeric_gradient(classifier: Classifier, images: Tensor, value: Any, step: float = 1e-4) -> Tensor:
    """Central differences of a value (N,) of logits at some pixels of each image, (N, 6)."""
    found = list[Tensor]()
    for place in range(6):
        moved = torch.zeros_like(images)
        moved[:, place % 3, 2 * place, place] = step
        with torch.no_grad():
            found.append((value(classifier(images + moved)) - value(classifier(images - moved))) / (2 * step))
    return torch.stack(found, 1)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("text", ["probability", "log_odds", "margin(second)", "margin(1)", "sum", "sum(0, 3)", "rest"])
def test_gradients_are_those_of_the_objective_by_differences(text: str):
    classifier, batch = toy_classifier("dense"), toy_batch(3)
    y = batch.labels[:, None]

    def value(logits: Tensor) -> Tensor:
        own, p = logits.gather(1, y)[:, 0], logits.softmax(1).gather(1, y)[:, 0]
        rival = clean.scatter(1, y, -torch.inf).argmax(1)[:, None]
        return {
            "probability": p,
            "log_odds": p.log() - (1 - p).log(),
            "margin(second)": own - logits.gather(1, rival)[:, 0],
            "margin(1)": own - logits[:, 1],
            "sum": logits.sum(1),
            "sum(0, 3)": logits[:, 0] + logits[:, 3],
            "rest": own + p.log(),
        }[text]

    with classifier.frozen():
        trace = Trace(classifier, batch, objective=named(text))
        clean = trace.logits
        places = [(place % 3, 2 * place, place) for place in range(6)]
        found = torch.stack([trace.pixel_gradients[:, c, row, column] for c, row, column in places], 1)
        expected = numeric_gradient(classifier, trace.images, value)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("float64")
def test_shortcuts_of_linear_heads_combine_the_weights_of_classes():
    classifier, batch = toy_classifier(), toy_batch(3)
    weight, y = classifier.network.head[-1].weight.detach(), batch.labels
    for text, weights in (
        ("margin(1)", weight[y] - weight[1]),
        ("sum", weight.sum(0).expand(3, -1)),
        ("sum(0, 2)", (weight[0] + weight[2]).expand(3, -1)),
    ):
        with classifier.frozen():
            trace = Trace(classifier, batch, objective=named(text))
            activations = trace.activations
            maps = {
                spec: saliency(trace, explainers.parse_one(spec)).raw for spec in ("cam", "gradcam(relu=False)", "ablationcam(relu=False)")
            }
        expected = (weights[:, :, None, None] * activations).sum(1)
        torch.testing.assert_close(maps["cam"], expected)
        torch.testing.assert_close(maps["gradcam(relu=False)"], expected / activations[0, 0].numel())
        value = (weights * activations.mean((2, 3))).sum(1) + _bias(classifier, text, y)
        losses = weights * activations.mean((2, 3)) / torch.where(value != 0, value.abs(), 1)[:, None]  # 0 of a class against itself
        torch.testing.assert_close(maps["ablationcam(relu=False)"], (losses[:, :, None, None] * activations).sum(1))


def _bias(classifier: Classifier, text: str, y: Tensor) -> Tensor:
    bias = classifier.network.head[-1].bias.detach()
    return {"margin(1)": bias[y] - bias[1], "sum": bias.sum(), "sum(0, 2)": bias[0] + bias[2]}[text]


@pytest.mark.usefixtures("float64")
def test_ablation_of_an_objective_that_is_not_linear_replays_the_head():
    classifier, batch = toy_classifier(), toy_batch(2)
    with classifier.frozen():
        trace = Trace(classifier, batch, objective=named("log_odds"))
        found, activations = saliency(trace, explainers.parse_one("ablationcam(relu=False)")).raw, trace.activations
        weights = list[Tensor]()
        for channel in range(activations.shape[1]):
            off = activations.clone()
            off[:, channel] = 0
            with torch.no_grad():
                weights.append(
                    _odds(classifier.network.head(activations), batch.labels) - _odds(classifier.network.head(off), batch.labels)
                )
        losses = torch.stack(weights, 1) / _odds(trace.logits, batch.labels).abs()[:, None]
    torch.testing.assert_close(found, (losses[:, :, None, None] * activations).sum(1))


def _odds(logits: Tensor, y: Tensor) -> Tensor:
    p = logits.softmax(1).gather(1, y[:, None])[:, 0]
    return (p / (1 - p)).log()


@pytest.mark.usefixtures("float64")
def test_curvature_of_an_objective_that_bends_is_not_zero_on_a_linear_head():
    """H A of log-odds behind mean(A) W' + b is W' H_z W mean(A) over the number of places."""
    classifier, batch = toy_classifier(), toy_batch(2)
    with classifier.frozen():
        trace = Trace(classifier, batch, objective=named("rest"))
        found, activations, logits = trace.curvature, trace.activations, trace.logits
        assert torch.equal(Trace(classifier, batch, objective=named("margin(0)")).curvature, torch.zeros_like(found))
    head, p = classifier.network.head[-1].weight.detach(), logits.softmax(1)
    hessian = -(torch.diag_embed(p) - p[:, :, None] * p[:, None, :])  # of log p_y
    moved = activations.mean((2, 3)) @ head.T
    expected = torch.einsum("bc,ck->bk", torch.einsum("bcd,bd->bc", hessian, moved), head) / activations[0, 0].numel()
    torch.testing.assert_close(found, expected[:, :, None, None].expand_as(found))


def test_the_rival_is_chosen_on_the_image_as_it_is():
    """Altered copies keep it, as they keep the class, also in wrappers and searches in float64."""
    classifier, batch = toy_classifier("dense"), toy_batch(3)
    with classifier.frozen():
        trace = Trace(classifier, batch, objective=named("margin(second)"))
        rivals = trace.logits.scatter(1, batch.labels[:, None], -torch.inf).argmax(1)
        for spec in ("opticam(iterations=3)", "augsmooth(gradcam)", "rise(masks=30, cells=3)", "smoothgrad(samples=3)", "gradcampp"):
            found = saliency(trace, explainers.parse_one(spec)).raw
            fixed = [
                Objective(
                    "fixed",
                    None,
                    tuple((lambda z, y=y, k=k: z[y] - z[k]) for y, k in zip(batch.labels.tolist(), rivals.tolist(), strict=True)),
                )
            ]
            expected = saliency(Trace(classifier, batch, objective=fixed[0]), explainers.parse_one(spec)).raw
            torch.testing.assert_close(found, expected, msg=spec)


def test_objectives_do_not_depend_on_the_batch():
    for text in ("log_odds", "margin(second)", "rest"):
        for spec in ("gradcam", "scorecam", "kernelshap(samples=30)", "captum:IntegratedGradients(n_steps=4)", "opticam(iterations=3)"):
            classifier, batch = toy_classifier(), toy_batch(3)
            with classifier.frozen():
                parse = explainers.parse_one(spec)
                whole = saliency(Trace(classifier, batch, objective=named(text)), parse).maps
                alone = [saliency(Trace(classifier, batch.part(i, i + 1), objective=named(text)), parse).maps for i in range(3)]
            torch.testing.assert_close(torch.cat(alone), whole, rtol=0, atol=2e-4)


def test_costs_are_those_of_the_logit():
    for spec in ("gradcam", "saliency", "rise(masks=20)", "opticam(iterations=3)", "integratedgradients(steps=4)", "cam"):
        counts = list[Any]()
        for objective in (LOGIT, named("margin(second)")):
            classifier, batch = toy_classifier(), toy_batch(2)
            with classifier.frozen():
                saliency(Trace(classifier, batch, objective=objective), explainers.parse_one(spec))
            counts.append(classifier.passes)
        assert counts[0] == counts[1], spec


def test_refusals_name_explainer_objective_and_fix():
    spec = explainers.parse_one("power(cam)")
    with pytest.raises(
        UsageError, match=r"^--objective = log_odds: cam needs an objective linear in the logits, which log_odds is not; use gradcam"
    ):
        check_fit(spec, named("log_odds"), linear=False)
    check_fit(spec, named("margin(1)"), linear=True)
    assert why_not(explainers.parse_one("tibav"), named("margin(1)"), linear=True).startswith("tibav explains the logit")
    assert why_not(explainers.parse_one("tibav"), LOGIT, linear=True) == ""
    with pytest.raises(NotApplicable, match="contrasts logits, not log_odds; use reward='simple'"):
        raw('extremal(max_iter=2, reward="contrastive")', "gap", named("log_odds"))


def test_a_library_gets_the_score_of_one_image():
    classifier, batch = toy_classifier(), toy_batch(2)
    with classifier.frozen():
        trace = Trace(classifier, batch, objective=named("log_odds"))
        network = Explained(trace)
        network.index = 1
        found = network(batch.images[1:].expand(3, -1, -1, -1))
        torch.testing.assert_close(found, trace.explained_scores[1].expand(3), rtol=1e-5, atol=1e-5)


def test_explain_takes_names_functions_and_one_function_per_image():
    classifier, batch = toy_classifier(), toy_batch(3)
    ways = ("margin(2)", lambda z: z[0] - z[2], {"mine": lambda z: z[0] - z[2]}, [lambda z: z[0] - z[2]] * 3)
    found = [camdbench.explain(classifier, batch.images, "gradcam", targets=0, objective=way, batch_size=2).raw for way in ways]
    assert all(torch.equal(found[0], other) for other in found[1:])
    for given, message in (
        ("logits", "no objective 'logits'; did you mean 'logit'"),
        (f"margin({CLASSES})", f"the model has classes 0 to {CLASSES - 1}"),
        ([lambda z: z[0]] * 2, "2 functions for 3 images; give one function, or one for each image"),
        ({"logit": lambda z: z[0]}, "objective logit: a name of camdbench"),
        (7, "objective: int; give one name, or one function"),
        ({"mine": lambda z: z[0].detach()}, "--objective = mine: gradcam needs its gradient, and there is none"),
    ):
        with pytest.raises(UsageError, match=message):
            camdbench.explain(classifier, batch.images, "gradcam", objective=given)


def test_own_explainers_of_another_form_explain_the_logit_alone():
    classifier, batch = toy_classifier(), toy_batch(2)

    def of_trace(trace: Trace) -> Tensor:
        return trace.gradients.sum(1)

    def of_classifier(classifier: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return images[:, 0]

    found, expected = (camdbench.explain(classifier, batch.images, of_trace, objective=own, targets=0).raw for own in ("margin(1)", _minus))
    assert torch.equal(found, expected)
    with pytest.raises(UsageError, match="of_classifier explains the logit of the class by its definition"):
        camdbench.explain(classifier, batch.images, of_classifier, objective="margin(1)")


def test_grad_cams_targets_are_the_objective():
    pgc = pytest.importorskip("pytorch_grad_cam")
    classifier, batch = toy_classifier(), toy_batch(2)
    theirs = camdbench.explain(classifier, batch.images, pgc.HiResCAM, objective="log_odds", targets=1).maps
    ours = camdbench.explain(classifier, batch.images, "hirescam", objective="log_odds", targets=1).maps
    assert torch.corrcoef(torch.stack([theirs.flatten(), ours.flatten()]))[0, 1] > 0.99


def test_the_hash_of_a_function_follows_its_code_and_what_it_closes_over():
    def of_class(k: int) -> Objective:
        return read_objective({"mine": lambda z: z[k]})[0]

    assert code_of_objective(of_class(1)) == code_of_objective(of_class(1)) != code_of_objective(of_class(2))
    assert check_objective(of_class(1), 3) == (True, True)
    assert check_objective(named("rest"), 3) == (False, True)
    assert check_objective(read_objective({"mine": lambda z: z[0].detach()})[0], 3) == (False, False)


def _minus(z: Tensor) -> Tensor:
    return z[0] - z[1]


class Segmenter(nn.Module):
    """A convolution, a ReLU and a 1 x 1 convolution to 4 classes, on half the grid of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 2, stride=2)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(6, 4, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.relu(self.conv(images)))}


@pytest.fixture
def segmenter() -> Classifier:
    torch.manual_seed(0)
    return Classifier(Segmenter().eval(), layer="relu", mean=0.5, std=0.5, input_size=16)


def save_mask(path: Path) -> Tensor:
    mask = torch.zeros(16, 16)
    mask[2:8, 4:12] = 1
    Image.fromarray((255 * mask).byte().numpy()).save(path)
    return mask.bool()


def test_a_region_is_the_sum_of_its_class_scores(tmp_path: Path, segmenter: Classifier):
    mask, images = save_mask(tmp_path / "m.png"), torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    found = camdbench.explain(segmenter, images, "saliency,gradcam,occlusion,ablationcam", objective=f"region(2, {tmp_path / 'm.png'})")
    assert not found.refused
    scores = segmenter.network(segmenter.normalised(images))["out"].detach()
    expected = (scores * F.avg_pool2d(mask[None, None].float(), 2)).sum((2, 3))
    torch.testing.assert_close(found["saliency"].logits, expected)
    assert found["saliency"].targets.tolist() == [2, 2]
    assert found["saliency"].raw.ne(0).any(0).nonzero().min(0).values.tolist() == [2, 4]  # stride and kernel 2: no pixel outside
    assert not found["saliency"].raw[:, ~mask].any()
    assert all(status == ("ok", "ok") for status in (own.status for own in found.values()))


def test_what_is_no_region_is_refused(tmp_path: Path, segmenter: Classifier):
    images = torch.rand(1, 3, 16, 16)
    save_mask(tmp_path / "m.png")
    torch.save(0, tmp_path / "m.npy")
    cases = [
        (segmenter, f"region(9, {tmp_path / 'm.png'})", "class 9, but the model has classes 0 to 3|class 9; the model has"),
        (segmenter, "region(1, nowhere.png)", "no such file nowhere.png"),
        (segmenter, f"region(1, {tmp_path / 'm.npy'})", "m.npy"),
        (toy_classifier(), f"region(1, {tmp_path / 'm.png'})", r"must return \(B, C, h, w\) of at least two classes; it returned \(1, 5\)"),
        (segmenter, "logit", r"the network must return logits \(B, C\).*; of a segmentation network explain --objective region"),
        (segmenter, f"similarity({tmp_path / 'm.png'})", "cannot find the classification layer"),
    ]
    for model, objective, message in cases:
        with pytest.raises(UsageError, match=message) as caught:
            camdbench.explain(model, toy_batch(1).images if model is not segmenter else images, "saliency", objective=objective)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="states what is explained; omit targets"):
        camdbench.explain(segmenter, images, "saliency", objective=f"region(1, {tmp_path / 'm.png'})", targets=1)
    with pytest.raises(UsageError, match="the mask has shape"):
        with_region(segmenter, torch.zeros(4, 4))


class WithHead(nn.Module):
    """Features of 8 values, and a classification layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv(images)).mean((2, 3)))


@pytest.mark.usefixtures("float64")
def test_similarity_is_the_cosine_of_the_input_of_the_last_layer(tmp_path: Path):
    torch.manual_seed(0)
    classifier = Classifier(WithHead().eval(), layer="relu", mean=0.5, std=0.5, input_size=16)
    images = torch.rand(3, 3, 16, 16)
    seen = list[Tensor]()
    handle = classifier.network.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    leaf = images.clone().requires_grad_()
    classifier(leaf)
    handle.remove()
    cosine = F.cosine_similarity(seen[0], seen[0][:1].detach(), dim=1)
    (expected,) = torch.autograd.grad(cosine.sum(), leaf)
    similar = with_similarity(classifier, images[0])
    found = camdbench.explain(similar, images, 'saliency(channels="sum")', targets=1)
    torch.testing.assert_close(found.logits, torch.stack([torch.zeros(3), cosine.detach()], 1))
    torch.testing.assert_close(found.raw, expected.sum(1))
    assert classifier(images).shape == (3, 5)  # the model is left as it was
    Image.fromarray((255 * images[1]).byte().permute(1, 2, 0).numpy()).save(tmp_path / "r.png")
    objective = scored_objective(f"similarity({tmp_path / 'r.png'})")
    assert objective is not None
    other, index = classifier_of(classifier, objective)
    assert index == 1
    pixels, _ = read_pictures(str(tmp_path / "r.png"), classifier, None, None)
    both = torch.cat([images, pixels.to(images)])
    features = classifier.network.relu(classifier.network.conv(classifier.normalised(both))).mean((2, 3))
    torch.testing.assert_close(other(images)[:, 1], F.cosine_similarity(features[:3], features[3:], dim=1))
    named_so = camdbench.explain(classifier, images, 'saliency(channels="sum")', objective=str(objective))
    torch.testing.assert_close(named_so.raw, camdbench.explain(other, images, 'saliency(channels="sum")', targets=1).raw)
