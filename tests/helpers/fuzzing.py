"""Commands over mutated files and hostile words: no input may end in an unexpected error.

`python tests/helpers/fuzzing.py 2000` runs 2,000 inputs, prints those that end badly, and counts inputs and ends by format.
"""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import click

from camdbench.cli.main import COMMANDS, cli, run_cli
from helpers import fuzz_files
from helpers.fuzz_cases import FORMATS, Case
from helpers.mutations import mutate

SECONDS, MEMORY = 60, 4 * 2**30  # limits of one input
_OUT = (
    "golden.csv",
    "again",
    "checkpoints",
    "explanations",
    "figures",
    "made",
    "probed",
    "run",
    "runs",
    "scored",
    "trained",
    "other",
    "page.html",
    "seen",
    "home",
)
_OUTSIDE = "a file outside the folder"


def make_files(folder: Path) -> None:
    """Write one valid file of every format into a folder."""
    fuzz_files.make_files(folder, _succeed)


def _succeed(words: Sequence[str]) -> None:
    code, err = call(words, seconds=600)
    assert code == 0, (words, err)


def call(words: Sequence[str], *, seconds: int = SECONDS) -> tuple[int, str]:
    """Run a command in this process; return its exit code and stderr. A command that hangs has the exit code -1.

    The limit counts processor time, and five times as much elapsed time, as other processes may use the machine.
    """
    err = StringIO()

    def too_long(number: int, frame: object) -> None:
        del number, frame
        raise _TooLong

    others = [(signal.ITIMER_REAL, 5 * seconds, signal.SIGALRM), (signal.ITIMER_PROF, seconds, signal.SIGPROF)]
    usual = [(name, signal.signal(name, too_long)) for _, _, name in others]
    for timer, limit, _ in others:
        signal.setitimer(timer, limit, 5)  # again, as the code of a plug-in may catch it
    try:
        with redirect_stdout(StringIO()) as out, redirect_stderr(err):
            code = run_cli(words)
        return code, f"{err.getvalue()}{_controls(out.getvalue() + err.getvalue())}"
    except _TooLong:
        return -1, f"{err.getvalue()}longer than {seconds} s"
    except BaseException:
        return -2, f"{err.getvalue()}{traceback.format_exc()}"
    finally:
        for timer, _, _ in others:
            signal.setitimer(timer, 0)
        for name, handler in usual:
            signal.signal(name, handler)


class _TooLong(BaseException):
    """A command takes longer than it may."""


def _controls(text: str) -> str:
    """A fault, if a text has control characters other than the ends of lines and tabs."""
    found = sorted({repr(sign) for sign in text if (ord(sign) < 32 and sign not in "\n\t\r") or 126 < ord(sign) < 160})
    return f"\nprints the control characters {' '.join(found)}" if found else ""


def fault(code: int, err: str) -> str:
    """What is wrong with the end of a command; empty if it is an orderly one."""
    lines = [line for line in err.splitlines() if line.strip()]
    if code not in (0, 1, 2, 3, 4):
        return f"exit code {code}: {err[-3000:]}"
    if "Error: unexpected " in err or "Traceback" in err or "prints the control characters" in err:
        return err[-3000:]
    if code in (1, 2) and not lines:
        return f"exit code {code} without a line"
    if code in (1, 2) and len(lines[-1]) > 20_000:
        return f"a line of {len(lines[-1])} characters"
    return ""


def try_case(case: Case, files: Path, folder: Path, seed: str, mutation: str = "") -> tuple[int, str]:
    """Run a case on a mutated copy of the files; return its exit code and fault."""
    with _copy_of(files, folder, case.file):
        file = fuzz_files.chosen_file(case.file, random.Random(f"file {seed}"))
        how = mutate(file, seed, mutation)
        before = _names(Path())
        code, err = call(case.words)
        found = fault(code, err) or _written(folder, before)
    return code, f"{' '.join(case.words)} | {case.file} ({file}) | {how} | {seed}: {found}" if found else ""


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _written(folder: Path, before: set[str]) -> str:
    """What a command has made where it may not: beside its outputs, or outside the folder."""
    os.chdir(folder)  # code of a plug-in may have left it
    more = sorted(_names(Path()) - before - set(_OUT) - {"__pycache__"})
    outside = sorted(_names(folder.parent) - {folder.name, "outside.txt", "files"})
    if more or outside or list(folder.rglob("executed")):
        return f"writes {more} {outside} {list(folder.rglob('executed'))}"
    return "" if (folder.parent / "outside.txt").read_text() == _OUTSIDE else "writes through a link"


@contextmanager
def _copy_of(files: Path, folder: Path, file: str) -> Iterator[None]:
    """Be in a copy of the files, of the layouts only that of a file, and leave no trace of its code in this process."""
    layout = file.split("/")[1] if file.startswith("layouts/") else ""
    shutil.copytree(files, folder, symlinks=True, ignore=shutil.ignore_patterns("layouts"))
    if layout:
        shutil.copytree(files / "layouts" / layout, folder / "layouts" / layout)
    (folder.parent / "outside.txt").write_text(_OUTSIDE)
    here, home = Path.cwd(), os.environ.get("CAMDBENCH_HOME")
    os.chdir(folder)
    os.environ["CAMDBENCH_HOME"] = str(folder / "home")
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.pop("CAMDBENCH_HOME")
        if home is not None:
            os.environ["CAMDBENCH_HOME"] = home
        _restore()
        shutil.rmtree(folder)


def _restore() -> None:
    """Undo what plug-ins have registered and set."""
    import torch

    from camdbench.core import registries, registry

    for kind in (registries.explainers, registries.metrics, registries.datasets, registries.models, registries.losses):
        for name in [name for name, entry in kind._live.items() if not str(entry.module).startswith(f"{kind.package}.")]:
            kind._live.pop(name)
            kind._functions.pop(name, None)
    registry.PLUGINS.clear()
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


WORDS = (
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "nan",
    "9" * 400,
    "a" * 5000,
    "/" + "b/" * 3000,
    "\x1b[31m",
    "\udcff",
    "é\udc80.png",
    "a\nb",
    "=1+1",
    "~nosuch/x",
    "~",
    ".",
    "..",
    "/",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "/proc/self/mem/x",
    "/dev/zero",
    "loop",
    "fifo",
    "run",
    "run/run.json",
    "gradcam(",
    "opticam(iterations=10**9)",
    "opticam(" * 200,
    'ad(protocol="\\ud800")',
    "(" * 300,
    ",",
    "all",
    "none",
    "[]",
    "{}",
    "%s%n",
    "--",
    "-",
    "*",
    "cuda:99",
    "meta",
    "http://x",
    "insertion(step=0)",
    "inverted(inverted(gradcam))",
    "ad,ad",
    "sm()",
    "quantus:AUC",
    "picture.png",
    "label",
    "99999999999999999999",
    "0.5,0.5",
    "0,0,0",
    "inf,1,1",
)


def hostile_words(draw: random.Random) -> list[str]:
    """A command line with odd values: a command, some of its options, and arguments."""
    name = draw.choice(list(COMMANDS))
    command = cli.get_command(click.Context(cli), name)
    words = [name]
    if isinstance(command, click.Group):
        sub = draw.choice(list(command.commands))
        words.append(sub)
        command = command.commands[sub]
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words += [draw.choice(WORDS)] if draw.random() < 0.9 else []
        elif (parameter.required and draw.random() < 0.9) or draw.random() < 0.12:
            option = draw.choice(parameter.opts)
            words += [option] if getattr(parameter, "is_flag", False) else [option, draw.choice(_values(parameter))]
    if name in ("run", "score") and "--limit" not in words:
        words += ["--limit", "1"]
    if name == "run" and not {"-e", "--explainers"} & set(words):
        words += ["-e", "fakecam"]
    if name == "explain" and not {"-e", "--explainers"} & set(words):
        words += ["-e", "fakecam"]
    if name in ("train", "probe") and "--epochs" not in words:
        words += ["--epochs", "1"]
    return [word for word in words if word not in ("--download", "--train", "--estimate-time", "-h", "--help")]


def _values(parameter: click.Parameter) -> Sequence[str]:
    kind = parameter.type
    known = list(kind.choices) if isinstance(kind, click.Choice) else []
    good = {
        "recipe": ["tiny.yaml", "probe.yaml"],
        "data_root": ["data"],
        "dataset": ["folder", "shortcuts", "voc2012"],
        "models": ["net.safetensors"],
    }
    if parameter.name in ("executor", "epochs", "workers"):  # valid values that take long or need a cluster
        return ["local", "1", "0"]
    return [*WORDS, *map(str, known), *good.get(parameter.name or "", ())]


def try_words(words: Sequence[str], files: Path, folder: Path) -> tuple[int, str]:
    """Run a command line in a copy of the files; return its exit code and fault."""
    with _copy_of(files, folder, ""):
        Path("loop").symlink_to("loop")
        os.mkfifo("fifo")
        code, err = call(words)
        found = fault(code, err)
    shown = " ".join(word if len(word) < 40 else f"{word[:20]}…({len(word)})" for word in words)
    return code, f"{shown!r}: {found}" if found else ""


def search(count: int, start: int = 0, only: str = "") -> int:
    """Try mutated files and hostile command lines, in turn; print what ends badly; return the number of bad ends.

    Args:
        count: number of inputs.
        start: number of the first input.
        only: a format; default: all.
    """
    ends, bad = defaultdict[str, Counter[int]](Counter), Counter[str]()
    with tempfile.TemporaryDirectory() as root:
        files = Path(root, "files")
        make_files(files)
        _limit_memory()
        for number in range(start, start + count):
            faulthandler.dump_traceback_later(10 * SECONDS, exit=True)  # of code in C, which no signal ends
            click.echo(f"\r{number} ", err=True, nl=False)
            draw = random.Random(f"case {number}")
            kind = only or draw.choice([*FORMATS, *["command line"] * 8])
            if kind == "command line":
                code, found = try_words(hostile_words(draw), files, Path(root, "case"))
            else:
                code, found = try_case(draw.choice(FORMATS[kind]), files, Path(root, "case"), str(number))
            ends[kind][code] += 1
            if found:
                bad[kind] += 1
                click.echo(f"--- {number}: {found}")
        faulthandler.cancel_dump_traceback_later()
    _show(ends, bad)
    return bad.total()


def _limit_memory() -> None:
    """Let this process have `MEMORY` bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _show(ends: dict[str, Counter[int]], bad: Counter[str]) -> None:
    """Print a table of formats: inputs, exit codes, bad ends."""
    click.echo(f"{'format':<28}{'inputs':>7}{'0':>7}{'1':>7}{'2':>7}{'3, 4':>7}{'bad':>7}")
    for kind in (*sorted(ends), "all"):
        own = ends[kind] if kind in ends else sum(ends.values(), Counter[int]())
        codes = (own[0], own[1], own[2], own[3] + own[4], bad.total() if kind == "all" else bad[kind])
        click.echo(f"{kind:<28}{own.total():>7}" + "".join(f"{number:>7}" for number in codes))


if __name__ == "__main__":
    faulthandler.enable()
    with suppress(BrokenPipeError):
        sys.exit(1 if search(*map(int, sys.argv[1:3]), *sys.argv[3:4]) else 0)
