"""Completion: the words that click offers a shell for an incomplete line, and the scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from helpers.each import each

from camdbench.cli.completion import SHELLS, VARIABLE, use_shells
from camdbench.cli.main import cli, run_cli
from camdbench.cli.names import spec_completions
from camdbench.core.registries import datasets, explainers, metrics


def offered(*words: str, shell: str = "zsh") -> list[str]:
    """What click offers for the last word."""
    use_shells()
    kind = get_completion_class(shell)
    assert kind is not None
    return [item.value for item in kind(cli, {}, "camdbench", VARIABLE).get_completions(list(words[:-1]), words[-1])]


@each(
    ("words", "expected"),
    [
        (["summ"], ["summarise"]),
        (["run", "--save-m"], ["--save-maps"]),
        (["run", "--save-maps", ""], ["none", "view", "raw"]),
        (["run", "-e", "fakecam,opti"], ["fakecam,opticam"]),
        (["run", "--explainers=fakecam,opti"], ["--explainers=fakecam,opticam"]),
        (["run", "-e", "mine=opti"], ["mine=opticam"]),
        (["run", "-e", "all,-extr"], ["all,-extremal"]),
        (["run", "-e", "fakecam,opticam(iterations=5, obj"], ["fakecam,opticam(iterations=5, objective="]),
        (["run", "-m", "ad, insertion(protocol=r"], ["ad, insertion(protocol=rise"]),
        (["run", "-e", "power(opticam(iter"], ["power(opticam(iterations="]),
        (["run", "-e", "power(xgrad"], ["power(xgradcam"]),
        (["run", "-m", "quantus:Spars"], ["quantus:Sparseness"]),
        (["run", "--dataset", "short"], ["shortcuts"]),
        (["run", "--models", "shortcuts-ce,resnet15"], ["shortcuts-ce,resnet152"]),
        (["layers", "timm"], ["timm/"]),
        (["list", "metrics", "delet"], ["deletion", "deletion_check"]),
        (["reproduce", "opticam-tablea14"], ["opticam-tablea14"]),
        (["completion", "f"], ["fish"]),
        (["run", "-e", "nosuch(op"], []),
        (["run", "--plugin", "missing.py", "--metrics", "ai"], ["ai", "aic"]),
    ],
)
def test_the_last_word_of_a_line_is_completed(words: list[str], expected: list[str]):
    assert offered(*words) == expected


def test_every_registered_name_is_offered():
    for kind, registry in (("explainers", explainers), ("metrics", metrics), ("datasets", datasets)):
        assert {entry.name for entry in registry} <= {value for value, _ in spec_completions(kind, "")}


def test_functions_of_a_file_are_offered_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text("raise SystemExit\ndef small(): ...\ndef _hidden(): ...\nclass Small: ...\n")
    (tmp_path / "net 1.safetensors").write_bytes(b"")
    (tmp_path / "nets").mkdir()
    assert offered("run", "--models", "a=nets") == ["a=nets/", "a=nets.py:"]
    assert offered("run", "--models", "nets.py:") == ["nets.py:small", "nets.py:Small"]
    assert offered("run", "--models", "nets.py:small,net ") == ["nets.py:small,net 1.safetensors"]


@pytest.mark.parametrize(
    ("line", "word"), [("camdbench run --explainers=fakecam,opti", "fakecam,opti"), ("camdbench run -e 'a=opti", "a=opti")]
)
def test_a_shell_starts_no_heavy_import(line: str, word: str):
    code = (
        "import atexit, sys\natexit.register(lambda: print('torch' in sys.modules, 'pandas' in sys.modules))\n"
        "from camdbench.cli.main import main\nmain()"
    )
    known = os.environ | {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": word}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=known)
    assert done.stdout.split("\n")[0] == f"plain:{word.removesuffix('opti')}opticam"
    assert done.stdout.split()[-2:] == ["False", "False"]
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no bash")
def test_bash_replaces_the_part_behind_its_word_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_cli(["completion", "bash"]) == 0
    (tmp_path / "camdbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m camdbench "$@"\n')
    (tmp_path / "camdbench").chmod(0o755)
    script = capsys.readouterr().out + (
        "compopt() { echo compopt $*; }\n"  # the builtin works only inside a completion by readline
        'ask() { COMP_LINE="$1"; COMP_POINT=${#1}; _camdbench_completion camdbench "$2"; printf "%s\\n" "${COMPREPLY[@]}"; }\n'
        "ask 'camdbench run --metrics=ad,quantus:Spars' Spars\n"
        "ask 'camdbench run --nosuch x ' ''\n"
        "ask 'camdbench run -e \"opticam(iter' 'opticam(iter'\n"
    )
    known = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], check=True, capture_output=True, text=True, env=known)
    assert done.stdout.split("\n") == ["Sparseness", "", "compopt -o nospace", "opticam(iterations=", ""]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_the_command_and_its_variable(shell: str, capsys: pytest.CaptureFixture[str]):
    assert run_cli(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in text
    assert "camdbench" in text
