"""`camdbench`: the group of commands; errors become one line on stderr and an exit code."""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from camdbench.cli.console import any_encoding
from camdbench.cli.exit_codes import report
from camdbench.cli.stops import catch_stops
from camdbench.core.allocator import reuse_freed_memory
from camdbench.core.errors import CamdbenchError, CamdbenchWarning, unknown
from camdbench.core.signs import visible

COMMANDS = {
    "run": "run",
    "score": "score",
    "list": "list_command",
    "layers": "layers",
    "explain": "explain",
    "train": "train",
    "probe": "probe",
    "roar": "roar",
    "reproduce": "reproduce",
    "summarise": "summarise",
    "check": "check",
    "data": "data",
    "diff": "diff",
    "compare": "compare",
    "audit": "audit",
    "report": "report",
    "figures": "figures",
    "completion": "completion",
}
_SHORT_HELP = re.compile(r'^@click\.(?:command|group)\(.*\bshort_help="([^"]+)"', re.MULTILINE)


class LazyGroup(click.Group):
    """Command group that imports a command on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of `--help`."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None if the name is unknown."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        return _keep_line_breaks(importlib.import_module(f"camdbench.cli.{COMMANDS[cmd_name]}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their short helps."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short_help(name, ctx)) for name in COMMANDS])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command name.

        Raises:
            UsageError: unknown command.
        """
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise unknown("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)


def _short_help(name: str, ctx: click.Context) -> str:
    """Read the short help of a command from its source, so that `--help` imports no command."""
    file = Path(__file__).with_name(f"{COMMANDS[name]}.py")
    found = _SHORT_HELP.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    if found:
        return found[1]
    command = cli.get_command(ctx, name)
    return command.get_short_help_str() if command else ""


def _keep_line_breaks(command: click.Command) -> click.Command:
    r"""Replace `\b` in the help of a command and its sub-commands by the character with which click keeps line breaks."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        _keep_line_breaks(part)
    return command


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        from importlib.metadata import PackageNotFoundError, version  # a tenth of the time of `--help`

        try:
            click.echo(f"camdbench {version('camdbench')}")
        except PackageNotFoundError:
            click.echo("camdbench (not installed)")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, callback=_show_version, expose_value=False, is_eager=True, help="Show the version.")
def cli() -> None:
    r"""Benchmark saliency maps of image classifiers.

    \b
    camdbench run --explainers opticam,gradcam --metrics ad,ag    run and score, on the embedded data set and model
    camdbench list explainers                                     available explainers
    camdbench explain chelsea --explainers gradcam,opticam        saliency maps of single images

    Exit codes: 0 success, 1 failure, 2 usage error, 3 some images failed, 4 a golden value moved;
    stopped: 130 by Ctrl-C, 143 by a batch system (SIGTERM), 129 by a closed terminal (SIGHUP).
    """


_keep_line_breaks(cli)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    reuse_freed_memory()
    catch_stops()
    sys.exit(run_cli(sys.argv[1:] if arguments is None else arguments))


def run_cli(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; errors become one line on stderr."""
    verbose = any(word in ("-v", "--verbose") for word in arguments)
    with any_encoding():
        try:
            _use_completion()
            _check_folder()
            with _warnings(verbose=verbose):
                result: Any = cli.main(list(arguments), prog_name="camdbench", standalone_mode=False)
                if sys.stdout is not None:
                    sys.stdout.flush()  # a full disk or a closed pipe is an error here, not at the end of the process
        except BaseException as error:
            return report(error, verbose=verbose)
    return result if isinstance(result, int) else 0


def _use_completion() -> None:
    """Register the shells if a completion script started the command."""
    if "_CAMDBENCH_COMPLETE" in os.environ:
        from camdbench.cli.completion import use_shells

        use_shells()


def _check_folder() -> None:
    """Raise CamdbenchError if the current folder is deleted, on which numerical libraries end the process."""
    try:
        Path.cwd()
    except OSError:
        raise CamdbenchError("the current folder does not exist any more; change to another folder") from None


@contextmanager
def _warnings(*, verbose: bool) -> Generator[None]:
    """Print warnings of camdbench as one line each; show those of libraries only if verbose."""
    with warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", CamdbenchWarning)
        show_other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
            if issubclass(category, CamdbenchWarning):
                click.echo(visible(f"warning: {message}"), err=True)
            else:
                show_other(message, category, *where, **how)

        warnings.showwarning = show
        yield
