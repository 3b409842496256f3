"""Names of objectives: which scalar of a network's output is explained; free of torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from camdbench.core.errors import UsageError, unknown

DEFAULT = "logit"
OBJECTIVES = ("logit", "probability", "log_odds", "margin", "sum", "rest", "similarity", "region")
OBJECTIVE_HELP = (
    "What is explained of that class: logit, probability, log_odds, margin(second), margin(CLASS), sum, sum(CLASS, …), rest, "
    "similarity(FILE), region(CLASS, FILE); or [NAME=]FILE.py:FUNCTION of the logits of one image."
)
OF_OUTPUTS = ("similarity", "region")  # of the network's output, not of its logits
LINEAR = ("logit", "margin", "sum", "similarity", "region")  # in the logits, of the last two in those that are made for them
_CALL = re.compile(r"([A-Za-z_]+)\s*(?:\((.*)\))?", re.DOTALL)


class ObjectiveName(NamedTuple):
    """A named objective.

    Attributes:
        kind: one of `OBJECTIVES`.
        classes: class indices of `margin(k)`, `sum(k, …)` and `region(k, …)`.
        file: reference image of `similarity`, mask of `region`; empty if there is none.
    """

    kind: str
    classes: tuple[int, ...] = ()
    file: str = ""

    def __str__(self) -> str:
        inside = [*map(str, self.classes), *([self.file] if self.file else [])]
        if self.kind == "margin" and not inside:
            inside = ["second"]
        return f"{self.kind}({', '.join(inside)})" if inside else self.kind

    @property
    def is_linear(self) -> bool:
        """Whether it is linear in the logits."""
        return self.kind in LINEAR

    @property
    def of_logits(self) -> bool:
        """Whether it is a function of the network's own logits."""
        return self.kind not in OF_OUTPUTS

    def in_folder(self, folder: Path) -> ObjectiveName:
        """The objective with the path of its file from a folder."""
        return self._replace(file=str(folder / self.file)) if self.file else self


def is_objective_name(text: str) -> bool:
    """Whether a text has the form of a named objective; otherwise it is the name of a function.

    >>> is_objective_name("margin(second)"), is_objective_name("mine")
    (True, False)
    """
    return text.partition("(")[0].strip() in OBJECTIVES


def explained_by(objective: ObjectiveName | None) -> tuple[str, ...]:
    """Kinds of `ExplainerFacts.objective` whose explainers explain an objective; None: a function."""
    if objective is None or not objective.is_linear:
        return ("any",)
    return ("any", "linear", "logit") if objective.kind == DEFAULT else ("any", "linear")


def parse_objective(text: object) -> ObjectiveName:
    """The objective that a text names.

    >>> str(parse_objective(" margin( 7 ) ")), str(parse_objective("margin")), str(parse_objective("sum(3,1)"))
    ('margin(7)', 'margin(second)', 'sum(3, 1)')

    Raises:
        UsageError: no objective has that name, or its arguments are wrong.
    """
    words = str(text).strip()
    found = _CALL.fullmatch(words)
    kind = found[1] if found else words
    if found is None or kind not in OBJECTIVES:
        raise unknown("objective", kind, OBJECTIVES, of=f"--objective = {words}")
    inside = None if found[2] is None else found[2].strip()
    parts = [] if not inside else [part.strip() for part in inside.split(",")]
    if kind == "margin" and parts in ([], ["second"]):
        return ObjectiveName(kind)
    if kind == "similarity" and inside:
        return ObjectiveName(kind, file=_unquoted(inside))
    if kind == "region" and len(parts) == 2 and parts[0].isdecimal():
        return ObjectiveName(kind, (int(parts[0]),), _unquoted(parts[1]))
    if kind in ("margin", "sum") and all(part.isdecimal() for part in parts) and (kind == "sum" or len(parts) == 1):
        classes = tuple(map(int, parts))
        if len(set(classes)) != len(classes):
            raise UsageError(f"--objective = {words}: a class is named twice; name each once")
        return ObjectiveName(kind, classes)
    if kind not in _FORMS and inside is None:
        return ObjectiveName(kind)
    raise UsageError(f"--objective = {words}: expected {_FORMS.get(kind, kind)}")


_FORMS = {
    "margin": "margin(second) or margin(CLASS), with a class index",
    "sum": "sum, or sum(CLASS, …) with class indices",
    "similarity": "similarity(FILE), with a reference image",
    "region": "region(CLASS, FILE), with a class index and a mask",
}


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def scored_objective(given: object) -> ObjectiveName | None:
    """The objective if it is `similarity` or `region`; None for others."""
    words = given.partition("(")[0].strip() if isinstance(given, str) else ""
    return parse_objective(given) if words in OF_OUTPUTS else None
