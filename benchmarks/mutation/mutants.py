"""Mutants of the package's numeric modules: one per site, in a seeded order."""

from __future__ import annotations

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

AREAS = ("functional", "metrics", "trainer/losses", "explainers", "tables")
# Shifts and bitwise operators raise on floats: they would improve the score and test nothing.
_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Pow"}
_BITWISE = {"BitOr", "BitAnd", "BitXor"}


class Mutant(NamedTuple):
    """One change of one module.

    Attributes:
        key: name that stays the same while the line and the function do.
        module: path in the package, such as `tables/ties.py`.
        line: line number, from 1.
        operator: cosmic-ray's name of the change.
        before: the line.
        after: the changed line.
        source: the whole changed module.
    """

    key: str
    module: str
    line: int
    operator: str
    before: str
    after: str
    source: str


class _Change(NamedTuple):
    operator: str
    occurrence: int
    line: int
    column: int


def sample(package: Path, count: int, seed: int, only: str = "") -> Iterator[Mutant]:
    """Yield the first `count` mutants of the seeded order; a larger count adds to a smaller one.

    Sites are sorted by a hash of seed, module, line of code and column, so a change elsewhere leaves the order as it is. Each site
    gives one mutant, whose operator the hash draws too.

    Args:
        package: folder of the package.
        count: number of mutants.
        seed: seed of the order.
        only: beginning of the modules' paths; default: all of `AREAS`.
    """
    sources, sites = dict[str, str](), list[tuple[str, str, list[_Change]]]()
    for path in sorted(path for area in AREAS for path in (package / area).rglob("*.py")):
        module = path.relative_to(package).as_posix()
        sources[module] = path.read_text(encoding="utf-8")
        lines, seen = sources[module].splitlines(), defaultdict[str, int](int)
        for (line, column), changes in sorted(_sites(sources[module]).items()):
            place = f"{module}:{lines[line - 1].strip()}:{column}"
            seen[place] += 1
            sites.append((f"{place}:{seen[place]}", module, changes))
    found = (
        _mutant(key, module, sources[module], changes, seed)
        for key, module, changes in sorted(sites, key=lambda site: _hash(seed, site[0]))
    )
    chosen = (mutant for mutant in found if mutant is not None)
    for mutant, _ in zip(chosen, range(count), strict=False):
        if mutant.module.startswith(only):
            yield mutant


def _mutant(key: str, module: str, source: str, changes: list[_Change], seed: int) -> Mutant | None:
    """Return the mutant of a site, of the first operator whose result is another program."""
    for change in sorted(changes, key=lambda change: _hash(seed, f"{key}:{change.operator}:{change.occurrence - changes[0].occurrence}")):
        mutated = mutate_code(source, get_operator(change.operator)(), change.occurrence)
        if mutated is None or not _differs(source, mutated):
            continue
        before, after = source.splitlines(), mutated.splitlines()
        changed = next((index for index, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), change.line - 1)
        name = change.operator.removeprefix("core/")
        return Mutant(f"{key}:{name}", module, change.line, name, before[changed].strip(), after[changed].strip(), mutated)
    return None


def _sites(source: str) -> dict[tuple[int, int], list[_Change]]:
    """Changes by line and column, without annotations."""
    found, nodes = defaultdict[tuple[int, int], list[_Change]](list), list(ast_nodes(get_ast(source)))
    for name in operator_names():
        if not _meaningful(name):
            continue
        operator = get_operator(name)()
        places = ((node, start) for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, (node, start) in enumerate(places):
            if not _is_annotation(node) and not _is_marker(node):
                found[start].append(_Change(name, occurrence, *start))
    return found


def _meaningful(name: str) -> bool:
    """Whether an operator can give another value rather than an error or the same value."""
    if get_operator(name).arguments() or name.endswith("NoOp"):
        return False
    kind, _, change = name.removeprefix("core/").partition("Operator_")
    before, _, after = change.partition("_")
    if kind == "ReplaceBinary":
        return {before, after} <= _BITWISE or (before in _ARITHMETIC | {"FloorDiv", "Mod"} and after in _ARITHMETIC)
    return kind != "ReplaceComparison" or ("Is" in before) == ("Is" in after)  # equal words are one object or two, by chance


def _is_marker(node: Any) -> bool:
    """Whether a node is the star before keyword-only parameters, which is not a multiplication."""
    return node.type == "operator" and node.parent.type in {"parameters", "param"}


def _is_annotation(node: Any) -> bool:
    """Whether a node is inside an annotation, which nothing evaluates."""
    while node.parent is not None:
        parent = node.parent
        if parent.type in {"annassign", "tfpdef"} or (parent.type == "funcdef" and parent.annotation is node):
            values = parent.children[parent.children.index("=") :] if parent.type == "annassign" and "=" in parent.children else []
            if node not in values:
                return True
        node = parent
    return False


def _differs(source: str, mutated: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "is" with a literal
            return ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source)) and bool(compile(mutated, "mutant", "exec"))
    except SyntaxError:
        return False


def _hash(seed: int, text: str) -> bytes:
    return sha256(f"{seed}:{text}".encode()).digest()
