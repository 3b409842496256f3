"""torchcam as a reference of class activation maps; where it is wrong, the tests fail when it is fixed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from helpers.other_libraries import inputs_of, raw_map_of_torchcam
from helpers.toys import maps_of, toy_batch, toy_classifier
from torch import Tensor
from torchcam import methods

from camdbench.datasets.in_memory import make_batch
from camdbench.datasets.samples import Batch
from camdbench.functional.seeding import generator_for
from camdbench.models import torchvision_zoo
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")

# Spec -> the class of torchcam and the options that give the same.
SAME = {
    "gradcam": ("GradCAM", {}),
    'gradcampp(compat="torchcam")': ("GradCAMpp", {}),
    "xgradcam": ("XGradCAM", {}),
    "layercam": ("LayerCAM", {}),
    "finercam": ("FinerCAM", {}),
    'scorecam(compat="torchcam")': ("ScoreCAM", {}),
    'iscam(compat="torchcam", samples=4)': ("ISCAM", {"num_samples": 4}),
}


@pytest.fixture(params=["gap", "dense"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    return toy_classifier(request.param)


def raw(classifier: Classifier, batch: Batch, spec: str) -> Tensor:
    return maps_of(classifier, batch, spec).raw


def assert_same(ours: Tensor, reference: Tensor) -> None:
    """Equal to 5e-5 of the largest value of the map; torchcam adds 1e-8 to what it divides by."""
    scale = reference.abs().amax((1, 2), keepdim=True)
    assert (scale > 0).all(), "an empty map is not a reference"
    torch.testing.assert_close(ours / scale, reference / scale, rtol=0, atol=5e-5)


def assert_others(ours: Tensor, reference: Tensor) -> None:
    """Of another shape, by more than a hundredth of the range: not merely scaled."""
    ours, reference = (map_ / map_.amax((1, 2), keepdim=True).clamp_min(1e-20) for map_ in (ours, reference))
    assert (ours - reference).abs().max() > 0.01, "torchcam has fixed this: move the method to those that are the same"


@pytest.mark.parametrize("spec", SAME)
def test_maps_are_the_same(classifier: Classifier, batch: Batch, spec: str) -> None:
    name, options = SAME[spec]
    assert_same(raw(classifier, batch, spec), raw_map_of_torchcam(classifier, batch, name, **options))


def test_cam_is_the_same_and_neither_rectifies(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    reference = raw_map_of_torchcam(classifier, batch, "CAM", fc_layer="head.2")
    assert (reference < 0).any()
    assert_same(raw(classifier, batch, "cam"), reference)


def test_sscam_is_the_same_under_the_same_noise(classifier: Classifier, batch: Batch) -> None:
    generators = [[generator_for(0, image, f"sscam {channel}") for channel in range(8)] for image in batch.ids]

    class Ours:
        """Stands in for torchcam's distribution, which draws from the global generator."""

        def sample(self, size: tuple[int, ...]) -> Tensor:
            return 0.5 * torch.stack([torch.stack([torch.randn(size[2:], generator=own) for own in row]) for row in generators])

    reference = raw_map_of_torchcam(classifier, batch, "SSCAM", num_samples=3, _distrib=Ours())
    assert_same(raw(classifier, batch, 'sscam(samples=3, std=0.5, compat="torchcam")'), reference)


def test_layercam_of_two_layers_is_fused_alike() -> None:
    classifier = torchvision_zoo.build("resnet18", "random", None, download=False).eval().double()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    batch = make_batch(images, labels=[7, 400])
    layers = ["layer3", "layer4"]
    with methods.LayerCAM(classifier.network, layers) as extractor:
        maps = extractor(batch.labels.tolist(), classifier.network(inputs_of(classifier, batch)), normalized=False)
        assert [map_.shape[-1] for map_ in maps] == [4, 2]
        assert_same(raw(classifier, batch, 'layercam(layer=("layer3", "layer4"), compat="torchcam")'), extractor.fuse_cams(maps))


class TestTransformer:
    @pytest.fixture
    def classifier(self) -> Classifier:
        return toy_classifier("vit")

    @pytest.fixture
    def batch(self) -> Batch:
        return toy_batch(3, size=(32, 32))

    @pytest.mark.parametrize("spec", ["gradcam", "xgradcam", "layercam", "finercam", 'scorecam(compat="torchcam")'])
    def test_maps_are_the_same(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        reference = raw_map_of_torchcam(classifier, batch, SAME[spec][0], reshape_transform=places)
        assert_same(raw(classifier, batch, spec), reference)

    def test_legrad_is_the_same_when_the_score_is_read_from_the_class_token(self, classifier: Classifier, batch: Batch) -> None:
        network = classifier.network
        options = {
            "target_layer": list(network.encoder.layers),
            "score_projection": lambda tokens: network.heads(network.encoder.ln(tokens)[:, 0]),
        }
        assert_same(raw(classifier, batch, "legrad"), raw_map_of_torchcam(classifier, batch, "LeGrad", **options))

    def test_legrad_of_torchcam_scores_the_mean_of_all_tokens_which_the_network_never_does(
        self, classifier: Classifier, batch: Batch
    ) -> None:
        reference = raw_map_of_torchcam(classifier, batch, "LeGrad", target_layer=list(classifier.network.encoder.layers))
        assert_others(raw(classifier, batch, "legrad"), reference)


class TestKnownErrors:
    def test_gradcampp_divides_a_copy_so_that_its_weights_are_cubes_of_gradients(self, classifier: Classifier, batch: Batch) -> None:
        assert_others(raw(classifier, batch, "gradcampp"), raw_map_of_torchcam(classifier, batch, "GradCAMpp"))

    def test_smoothgradcampp_reads_activations_and_gradients_of_the_last_noisy_copy(
        self, classifier: Classifier, batch: Batch, noise: Iterator[Tensor]
    ) -> None:
        ours = raw(classifier, batch, "smoothgradcampp(samples=3, std=0.3)")

        class Ours:
            def sample(self, size: tuple[int, ...]) -> Tensor:
                return 0.3 * next(noise)

        assert_others(ours, raw_map_of_torchcam(classifier, batch, "SmoothGradCAMpp", num_samples=3, _distrib=Ours()))

    def test_smoothgradcampp_is_the_same_without_noise_where_gradients_are_one_at_all_places(self, batch: Batch) -> None:
        """Elsewhere its denominator is another: it sums A G^3 over places, the paper sums A alone."""
        found = {kind: toy_classifier(kind) for kind in ("gap", "dense")}
        pairs = {
            kind: (raw(own, batch, "smoothgradcampp(std=0.0)"), raw_map_of_torchcam(own, batch, "SmoothGradCAMpp", std=1e-12))
            for kind, own in found.items()
        }
        assert_same(*pairs["gap"])
        assert_others(*pairs["dense"])

    def test_activations_are_overwritten_by_what_follows_in_place(self) -> None:
        """DenseNet rectifies `features` in place: torchcam's Grad-CAM then takes rectified activations, as grad-cam's does."""
        classifier = torchvision_zoo.build("densenet121", "random", None, download=False).eval()
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        batch = make_batch(images, labels=[7, 400])
        assert_others(raw(classifier, batch, "gradcam"), raw_map_of_torchcam(classifier, batch, "GradCAM"))

    @pytest.fixture
    def noise(self, batch: Batch) -> Iterator[Tensor]:
        """Our noise for each of three copies of the batch, (B, 3, H, W)."""
        drawn = [torch.randn(3, 3, 16, 12, generator=generator_for(0, image, "smoothgradcampp")) for image in batch.ids]
        return iter(torch.stack(drawn, 1))


def places(tokens: Tensor) -> Tensor:
    """Tokens (B, 17, C) of a vision transformer as (B, C, 4, 4): a class token, then the rows of patches."""
    return tokens[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
