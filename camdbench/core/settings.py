"""Settings: one declaration per option, from which the command line, the Python signature and a run's identity derive.

A configuration is a frozen dataclass; each field has a default and the type `Annotated[T, Setting(...)]`. pydantic is imported
only when a value is checked, which keeps `--help` fast.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from camdbench.core.errors import UsageError, unknown

Role = Literal["values", "selection", "resource", "execution"]
C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Setting:
    """Facts of one option.

    Attributes:
        help: one sentence, shown by `--help` and in the Python docstring.
        role: `values` if it determines rows; `selection` if it selects parts, each with the same rows; `resource` for a
            path, whose content is hashed instead; `execution` if no value depends on it.
        short: one-letter flag.
        metavar: placeholder in `--help`; default: from the type.
        default_help: default shown by `--help` if it is computed.
        ge: lower bound of a number.
        repeats: whether the flag may be repeated; its values form a mapping, from pairs returned by `parse`.
        parse: converts the command-line text to the value; raises ValueError.
        cli: whether the command line has the option.
    """

    help: str
    role: Role = "values"
    short: str = ""
    metavar: str = ""
    default_help: str = ""
    ge: int | None = None
    parse: Callable[[str], Any] | None = None
    cli: bool = True
    repeats: bool = False


@dataclass(frozen=True)
class Field:
    """One field of a configuration.

    Attributes:
        name: its name.
        type: its type without the setting.
        default: its default.
        setting: its facts.
    """

    name: str
    type: Any
    default: Any
    setting: Setting

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def members(self) -> tuple[Any, ...]:
        """Accepted types, without None."""
        kinds = typing.get_args(self.type) if isinstance(self.type, types.UnionType) else (self.type,)
        return tuple(kind for kind in kinds if kind is not types.NoneType)

    @property
    def choices(self) -> tuple[str, ...]:
        """Accepted words; empty if any value is accepted."""
        return next((typing.get_args(kind) for kind in self.members if typing.get_origin(kind) is Literal), ())

    def check(self, value: object) -> Any:
        """Validate `value` against the field's type.

        Raises:
            UsageError: wrong type or out of range.
        """
        from pydantic import TypeAdapter, ValidationError

        for kind in (bool, float):  # pydantic would take True as 1, and 2.0 as 2
            if type(value) is kind and kind not in self.members and not self.choices:
                raise UsageError(f"{self.flag} {value}: expected no {kind.__name__}")
        try:
            found = TypeAdapter(self.type).validate_python(value)
        except ValidationError as error:
            if self.choices and isinstance(value, str):
                raise unknown(self.name.replace("_", " "), value, self.choices) from None
            reason = error.errors()[0]["msg"].replace("Input should be", "expected").replace(" valid", "")
            raise UsageError(f"{self.flag} {value}: {reason}") from None
        if self.setting.ge is not None and found is not None and found < self.setting.ge:
            raise UsageError(f"{self.flag} {found}: expected at least {self.setting.ge}")
        return found


@cache
def fields_of(config: type[Any]) -> tuple[Field, ...]:
    """The fields of a configuration, in order."""
    hints = typing.get_type_hints(config, include_extras=True)
    found = list[Field]()
    for item in dataclasses.fields(config):
        kind, setting = typing.get_args(hints[item.name])
        found.append(Field(item.name, kind, item.default, setting))
    return tuple(found)


def make_config(config: type[C], given: Mapping[str, Any]) -> C:
    """A configuration from keyword arguments.

    Raises:
        UsageError: unknown name, wrong type or value out of range.
    """
    fields = {item.name: item for item in fields_of(config)}
    for name in given:
        if name not in fields:
            raise unknown("option", name, fields)
    return config(**{name: fields[name].check(value) for name, value in given.items()})


def identity_of(config: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the fields that determine rows; all sessions of a run directory must agree on them."""
    return {item.name: values[item.name] for item in fields_of(config) if item.setting.role == "values" and item.name in values}


def signature_of(config: type[Any], function: Callable[..., Any], *, only: Sequence[str] = (), unset: bool = False) -> inspect.Signature:
    """Signature of a function with the fields of a configuration in place of its `**options`.

    Args:
        config: the configuration.
        function: its own arguments keep their position; those that are fields get the field's type and default.
        only: names of the fields to include; default: all.
        unset: whether every default is None.
    """
    keyword, variable = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD
    known = {
        item.name: inspect.Parameter(item.name, keyword, default=None if unset else item.default, annotation=item.type)
        for item in fields_of(config)
        if not only or item.name in only
    }
    own = [item for item in inspect.signature(function).parameters.values() if item.kind is not variable]
    named = [known.pop(item.name).replace(kind=item.kind) if item.name in known else item for item in own]
    first = [item for item in named if item.kind is not keyword]
    return inspect.Signature([*first, *known.values(), *(item for item in named if item.kind is keyword)])


def takes(config: type[Any], *, only: Sequence[str] = (), unset: bool = False) -> Callable[[F], F]:
    """Decorator: replaces `**options` by the fields of a configuration in signature and docstring."""

    def decorate(function: F) -> F:
        text = function.__doc__ or ""
        taken = [item for item in fields_of(config) if not only or item.name in only]
        lines = [f"{item.name}: {item.setting.help}\n" for item in taken if not re.search(rf"(?m)^ +{item.name}: ", text)]
        function.__doc__ = re.sub(r"(?m)^( *)\*\*options: .*\n", lambda found: "".join(found[1] + line for line in lines), text)
        function.__signature__ = signature_of(config, function, only=only, unset=unset)  # type: ignore[attr-defined]
        return function

    return decorate


def named_file(text: str) -> tuple[str, str]:
    """Name and file.

    >>> named_file("theirs=maps.npz")
    ('theirs', 'maps.npz')
    """
    name, equals, file = text.partition("=")
    if not (name.strip() and equals and file.strip()):
        raise ValueError(f"{text!r}: expected NAME=FILE, such as theirs=maps.npz")
    return name.strip(), file.strip()


def numbers(text: str) -> float | tuple[float, ...]:
    """One number, or three separated by commas.

    >>> numbers("0.5"), numbers("0.485,0.456,0.406")
    (0.5, (0.485, 0.456, 0.406))
    """
    try:
        found = tuple(float(item) for item in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in (1, 3):
        raise ValueError(f"{text!r}: expected one number, or three with commas")
    return found[0] if len(found) == 1 else found
