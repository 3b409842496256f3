"""Objects of Captum and pytorch-grad-cam as explainers: our own maps, their values by hand, counted passes and refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from captum import attr
from helpers.networks import random_network
from helpers.toys import toy_batch, toy_classifier

import camdbench
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.own_entry import default_name
from camdbench.core.registries import explainers
from camdbench.datasets.in_memory import make_batch
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.foreign_objects import cam, captum, explainer_from_object
from camdbench.explainers.common.saliency import finish
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.gradients import inputxgradient, integratedgradients, saliency
from camdbench.explainers.hirescam import hirescam
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor", "ignore:Setting forward")


@pytest.fixture
def classifier() -> Classifier:
    """A fresh toy with a dense head."""
    made = toy_classifier("dense")
    made.requires_grad_(False)
    return made.eval()


@pytest.fixture
def trace(classifier: Classifier) -> Trace:
    return Trace(classifier, toy_batch(3))


def count_images(network: torch.nn.Module, counts: list[int]) -> None:
    """Add the images of every forward pass, and of every backward pass through its output, to two counts."""

    def seen(module: object, inputs: object, output: torch.Tensor) -> None:
        counts[0] += len(output)
        if output.requires_grad:
            output.register_hook(lambda gradient: counts.__setitem__(1, counts[1] + len(gradient)))

    network.register_forward_hook(seen)


def test_a_captum_object_sees_what_its_network_takes(trace: Trace) -> None:
    classifier = trace.classifier
    layer = classifier.module(classifier.layer_name())
    of_network = explainer_from_object(attr.LayerGradCam(classifier.network, layer))
    of_classifier = explainer_from_object(attr.LayerGradCam(classifier, layer))
    assert of_network is not None
    assert of_classifier is not None
    torch.testing.assert_close(of_network(trace), gradcam(trace, relu=False), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(of_classifier(trace), gradcam(trace, relu=False), rtol=1e-5, atol=1e-7)
    by_pixel = explainer_from_object(attr.InputXGradient(classifier))
    assert by_pixel is not None
    torch.testing.assert_close(by_pixel(trace), inputxgradient(trace), rtol=1e-5, atol=1e-6)


def test_a_captum_class_is_our_method(trace: Trace) -> None:
    torch.testing.assert_close(captum("Saliency", channels="max")(trace), saliency(trace), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        captum(attr.IntegratedGradients, n_steps=7)(trace), integratedgradients(trace, steps=7), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM"])
def test_grad_cam_is_ours(trace: Trace, name: str) -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    classifier, own = trace.classifier, {"GradCAM": gradcam, "HiResCAM": hirescam}[name]
    expected = finish(own(trace, relu=True), trace.size, "range").maps
    made = getattr(grad_cam, name)(classifier.network, [classifier.module(classifier.layer_name())])
    for explainer in (explainer_from_object(made), cam(getattr(grad_cam, name))):
        assert explainer is not None
        torch.testing.assert_close(finish(explainer(trace), trace.size, "range").maps, expected, rtol=0, atol=2e-6)
    assert not any(module._forward_hooks for module in classifier.network.modules())


def test_classes_of_grad_cam_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    names = "pgc:HiResCAM,k3=pgc:FEM(k=3),pgc:FEM(k=3),pgc:FEM(k=2),hirescam"
    made = {"a": cam(grad_cam.FEM, k=3), "b": grad_cam.FEM}
    rows = camdbench.run(names, "ad", limit=2, out=tmp_path / "run")
    values = {name: own["value"].tolist() for name, own in rows.groupby("explainer")}
    objects = camdbench.run(made, "ad", limit=2, out=tmp_path / "objects")
    expected = {name: own["value"].tolist() for name, own in objects.groupby("explainer")}
    assert set(values) == {"pgc:HiResCAM", "k3", "pgc:FEM(k=3.0)", "pgc:FEM", "hirescam"}
    assert values["pgc:HiResCAM"] == pytest.approx(values["hirescam"], abs=1e-3)
    assert values["k3"] == values["pgc:FEM(k=3.0)"] == expected["a"]
    assert values["pgc:FEM"] == expected["b"] != expected["a"]
    again = camdbench.run(config=tmp_path / "run" / "run.yaml", out=tmp_path / "again")
    assert again["value"].tolist() == rows["value"].tolist()
    for given, message in [
        ("pgc:RandomCAM", "pgc:RandomCAM: draws from NumPy's global generator"),
        ("pgc:FinerCAM", "FinerCAM of pytorch-grad-cam wraps a method"),
        ("pgc:HiResCAN", "no name 'HiResCAN'; known: AblationCAM, EigenCAM"),
        ("pgc:FEM(q=3)", "pgc:FEM: no option 'q'; known: k"),
        ("pgc:FEM(k='a')", r"pgc:FEM\(k='a'\): input should be a valid number"),
    ]:
        with pytest.raises(UsageError, match=message):
            camdbench.run(given, "ad", limit=2, out=tmp_path / "other")
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UsageError, match="pgc:GradCAM: pytorch_grad_cam is not installed; run: pip install grad-cam"):
        camdbench.run("pgc:GradCAM", "ad", limit=2, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_ablation_of_grad_cam_is_refused_where_channels_are_not_first() -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    classifier = random_network("swin_t")
    with classifier.frozen(), pytest.raises(NotApplicable, match="use ablationcam"):
        cam(grad_cam.AblationCAM)(Trace(classifier, make_batch(torch.rand(1, 3, 64, 64)), target=torch.tensor([3])))


def test_their_names_in_rows_are_not_those_of_camdbench() -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    given = [captum("IntegratedGradients"), captum("Saliency"), cam(grad_cam.HiResCAM)]
    assert [default_name(own, explainers) for own in given] == ["captum-integratedgradients", "captum-saliency", "pgc-hirescam"]


def test_their_passes_are_those_of_an_independent_hook(trace: Trace) -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    classifier = trace.classifier
    _ = trace.targets
    made = [attr.IntegratedGradients(classifier.network), attr.IntegratedGradients(classifier)]
    made.append(grad_cam.GradCAM(classifier.network, [classifier.module(classifier.layer_name())]))
    counts = [0, 0]
    count_images(classifier.network, counts)
    for obj in made:
        explainer = explainer_from_object(obj)
        assert explainer is not None
        counts[:], before = [0, 0], classifier.passes
        explainer(trace)
        spent = classifier.passes - before
        assert [spent.forward, spent.backward] == counts
        assert min(counts) >= 3


def test_draws_depend_on_the_seed_and_the_image_alone(classifier: Classifier) -> None:
    batch, explainer = toy_batch(3), captum("GradientShap", n_samples=4)
    whole = explainer(Trace(classifier, batch))
    state = torch.get_rng_state()
    torch.testing.assert_close(explainer(Trace(classifier, batch.part(1, 3))), whole[1:], rtol=1e-4, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(explainer(Trace(classifier, batch, seed=1)), whole)


def test_another_network_is_refused_by_name(trace: Trace) -> None:
    explainer = explainer_from_object(attr.Saliency(toy_classifier("dense").network))
    assert explainer is not None
    with pytest.raises(UsageError, match=r"bound to another network; give the class: camdbench.captum\(Saliency\)"):
        explainer(trace)
    assert explainer_from_object(len) is None
    with pytest.raises(UsageError, match="no option n_stepz"):
        captum("IntegratedGradients", n_stepz=3)(trace)
    with pytest.raises(UsageError, match="depends on batch mates"):
        explainer_from_object(attr.FeaturePermutation(trace.classifier))
    with pytest.raises(UsageError, match="expected a class of pytorch_grad_cam"):
        cam(3)


def test_networks_on_which_captum_is_wrong_are_refused() -> None:
    def maps(name: str, network: str) -> torch.Tensor:
        classifier = random_network(network)
        batch: Batch = make_batch(torch.rand(1, 3, 64, 64))
        with classifier.frozen():
            return captum(name)(Trace(classifier, batch, target=torch.tensor([3])))

    with pytest.raises(NotApplicable, match="functional ReLU"):
        maps("GuidedBackprop", "densenet121")
    with pytest.raises(NotApplicable, match="more than once"):
        maps("DeepLift", "resnet18")
    assert maps("GuidedBackprop", "resnet18").abs().sum() > 0
