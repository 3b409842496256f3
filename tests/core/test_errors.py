"""Errors by who must mend them, and names that nobody registered."""

from __future__ import annotations

import pytest

from camdbench.core.errors import CamdbenchError, NotApplicable, SampleError, UsageError, unknown


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
