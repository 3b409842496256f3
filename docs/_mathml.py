"""Sphinx extension: formulas as MathML, which browsers draw themselves, so that pages need no script and no network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from latex2mathml.converter import convert

if TYPE_CHECKING:
    from docutils import nodes

_OPERATORS = {r"\arg\max": r"\operatorname{arg\,max}", r"\arg\min": r"\operatorname{arg\,min}"}  # unknown to latex2mathml


def to_mathml(latex: str, *, display: bool = False) -> str:
    r"""A formula as an element `math`.

    >>> to_mathml("a^2").startswith("<math"), "arg" in to_mathml("\\arg\\max_c f_c")
    (True, True)

    Raises:
        ValueError: a command is unknown.
    """
    for known, written in _OPERATORS.items():
        latex = latex.replace(known, written)
    found = convert(latex.strip(), display="block" if display else "inline")
    if left := re.findall(r"\\[A-Za-z]+", found):
        raise ValueError(f"formula {latex!r}: {', '.join(left)} cannot be written as MathML; write it in another way")
    return found


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(to_mathml(node.astext()))
    _skip()


def _block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math-block">{to_mathml(node.astext(), display=True)}</div>\n')
    _skip()


def _skip() -> None:
    """Stop at a node whose content is written."""
    from docutils.nodes import SkipNode

    raise SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer as `mathml`, for `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
