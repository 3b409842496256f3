"""Code that is not ours: calls that cannot end the program or use the network, and hashes of what they run."""

from __future__ import annotations

import hashlib
import inspect
import tokenize
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import CodeType
from typing import Any

from camdbench.core.errors import CamdbenchError, first_line


@contextmanager
def calling(what: str) -> Generator[None]:
    """Turn any exception of foreign code, also SystemExit, into one line that names the code; only an interrupt passes.

    Args:
        what: name of the code, for the message.

    Raises:
        CamdbenchError: the code raises, or calls `sys.exit`.
    """
    try:
        yield
    except (KeyboardInterrupt, CamdbenchError):
        raise
    except BaseException as error:
        raise CamdbenchError(f"{what}: {describe(error)}") from error


@contextmanager
def offline() -> Generator[None]:
    """Without requests of huggingface_hub, which makes some even for local files."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def describe(error: BaseException) -> str:
    r"""Type and first line of an exception.

    >>> describe(ValueError("a\nb")), describe(SystemExit(3)), describe(KeyError())
    ('ValueError: a', 'calls sys.exit(3)', 'KeyError')
    """
    if isinstance(error, SystemExit):
        code = error.code if error.code is None or isinstance(error.code, int | str) else type(error.code).__name__  # pyright: ignore[reportUnnecessaryIsInstance]
        return f"calls sys.exit({'' if code is None else repr(code)})"
    line, kind = first_line(error), type(error).__name__
    return kind if line == kind else f"{kind}: {line}"


def place_of(function: Callable[..., Any]) -> tuple[str, str]:
    """Module and qualified name of a callable: of the wrapped function of a `partial`, of the class of an instance."""
    while isinstance(function, partial):
        function = function.func
    own = function if hasattr(function, "__qualname__") else type(function)
    return str(getattr(own, "__module__", None) or "builtins"), own.__qualname__


def plugin_hash(function: Callable[..., Any]) -> str:
    """Hash of the code of a callable, 16 hexadecimal digits, from the first of these that exists.

    1. the file that defines it; 2. its source, as in a notebook; 3. its bytecode with names and constants, as for code from
    standard input, `python -c` or `exec`, which depends on the version of Python; 4. name and version of its package, as for
    code in C. A `functools.partial` adds its arguments, an instance is hashed by its class.
    """
    bound = ""
    while isinstance(function, partial):
        bound += repr((function.args, sorted(function.keywords.items())))
        function = function.func
    target: Any = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    text = _file_of(target) or _source_of(target) or bytecode_of(target) or _package_of(target)
    return hashlib.sha256((text + bound).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _file_of(target: Any) -> str:
    try:
        file = inspect.getsourcefile(target)
        if file is None:
            return ""
        with tokenize.open(file) as opened:
            return opened.read()
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError):  # no file, or not Python's text
        return ""


def _source_of(target: Any) -> str:
    try:
        return inspect.getsource(target)
    except (OSError, TypeError, SyntaxError):
        return ""


def bytecode_of(target: Any) -> str:
    """Text of the bytecode of a function, or of the methods of a class; empty for code in C."""
    functions = [own for _, own in sorted(vars(target).items())] if inspect.isclass(target) else [target]
    codes = [
        code for own in functions if isinstance(code := getattr(inspect.unwrap(own) if callable(own) else own, "__code__", None), CodeType)
    ]
    return "".join(map(_text_of, codes))


def _text_of(code: CodeType) -> str:
    constants = [
        _text_of(own) if isinstance(own, CodeType) else repr(sorted(map(repr, own)) if isinstance(own, frozenset) else own)
        for own in code.co_consts
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants))


def _package_of(target: Any) -> str:
    module, name = place_of(target)
    try:
        known = version(module.partition(".")[0])
    except PackageNotFoundError:
        known = ""
    return f"{module}.{name} {known}"
