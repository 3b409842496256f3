"""What a network returns, whether its images may share a batch, and how it is computed; free of torch."""

from __future__ import annotations

from typing import Literal, TypeVar, cast, get_args

from camdbench.core.errors import unknown

Output = Literal["logits", "probabilities", "log-probabilities", "sigmoid"]
BatchMates = Literal["together", "alone"]
Channels = Literal["rgb", "bgr"]
Optimize = Literal["none", "layout", "fold", "compile"]

T = TypeVar("T")


def check_choice(what: str, given: object, kind: type[T] | object) -> T:
    """The value if it is one of a Literal.

    >>> check_choice("output", "sigmoid", Output)
    'sigmoid'

    Raises:
        UsageError: it is another one.
    """
    if given not in get_args(kind):
        raise unknown(what, str(given), get_args(kind))
    return cast("T", given)
