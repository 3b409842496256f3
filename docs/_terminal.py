"""Terminal pictures: commands are executed in one folder, in order, and what they print becomes an SVG that loads no font."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from shlex import split
from unittest.mock import patch

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from camdbench.cli.main import run_cli

WIDTH = 112  # columns


def printed(command: str) -> str:
    """What a command prints on standard output, with its styles as ANSI codes.

    Raises:
        RuntimeError: the command failed.
    """
    out, err = io.StringIO(), io.StringIO()
    program, *words = split(command)
    assert program == "camdbench", command
    with redirect_stdout(out), redirect_stderr(err), _environment({"COLUMNS": str(WIDTH), "FORCE_COLOR": "1"}):
        code = run_cli(words)
    if code:
        raise RuntimeError(f"{command}: exit code {code}\n{err.getvalue()}")
    return out.getvalue()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    with patch.dict("os.environ", values):
        yield


def drawn(shown: Sequence[tuple[str, str]], lines: int = 40) -> str:
    """SVG of a terminal that shows commands and what each printed; of more than `lines` lines the first ones."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    for command, text in shown:
        console.print(Text.assemble(("$ ", "bold green"), command))
        every = text.rstrip().splitlines()
        console.print(Text.from_ansi("\n".join(every[:lines])))
        if len(every) > lines:
            console.print(Text(f"… {len(every) - lines} more lines", "dim"))
    svg = console.export_svg(title="", theme=MONOKAI, unique_id="terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # fonts of another host
    return svg.replace("Fira Code, monospace", "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace")


def execute(examples: Mapping[str, str], work: Path) -> dict[str, list[tuple[str, str]]]:
    """Run the commands of examples, one a line, in order in the folder `work`; each with what it printed, in which the folder is `~`."""
    with chdir(work):
        return {
            name: [(command, printed(command).replace(str(work), "~")) for command in lines.splitlines()]
            for name, lines in examples.items()
        }
