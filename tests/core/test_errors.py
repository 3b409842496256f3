"""Errors by who must mend them, and names that nobody registered."""

from __future__ import annotations

import re

import pytest

from camdbench.core.errors import CamdbenchError, NotApplicable, SampleError, UsageError, unknown
from camdbench.core.registries import datasets, explainers, metrics
from camdbench.models.zoo import check_model


def test_exit_codes() -> None:
    assert (CamdbenchError.exit_code, UsageError.exit_code) == (1, 2)
    assert all(issubclass(kind, CamdbenchError) for kind in (UsageError, SampleError, NotApplicable))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OptiCAM", "no explainer 'OptiCAM'; did you mean 'opticam'?"),
        ("xyz", "no explainer 'xyz'; known: gradcam, hirescam, opticam"),
        ("", "no explainer ''; known: gradcam, hirescam, opticam"),
    ],
)
def test_the_nearest_names_are_offered(name: str, message: str) -> None:
    assert str(unknown("explainer", name, ["opticam", "gradcam", "hirescam"])).startswith(message)


def test_a_long_list_of_known_names_is_cut() -> None:
    message = str(unknown("model", "?", [f"net{index:03}" for index in range(100)]))
    assert message.endswith("net019, …")


def test_more_can_be_said() -> None:
    assert str(unknown("model", "?", ["a"], more="(see there)")) == "no model '?'; known: a (see there)"


def test_a_file_alone_lacks_the_name_in_it() -> None:
    message = "a file; name a function or object of it, {}:NAME"
    for kind, registry in (("explainer", explainers), ("metric", metrics), ("dataset", datasets)):
        for text, file in (("mine.py", "mine.py"), ("sub/mine.py", "sub/mine.py"), ("mine.py(power=2)", "mine.py")):
            with pytest.raises(UsageError, match=rf"^{kind} {re.escape(file)}: {re.escape(message.format(file))}$"):
                registry.parse(text)
        with pytest.raises(UsageError, match=re.escape(f"folder/mine.py: {message.format('folder/mine.py')}")):
            registry.parse("folder/mine.py")
    with pytest.raises(UsageError, match=rf"^model folder/mine.py: {re.escape(message.format('folder/mine.py'))}$"):
        check_model("folder/mine.py")
