"""Registries filled by parsing decorators; a function is imported only when it is used.

Listing must not import torch: built-in modules are parsed, the decorator's literal arguments are the facts, the
keyword-only arguments the options, the docstring the help. Functions registered at run time (notebook, `--plugin FILE`,
entry point) become the same `Entry`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib.metadata import entry_points
from operator import is_not
from pathlib import Path
from typing import Any, Generic, TypeVar

from camdbench.core.errors import UsageError, unknown
from camdbench.core.facts import check_stated
from camdbench.core.foreign_code import calling, describe, place_of
from camdbench.core.options import options_of_function, options_of_source, wraps_of_function, wraps_of_source
from camdbench.core.own_entry import OwnEntry
from camdbench.core.own_modules import import_module, is_module, load_file
from camdbench.core.references import check_name
from camdbench.core.registry_entry import Entry, F, checked_doc, formula_of, read_keywords, with_protocol
from camdbench.core.spec import Spec, parse_spec, parse_specs, squash

PLUGINS: list[str] = []  # files run by `load_plugin`; worker processes run them too

Function = TypeVar("Function", bound=Callable[..., Any])


class Registry(Generic[F]):
    """Named functions of one kind.

    Args:
        kind: noun and name of the decorator: `explainer`, `metric`, …
        facts: dataclass built from the decorator's keyword arguments.
        package: package whose modules are parsed; also the entry-point group.
        unsupported: names without implementation, with the reason.
    """

    def __init__(self, kind: str, facts: Callable[..., F], package: str, unsupported: Mapping[str, str] | None = None) -> None:
        self.kind, self.package, self._unsupported = kind, package, unsupported or {}
        self._facts = facts
        self._live: dict[str, Entry[F]] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._own: dict[str, OwnEntry[F]] = {}
        self._entry_points_read = False
        self._merged: tuple[Sequence[object], dict[str, Entry[F]]] = (None,), {}  # entries that were merged, and the result

    def register(self, name: str, **facts: object) -> Callable[[Function], Function]:
        """Decorator: `@explainer("hirescam", paper="…")`.

        Raises:
            TypeError: a fact is missing or unknown or has another type, there is no docstring, or an option lacks type or default.
            ValueError: another function has the name.
            UsageError: a plug-in's name has other characters than letters, digits and `_ . @ + - /`.
        """

        def decorate(function: Function) -> Function:
            doc = checked_doc(function.__doc__, name)
            entry = self.make_entry(name, function, self._state(name, facts, doc), doc)
            if not entry.module.startswith(f"{self.package}."):  # of a plug-in
                check_stated(f"@{self.kind}({check_name(name, self.kind)!r})", entry.facts)
            self._add(dict(self._built_in), entry)  # raises at once for the name of a built-in
            self._add(self._live, entry)
            self._functions[name] = function
            return function

        return decorate

    def make_entry(self, name: str, function: Callable[..., Any], facts: F, doc: str) -> Entry[F]:
        """Entry of a function with its options, not registered.

        Raises:
            TypeError: an option lacks type or default.
        """
        options, wraps = options_of_function(function), wraps_of_function(function)
        module, attribute = place_of(function)
        return Entry(name, facts, with_protocol(name, options, facts), doc, module, attribute, wraps)

    def entry_of(self, function: object) -> Entry[F] | None:
        """Entry under which a function is registered; None if it is not."""
        name = next((name for name, known in self._functions.items() if known is function), None)
        return None if name is None else self.get(name)

    @contextmanager
    def holding(self, own: Iterable[OwnEntry[F]]) -> Generator[None]:
        """Inside the context, entries of the user's are registered; each takes the place of an earlier one with its name.

        Raises:
            UsageError: a name is that of a built-in, or another spelling of one.
        """
        before, entries = self._own, {one.entry.name: one for one in own}
        for name in entries:
            if self.has_built_in(name):
                fix = f"choose another: {name}-mine=FILE.py:FUNCTION, or the key of a mapping"
                raise UsageError(f"{self.kind} {name}: a name of camdbench; {fix}")
        self._own = before | entries
        try:
            yield
        finally:
            self._own = before

    def has_built_in(self, name: str) -> bool:
        """Whether a name is that of a built-in, in any spelling."""
        return squash(name) in map(squash, self._built_in)

    def own(self, name: str) -> OwnEntry[F] | None:
        """The entry of a name that exists for the duration of a call; None for others."""
        return self._own.get(name)

    def __iter__(self) -> Iterator[Entry[F]]:
        return iter(sorted(self._entries().values(), key=lambda entry: entry.name))

    def __contains__(self, name: object) -> bool:
        return name in self._entries()

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._entries())

    def get(self, name: str) -> Entry[F]:
        """Entry of a name or alias; case, `-` and `_` do not matter unless an entry has exactly that name.

        Raises:
            UsageError: unknown name (with suggestions), or unsupported (with the reason).
        """
        entries = self._entries()
        if name not in entries:  # a plug-in's name takes precedence over an alias of a built-in
            name = self._spellings().get(squash(name), name)
        if name in self._unsupported:
            raise UsageError(f"{self.kind} {name}: {self._unsupported[name]}")
        if name not in entries:
            kinds = f"{self.kind}es" if self.kind.endswith("s") else f"{self.kind}s"
            raise unknown(self.kind, name, [*entries, *self._aliases()], more=f"(see: camdbench list {kinds})")
        return entries[name]

    def parse(self, texts: str | Iterable[str | Spec]) -> tuple[Spec, ...]:
        """Parse and check specs: `"opticam(iterations=50),gradcam"` or a list of these.

        Raises:
            UsageError: unknown name, invalid option or value, or a duplicate.
        """
        given = [texts] if isinstance(texts, str) else texts
        specs = tuple(item for text in given for item in ((text,) if isinstance(text, Spec) else parse_specs(text)))
        checked = tuple(self.check(spec) for spec in specs)
        for spec in checked:
            if checked.count(spec) > 1:
                raise UsageError(f"{self.kind} {spec} is named twice")
        return checked

    def parse_one(self, text: str) -> Spec:
        """Parse and check a single spec.

        Raises:
            UsageError: as in `parse`.
        """
        return self.check(parse_spec(text))

    def check(self, spec: Spec) -> Spec:
        """The spec with canonical names and checked options, wrapped specs included.

        Raises:
            UsageError: unknown name, or invalid option or value.
        """
        entry = self.get(spec.name)
        return entry.spec(Spec(entry.name, spec.options, tuple(self.check(inner) for inner in spec.wrapped)))

    def load(self, name: str) -> Callable[..., Any]:
        """The registered function; imports its module if necessary.

        Raises:
            UsageError: unknown name.
        """
        entry = self.get(name)
        if entry.name in self._own:
            return self._own[entry.name].function
        if entry.name not in self._functions:
            importlib.import_module(entry.module)  # runs the decorator, which keeps the function
        return self._functions[entry.name]

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a registered function; an exception of a plug-in's is one line that names it.

        Raises:
            UsageError: unknown name.
            CamdbenchError: a plug-in's function raises, or calls `sys.exit`.
        """
        function = self.load(name)
        with nullcontext() if self.is_built_in(name) else calling(f"{self.kind} {name}"):
            return function(*arguments, **options)

    def plugin_hash(self, name: str, networks: Mapping[str, Any] | None = None) -> str | None:
        """Hash of a plug-in's code and of what its object holds (see `object_text`); None for built-ins.

        Args:
            name: the name.
            networks: networks that are identified elsewhere, by name.

        Raises:
            UsageError: unknown name.
        """
        from camdbench.core.object_text import object_hash  # a listing needs no hash

        if name in self._own:
            return object_hash(self._own[name].code, networks)
        function = self.load(name)
        return None if self.is_built_in(name) else object_hash(function, networks)

    def is_built_in(self, name: str) -> bool:
        """Whether a name is one of camdbench, not of a plug-in or of the user.

        Raises:
            UsageError: unknown name.
        """
        return name not in self._own and self.get(name).module.startswith(f"{self.package}.")

    @cached_property
    def _built_in(self) -> dict[str, Entry[F]]:
        entries = dict[str, Entry[F]]()
        root = Path(__file__).parents[1].joinpath(*self.package.split(".")[1:])
        for path in sorted(root.rglob("*.py")):
            parts = [self.package, *path.relative_to(root).with_suffix("").parts]
            module = ".".join(part for part in parts if part != "__init__")
            for entry in self._read(path.read_text(encoding="utf-8"), module):
                self._add(entries, entry)
        return entries

    def _read(self, source: str, module: str) -> Iterator[Entry[F]]:
        body = ast.parse(source).body if f"@{self.kind}(" in source else []
        constants = {
            node.targets[0].id: node.value for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == self.kind:
                    name = ast.literal_eval(mark.args[0])
                    doc = checked_doc(ast.get_docstring(node, clean=False), name)
                    stated = self._state(name, read_keywords(mark.keywords, constants), doc)
                    options = with_protocol(name, options_of_source(node), stated)
                    yield Entry(name, stated, options, doc, module, node.name, wraps_of_source(node))

    def _entries(self) -> dict[str, Entry[F]]:
        if not self._entry_points_read:
            self._entry_points_read = True
            _load_entry_points(self.package)
        parts, known = (*self._live.values(), *self._own.values()), self._merged[0]
        if len(parts) != len(known) or any(map(is_not, parts, known)):
            merged = dict(self._built_in)
            for entry in self._live.values():
                self._add(merged, entry)
            self._merged = parts, merged | {name: one.entry for name, one in self._own.items()}
        return self._merged[1]

    def _aliases(self) -> dict[str, str]:
        """Aliases -> registered names."""
        return {alias: entry.name for entry in self._entries().values() for alias in getattr(entry.facts, "aliases", ())}

    def _spellings(self) -> dict[str, str]:
        """Squashed aliases and names -> registered names; names take precedence."""
        return {squash(known): name for known, name in [*self._aliases().items(), *((name, name) for name in self._entries())]}

    def _state(self, name: str, facts: dict[str, object], doc: str) -> F:
        if "formula" in inspect.signature(self._facts).parameters and (formula := formula_of(doc)):
            facts = {"formula": formula, **facts}
        try:
            return self._facts(**facts)
        except TypeError as error:
            raise TypeError(f"@{self.kind}({name!r}): {str(error).partition('() ')[2] or error}") from None

    def _add(self, entries: dict[str, Entry[F]], entry: Entry[F]) -> None:
        """Add an entry; a reloaded module may register its own function again."""
        existing = entries.get(entry.name)
        if existing is not None and (existing.module, existing.attribute) != (entry.module, entry.attribute):
            here, there = f"{entry.module}.{entry.attribute}", f"{existing.module}.{existing.attribute}"
            raise ValueError(f"{self.kind} {entry.name!r} of {here} is already registered by {there}")
        entries[entry.name] = entry


def load_plugin(plugin: str | Path) -> None:
    """Run a Python file, all files of a folder, or an importable module `package.module`; their decorators register their functions.

    Raises:
        UsageError: there is no such file or module, or the folder has no Python file.
        CamdbenchError: a file raises, or calls `sys.exit`.
    """
    if is_module(plugin):
        import_module(str(plugin), f"--plugin {plugin}")
        PLUGINS.append(str(plugin))
        return
    given = Path(plugin).absolute()
    files = sorted(given.glob("*.py")) if given.is_dir() else [given]
    if not files:
        raise UsageError(f"--plugin {plugin}: a folder without Python files (*.py)")
    for file in files:
        load_file(file if given.is_dir() else Path(plugin), "--plugin")
        PLUGINS.append(str(file))


def _load_entry_points(group: str) -> None:
    """Import installed plug-ins; a failing one raises a warning only."""
    for point in entry_points(group=group):
        try:
            point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also of sys.exit
            warnings.warn(f"plug-in {point.name!r} ({point.value}): not loaded: {describe(error)}", stacklevel=2)
