"""A page per command: its help, and a terminal picture of a command that is executed when the site is built.

`write_pages` executes the commands of `EXAMPLES` in one temporary folder, in order, so that later ones read the run of the first.
"""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import click
from _api import write_if_new
from _terminal import drawn, execute

from camdbench.cli.main import COMMANDS, cli

CODES = """Results go to standard output, progress and warnings to standard error.

Exit codes: 0 done, 1 failure, 2 wrong usage, 3 finished with failed images, 4 a value moved. A command that is stopped exits with 130
(Ctrl-C), 143 (SIGTERM, as of a batch system) or 129 (SIGHUP, a closed terminal); see
[what is lost](../../start.md#what-is-lost-when-something-fails)."""
EXAMPLES = {  # some seconds of processor time in all; a command that is not here would take minutes
    "run": "camdbench run -e opticam,gradcam,saliency,fakecam -m ad,ag,insertion --limit 8 --out runs/first",
    "score": "camdbench score runs/first --explainers gradcam --metrics deletion,iou --out runs/more",
    "list": "camdbench list metrics pointing",
    "layers": "camdbench layers shortcuts-ce",
    "explain": "camdbench explain chelsea --explainers gradcam --out explanations",
    "train": "camdbench train --recipe small.yaml --preview-images 0 --out checkpoints",
    "roar": "camdbench roar --recipe roar.yaml --shares 50,90 --seeds 2 --dry-run",
    "summarise": "camdbench summarise runs/first --interval bca",
    "check": "camdbench check runs/first --against golden.csv --update\ncamdbench check runs/first --against golden.csv",
    "data": "camdbench data compact runs/first",
    "diff": "camdbench diff insertion 'insertion(protocol=rise)'",
    "compare": "camdbench compare runs/first --metrics ad",
    "audit": "camdbench audit runs/first --truth none",
    "report": "camdbench report runs/first --out report.html",
    "figures": "camdbench figures runs/first --out figures",
    "completion": "camdbench completion fish",
}
RECIPES = {  # files in that folder
    "small.yaml": """name: small
network: shortcuts
data: {dataset: shortcuts, train: train, limit: 256, evaluation: [val], evaluation_limit: 64}
loss: ce
optimiser: {lr: 0.003}
epochs: 1
batch_size: 32
""",
    "roar.yaml": """name: roar
network: shortcuts
data: {dataset: shortcuts, train: train, limit: 512, evaluation: [val]}
loss: ce
optimiser: {lr: 0.003}
epochs: 4
batch_size: 32
""",
}
REPORT = "report.html"  # the report of the first run, which the page on reports links


def page(name: str, short: str) -> str:
    """Text of the page of a command."""
    lines = [f"# {name}", "", short, ""]  # sphinx-click adds the section `camdbench NAME`
    if name in EXAMPLES:
        lines += ["```console", EXAMPLES[name], "```", ""]
        recipe = next((file for file in RECIPES if file in EXAMPLES[name]), "")
        lines += [f"`{recipe}`:", "", "```yaml", RECIPES[recipe].rstrip(), "```", ""] if recipe else []
        lines += [":::{div} terminal", "```{image} terminals/" + f"{name}.svg", f":alt: What camdbench {name} prints", "```", ":::", ""]
    return "\n".join(
        [
            *lines,
            "```{eval-rst}",
            f".. click:: camdbench.cli.{COMMANDS[name]}:command",
            f"   :prog: camdbench {name}",
            "   :nested: full",
            "```",
            "",
        ]
    )


def show_examples(app: object, context: object, lines: list[str]) -> None:
    """Hook `sphinx-click-process-description`: examples in a help are code, which can be copied."""
    del app, context
    found, code = list[str](), False
    for line in lines:
        if line.startswith("| camdbench ") and not code:
            found += [".. code-block:: console", ""]
            code = True
        code = code and line.startswith("| ")
        found.append(f"   {line.removeprefix('| ')}" if code else line)
    lines[:] = found


def pages() -> dict[str, str]:
    """Texts of all pages by path."""
    context = click.Context(cli)
    shorts = {name: (command.short_help or "") for name in COMMANDS if (command := cli.get_command(context, name))}
    rows = [f"| [{name}]({name}.md) | {short} |" for name, short in shorts.items()]
    index = ["# Commands", "", CODES, "", "| command | |", "| --- | --- |", *rows, "", "```{toctree}", ":hidden:", "", *shorts, "```", ""]
    return {"index": "\n".join(index)} | {name: page(name, short) for name, short in shorts.items()}


def write_pages(folder: Path, extra: Path) -> None:
    """Write the pages into `folder`, with their pictures, the first run's table, and its report into `extra`."""
    pictures = folder / "terminals"
    pictures.mkdir(parents=True, exist_ok=True)
    extra.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work:
        for name, text in RECIPES.items():
            Path(work, name).write_text(text, encoding="utf-8")
        texts = execute(EXAMPLES, Path(work))
        copyfile(Path(work, REPORT), extra / "report-example.html")
    for name, shown in texts.items():
        (pictures / f"{name}.svg").write_text(drawn(shown), encoding="utf-8")
    for name, text in pages().items():
        write_if_new(folder / f"{name}.md", text)
