"""timm's networks by name: which there are, what their weights say of them, and what is said where something is missing."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from camdbench.core.errors import UsageError
from camdbench.models import timm_zoo
from camdbench.models.zoo import check_model, load_classifier, load_untrained, model_names

timm = pytest.importorskip("timm")


class TestNames:
    def test_are_those_of_timm(self) -> None:
        assert set(timm_zoo.names()) == {f"timm/{name}" for name in timm.list_models()}
        assert set(timm_zoo.names()) < set(model_names())

    @pytest.mark.parametrize("name", ["timm/vit_base_patch16_224", "timm/vit_tiny_patch16_224@random", "timm/resnet50.a1_in1k"])
    def test_that_exist_pass(self, name: str) -> None:
        check_model(name)

    def test_that_do_not_get_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"no model 'timm/vit_base_patch16_225'; did you mean .*'timm/vit_base_patch16_224'"):
            check_model("timm/vit_base_patch16_225")


@pytest.fixture
def no_timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without the extra."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "timm" else found(name, *more))
    timm_zoo.names.cache_clear()
    yield
    timm_zoo.names.cache_clear()


def test_without_timm_one_line_says_how_to_get_it(no_timm: None) -> None:
    with pytest.raises(UsageError, match=r"^model timm/resnet18: timm is not installed; run: pip install 'camdbench\[timm\]'$"):
        load_classifier("timm/resnet18@random")
    assert not any(name.startswith("timm/") for name in model_names())


class TestStatistics:
    @pytest.mark.parametrize(
        ("name", "mean", "size"),
        [
            ("timm/vit_tiny_patch16_224", 0.5, 224),
            ("timm/deit_tiny_patch16_224", 0.485, 224),
            ("timm/vit_tiny_patch16_384", 0.5, 384),
        ],
    )
    def test_are_those_of_timms_configuration(self, name: str, mean: float, size: int) -> None:
        classifier = load_classifier(f"{name}@random", device="cpu")
        assert classifier.mean.flatten()[0].item() == pytest.approx(mean)
        assert classifier.input_size == size
        assert classifier.class_names[0] == "tench"
        assert classifier.name == f"{name}@random"

    @pytest.mark.parametrize(
        ("name", "tag", "subset"), [("vit_tiny_patch16_224", "augreg_in21k", "imagenet21k"), ("convnext_nano", "in12k", "imagenet12k")]
    )
    def test_other_imagenets_have_their_own_names(self, name: str, tag: str, subset: str, tmp_path: Path) -> None:
        network = timm.create_model(f"{name}.{tag}", pretrained=False)
        config = network.pretrained_cfg
        info = timm.data.ImageNetInfo(subset)
        found = timm_zoo._categories(timm.get_pretrained_cfg(f"{name}.{tag}"), config["num_classes"])
        assert len(found) == config["num_classes"] == info.num_classes()
        assert found[100] == info.index_to_description(100)

    def test_names_that_the_weights_state_come_first(self) -> None:
        config = timm.models.PretrainedCfg(num_classes=2, label_names=("cat", "dog"))
        assert timm_zoo._categories(config, 2) == ("cat", "dog")
        assert timm_zoo._categories(timm.models.PretrainedCfg(num_classes=7), 7) == ()

    def test_others_can_be_given(self) -> None:
        classifier = load_classifier("timm/resnet10t@random", mean=0, std=(0.1, 0.2, 0.3), layer="layer3", device="cpu")
        assert classifier.mean.flatten().tolist() == [0] * 3
        assert classifier.layer == "layer3"


class TestWeights:
    def test_random_ones_are_always_the_same_and_leave_the_global_generator_alone(self) -> None:
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = load_classifier("timm/resnet10t@random", device="cpu").weights_hash()
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        assert load_classifier("timm/resnet10t@random", device="cpu").weights_hash() == first

    @pytest.mark.parametrize("name", ["timm/vit_base_patch16_224", "timm/vit_base_patch16_224@augreg_in1k"])
    def test_that_are_missing_are_named_with_the_fixs(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(UsageError, match=r"of timm/vit_base_patch16_224 are not on this machine: give --download, --weights FILE"):
            load_classifier(name)

    def test_in_the_cache_of_the_hub_are_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = load_classifier("timm/resnet10t@random", device="cpu")
        file = tmp_path / "model.safetensors"
        save_file(source.network.state_dict(), file)
        asked = list[tuple[str, str]]()

        def cached(repository: str, name: str) -> str:
            asked.append((repository, name))
            return str(file)

        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
        found = load_classifier("timm/resnet10t", device="cpu")
        assert asked == [("timm/resnet10t.c3_in1k", "model.safetensors")]
        assert found.name == "timm/resnet10t@c3_in1k"
        assert found.weights_hash() == source.weights_hash()

    def test_are_fetched_by_timm_when_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        build, asked = timm.create_model, list[tuple[str, bool]]()

        def create(name: str, *, pretrained: bool, **options: object) -> torch.nn.Module:
            asked.append((name, pretrained))
            return build(name.partition(".")[0], pretrained=False, **options)

        monkeypatch.setattr(timm, "create_model", create)
        found = load_classifier("timm/resnet10t", download=True, device="cpu")
        assert asked == [("resnet10t.c3_in1k", True), ("resnet10t", False)]
        assert found.name == "timm/resnet10t@c3_in1k"

    def test_of_a_file_say_how_many_classes_there_are(self, tmp_path: Path) -> None:
        network = timm.create_model("vit_tiny_patch16_224", num_classes=7)
        save_file(network.state_dict(), tmp_path / "mine.safetensors")
        classifier = load_classifier("timm/vit_tiny_patch16_224", weights=tmp_path / "mine.safetensors", device="cpu")
        assert classifier(torch.rand(1, 3, 224, 224)).shape == (1, 7)
        assert classifier.class_names == ()
        assert classifier.name == "timm/vit_tiny_patch16_224@mine.safetensors"

    def test_under_the_names_of_their_authors_are_read_as_timm_reads_them(self, tmp_path: Path) -> None:
        """Swin's own release: the head is `head`, a stage's pooling stands at the end of the one before, and buffers are stored."""
        network = timm.create_model("swin_tiny_patch4_window7_224").eval()
        state = {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.int64)}
        for key, tensor in network.state_dict().items():
            stage = re.match(r"layers\.(\d)\.downsample", key)
            theirs = key if stage is None else key.replace(f"layers.{stage[1]}", f"layers.{int(stage[1]) - 1}", 1)
            state[theirs.replace("head.fc", "head")] = tensor
        torch.save({"model": state}, tmp_path / "swin.pth")
        before = torch.random.get_rng_state()
        found = load_classifier("timm/swin_tiny_patch4_window7_224", weights=tmp_path / "swin.pth", device="cpu")
        assert torch.equal(torch.random.get_rng_state(), before)
        images = torch.rand(1, 3, 224, 224)
        torch.testing.assert_close(found(images), network((images - found.mean) / found.std))

    def test_of_another_network_are_refused(self, tmp_path: Path) -> None:
        save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "w.safetensors")
        with pytest.raises(UsageError, match="the weights do not fit timm/vit_tiny_patch16_224: they lack"):
            load_classifier("timm/vit_tiny_patch16_224", weights=tmp_path / "w.safetensors")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("timm/resnet18@a1_in2k", r"timm/resnet18: no weights 'a1_in2k'; did you mean 'a1_in1k'"),
            ("timm/resnet18.a1_in1k@random", r"two weights; use timm/resnet18@random"),
            ("timm/vit_base_patch16_siglip_224@random", "timm has it as a feature extractor without classes"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, name: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            load_classifier(name)

    def test_are_not_needed_for_questions_of_shape(self) -> None:
        assert load_untrained("timm/resnet10t").name == "timm/resnet10t@random"
        assert load_untrained("timm/resnet10t.c3_in1k").name == "timm/resnet10t@random"
