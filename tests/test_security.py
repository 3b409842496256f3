"""What docs/security.md states: what is never run, what is downloaded, which files are read and written, and what is printed."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import socket
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from helpers.each import each
from PIL import EpsImagePlugin, Image

import camdbench
from camdbench.cli.main import cli, run_cli
from camdbench.core.errors import CamdbenchError, SampleError, UsageError
from camdbench.core.files import check_growth, read_fields, read_json
from camdbench.core.written_files import replacing
from camdbench.datasets.coco import coco_source
from camdbench.datasets.file_hashes import file_hashes
from camdbench.datasets.folder_layout import read_lines, read_mat, read_table
from camdbench.datasets.preprocess import FORMATS, read_picture
from camdbench.datasets.voc_xml import read_boxes
from camdbench.models.prompts import read_prompts
from camdbench.models.weights_file import read_state
from camdbench.runner.map_files import maps_of
from camdbench.runner.partial_results import PartialResults
from camdbench.trainer.checkpoint import load_run

PAGE = Path(__file__).parents[1] / "docs" / "security.md"


class Executed:
    """Makes the file `executed` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


class TestCodeThatIsNeverRun:
    @pytest.mark.parametrize("save", [torch.save, lambda value, path: Path(path).write_bytes(pickle.dumps(value))], ids=["torch", "pickle"])
    def test_pickles_of_weights_partial_results_and_training_states(self, save: Callable[[Any, str], None]) -> None:
        save([Executed()], "a.pt")
        with pytest.raises(UsageError, match=r"needs code|another format"):
            read_state(Path("a.pt"))
        with pytest.raises(CamdbenchError, match="delete it"):
            PartialResults(Path()).load([])
        assert load_run(Path("a.pt"), "key") is None
        assert not Path("executed").exists()

    def test_arrays_of_objects(self) -> None:
        array = np.array([Executed()], dtype=object)
        np.save("a.npy", array)
        np.savez("a.npz", maps=array)
        for name in ("a.npy", "a.npz"):
            with pytest.raises(UsageError, match="no array of numbers"):
                maps_of(name, Path(name), ["x"])
        assert not Path("executed").exists()

    def test_tags_of_yaml(self) -> None:
        Path("a.yaml").write_text("a: !!python/object/apply:pathlib.Path.touch [executed]\n")
        with pytest.raises(UsageError, match="not YAML"):
            read_fields(Path("a.yaml"), "recipe", "name: x")
        assert not Path("executed").exists()

    def test_pictures_that_pillow_gives_to_a_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: pytest.fail("a program is started"))
        Image.new("RGB", (8, 8)).save("a.eps")
        Path("a.eps").rename("a.png")
        with pytest.raises(SampleError, match=r"a\.png: cannot be decoded"):
            read_picture(Path("a.png"))

    @each("form", FORMATS)
    def test_pictures_of_other_formats_are_read_whatever_their_name(self, form: str) -> None:
        Image.new("RGB", (8, 4), (255, 0, 0)).save("a.txt", format=form)
        assert read_picture(Path("a.txt")).size == (8, 4)

    @pytest.mark.parametrize(
        ("head", "name"),
        [
            ('<!DOCTYPE a [<!ENTITY x SYSTEM "secret">]>', "&x;"),
            ('<!DOCTYPE a [<!ENTITY e0 "lol">' + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9)) + "]>", "&e9;"),
        ],
        ids=["outside", "multiplied"],
    )
    def test_entities_of_xml(self, head: str, name: str) -> None:
        Path("secret").write_text("dog")
        Path("a.xml").write_text(f"{head}<a><object><name>{name}</name><bndbox/></object></a>")
        with pytest.raises(SampleError, match="cannot be read as boxes"):
            read_boxes(Path("a.xml"), ["dog"], first=1)

    def test_links_of_hdf5_to_other_files(self) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File("secret.h5", "w") as store:
            store["maps"] = np.zeros((1, 2, 2))
        with h5py.File("a.h5", "w") as store:
            store["maps"] = h5py.ExternalLink("secret.h5", "/maps")
        with pytest.raises(UsageError, match="no arrays"):
            maps_of("a.h5", Path("a.h5"), ["x"])

    def test_completion_reads_no_plug_in(self) -> None:
        Path("mine.py").write_text("import pathlib; pathlib.Path('executed').touch()")
        words = {"COMP_WORDS": "camdbench list explainers --plugin mine.py ", "COMP_CWORD": "5", "_CAMDBENCH_COMPLETE": "bash_complete"}
        CliRunner().invoke(cli, [], env=words, prog_name="camdbench")
        assert not Path("executed").exists()
        assert run_cli(["list", "explainers", "--plugin", "mine.py"]) == 0
        assert Path("executed").exists()


def test_a_checkpoint_runs_no_file_of_another_hash() -> None:
    weights = Path(camdbench.__file__).parent / "models" / "weights" / "shortcuts-ce"
    Path("net.safetensors").write_bytes(weights.with_suffix(".safetensors").read_bytes())
    Path("mine.py").write_text("import pathlib; pathlib.Path('executed').touch()")
    facts = json.loads(weights.with_suffix(".json").read_text()) | {
        "network": f"{Path('mine.py').absolute()}:network",
        "network_code": "0" * 16,
    }
    Path("net.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="its code changed since the training"):
        camdbench.classifier("net.safetensors")
    assert not Path("executed").exists()


def test_nothing_is_downloaded_unless_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*arguments: object) -> None:
        pytest.fail(f"connects to {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(Path().absolute()))
    words = ["run", "-q", "--explainers", "fakecam", "--metrics", "ad", "--limit", "1", "--device", "cpu"]
    assert run_cli(words) == 0
    for model in ("resnet18", "timm/resnet18.a1_in1k", "hf/none/nothing"):
        assert run_cli([*words, "--models", model]) == 2
        assert "not on this machine" in capsys.readouterr().err
    assert run_cli(["data", "verify", "pets", "--data-root", "nowhere"]) == 2


def _read_maps(file: Path) -> object:
    return dict(maps_of(str(file), file, ["x"]))


READERS: dict[str, Callable[[Path], object]] = {
    "a.json": lambda file: read_json(file, fix="x"),
    "a.yaml": lambda file: read_fields(file, "recipe", "name: x"),
    "a.txt": read_lines,
    "a.csv": lambda file: read_table(file, "a"),
    "a.mat": read_mat,
    "a.xml": lambda file: read_boxes(file, ["dog"], first=1),
    "a.png": read_picture,
    "a.pt": read_state,
    "a.safetensors": read_state,
    "a.npy": _read_maps,
    "a.npz": _read_maps,
    "a.h5": _read_maps,
    "coco.json": coco_source,
    "prompts.txt": read_prompts,
    "own.csv": camdbench.data,
    "own.parquet": camdbench.data,
    "hf": lambda file: _in_folder(file, lambda folder: camdbench.classifier(f"hf/{folder}")),
    "zarr": lambda file: _in_folder(file, _read_maps),
}


def _in_folder(file: Path, read: Callable[[Path], object]) -> object:
    """Read a folder in which one file is a link to the given one."""
    folder = file.with_name(f"folder.{file.name}")
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "vit"}')
    (folder / ("model.safetensors" if file.name == "hf" else "zarr.json")).symlink_to(file.absolute())
    return read(folder.absolute())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_an_error_and_no_endless_wait(name: str, what: str) -> None:
    file = Path(name)
    if what == "pipe":
        os.mkfifo(file)
    elif what == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    with pytest.raises(CamdbenchError) as caught:
        READERS[name](file)
    assert "\n" not in str(caught.value)


def test_hashes_and_training_states_that_are_pipes_are_passed_over() -> None:
    os.mkfifo("pipe")
    assert file_hashes([Path("pipe").absolute()]) == ["gone"]
    assert load_run(Path("pipe"), "key") is None


class TestLimits:
    def test_of_archives(self) -> None:
        with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("maps.npy", b"\0" * 10**6)
        with pytest.raises(ValueError, match="would unpack to 1,000,000"):
            check_growth(Path("a.npz"))
        check_growth(Path("a.npz"), least=10**6)

    def test_of_text(self) -> None:
        for name, read in READERS.items():
            if name.rpartition(".")[2] in ("json", "yaml", "txt", "csv"):
                with Path(name).open("wb") as file:
                    file.truncate(2 * 2**30 + 1)
                with pytest.raises(UsageError, match=r"more than 2 gigabytes|--prompts = prompts\.txt: cannot be read"):
                    read(Path(name))

    def test_of_maps(self) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File("a.h5", "w") as store:
            store.create_dataset("maps", shape=(1, 10**6, 10**6), chunks=(1, 64, 64), dtype="f4")
        with pytest.raises(UsageError, match="at most 100,000,000 values"):
            maps_of("a.h5", Path("a.h5"), ["x"])

    def test_are_those_of_the_page(self) -> None:
        page = PAGE.read_text(encoding="utf-8")
        from camdbench.core import errors, files
        from camdbench.runner import map_files

        assert f"{Image.MAX_IMAGE_PIXELS:,}" in page
        assert f"{map_files._MOST_VALUES:,}" in page
        assert f"{files._MOST_NODES:,}" in page
        assert f"may unpack to {files._MOST_GROWTH} times" in page
        assert f"| {errors._SHOWN} |" in page


class TestFilesThatAreWritten:
    def test_a_link_is_replaced_and_not_followed(self) -> None:
        Path("secret").write_text("mine")
        Path("a.json").symlink_to("secret")
        with replacing(Path("a.json")) as temporary:
            temporary.write_text("new")
        assert (Path("secret").read_text(), Path("a.json").read_text()) == ("mine", "new")
        assert not Path("a.json").is_symlink()

    def test_names_that_climb_stay_below_the_output(self, folder: Path) -> None:
        images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        data = camdbench.data((images, [0, 1]), ids=["../../x", "/etc/x"], preprocess="keep", name="odd")
        names = {"a/../../../x": "fakecam", "b": "uniform"}
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        model = camdbench.Classifier(torch.nn.Sequential(*net, torch.nn.Linear(4, 2)), layer="1", mean=0.5, std=0.25, name="m/../../../m")
        old = set(folder.parent.rglob("*"))
        mask = os.umask(0o027)
        try:
            camdbench.run(models=model, dataset=data, explainers=names, metrics="ad", save_maps="raw", out="runs/r", device="cpu")
        finally:
            os.umask(mask)
        new = [path for path in folder.parent.rglob("*") if path not in old]
        assert new
        assert all((folder / "runs").resolve() in (path.resolve(), *path.resolve().parents) for path in new)
        assert not [path for path in new if stat.S_IMODE(path.stat().st_mode) & 0o027]


class TestNamesInOutput:
    NAME = "\x1b[31m\x9b0m\u202e.png"

    def test_of_pictures_and_classes(self, capsys: pytest.CaptureFixture[str]) -> None:
        Image.new("RGB", (32, 32)).save("a.png")
        Path(self.NAME).write_bytes(Path("a.png").read_bytes())
        Path(f"b{self.NAME}").write_text("no picture")
        Path("own.csv").write_text(f"image,label\n{self.NAME},\x1b[1mx\nb{self.NAME},y\n", encoding="utf-8")
        for words in (
            ["explain", self.NAME, f"b{self.NAME}", "--explainers", "fakecam", "--metrics", "ad", "--device", "cpu"],
            ["data", "verify", "own.csv(size=32)"],
            ["data", "verify", "own.csv(size=32)", "--json"],
        ):
            run_cli(words)
            shown = "".join(capsys.readouterr())
            assert shown.count("x1b[31m") + shown.count("u001b[31m") > 0, words
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown), words

    def test_of_plug_ins(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("mine.py").write_text(
            "from camdbench import explainer\n\n\n@explainer('odd', paper='\\x1b[31mA')\n"
            "def odd(trace):\n    '\\x1b[31mA map.'\n    return 1\n"
        )
        for words in (["list", "explainers"], ["list", "explainers", "odd"], ["list", "explainers", "--json"]):
            assert run_cli([*words, "--plugin", "mine.py"]) == 0
            assert "\x1b" not in "".join(capsys.readouterr())

    def test_of_long_and_hostile_exceptions(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("long.py").write_text("raise ValueError('x' * 10**6)")
        Path("odd.py").write_text("class E(Exception):\n    def __str__(self): raise SystemExit\nraise E")
        Path("exit.py").write_text("class C:\n    def __repr__(self): raise SystemExit\nraise SystemExit(C())")
        for name, said in (("long", "xxx…"), ("odd", "--plugin odd.py: E"), ("exit", "--plugin exit.py: calls sys.exit('C')")):
            assert run_cli(["list", "explainers", "--plugin", f"{name}.py"]) == 1
            line = capsys.readouterr().err
            assert said in line
            assert len(line) < 400


def test_the_page_names_no_format_that_is_off() -> None:
    row = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| pictures"))
    assert all(form in row.upper().replace("JPEG 2000", "JPEG2000") for form in FORMATS)


def test_unreadable_bytes_are_no_picture() -> None:
    with pytest.raises(UsageError):
        camdbench.data([Image.open(io.BytesIO(_truncated()))])[0]


def _truncated() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, format="PNG")
    return file.getvalue()[:60]
