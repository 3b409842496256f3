"""Copies of own files beside the rows, and the key `plugins` of a configuration."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml
from helpers.processes import command_elsewhere

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.runner import resolved

CAM = "import helper_of_cam\ndef cam(trace):\n    '''A map.'''\n    return helper_of_cam.of(trace)\n"
HELPER = "def of(trace):\n    return trace.images.mean(1)\n"
PLUGIN = (
    "import camdbench\n@camdbench.explainer('from_plugin', paper='none')\n"
    "def own(trace):\n    '''A map.'''\n    return trace.images.amax(1)\n"
)


def test_files_of_references_and_plugins_are_copied_and_not_loaded_from_there(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cam.py").write_text(CAM)
    (tmp_path / "mine" / "helper_of_cam.py").write_text(HELPER)
    (tmp_path / "mine" / "unused.py").write_text("")
    (tmp_path / "plug.py").write_text(PLUGIN)
    text = "plugins: plug.py\nexplainers: [from_plugin, 'mine=mine/cam.py:cam']\nmetrics: ad\nlimit: 2\n"
    (tmp_path / "asked.yaml").write_text(text)
    rows = camdbench.run(config=tmp_path / "asked.yaml", out=tmp_path / "run")
    assert set(rows["explainer"]) == {"from_plugin", "mine"}
    assert set(rows["status"]) == {"ok"}
    own = tmp_path / "run" / "own"
    copies = {path.relative_to(own).as_posix(): path.read_text() for path in own.rglob("*.py")}
    assert copies == {"cam.py": CAM, "helper_of_cam.py": HELPER, "plug.py": PLUGIN}
    sums = dict(reversed(line.split("  ")) for line in (own / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256(content.encode()).hexdigest() for name, content in copies.items()}
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["plugins"] == [str(tmp_path / "plug.py")]

    for path in own.rglob("*.py"):
        path.write_text("raise SystemExit('loaded from the copy')")
    words = ["run", "--config", str(tmp_path / "run" / "run.yaml"), "--out", str(tmp_path / "again"), "-q"]
    done = command_elsewhere(words, tmp_path / "mine")
    assert (done.code, done.err) == (0, "")
    again = camdbench.load_rows(tmp_path / "again")
    assert again["value"].tolist() == rows["value"].tolist()


def test_a_copy_is_never_replaced(tmp_path: Path):
    (tmp_path / "cam.py").write_text(CAM.replace("helper_of_cam.of(trace)", "trace.images.mean(1)").replace("import helper_of_cam\n", ""))
    first = (tmp_path / "cam.py").read_text()
    camdbench.run(f"a={tmp_path}/cam.py:cam", "ad", limit=2, out=tmp_path / "run")
    (tmp_path / "cam.py").write_text(second := first.replace("mean", "amax"))
    camdbench.run(f"b={tmp_path}/cam.py:cam", "ad", limit=2, out=tmp_path / "run")
    (tmp_path / "cam.py").write_text(first)
    camdbench.run(f"a={tmp_path}/cam.py:cam", "ad", limit=2, out=tmp_path / "run")
    own = tmp_path / "run" / "own"
    name = f"cam-{hashlib.sha256(second.encode()).hexdigest()[:8]}.py"
    assert {path.name: path.read_text() for path in own.glob("*.py")} == {"cam.py": first, name: second}


def test_copies_are_run_where_the_files_are_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, content in {"cam.py": CAM, "helper_of_cam.py": HELPER, "plug.py": PLUGIN}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "asked.yaml").write_text("plugins: plug.py\nexplainers: [from_plugin, 'mine=cam.py:cam']\nmetrics: ad\nlimit: 2\n")
    rows = camdbench.run(config=tmp_path / "asked.yaml", out=tmp_path / "run")
    for name in ("cam.py", "helper_of_cam.py", "plug.py"):
        (tmp_path / name).unlink()
    words = ["run", "--config", str(tmp_path / "run" / "run.yaml"), "--out", str(tmp_path / "again"), "-q"]
    assert run_cli(words) == 2
    done = command_elsewhere([*words, "--own", "copy"], tmp_path)
    assert (done.code, done.err) == (0, "")
    assert camdbench.load_rows(tmp_path / "again")["value"].tolist() == rows["value"].tolist()
    capsys.readouterr()
    with (tmp_path / "run" / "own" / "helper_of_cam.py").open("a") as file:
        file.write("\n")
    assert run_cli([*words, "--own", "copy"]) == 2
    assert "helper_of_cam.py is not the file that was run" in capsys.readouterr().err
    for given in (tmp_path / "asked.yaml", {"explainers": "fakecam"}):
        with pytest.raises(UsageError, match="SHA256SUMS does not exist"):
            camdbench.run(config=given, own="copy", out=tmp_path / "other")
    with pytest.raises(UsageError, match="no own 'copies'; did you mean 'copy'"):
        camdbench.run(config=tmp_path / "run" / "run.yaml", own="copies", out=tmp_path / "other")


def test_no_own_files_no_folder_and_wrong_plugins_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    camdbench.run("fakecam", "ad", limit=2, out=tmp_path / "run")
    assert not (tmp_path / "run" / "own").exists()
    for given, message in [("[missing.py]", "missing.py: no such file"), ("[3]", "plugins = [3]: expected a file, or a list of files")]:
        (tmp_path / "wrong.yaml").write_text(f"plugins: {given}\nexplainers: fakecam\n")
        assert run_cli(["run", "--config", str(tmp_path / "wrong.yaml"), "--out", str(tmp_path / "other")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_two_sessions_that_copy_at_once_keep_both_files_and_list_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cam.py").write_text("mine")
    own, others = tmp_path / "run" / "own", {"creating": "cam.py", "write_whole": "late.py"}  # written by the other session just before

    def overtaken(name: str) -> None:
        done = getattr(resolved, name)

        def write(path: Path, *content: str, resumes: bool) -> AbstractContextManager[Path] | None:
            if (other := others.pop(name, None)) is not None:
                own.mkdir(parents=True, exist_ok=True)
                (own / other).write_text("theirs")
            return done(path, *content, resumes=resumes)

        monkeypatch.setattr(resolved, name, write)

    overtaken("creating")
    overtaken("write_whole")
    resolved.write_own_files(tmp_path / "run", {"plugins": [str(tmp_path / "cam.py")]})
    name = f"cam-{hashlib.sha256(b'mine').hexdigest()[:8]}.py"
    assert {path.name: path.read_text() for path in own.glob("*.py")} == {"cam.py": "theirs", name: "mine", "late.py": "theirs"}
    assert {line.split("  ")[1] for line in (own / "SHA256SUMS").read_text().splitlines()} == {"cam.py", name, "late.py"}
