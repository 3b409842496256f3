"""What a user gives: registered names, references `[ALIAS=]FILE.py:NAME(options)` and `package.module:NAME(options)`, objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module as import_library
from pathlib import Path
from typing import Any

from camdbench.core.errors import UsageError, unknown
from camdbench.core.foreign_code import calling
from camdbench.core.options import check_arguments
from camdbench.core.own_modules import import_module, load_file
from camdbench.core.spec import Spec, parse_spec, split_specs

OBJECT = "object of a Python session"  # origin of what has no file
_REFERENCE = re.compile(r"(?P<file>[^():=]*(?::[\\/][^():=]*)?\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)\s*(?P<call>\(.*)?", re.DOTALL)
_ALIAS = re.compile(r"\s*([^()=:,\"'\s]+)\s*=\s*(?=\S)")
_PATH = re.compile(r"[^():=]*(?::[\\/][^():=]*)?\.(?:py(?=:)|safetensors$)")  # at the start of a spec
_INSIDE, _QUOTED = re.compile(r"\(.*\.py:[A-Za-z_]", re.DOTALL), re.compile(r"""'[^']*'|"[^"]*\"""")
_NAME = re.compile(r"[A-Za-z0-9_][\w.@+\-/]{0,79}", re.ASCII)
_PREFIXES = ("captum", "quantus")  # of registered names
_LIBRARY, _INSTALL = {"pgc": "pytorch_grad_cam"}, "pip install grad-cam"  # short names of modules


@dataclass(frozen=True)
class Given:
    """A thing that a user gives for explainers, metrics or models.

    Attributes:
        label: name in rows, from an alias or the key of a mapping; empty if neither is given.
        thing: text of a registered spec, or the object, which a reference is replaced by.
        origin: `FILE.py:NAME(options)`, or `object of a Python session`.
        name: name of the function in its file; empty for other objects.
        options: options of a reference.
        place: `FILE.py:NAME` with an absolute path, for a process in another folder; empty for objects.
    """

    label: str
    thing: Any
    origin: str = OBJECT
    name: str = ""
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    place: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it is a registered spec."""
        return isinstance(self.thing, str | Spec)

    @property
    def reference(self) -> str:
        """The reference with an absolute path and options; empty for objects."""
        return self.place and f"{self.place}{options_text(self.options)}"


def read_given(given: Any, flag: str) -> tuple[Given, ...]:
    """Read names, references and objects: one, a sequence of them, or a mapping from names in rows to them.

    Args:
        given: comma-separated specs, an object, a sequence or a mapping.
        flag: name of the option, for messages.

    Raises:
        UsageError: a name is invalid or given twice, or a reference cannot be loaded.
    """
    if isinstance(given, Mapping):
        pairs = [(check_name(str(key), flag), value) for key, value in given.items()]
    else:
        things = list(given) if isinstance(given, list | tuple) else [given]
        pairs = [("", part) for thing in things for part in (split_specs(thing) if isinstance(thing, str) else [thing])]
    found = tuple(_read(label, thing, flag) for label, thing in pairs)
    if not found:
        raise UsageError(f"{flag} = {given!r}: empty; give at least one")
    check_names((one.label for one in found if one.label), flag)
    return found


def _read(label: str, thing: Any, flag: str) -> Given:
    if isinstance(thing, str):
        alias, text = ("", thing.strip()) if label else split_alias(thing)
        label = label or alias
        if (found := _REFERENCE.fullmatch(text)) and not (_is_module(found["file"])):
            return _load(label, found, flag)
        if _INSIDE.search(_QUOTED.sub("", text)):
            raise UsageError(f"{flag} {text}: a reference inside brackets; name it first, as in mine=FILE.py:NAME,power(mine)")
        thing = text
    if label:
        check_name(label, flag)
    return Given(label, thing)


def _is_module(name: str) -> bool:
    return not name.endswith(".py") and name in _PREFIXES


def split_alias(text: str) -> tuple[str, str]:
    """Split `ALIAS=SPEC`; the alias is empty if there is none.

    >>> split_alias("mine=nets.py:small(width=8)"), split_alias("opticam(lr=0.1)")
    (('mine', 'nets.py:small(width=8)'), ('', 'opticam(lr=0.1)'))
    """
    found = _ALIAS.match(text)
    return (found[1], text[found.end() :].strip()) if found else ("", text.strip())


def has_reference(text: str) -> bool:
    """Return whether a comma-separated text has a reference or an alias.

    >>> has_reference("gradcam,mine=cam.py:f(k=3)"), has_reference("opticam(lr=0.1),quantus:Sparseness")
    (True, False)
    """
    try:
        return any(split_alias(part)[0] or is_reference(part) for part in split_specs(text))
    except UsageError:  # the check of the option states why
        return False


def is_reference(text: str) -> bool:
    """Return whether a text refers to a file or module, with or without alias.

    >>> is_reference("a=nets.py:small(width=8)"), is_reference("quantus:Sparseness"), is_reference("gradcam")
    (True, False, False)
    """
    found = _REFERENCE.fullmatch(split_alias(text)[1])
    return found is not None and not _is_module(found["file"])


def is_own(network: str) -> bool:
    """Whether the network of a recipe or checkpoint is a user's: a reference, or an object that had no file.

    >>> is_own("nets.py:small(width=8)"), is_own("resnet18")
    (True, False)
    """
    return network == OBJECT or is_reference(network)


def files_in(given: Any) -> list[str]:
    """Files of the references in a text, or in a list of texts; nothing of objects.

    >>> files_in(["gradcam", "mine=a/cam.py:f(k=3)", "nets:f"]), files_in("quantus:Sparseness,b.py:g")
    (['a/cam.py'], ['b.py'])
    """
    texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    found = [_REFERENCE.fullmatch(split_alias(part)[1]) for text in texts for part in split_specs(str(text))]
    return [one["file"] for one in found if one is not None and one["file"].endswith(".py")]


def _load(label: str, found: re.Match[str], flag: str) -> Given:
    """Load the file or module of a reference, and take the object of its name.

    Raises:
        UsageError: there is no such file, module or name.
    """
    source, name = found["file"], found["name"]
    if label:
        check_name(label, flag)
    options = parse_spec(f"{name}{found['call'] or ''}").arguments
    where = f"{flag} {source}"
    module = _module(source, flag, f"{flag} {source}:{name}")
    if not hasattr(module, name):
        known = sorted(
            own for own, value in vars(module).items() if callable(value) and getattr(value, "__module__", "") == module.__name__
        )
        if source in _LIBRARY:
            raise unknown("name", name, [own for own in vars(module) if own.endswith("CAM")], of=where)
        raise UsageError(f"{where}:{name}: no such name; the file defines {', '.join(known) or 'no functions'}")
    place = str(Path(source).absolute()) if source.endswith(".py") else source
    return Given(label, getattr(module, name), f"{source}:{name}{options_text(options)}", name, options, f"{place}:{name}")


def _module(source: str, flag: str, what: str) -> Any:
    if source not in _LIBRARY:
        return load_file(Path(source), flag) if source.endswith(".py") else import_module(source, f"{flag} {source}")
    try:
        return import_library(_LIBRARY[source])
    except ImportError:
        raise UsageError(f"{what}: {_LIBRARY[source]} is not installed; run: {_INSTALL}") from None


def options_text(options: Mapping[str, object]) -> str:
    """Options as a spec has them.

    >>> options_text({"width": 8}), options_text({})
    ('(width=8)', '')
    """
    return str(Spec.of("f", options))[1:]


def relative_to(folder: Path, given: Any) -> Any:
    """Names, references and paths of a file in `folder`: a text, or a list or mapping of these; relative paths become paths from here.

    >>> relative_to(Path("a"), "gradcam,mine=cam.py:f(k=3)"), relative_to(Path("a"), ["net.safetensors"])
    ('gradcam,mine=a/cam.py:f(k=3)', ['a/net.safetensors'])
    """
    return with_paths(given, lambda path: str(folder / path))


def with_paths(given: Any, change: Callable[[str], str]) -> Any:
    """A text of references, or a list or mapping of these, with other paths of files."""
    if isinstance(given, Mapping):
        return {name: with_paths(own, change) for name, own in given.items()}
    if isinstance(given, list | tuple):
        return [with_paths(own, change) for own in given]
    if not isinstance(given, str):
        return given
    try:
        parts = split_specs(given)
    except UsageError:  # the check of the option states why
        return given
    return ",".join(_changed(part, change) for part in parts)


def _changed(part: str, change: Callable[[str], str]) -> str:
    alias, text = split_alias(part)
    if found := _PATH.match(text):
        text = f"{change(found[0])}{text[found.end() :]}"
    return f"{alias}={text}" if alias else text


def call_given(given: Given, what: str) -> Any:
    """What the function or class of a reference returns for its options, or an object that is called without any.

    Raises:
        UsageError: an option is unknown, has another type or is missing.
        CamdbenchError: the function raises.
    """
    check_arguments(given.thing, given.options, what)
    with calling(what):
        return given.thing(**given.options)


def check_name(name: str, flag: str) -> str:
    """Return a name in rows.

    Raises:
        UsageError: it has other characters than letters, digits and `_ . @ + - /`, or more than 80.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{flag}: name {name!r}: expected 1 to 80 letters, digits or _ . @ + - /, a letter or digit first; choose another")
    return name


def check_names(names: Iterable[str], flag: str) -> None:
    """Check that names differ.

    Raises:
        UsageError: two are equal.
    """
    seen = set[str]()
    for name in names:
        if name in seen:
            raise UsageError(
                f"{flag}: two are named {name!r}: give names, {flag}={{'a': …, 'b': …}}, or --{flag} a=…,b=… on the command line"
            )
        seen.add(name)


def name_of(thing: Any) -> str:
    """Name of an object: its `name`, the name of a function, or its class in lower case."""
    own = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    if isinstance(own, str) and _NAME.fullmatch(own):
        return own
    target = getattr(thing, "func", thing)  # the function of a `partial`
    return str(getattr(target, "__name__", "")) if target is not thing else type(thing).__name__.lower()


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the positional parameters of a function."""
    import inspect

    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        return tuple(own.name for own in inspect.signature(function).parameters.values() if own.kind in kinds)
    except (TypeError, ValueError):
        return ()
