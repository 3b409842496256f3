"""The spec syntax: what is read comes back as it was written, and every mistake has its line."""

from __future__ import annotations

import keyword

import pytest
from helpers.each import each
from hypothesis import given
from hypothesis import strategies as st

from camdbench.core.errors import UsageError
from camdbench.core.spec import Spec, parse_spec, parse_specs

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_./@:+-]{0,12}", fullmatch=True)
OPTIONS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
VALUES = SCALARS | st.tuples(SCALARS) | st.tuples(SCALARS, SCALARS) | st.lists(SCALARS, max_size=3)
SPECS = st.builds(Spec.of, NAMES, st.dictionaries(OPTIONS, VALUES, max_size=4))


@given(SPECS)
def test_what_is_written_is_read_back(spec: Spec) -> None:
    assert parse_spec(str(spec)) == spec


@given(st.lists(SPECS, min_size=1, max_size=4))
def test_lists_are_cut_at_the_commas_between_specs_only(specs: list[Spec]) -> None:
    assert parse_specs(",".join(map(str, specs))) == tuple(specs)
    assert parse_specs(" ,\t".join(map(str, specs))) == tuple(specs)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_but_never_runs_into_another_error(text: str) -> None:
    try:
        specs = parse_specs(text)
    except UsageError:
        return
    assert all(parse_spec(str(spec)) == spec for spec in specs)


def test_the_order_of_options_does_not_matter() -> None:
    assert parse_spec("opticam(lr=0.1, iterations=5)") == parse_spec("opticam( iterations = 5,lr=0.1 )")


def test_empty_brackets_are_no_options() -> None:
    assert parse_spec("gradcam()") == parse_spec("gradcam") == Spec("gradcam")


def test_a_repeated_backslash_and_quote_survive() -> None:
    spec = Spec.of("x", {"a": 'say "\\n"', "b": "it's\n"})
    assert parse_spec(str(spec)) == spec


@each(
    ("text", "message"),
    [
        ("", "there is an empty name before or after a comma"),
        ("gradcam,", "there is an empty name before or after a comma"),
        (",gradcam", "there is an empty name"),
        ("gradcam,,opticam", "there is an empty name"),
        ("opticam(iterations=5", "a bracket is not closed"),
        ("opticam)", "a bracket is not closed"),
        ('opticam(objective="diff)', "a quote is not closed"),
        ("(iterations=5)", "expected a name such as gradcam"),
        ("-gradcam", "expected a name such as gradcam"),
        ("opticam(5)", r"every option needs a name, as in opticam\(iterations=50\)"),
        ("opticam(*[1])", "every option needs a name"),
        ("opticam(**{})", "every option needs a name"),
        ("opticam(iterations=5, iterations=6)", r"expected name\(option=value|iterations is given twice"),
        ("opticam(objective=diff.x)", r"objective=diff.x is not a literal; quote text, as in objective='diff.x'"),
        ("opticam(lr=1+1)", "lr=1 \\+ 1 is not a literal"),
        ("opticam(lr=__import__('os').getcwd())", "is not a literal"),
        ("opticam(lr=open('x'))", "is not a literal"),
        ("opticam(lr=)", r"expected name\(option=value, …\)"),
        ("opticam(lr=0.1)(2)", r"expected name\(option=value, …\)"),
        ("opticam(lr=0.1) + 1", r"expected name\(option=value, …\)"),
        ("opticam lr=0.1", r"expected name\(option=value, …\)"),
        ("opticam[1]", r"expected name\(option=value, …\)"),
    ],
)
def test_every_mistake_has_its_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_specs(text)


def test_a_deeply_nested_text_is_refused_not_a_crash() -> None:
    with pytest.raises(UsageError):
        parse_specs("opticam(lr=" + "(" * 5000 + "1" + ")" * 5000 + ")")


def test_options_come_back_as_keyword_arguments() -> None:
    assert parse_spec('opticam(objective="diff", best=True)').arguments == {"best": True, "objective": "diff"}
