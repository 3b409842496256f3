"""What a recipe needs: data, weights, networks to be trained, and image passes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from camdbench.core.catalogue import NO_EXPLAINER, datasets, explainers
from camdbench.core.spec import Spec, parse_spec
from camdbench.papers.jobs import JobSettings, Plan, plan
from camdbench.papers.table_recipe import PaperTable

_COUNTED = ("iterations", "max_iter", "samples")  # options that the number of passes follows
_PAIRS = re.compile(r"(?:(\d+) areas x )?(\d+) \(forward \+ (?:tail )?backward\)")
_SINGLE = re.compile(r"(\d+) (?:tail )?(?:forward|backward)")
_TIMES = re.compile(r"^(.*?)(\d+) times ")  # what a wrapper adds, and how often it asks the inner explainer
_MORE = ("for each channel", "for each distinct channel", "for each place", "once again")


class Passes(NamedTuple):
    """Image passes for one image, forward and backward, whole or through the tail.

    Attributes:
        number: how many.
        more: whether that is the least, and the network's channels or the image say how many more.
    """

    number: int
    more: bool

    def __str__(self) -> str:
        return f"{'at least ' if self.more else ''}{self.number:,}"


@dataclass(frozen=True)
class Requirements:
    """What a recipe needs beside time.

    Attributes:
        data: names of data sets that are read from disk.
        weights: names of the zoo's models.
        trained: number of networks to be trained first; segmentation probes on them are not counted.
        cells: number of cells.
        missing: number of cells that nothing helps.
        passes: image passes of all explainers for one image of each data set.
        work: image passes over all images, by the name of the network's architecture.
    """

    data: tuple[str, ...]
    weights: tuple[str, ...]
    trained: int
    cells: int
    missing: int
    passes: Passes
    work: dict[str, Passes]


def requirements(table: PaperTable) -> Requirements:
    """What there must be before a recipe can be run in full."""
    planned = plan(table)
    settings = list(dict.fromkeys(setting for cell in planned.cells for setting in cell.settings))
    names = dict.fromkeys(parse_spec(setting.dataset).name for setting in settings)
    each = [_sum(passes_of(parse_spec(name)) for name in job.explainers) for job in planned.jobs]
    return Requirements(
        data=tuple(name for name in names if datasets.get(name).facts.on_disk),
        weights=tuple(dict.fromkeys(setting.model for setting in settings if setting.model is not None)),
        trained=len({setting.training for setting in settings if setting.training is not None}),
        cells=len(planned.cells),
        missing=sum(bool(cell.reason) for cell in planned.cells),
        passes=_sum(each),
        work=_work(planned, each),
    )


def passes_of(spec: Spec) -> Passes:
    """Image passes that an explainer makes for one image, read from its cost; what its options change counts.

    >>> str(passes_of(parse_spec("opticam"))), str(passes_of(parse_spec("opticam(iterations=10)")))
    ('201', '21')
    >>> str(passes_of(parse_spec("power(scorecam, alpha=2.0)")))
    'at least 2'
    """
    if spec == NO_EXPLAINER:
        return Passes(1, more=False)
    entry = explainers.get(spec.name)
    cost = entry.facts.cost
    if spec.inner:
        own, times = found.groups() if (found := _TIMES.search(cost)) else ("", "1")
        inner = _sum(passes_of(part) for part in spec.inner)
        return Passes(_counted(own) + int(times) * inner.number, inner.more)
    text, _, aside = _with_options(cost, entry.defaults(), spec).partition(",")
    dearer = any(str(value) in aside for _, value in spec.options if isinstance(value, str))  # `…, two of each for dual`
    return Passes(_counted(text), dearer or any(words in cost for words in _MORE))


def _counted(text: str) -> int:
    """The passes that a cost names with their number.

    >>> _counted("1 forward + 4 areas x 800 (forward + backward)")
    6401
    """
    pairs = sum(2 * int(areas or 1) * int(steps) for areas, steps in _PAIRS.findall(text))
    return pairs + sum(map(int, _SINGLE.findall(_PAIRS.sub("", text))))


def _with_options(cost: str, defaults: dict[str, object], spec: Spec) -> str:
    """The cost with the numbers that an option stands for, itself or one more, in place of its default's."""
    for name in _COUNTED:
        given, default = spec.arguments.get(name), defaults.get(name)
        if isinstance(given, int) and isinstance(default, int):
            swapped = {str(default): str(given), str(default + 1): str(given + 1)}
            cost = re.sub(r"\d+", lambda found, swapped=swapped: swapped.get(found[0], found[0]), cost)
    return cost


def architecture(setting: JobSettings) -> str:
    """The name of a setting's network without its weights."""
    if setting.training is not None:
        return str(setting.training.fields["network"])
    return str(setting.model).partition("@")[0]


def _work(planned: Plan, each: list[Passes]) -> dict[str, Passes]:
    images = {setting: cell.part.paper_images or 0 for cell in planned.cells for setting in cell.settings}
    found = dict[str, list[Passes]]()
    for job, passes in zip(planned.jobs, each, strict=True):
        found.setdefault(architecture(job.setting), []).append(Passes(images[job.setting] * passes.number, passes.more))
    return {name: _sum(parts) for name, parts in found.items()}


def _sum(parts: Iterable[Passes]) -> Passes:
    """Added up; the least where one of them is.

    >>> _sum([Passes(1, False), Passes(2, True)])
    Passes(number=3, more=True)
    """
    held = list(parts)
    return Passes(sum(part.number for part in held), any(part.more for part in held))
