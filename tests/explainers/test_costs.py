"""The announced cost of every explainer equals the passes that the network counts."""

from __future__ import annotations

import pytest
from helpers.each import each
from helpers.toys import maps_of, size_of, toy_batch, toy_classifier

from camdbench.core.cost import Cost, PassEstimate, Repeat
from camdbench.core.registries import explainer, explainers, passes_of
from camdbench.explainers.common.trace import Trace

IMAGES = 2
GENERAL = "dense"  # a head that is not linear, so that no exception of a note applies
GAP = {"cam", "cmwp", "deconvnet", "dff", "ebp", "fullgrad", "guidedbackprop", "guidedgradcam"} | {  # not defined on the dense toy
    "captum:Deconvolution",
    "captum:GuidedBackprop",
    "captum:GuidedGradCam",
}
VIT = {"attnlrp", "cplrp", "genericattention", "legrad", "rawattention", "rollout", "tibav"}
WRAPPED = {"augsmooth": "augsmooth(gradcam)", "inside_box": "inside_box(saliency)", "outside_box": "outside_box(saliency)"} | {
    "inverted": "inverted(gradcam)",
    "power": "power(augsmooth(smoothgrad(samples=3)))",
}
KEPT = {
    "sess(gradcam, scales=3)": (9, 1),
    "sess(saliency, scales=2, keep=0.5)": (5, 2),
}  # windows of 16 x 12 pixels, and how many are explained
GRID = 'segments="grid", cells=3'
CHEAP = {  # two settings of every option that changes the number of passes
    "captum:DeepLiftShap": ("captum:DeepLiftShap(n_baselines=2)", 'captum:DeepLiftShap(n_baselines=3, baseline="mean")'),
    "captum:FeatureAblation": ("captum:FeatureAblation(cells=3)",),
    "captum:GradientShap": ("captum:GradientShap(n_samples=2)", 'captum:GradientShap(n_samples=3, baseline="mean")'),
    "captum:IntegratedGradients": ("captum:IntegratedGradients(n_steps=2)", "captum:IntegratedGradients(n_steps=5)"),
    "captum:InternalInfluence": ("captum:InternalInfluence(n_steps=2)", "captum:InternalInfluence(n_steps=5)"),
    "captum:KernelShap": ("captum:KernelShap(n_samples=20, cells=3)", "captum:KernelShap(n_samples=31, cells=3)"),
    "captum:LayerConductance": ("captum:LayerConductance(n_steps=2)", "captum:LayerConductance(n_steps=5)"),
    "captum:LayerDeepLiftShap": ("captum:LayerDeepLiftShap(n_baselines=2)", "captum:LayerDeepLiftShap(n_baselines=3)"),
    "captum:LayerGradientShap": ("captum:LayerGradientShap(n_samples=2)", "captum:LayerGradientShap(n_samples=3)"),
    "captum:LayerIntegratedGradients": ("captum:LayerIntegratedGradients(n_steps=2)", "captum:LayerIntegratedGradients(n_steps=5)"),
    "captum:LayerLRP": ('captum:LayerLRP(layer="conv2")',),
    "captum:Lime": ("captum:Lime(n_samples=20, cells=3)", "captum:Lime(n_samples=31, cells=3)"),
    "captum:NoiseTunnel": ("captum:NoiseTunnel(nt_samples=2)", 'captum:NoiseTunnel(nt_samples=3, method="InputXGradient")'),
    "captum:Occlusion": ("captum:Occlusion", "captum:Occlusion(sliding_window_shapes=5, strides=3)"),
    "captum:ShapleyValueSampling": (
        "captum:ShapleyValueSampling(n_samples=2, cells=3)",
        "captum:ShapleyValueSampling(n_samples=3, cells=3)",
    ),
    "deepliftshap": ("deepliftshap(baselines=2)", "deepliftshap(baselines=3)"),
    "extremal": (
        "extremal(areas=(0.1,), max_iter=2)",
        'extremal(areas=(0.1, 0.2, 0.3), max_iter=3, variant="dual", search_dtype="network")',
    ),
    "featureablation": (f"featureablation({GRID})",),
    "gradientshap": ("gradientshap(samples=2)", 'gradientshap(samples=5, baseline="mean")'),
    "integratedgradients": ("integratedgradients(steps=5)", "integratedgradients(steps=3)"),
    "iscam": ("iscam(samples=2)", "iscam(samples=3)"),
    "kernelshap": (f"kernelshap(samples=20, {GRID})", f"kernelshap(samples=31, {GRID})"),
    "layercam": ("layercam", 'layercam(layer=("conv1", "relu2"))', 'layercam(layer="conv1")'),
    "lime": (f"lime(samples=6, {GRID})", f'lime(samples=9, {GRID}, compat="captum")'),
    "occlusion": ("occlusion", "occlusion(window=5, stride=3)"),
    "opticam": (
        "opticam(iterations=3)",
        'opticam(iterations=2, objective="iomask", best=True)',
        'opticam(iterations=2, objective="diff", best=True, start="gradcam")',
        'opticam(iterations=4, objective="iodiff", start="random", search_dtype="network")',
    ),
    "refine": ('refine(gradcampp, layers=("conv1", "relu2"))', 'refine(power(gradcam), layers=("conv1", "conv2", "relu2"))'),
    "rise": ("rise(masks=100)", "rise(masks=7)"),
    "sess": tuple(KEPT),
    "shapleysampling": (f"shapleysampling(samples=4, {GRID})", f"shapleysampling(samples=5, {GRID})"),
    "smooth": ("smooth(gradcam, samples=3)", "smooth(power(saliency), samples=2)"),
    "smoothgrad": ("smoothgrad(samples=2)", "smoothgrad(samples=5)"),
    "smoothgradcampp": ("smoothgradcampp", "smoothgradcampp(samples=2)"),
    "sobol": ("sobol(designs=4)", "sobol(designs=2, cells=3)"),
    "sscam": ("sscam(samples=2)", "sscam(samples=3)"),
    "vargrad": ("vargrad(samples=2)", "vargrad(samples=5)"),
}
WINDOWS = {  # on 16 x 12 pixels
    "occlusion": 15 * 11,
    "occlusion(window=5, stride=3)": 5 * 4,
    "captum:Occlusion": 15 * 11,
    "captum:Occlusion(sliding_window_shapes=5, strides=3)": 5 * 4,
}
LINEAR_HEAD = {  # passes where a note makes an exception for a linear head
    "ablationcam": PassEstimate(1),
    "contrastivecam": PassEstimate(1),
    "finercam": PassEstimate(1),
    "shapleycam": PassEstimate(1, tail_backward=1),
}


def specs_of(name: str) -> tuple[str, ...]:
    """The settings of an explainer whose passes are counted."""
    return CHEAP.get(name, (WRAPPED.get(name, name),))


SPECS = [spec for name in explainers.names() for spec in specs_of(name)]


def toy_of(name: str) -> str:
    """The toy on which an explainer's cost is general."""
    return "gap" if name in GAP else "vit" if name in VIT else GENERAL


def passes_counted(toy: str, spec: str) -> PassEstimate:
    """The passes of both images together, as the network counts them."""
    classifier = toy_classifier(toy)
    maps_of(classifier, toy_batch(IMAGES, size=size_of(toy)), spec)
    spent = classifier.passes
    return PassEstimate(spent.forward, spent.backward, spent.tail_forward, spent.tail_backward)


def quantities_of(toy: str, spec: str, image: int) -> dict[str, int]:
    """The values of all quantities that are known only at run time, counted from the activations of one image."""
    classifier = toy_classifier(toy)
    with classifier.frozen():
        channels = Trace(classifier, toy_batch(IMAGES, size=size_of(toy))).activations[image].flatten(1)
    maps = {tuple((row if row.amax() > row.amin() else 0 * row).tolist()) for row in channels}
    return {
        "per channel": len(maps),
        "per replay": 1,
        "per replayed channel": int(channels.ne(0).any(1).sum()),
        "per window position": WINDOWS.get(spec, 0),
        "per feature": {"captum:LayerFeatureAblation": 8 * 6}.get(spec, 3 * 3),
        "per further feature": 3 * 3 - 1,
        "per window": KEPT.get(spec, (0, 0))[0],
        "per kept window": KEPT.get(spec, (0, 0))[1],
        "per layer": 1,
    }


def passes_announced(toy: str, spec: str) -> PassEstimate:
    """The passes of both images together by the explainer's cost, with its quantities known only at run time substituted."""
    checked = explainers.parse_one(spec)
    if checked.wrapped:
        return sum((passes_of(checked, quantities_of(toy, spec, image)) for image in range(IMAGES)), PassEstimate())
    entry = explainers.get(checked.name)
    assert entry.facts.cost is not None
    cost, options = entry.facts.cost, entry.arguments(checked)
    return sum((cost.passes(options, quantities=quantities_of(toy, spec, image)) for image in range(IMAGES)), PassEstimate())


@pytest.mark.parametrize("name", explainers.names())
def test_an_announced_cost_is_what_the_network_counts_and_a_lower_bound_lies_below(name: str) -> None:
    for spec in specs_of(name):
        toy, checked = toy_of(name), explainers.parse_one(spec)
        counted = passes_counted(toy, spec)
        assert passes_announced(toy, spec) == counted, spec
        announced = passes_of(checked) * IMAGES  # without the quantities that are known only at run time
        assert announced.total < counted.total if announced.lower_bound else announced == counted, spec


@pytest.mark.parametrize("name", LINEAR_HEAD)
def test_a_linear_head_spares_the_passes_that_the_note_names(name: str) -> None:
    cost = explainers.get(name).facts.cost
    assert cost is not None
    assert "linear head" in cost.note
    assert passes_counted("gap", name) == LINEAR_HEAD[name] * IMAGES


def test_fused_attention_costs_shapleycam_one_more_of_each() -> None:
    assert passes_counted("vit", "shapleycam") == PassEstimate(2, tail_backward=4) * IMAGES


def test_every_option_that_changes_the_passes_is_checked_at_two_values_or_more() -> None:
    for entry in explainers:
        assert entry.facts.cost is not None, entry.name
        for option in entry.facts.cost.option_names:
            values = {str(entry.arguments(explainers.parse_one(spec))[option]) for spec in SPECS if spec.startswith(entry.name)}
            assert len(values) > 1, (entry.name, option)


@each(
    ("spec", "passes"),
    [
        ("rise(masks=100)", 101),
        ("sobol(designs=4)", 261),
        ("integratedgradients(steps=5)", 11),
        ("kernelshap(samples=20)", 23),
        ("extremal(max_iter=2, areas=(0.1,))", 6),
    ],
)
def test_options_change_the_announced_passes(spec: str, passes: int) -> None:
    assert str(passes_of(explainers.parse_one(spec))) == str(passes)


class TestPlugIns:
    def test_a_cost_in_words_is_refused_with_the_fix(self) -> None:
        with pytest.raises(TypeError, match=r"worded.*'1 forward'.*cost=Cost\(forward=1\)"):
            explainer("worded", paper="none", cost="1 forward")(_method)

    def test_a_repetition_by_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"misspelt.*iteratons.*per channel"):
            explainer("misspelt", paper="none", cost=Cost(repeats=(Repeat("iteratons", forward=1),)))(_method)

    def test_inner_is_for_wrappers(self) -> None:
        with pytest.raises(TypeError, match="wrapped=2"):
            explainer("lonely", paper="none", cost=Cost(wrapped=2))(_method)

    def test_a_cost_that_is_not_stated_is_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(explainers, "_live", dict(explainers._live))
        explainer("unstated", paper="none")(_method)
        assert str(passes_of(explainers.parse_one("unstated"))) == "at least 0"


def _method(trace: Trace, *, iterations: int = 1) -> None:
    """A method.

    It is not run.
    """
