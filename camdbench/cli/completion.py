"""`camdbench completion`: script that completes commands, options and names in a shell."""

from __future__ import annotations

import os
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

VARIABLE = "_CAMDBENCH_COMPLETE"  # set by the script when it asks for completions
SHELLS = ("bash", "zsh", "fish")

_BASH = r"""%(complete_func)s() {
    local line IFS=$'\n'
    COMPREPLY=()
    for line in $(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$2" %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        case "$line" in
            dir:*) compopt -o dirnames ;;
            file:*) compopt -o default ;;
            open:*) COMPREPLY+=("${line#*:}"); compopt -o nospace ;;
            *) COMPREPLY+=("${line#*:}") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Completion(ShellComplete):
    """Completion of whole words, `--option=value` included; offers nothing where the words before the cursor are wrong."""

    def complete(self) -> str:
        """Completions as the script reads them."""
        try:
            return super().complete()
        except Exception:  # an error would be printed beside the cursor
            return ""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Completions of the last word."""
        found = super().get_completions(args, incomplete)
        option = incomplete.partition("=")[0] + "=" if incomplete.startswith("-") and "=" in incomplete else ""
        return [CompletionItem(f"{option}{item.value}" if item.type == "plain" else item.value, item.type, item.help) for item in found]


class Bash(_Completion, BashComplete):
    """Completion in bash, which breaks words at `=`, `:` and brackets and replaces only the part behind the last of them."""

    source_template: ClassVar[str] = _BASH

    def source(self) -> str:
        """The script; the version of bash is not looked up."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words before the cursor, from the line up to it."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        started = bool(words) and not (line[-1:].isspace() and not words[-1][-1:].isspace())
        return words[1 : len(words) - started], words[-1] if started else ""

    def format_completion(self, item: CompletionItem[str]) -> str:
        """`KIND:VALUE`; of the value, what follows the part of the word that bash keeps."""
        kept = len(self.get_completion_args()[1]) - len(os.environ["COMP_CWORD"])
        kind = "open" if item.type == "plain" and item.value[-1:] in "=(/:" else item.type
        return f"{kind}:{item.value[kept:]}"


class Zsh(_Completion, ZshComplete):
    """Completion in zsh."""


class Fish(_Completion, FishComplete):
    """Completion in fish."""


def use_shells() -> None:
    """Register the shells for a completion that a script asks for."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)


@click.command("completion", short_help="Print a script that completes commands, options and names in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    r"""Print a script that completes commands, options and names (explainers, metrics, models, data sets) in SHELL.

    Names are completed in comma-separated lists, options and their values in brackets, functions after FILE.py:.

    \b
    camdbench completion bash >> ~/.bashrc                                   bash 4.4 or later
    camdbench completion zsh > ~/.zfunc/_camdbench                           a folder of fpath
    camdbench completion fish > ~/.config/fish/completions/camdbench.fish
    """
    use_shells()
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "camdbench", VARIABLE).source(), nl=False)
