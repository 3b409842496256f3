"""Zero-shot classifiers: logits of transformers itself, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.each import each
from helpers.toy_clip import network_of, tokenizer_of
from PIL import Image

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError

transformers = pytest.importorskip("transformers")

CLASSES = ["cat", "dog", "a bird"]
KINDS = {"CLIP": "CLIP", "MetaClip2": "CLIP", "Siglip": "Siglip", "Siglip2": "Siglip2"}  # network -> image processor


def texts_of(kind: str, sentences: list[str]) -> transformers.BatchEncoding:
    """Tokens as the processor of the network makes them."""
    padding = "max_length" if kind.startswith("Siglip") else True
    return tokenizer_of(kind)(sentences, padding=padding, max_length=24, truncation=True, return_tensors="pt")


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str) -> None:
    network, pixels = network_of(kind), torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    classifier = camdbench.zero_shot(network, CLASSES, tokenizer=tokenizer_of(kind), templates=["photo of {}."])
    options = {"patch_size": 8, "max_num_patches": 16} if kind == "Siglip2" else {"do_resize": False, "do_center_crop": False}
    processor = getattr(transformers, f"{KINDS[kind]}ImageProcessor")(**options)
    inputs = processor([Image.fromarray(own.numpy()) for own in pixels], return_tensors="pt")
    with torch.no_grad():
        theirs = network(**inputs, **texts_of(kind, [f"photo of {name}." for name in CLASSES])).logits_per_image
    images = pixels.permute(0, 3, 1, 2) / 255
    assert theirs.std() > 1e-2
    torch.testing.assert_close(classifier(images), theirs, rtol=1e-6, atol=1e-6)
    assert classifier.class_names == tuple(CLASSES)
    assert classifier.input_size == 32
    found = camdbench.explain(classifier, images, "hirescam")
    assert found.raw.shape[1:] == (4, 4)
    assert set(found.status) == {"ok"}
    other = camdbench.zero_shot(network, ["cat", "dog", "fish"], tokenizer=tokenizer_of(kind), templates=["photo of {}."])
    assert other.weights_hash() != classifier.weights_hash()


class TestTheCommandLine:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        network_of("CLIP").save_pretrained("clip")
        tokenizer_of("CLIP").save_pretrained("clip")
        transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained("clip")
        Path("names.txt").write_text("photo of {}.\n" + "\n".join(CLASSES))
        for index in range(3):
            file = tmp_path / "photos" / f"c{index}" / "a.png"
            file.parent.mkdir(parents=True)
            Image.effect_noise((40, 32), 90).convert("RGB").save(file)

    def test_runs_a_folder_with_prompts_under_any_name_and_from_another_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = ["--dataset", "folder(preprocess=model)", "--data-root", "photos", "-e", "gradcam", "-m", "ad", "-q"]
        for models, out in (("hf-zero-shot/./clip", "a"), ("mine=hf-zero-shot/./clip", "b")):
            assert run_cli(["run", "--models", models, "--prompts", "names.txt", *data, "--out", out]) == 0
        record = json.loads(Path("a/run.json").read_text())["models"]["hf-zero-shot/clip"]
        expected = camdbench.zero_shot("hf/./clip", CLASSES, templates=["photo of {}."])
        assert record["weights_hash"] == expected.weights_hash()
        assert (record["classes"], record["preprocess"]) == (3, "fit(short=32, crop=32, resample=bicubic)")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert run_cli(["run", "--config", "../a/run.yaml", "--out", "c", "-q"]) == 0
        one, two, three = (camdbench.load_rows(tmp_path / place)["value"].tolist() for place in ("a", "b", "elsewhere/c"))
        assert one == two == three
        monkeypatch.chdir(tmp_path)
        Path("names.txt").write_text("cat\ndog\nfish")
        capsys.readouterr()
        assert run_cli(["run", "--models", "hf-zero-shot/./clip", "--prompts", "names.txt", *data, "--out", "a"]) == 2
        assert "holds a run with weights_hash of hf-zero-shot/clip" in capsys.readouterr().err
        assert run_cli(["layers", "hf-zero-shot/./clip"]) == 0
        assert "vision_model.encoder.layers.1.layer_norm1" in capsys.readouterr().out.rpartition("default")[0].rpartition("\n")[2]

    @each(
        ("options", "message"),
        [
            (["--models", "hf-zero-shot/./clip"], "needs the names of its classes; add --prompts FILE with one name per line"),
            (["--models", "hf-zero-shot/./clip", "--prompts", "none.txt"], "--prompts = none.txt: cannot be read"),
            (["--models", "shortcuts-ce", "--prompts", "names.txt"], "--prompts = names.txt: no model is hf-zero-shot/NAME; omit it"),
            (["--models", "hf-zero-shot/clip", "--prompts", "names.txt"], "expected hf-zero-shot/ORG/NAME, hf-zero-shot/ORG/NAME@REV"),
            (["--models", "hf/./clip"], "give a network trained for classification, or hf-zero-shot/./clip with --prompts"),
        ],
    )
    def test_refusals(self, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_cli(["run", *options, "-e", "gradcam", "-m", "ad", "--out", "run", "-q"]) == 2
        assert message in capsys.readouterr().err
        assert not Path("run").exists()


def test_templates_are_averaged_as_unit_vectors() -> None:
    network = network_of("CLIP")
    templates = ["a {}"], ["{}!"], ["a {}", "{}!"]
    one, two, both = (
        camdbench.zero_shot(network, CLASSES, tokenizer=tokenizer_of("CLIP"), templates=texts).network.text for texts in templates
    )
    assert torch.allclose(both, torch.nn.functional.normalize(one + two, dim=1), atol=1e-6)


@each(
    ("classes", "options", "message"),
    [
        (["cat"], {}, "expected a list of at least two names"),
        ("cat,dog", {}, "expected a list of at least two names"),
        (["cat", "cat"], {}, "class 'cat' is named twice"),
        (CLASSES, {"templates": ["photo"]}, r"expected a list of sentences with \{\} once"),
        (CLASSES, {"tokenizer": None}, "a network object needs its tokenizer"),
    ],
)
def test_refusals(classes: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        camdbench.zero_shot(network_of("CLIP"), classes, **({"tokenizer": tokenizer_of("CLIP")} | options))


def test_another_network_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^zero_shot: Linear is neither CLIP nor SigLIP"):
        camdbench.zero_shot(torch.nn.Linear(2, 2), CLASSES, tokenizer=tokenizer_of("CLIP"))
