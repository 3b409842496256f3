"""What every explainer promises, checked for every registered one; an exception is named, with its reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from helpers.each import subcase
from helpers.toys import maps_of, reordered, size_of, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.registries import explainers, needs_of
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.explain import explain
from camdbench.explainers.common.saliency import Saliency
from camdbench.models.classifier import Classifier


class Row(NamedTuple):
    """One explainer.

    Attributes:
        specs: the specs that are checked, the plain name first.
        sees_class: whether its map depends on the explained class.
        sees_image: whether its map depends on the pixels.
        draws: whether its map depends on the seed, whatever the options.
        toys: the small networks that it is checked on: `gap`, `dense`, `vit`; those that it has a meaning on.
    """

    specs: tuple[str, ...]
    sees_class: bool = True
    sees_image: bool = True
    draws: bool = False
    toys: tuple[str, ...] = ("gap", "dense")


# A new explainer is one row here. `sees_class=False` and `sees_image=False` are for controls, which look at neither on purpose.
ROWS = {
    "ablationcam": Row(("ablationcam", "ablationcam(relu=False)"), toys=("gap", "dense", "vit")),
    "attnlrp": Row(("attnlrp", 'attnlrp(gamma_linear=0, at="tokens")'), toys=("vit",)),
    "augsmooth": Row(("augsmooth(gradcam)", "augsmooth(inside_box(hirescam))")),
    "cam": Row(("cam", "cam(relu=True)"), toys=("gap",)),
    "captum:Deconvolution": Row(("captum:Deconvolution",), sees_image=False, toys=("gap",)),  # no max pooling, which alone sees it
    "captum:DeepLift": Row(("captum:DeepLift",), toys=("gap",)),
    "captum:DeepLiftShap": Row(("captum:DeepLiftShap(n_baselines=2)",), draws=True, toys=("gap",)),
    "captum:FeatureAblation": Row(("captum:FeatureAblation(cells=3)",), toys=("gap",)),
    "captum:GradientShap": Row(("captum:GradientShap(n_samples=4)",), draws=True, toys=("gap",)),
    "captum:GuidedBackprop": Row(("captum:GuidedBackprop",), toys=("gap",)),
    "captum:GuidedGradCam": Row(("captum:GuidedGradCam",), toys=("gap",)),
    "captum:InputXGradient": Row(("captum:InputXGradient",), toys=("gap",)),
    "captum:IntegratedGradients": Row(("captum:IntegratedGradients(n_steps=4)",), toys=("gap",)),
    "captum:InternalInfluence": Row(("captum:InternalInfluence(n_steps=3)",), toys=("dense",)),
    "captum:KernelShap": Row(("captum:KernelShap(n_samples=12, cells=3)",), draws=True, toys=("gap",)),
    "captum:LRP": Row(("captum:LRP",), toys=("gap",)),
    "captum:LayerActivation": Row(("captum:LayerActivation",), sees_class=False, toys=("gap",)),
    "captum:LayerConductance": Row(("captum:LayerConductance(n_steps=3)",), toys=("gap",)),
    "captum:LayerDeepLift": Row(("captum:LayerDeepLift",), toys=("gap",)),
    "captum:LayerDeepLiftShap": Row(("captum:LayerDeepLiftShap(n_baselines=2)",), draws=True, toys=("gap",)),
    "captum:LayerFeatureAblation": Row(("captum:LayerFeatureAblation",), toys=("gap",)),
    "captum:LayerGradCam": Row(("captum:LayerGradCam",), toys=("gap",)),
    "captum:LayerGradientShap": Row(("captum:LayerGradientShap(n_samples=3)",), draws=True, toys=("gap",)),
    "captum:LayerGradientXActivation": Row(("captum:LayerGradientXActivation",), toys=("gap",)),
    "captum:LayerIntegratedGradients": Row(("captum:LayerIntegratedGradients(n_steps=3)",), toys=("gap",)),
    "captum:LayerLRP": Row(('captum:LayerLRP(layer="conv2")',), toys=("gap",)),
    "captum:Lime": Row(("captum:Lime(n_samples=20, cells=2)",), draws=True, toys=("dense",)),
    "captum:NoiseTunnel": Row(("captum:NoiseTunnel(stdevs=0.3)",), draws=True, toys=("gap",)),
    "captum:Occlusion": Row(("captum:Occlusion(sliding_window_shapes=6, strides=4)",), toys=("gap",)),
    "captum:Saliency": Row(("captum:Saliency",), toys=("gap",)),
    "captum:ShapleyValueSampling": Row(("captum:ShapleyValueSampling(n_samples=1, cells=3)",), draws=True, toys=("gap",)),
    "centre": Row(("centre", "centre(sigma=0.1)"), sees_class=False, sees_image=False),
    "cmwp": Row(("cmwp", 'cmwp(layer="relu1", compat="torchray")'), toys=("gap",)),  # the dense toy has a tanh
    "contrastivecam": Row(
        ("contrastivecam", 'contrastivecam(versus="runner_up")', 'contrastivecam(versus=1, layer="conv2")'), toys=("gap", "dense")
    ),
    "cplrp": Row(("cplrp", 'cplrp(gamma_linear=0, at="tokens")'), toys=("vit",)),
    "deconvnet": Row(("deconvnet", 'deconvnet(channels="sum")'), sees_image=False, toys=("gap",)),  # no max pooling, which alone sees it
    "deeplift": Row(("deeplift", 'deeplift(baseline="mean", channels="abs")')),
    "deepliftshap": Row(("deepliftshap(baselines=3)", 'deepliftshap(baselines=2, channels="abs")'), draws=True),
    "dff": Row(("dff(factors=4)", "dff(factors=3)"), toys=("gap",)),
    "ebp": Row(("ebp", 'ebp(layer="relu1", compat="torchray")'), toys=("gap",)),
    "edges": Row(("edges",), sees_class=False),
    "eigencam": Row(("eigencam", 'eigencam(sign="extreme", compat="pgc")'), sees_class=False, toys=("gap", "dense", "vit")),
    "eigengradcam": Row(("eigengradcam", "eigengradcam(centre=False, relu=False)"), toys=("gap", "dense", "vit")),
    "elementwise": Row(("elementwise",), toys=("gap", "dense", "vit")),
    "extremal": Row(
        (
            "extremal(areas=(0.1, 0.3), max_iter=12, step=2, sigma=2.0, blur_sigma=4.0)",
            'extremal(areas=(0.2,), max_iter=8, step=3, sigma=3.0, blur_sigma=4.0, variant="dual", reward="contrastive", smooth=0.0)',
        )
    ),
    "fakecam": Row(("fakecam",), sees_class=False, sees_image=False),
    "featureablation": Row(
        ('featureablation(segments="grid", cells=3)', 'featureablation(segments="grid", cells=2, spread="density", score="probability")')
    ),
    "fem": Row(("fem", "fem(k=1)", 'fem(compat="pgc")'), sees_class=False, toys=("gap", "dense", "vit")),
    "finercam": Row(
        ("finercam", "finercam(gamma=1, classes=1, relu=False)", 'finercam(compat="pgc", relu=False)'), toys=("gap", "dense", "vit")
    ),
    "fullgrad": Row(("fullgrad", 'fullgrad(compat="pgc")'), toys=("gap",)),  # the dense toy has a tanh
    "genericattention": Row(("genericattention", "genericattention(start=1)"), toys=("vit",)),
    "gradcam": Row(("gradcam", "gradcam(relu=False)", 'gradcam(layer="conv2")')),
    "gradcampp": Row(("gradcampp", 'gradcampp(compat="author")', 'gradcampp(compat="pgc")', 'gradcampp(compat="torchcam")')),
    "gradientshap": Row(("gradientshap(samples=5)", 'gradientshap(samples=4, baseline="mean", noise=0.1)'), draws=True),
    "gtbox": Row(("gtbox",), sees_class=False, sees_image=False),
    "gtbox_complement": Row(("gtbox_complement",), sees_class=False, sees_image=False),
    "gtmask": Row(("gtmask",), sees_class=False, sees_image=False),
    "guidedbackprop": Row(("guidedbackprop", 'guidedbackprop(channels="sum")'), toys=("gap",)),  # the dense toy has a tanh
    "guidedgradcam": Row(("guidedgradcam", 'guidedgradcam(layer="conv2")'), toys=("gap",)),
    "hirescam": Row(("hirescam", "hirescam(relu=False)", 'hirescam(layer="conv2")')),
    "inputxgradient": Row(("inputxgradient", 'inputxgradient(channels="max")'), toys=("gap", "dense", "vit")),
    "inside_box": Row(("inside_box(hirescam)",)),
    "integratedgradients": Row(("integratedgradients(steps=5)", 'integratedgradients(steps=4, baseline="mean")')),
    "inverted": Row(("inverted(gradcam)",)),
    "iscam": Row(("iscam(samples=3)", 'iscam(samples=3, compat="torchcam")')),
    "kernelshap": Row(('kernelshap(samples=30, segments="grid", cells=3)',), draws=True),
    "kpcacam": Row(
        ("kpcacam", 'kpcacam(kernel="rbf", sign="extreme")', "kpcacam(relu=False)"), sees_class=False, toys=("gap", "dense", "vit")
    ),
    "lafam": Row(("lafam",), sees_class=False),
    "layercam": Row(
        ("layercam", 'layercam(layer="conv2")', 'layercam(layer=("conv1", "relu2"))', 'layercam(layer=("conv1", "relu2"), compat="pgc")')
    ),
    "legrad": Row(("legrad", "legrad(start=1)"), toys=("vit",)),
    "lime": Row(
        ('lime(samples=30, segments="grid", cells=3)', 'lime(samples=30, segments="grid", cells=3, compat="captum")'),
        draws=True,
    ),
    "lrp": Row(("lrp", 'lrp(composite="epsilon_gamma_box", start="logit")', 'lrp(composite="epsilon", epsilon=0.01)')),
    "occlusion": Row(("occlusion", 'occlusion(window=5, stride=3, fill="black", score="logit")')),
    "opticam": Row(
        (
            "opticam(iterations=12)",
            'opticam(iterations=4, objective="iodiff", normalisation="max", best=True)',
            'opticam(iterations=4, objective="iomask", normalisation="sigmoid", start="random")',
            'opticam(iterations=4, objective="diff", start="gradcam", layer="conv2")',
        )
    ),
    "outside_box": Row(("outside_box(hirescam)",)),
    "power": Row(("power(gradcam, alpha=2.0)", "power(inverted(opticam(iterations=3)), alpha=0.5)")),
    "random": Row(("random", "random(cells=3)"), sees_class=False, sees_image=False, draws=True),
    "randomcam": Row(("randomcam", "randomcam(relu=False)"), sees_class=False, toys=("gap", "dense", "vit")),
    "rawattention": Row(("rawattention", 'rawattention(block=0, fusion="max")'), sees_class=False, toys=("vit",)),
    "refine": Row(('refine(gradcampp, layers=("conv1", "relu2"))', 'refine(gradcam, layers=("conv2", "relu2"), compat="torchcam")')),
    "rise": Row(("rise(masks=40, cells=4)", 'rise(masks=40, cells=3, keep=0.3, compat="xplique")'), draws=True),
    "rollout": Row(("rollout", 'rollout(fusion="min", discard=0.5)'), sees_class=False, toys=("vit",)),
    "saliency": Row(("saliency", 'saliency(channels="sum")'), toys=("gap", "dense", "vit")),
    "scorecam": Row(
        ("scorecam", 'scorecam(fill="black", score="probability")', 'scorecam(compat="author")', 'scorecam(compat="pgc", layer="conv2")')
    ),
    "segeigencam": Row(("segeigencam", "segeigencam(relu=False)"), toys=("gap", "dense", "vit")),
    "sess": Row(("sess(gradcam, scales=3)", "sess(saliency, scales=2, keep=1.0)")),
    "shapleycam": Row(("shapleycam", "shapleycam(relu=False)"), toys=("gap", "dense", "vit")),
    "shapleysampling": Row(
        ('shapleysampling(samples=5, segments="grid", cells=3)', 'shapleysampling(samples=4, segments="grid", cells=3, spread="density")'),
        draws=True,
    ),
    "smooth": Row(("smooth(gradcam, samples=3)", 'smooth(inputxgradient, samples=3, statistic="variance")'), draws=True, toys=("dense",)),
    "smoothgrad": Row(("smoothgrad(samples=5)", "smoothgrad(samples=5, squared=True)"), draws=True),
    "smoothgradcampp": Row(  # noise moves no gradient of a linear head
        ("smoothgradcampp", "smoothgradcampp(samples=2, std=0.1)"), draws=True, toys=("dense",)
    ),
    "sobol": Row(("sobol(cells=3, designs=4)", 'sobol(cells=4, designs=4, fill="black", score="probability")'), draws=True),
    "sscam": Row(("sscam(samples=3, std=0.5)", 'sscam(samples=3, fill="black")'), draws=True),
    "tibav": Row(("tibav", "tibav(start=1)"), toys=("vit",)),
    "uniform": Row(("uniform",), sees_class=False, sees_image=False),
    "vargrad": Row(("vargrad(samples=4)", 'vargrad(samples=3, compat="captum")'), draws=True),
    "xgradcam": Row(("xgradcam", "xgradcam(relu=False)"), toys=("gap", "dense", "vit")),
}
# With their default options, but for those whose passes would cost seconds: fewer iterations or samples, and never less than a hundred.
AT_DEFAULTS = {
    name: name for name, row in ROWS.items() if name not in row.specs and not explainers.get(name).wraps and not name.startswith("captum:")
} | {
    "extremal": "extremal(areas=(0.1,), max_iter=100, step=4, sigma=3.0, blur_sigma=4.0)",
    "iscam": "iscam",
    "kernelshap": "kernelshap(samples=100)",
    "lime": "lime(samples=100)",
    "rise": "rise(masks=400)",
    "shapleysampling": "shapleysampling(samples=2)",
    "sobol": "sobol(designs=4)",
}
NOT_OF_ACTIVATIONS = {"captum:InternalInfluence"}  # gradients at the layer, which do not vanish with its activations
SPREAD = 2e-4  # of a map in [0, 1] between batches, of toys in float32; docs/stability.md has the spreads of networks
STABLE = {"extremal": 1e-9, "opticam": 1e-9}  # of the raw map, by a search in float64


class Case(NamedTuple):
    """A spec on one of the small networks, each of which is made anew wherever it is asked for."""

    name: str
    spec: str
    toy: str

    def classifier(self, *, frozen: bool = False) -> Classifier:
        """A fresh toy; `frozen`: one parameter asks for no gradient."""
        classifier = toy_classifier(self.toy)
        list(classifier.network.parameters())[2].requires_grad_(not frozen)
        return classifier

    def maps(self, batch: Batch, *, classifier: Classifier | None = None, target: str | int = "label", seed: int = 0) -> Saliency:
        """Maps of a batch, by a fresh toy unless one is given."""
        return maps_of(classifier or self.classifier(), batch, self.spec, target=target, seed=seed)


class Known(NamedTuple):
    """What all promises of a case are compared with: its maps of four images for their labels, by a toy in eval mode."""

    batch: Batch
    found: Saliency


def cases_of(name: str) -> list[Case]:
    """Every spec of a row on every toy of it."""
    return [Case(name, spec, toy) for toy in ROWS[name].toys for spec in ROWS[name].specs]


def test_every_explainer_has_a_row() -> None:
    assert set(ROWS) == set(explainers.names())


def test_controls_see_no_class() -> None:
    blind = {name for name, row in ROWS.items() if not row.sees_class}  # so are methods that only read activations or attention
    assert {entry.name for entry in explainers if entry.facts.control} & set(ROWS) <= blind


@pytest.mark.parametrize("name", ROWS)
def test_keeps_every_promise_with_every_spec_on_every_toy(name: str, subtests: pytest.Subtests) -> None:
    for case in cases_of(name):
        batch, known = toy_batch(size=size_of(case.toy)), list[Known]()
        with subcase(subtests, "the model, the images and the global random numbers are left as they were", spec=case.spec, toy=case.toy):
            known.append(Known(batch, _left_as_it_was(case, batch, training=False)))
        for promise, check in PROMISES.items() if known else ():
            with subcase(subtests, promise, spec=case.spec, toy=case.toy):
                check(case, *known)


@pytest.mark.parametrize("name", AT_DEFAULTS)
def test_maps_at_the_defaults_do_not_depend_on_the_batch(name: str) -> None:
    toy, order, spec = ROWS[name].toys[-1], [2, 0, 1], AT_DEFAULTS[name]
    classifier, batch = toy_classifier(toy), toy_batch(3, size=size_of(toy))
    whole = maps_of(classifier, batch, spec)
    alone = [maps_of(classifier, batch.part(index, index + 1), spec) for index in range(3)]
    shuffled = maps_of(classifier, reordered(batch, order), spec)
    torch.testing.assert_close(torch.cat([own.maps for own in alone]), whole.maps, rtol=0, atol=SPREAD)
    torch.testing.assert_close(shuffled.maps, whole.maps[order], rtol=0, atol=SPREAD)
    if name in STABLE:
        torch.testing.assert_close(torch.cat([own.raw for own in alone]), whole.raw, rtol=0, atol=STABLE[name])
        torch.testing.assert_close(shuffled.raw, whole.raw[order], rtol=0, atol=STABLE[name])


def _left_as_it_was(case: Case, batch: Batch, *, training: bool) -> Saliency:
    """Maps, of a toy one of whose parameters is frozen, after which nothing differs from before."""
    classifier, images = case.classifier(frozen=True).train(training), batch.images.clone()
    before, passes = _state_of(classifier), classifier.passes
    torch.manual_seed(5 + training)
    state = torch.random.get_rng_state()
    found = case.maps(batch, classifier=classifier)
    spent = classifier.passes - passes
    assert _state_of(classifier) == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(batch.images, images)
    assert batch.images.grad is None
    assert not batch.images.requires_grad
    rules = case.name in ("ebp", "cmwp")  # hand down probabilities, which are no derivatives
    if not rules and (spent.backward or spent.tail_backward):
        assert "gradients" in needs_of(explainers.parse_one(case.spec))
    return found


def _in_range(case: Case, known: Known) -> None:
    found = known.found
    assert found.maps.shape == (4, *known.batch.images.shape[-2:])
    assert found.maps.dtype == torch.float32
    assert found.maps.isfinite().all()
    assert found.raw.isfinite().all()
    assert found.maps.min() >= 0
    assert found.maps.max() <= 1
    assert not found.maps.requires_grad
    low, high = map(float, explainers.get(case.name).facts.values[1:-1].split(", "))  # of the raw map, by default options
    assert case.spec != ROWS[case.name].specs[0] or found.raw.ge(low).logical_and(found.raw.le(high)).all()


def _repeatable(case: Case, known: Known) -> None:
    assert torch.equal(case.maps(known.batch).maps, known.found.maps)


def _by_batch_size_and_order(case: Case, known: Known) -> None:
    order = [2, 0, 3, 1]
    shuffled = reordered(known.batch, order)
    one, three = (case.maps(shuffled.part(*ends)).maps for ends in ((0, 1), (1, 4)))
    torch.testing.assert_close(known.found.maps[order], torch.cat([one, three]), rtol=0, atol=SPREAD)


def _not_flat(case: Case, known: Known) -> None:
    predicted = case.maps(known.batch, target="predicted")
    assert predicted.status == ("ok",) * 4
    if case.name != "uniform":  # which is flat on purpose
        assert (predicted.maps.flatten(1).amax(1) - predicted.maps.flatten(1).amin(1) > 0.01).all()


def _by_class(case: Case, known: Known) -> None:
    assert known.batch.labels.tolist() == [0, 1, 2, 3]
    assert torch.equal(case.maps(known.batch, target=0).raw, known.found.raw) is not ROWS[case.name].sees_class


def _by_pixels(case: Case, known: Known) -> None:
    batch = known.batch
    other = Batch(batch.ids, toy_batch(seed=7, size=batch.images.shape[-2:]).images, batch.labels, batch.boxes, batch.masks)
    assert torch.equal(known.found.raw, case.maps(other).raw) is not ROWS[case.name].sees_image


def _by_seed(case: Case, known: Known) -> None:
    draws = ROWS[case.name].draws or "random" in case.spec
    assert torch.equal(known.found.raw, case.maps(known.batch, seed=1).raw) is not draws
    assert explainers.get(case.name).facts.stochastic or not draws


def _of_dead_layers(case: Case, known: Known) -> None:
    needs = explainers.get(case.name).facts.needs
    for layer in ("relu2", "conv2"):  # zero; negative
        if case.toy == "vit" or ("linear head" in needs and layer == "conv2"):
            continue  # no such layer, or one that the explainer refuses
        classifier = case.classifier()
        classifier.network.conv2.bias.data.fill_(-100)  # behind the ReLU every activation is zero
        classifier.layer = layer
        found = case.maps(known.batch, classifier=classifier)
        assert found.raw.isfinite().all()
        assert found.maps.isfinite().all()
        assert set(found.status) <= {"ok", "constant_map"}
        if layer == "relu2" and "layer" in needs and "layer=" not in case.spec and case.name not in NOT_OF_ACTIVATIONS:
            assert found.status == ("constant_map",) * 4


def _in_train_mode(case: Case, known: Known) -> None:
    assert torch.equal(_left_as_it_was(case, known.batch, training=True).maps, known.found.maps)


def _of_a_frozen_network(case: Case, known: Known) -> None:
    assert torch.equal(case.maps(known.batch, classifier=case.classifier().requires_grad_(False)).maps, known.found.maps)


def _in_modes_without_gradients(case: Case, known: Known) -> None:
    classifier, batch = case.classifier(), known.batch
    explained = _explained(classifier, batch.images, batch, case.spec)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            images = batch.images.clone()
            assert torch.equal(_explained(classifier, images, batch, case.spec), explained), mode.__name__
    assert images.is_inference()
    assert torch.equal(_explained(classifier, images, batch, case.spec), explained)


def _in_float64(case: Case, known: Known) -> None:
    exact = case.classifier()
    exact.network.double()  # as a network that was trained in float64; mean and std stay in float32
    torch.testing.assert_close(case.maps(known.batch, classifier=exact).maps, known.found.maps, rtol=0, atol=1e-3)


PROMISES: dict[str, Callable[[Case, Known], None]] = {
    "finite, in the unit range, at image size, raw values in the declared range": _in_range,
    "repeatable to the bit": _repeatable,
    "independent of the batch size and of the order": _by_batch_size_and_order,
    "not flat for the predicted class": _not_flat,
    "depends on the class as stated": _by_class,
    "depends on the pixels as stated": _by_pixels,
    "depends on the seed as stated": _by_seed,
    "finite with a status where a layer is dead": _of_dead_layers,
    "the same maps in train mode": _in_train_mode,
    "the same maps of a frozen network": _of_a_frozen_network,
    "the same maps in modes without gradients": _in_modes_without_gradients,
    "the same maps in float64": _in_float64,
}


def _explained(classifier: Classifier, images: Tensor, batch: Batch, spec: str) -> Tensor:
    """(4, H, W), the maps for class 1 by the public function."""
    return explain(classifier, images, spec, targets=1, boxes=batch.boxes, masks=batch.masks).maps


def _state_of(classifier: Classifier) -> tuple[object, ...]:
    """Everything that an explainer could have changed, in a form that compares by value; modules by identity."""
    modules = list(classifier.named_modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        [(name, id(module), module.training) for name, module in modules],
        [(name, {hook: copy.copy(getattr(module, hook)) for hook in hooks}) for name, module in modules],
        [(name, id(module.forward.__func__)) for name, module in modules],
        [(name, id(tensor), tensor.requires_grad, tensor.grad is None) for name, tensor in classifier.named_parameters()],
        [(name, id(tensor), tensor.tolist()) for name, tensor in classifier.named_buffers()],
        classifier.weights_hash(),
        classifier.layer,
    )
