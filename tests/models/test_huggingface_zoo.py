"""Networks of transformers: a saved folder offline, the hub's cache, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.hf_families import build
from PIL import Image

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.models.zoo import check_model, load_classifier, load_untrained

transformers = pytest.importorskip("transformers")


def save_resnet(folder: Path, names: dict[int, str] | None = None, seed: int = 1) -> transformers.ResNetForImageClassification:
    """A tiny random network with its processor, written by save_pretrained."""
    torch.manual_seed(seed)
    labels = {} if names is None else {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3, **labels)
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(folder)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, image_mean=[0.4, 0.5, 0.6], image_std=0.25).save_pretrained(folder)
    return network


NAMES = {0: "tabby, tabby cat", 1: "crane, bird", 2: "crane, machine"}


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> transformers.ResNetForImageClassification:
    monkeypatch.chdir(tmp_path)
    return save_resnet(tmp_path / "net", NAMES)


def test_a_saved_folder_has_equal_logits(saved: transformers.ResNetForImageClassification) -> None:
    classifier = load_classifier("hf/./net", layer="resnet.encoder.stages.1", device="cpu")
    images = torch.rand(2, 3, 64, 64)
    mean = torch.tensor([0.4, 0.5, 0.6])[:, None, None]
    assert torch.allclose(classifier(images), saved((images - mean) / 0.25).logits, atol=1e-6)
    assert classifier.class_names == ("tabby", "crane, bird", "crane, machine")
    assert (classifier.name, classifier.input_size) == ("hf/net", 64)
    assert classifier.preprocess == "fit(short=73, crop=64, resample=bicubic)"
    assert load_untrained("hf/./net").weights_hash() != classifier.weights_hash()
    assert load_untrained("hf/./net").name == "hf/net@random"


def test_an_object_has_the_preprocessing_of_the_folder_it_was_read_from(saved: transformers.ResNetForImageClassification) -> None:
    images, by_name = torch.rand(2, 3, 64, 64), load_classifier("hf/./net", device="cpu")
    network = transformers.AutoModelForImageClassification.from_pretrained("net")
    found = camdbench.classifier(network).eval()
    assert torch.equal(found(images), by_name(images))
    facts = [(own.preprocess, own.input_size, own.channels, own.class_names) for own in (found, by_name)]
    assert facts[0] == facts[1]
    assert camdbench.classifier(network, std=1).mean.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    stated = camdbench.classifier(network, mean=0, std=1)
    assert (stated.preprocess, stated.mean.flatten().tolist()) == (None, [0, 0, 0])
    file = Path("net/preprocessor_config.json")
    for text in ("{", file.read_text().replace("ConvNext", "Donut"), None):
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises(UsageError, match=r"^ResNetForImageClassification: mean and std are unknown; give mean=, std= \(--mean"):
            camdbench.classifier(network)
    with pytest.raises(UsageError, match="mean and std are unknown"):
        camdbench.classifier(saved)  # made from a configuration


def test_labels_by_number_are_no_names(tmp_path: Path) -> None:
    save_resnet(tmp_path)
    assert load_classifier(f"hf/{tmp_path}", device="cpu").class_names == ()


def test_bgr_networks_see_blue_first() -> None:
    from camdbench.models.classifier import Classifier

    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    image = torch.tensor([0.1, 0.2, 0.4])[None, :, None, None].expand(1, 3, 8, 8)
    found = Classifier(network, mean=(0.1, 0, 0), std=(1, 1, 0.5), channels="bgr")(image)
    assert torch.allclose(found, torch.tensor([[0.8, 0.2, 0.0]]))
    with pytest.raises(UsageError, match=r"no channels 'brg'; did you mean"):
        Classifier(network, mean=0, std=1, channels="brg")


def test_the_command_line_runs_a_folder_with_its_own_preprocessing(
    saved: transformers.ResNetForImageClassification, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    for index in range(3):
        file = tmp_path / "photos" / f"c{index}" / "a.png"
        file.parent.mkdir(parents=True)
        Image.fromarray(generator.integers(0, 255, (70, 90, 3), np.uint8)).save(file)
    given = ["--models", "hf/./net", "--layer", "resnet.encoder.stages.1", "-e", "gradcam", "-m", "ad", "--data-root", "photos"]
    for how, out in (("model", "a"), ("fit(short=73, crop=64, resample=bicubic)", "b"), ("resize256_crop224", "c")):
        data = f"folder(preprocess='{how}', size=64)"
        assert run_cli(["run", *given, "--dataset", data, "--out", out, "-q"]) == 0
    values = {out: [row["value"] for row in _rows(tmp_path / out)] for out in "abc"}
    assert values["a"] == values["b"] != values["c"]
    record = json.loads((tmp_path / "a" / "run.json").read_text())["models"]["hf/net"]
    assert record["preprocess"] == "fit(short=73, crop=64, resample=bicubic)"
    capsys.readouterr()
    code = run_cli(["run", "-e", "gradcam", "-m", "ad", "--data-root", "photos", "--dataset", "folder(preprocess=model)", "--out", "d"])
    assert (code, (tmp_path / "d").exists()) == (2, False)
    assert "preprocess = model: shortcuts-ce states no preprocessing; name it" in capsys.readouterr().err


def _rows(run: Path) -> list[dict[str, float]]:
    import camdbench

    return camdbench.load_rows(run).sort_values(["model", "explainer", "image"]).to_dict("records")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.utils.hub.TRANSFORMERS_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["hf/nowhere/nothing", "hf/nowhere/nothing@v1", "hf-zero-shot/nowhere/nothing"])
def test_a_name_that_is_not_in_the_cache_is_refused(name: str, hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("names.txt").write_text("cat\ndog")
    prompts = ["--prompts", "names.txt"] if "zero" in name else []
    code = run_cli(["run", "--models", name, *prompts, "-e", "gradcam", "-m", "ad", "--out", "run", "-q"])
    assert (code, Path("run").exists()) == (2, False)
    assert capsys.readouterr().err.strip() == f"Error: {name}: not on this machine; add --download"
    for command in (["layers", name], ["explain", "chelsea", "--model", name, *prompts]):
        assert run_cli(command) == 2
        assert capsys.readouterr().err.strip() == f"Error: {name}: not on this machine; add --download"


def test_a_revision_chooses_the_snapshot_and_is_recorded(hub: Path) -> None:
    place, networks = hub / "models--org--net", dict[str, torch.nn.Module]()
    for branch, commit in (("main", "a" * 40), ("v1", "b" * 40)):
        networks[branch] = save_resnet(place / "snapshots" / commit, NAMES, seed=len(networks))
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / branch).write_text(commit)
    images = torch.rand(1, 3, 64, 64)
    for name, branch in (("hf/org/net", "main"), ("hf/org/net@v1", "v1"), ("hf/org/net@" + "b" * 40, "v1")):
        classifier = load_classifier(name, device="cpu")
        assert torch.allclose(classifier(images), networks[branch](classifier.normalised(images)).logits, atol=1e-6)
        assert classifier.revision == {"main": "a", "v1": "b"}[branch] * 40
        assert classifier.name == name
    with pytest.raises(UsageError, match=r"^hf/org/net@v2: not on this machine; add --download$"):
        load_classifier("hf/org/net@v2", device="cpu")


def test_two_folders_run_together_from_another_folder_and_from_run_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for family in ("vit", "convnext"):
        build(family, **({"image_size": 64} if family == "vit" else {})).save_pretrained(tmp_path / "nets" / family)
        transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "nets" / family)
    for index in range(2):
        file = tmp_path / "photos" / f"c{index}" / "a.png"
        file.parent.mkdir(parents=True)
        Image.effect_noise((80, 64), 90).convert("RGB").save(file)
    options = ["-e", "gradcam,rollout", "-m", "ad", "--dataset", "folder(preprocess=model)", "-q"]
    assert run_cli(["run", "--models", "hf/./nets/vit,hf/./nets/convnext", "--data-root", "photos", *options, "--out", "a"]) == 0
    rows = _rows(Path("a"))
    worked = {(row["model"], row["explainer"]) for row in rows if row["status"] == "ok"}
    assert worked == {("hf/vit", "gradcam"), ("hf/vit", "rollout"), ("hf/convnext", "gradcam")}
    text = "models: 'hf/./nets/vit,hf/./nets/convnext'\ndata_root: photos\ndataset: folder(preprocess=model)\n"
    Path("own.yaml").write_text(f"{text}explainers: gradcam,rollout\nmetrics: ad\n")
    Path("elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = ["run", "--models", "hf/../nets/vit,hf/../nets/convnext", "--data-root", "../photos", *options, "--out", "../a"]
    again, own = (["run", "--config", file, "--out", out] for file, out in (("../a/run.yaml", "b"), ("../own.yaml", "c")))
    for command, out in ((done, "../a"), (again, "b"), (own, "c")):
        assert run_cli([*command, "-q"]) == 0
        keys = ("model", "explainer", "image", "status", "value")
        assert [[str(row[key]) for key in keys] for row in _rows(Path(out))] == [[str(row[key]) for key in keys] for row in rows]


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("hf/resnet", r"expected hf/ORG/NAME, hf/ORG/NAME@REVISION or hf/\./FOLDER"),
            ("hf/./nowhere", "no such folder; give one that save_pretrained wrote"),
            ("hf/.", r"the folder has no config\.json"),
        ],
    )
    def test_of_names(self, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UsageError, match=rf"^model {name}: {message}"):
            check_model(name)

    def test_without_transformers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "transformers" else found(name, *more))
        with pytest.raises(UsageError, match=r"^model hf/a/b: transformers is not installed; run: pip install 'camdbench\[hf\]'$"):
            check_model("hf/a/b")

    def test_of_damaged_folders(self, saved: transformers.ResNetForImageClassification, tmp_path: Path) -> None:
        folder, config = tmp_path / "net", (tmp_path / "net" / "config.json").read_text()

        def refusal() -> str:
            with pytest.raises(UsageError) as caught:
                load_classifier("hf/./net", device="cpu")
            assert "\n" not in str(caught.value)
            return str(caught.value)

        for text, message in (
            ("{", "config.json is damaged"),
            ("{}", "config.json is damaged, or not that of a network of transformers"),
            ('{"model_type": "bert"}', "bert has no image classifier in transformers"),
            ('{"model_type": "mine", "auto_map": {"AutoConfig": "a.B"}}', "needs code of the repository, which is never run"),
        ):
            (folder / "config.json").write_text(text)
            assert message in refusal()
        (folder / "config.json").write_text(config)
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[:200])
        assert refusal().startswith("hf/./net: cannot be read (")
        (folder / "model.safetensors").unlink()
        assert refusal().startswith("hf/./net: cannot be read (")
        saved.resnet.save_pretrained(folder)  # a backbone without its classifier
        (folder / "config.json").write_text(config)
        assert refusal() == "hf/./net: its weights lack classifier.1.bias (2 missing); give a network trained for classification"
        (folder / "preprocessor_config.json").unlink()
        assert "the folder has no preprocessor_config.json" in refusal()
