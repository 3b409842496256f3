"""The site: pages of the API, commands that can be pasted, the landing page's table and links."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from test_prose import SHAPE

import camdbench

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def module_of(name: str) -> ModuleType:
    """A module of the folder docs, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensor_arguments(function: object) -> list[str]:
    """Arguments of a function whose annotation names a tensor or an array."""
    parameters = inspect.signature(function).parameters.values()  # pyright: ignore[reportArgumentType]
    return [parameter.name for parameter in parameters if re.search(r"\b(?:Tensor|ndarray)\b", str(parameter.annotation))]


def without_shape(function: object) -> list[str]:
    """Of these the ones whose entry under `Args:` states no shape."""
    doc = inspect.getdoc(function) or ""
    entries = dict[str, str](re.findall(r"^    (\w+): ((?:.*\n?)(?:^ {8,}.*\n?)*)", doc, re.MULTILINE))
    return [name for name in tensor_arguments(function) if not SHAPE.search(entries.get(name, ""))]


class TestApi:
    def test_every_public_name_is_in_one_group(self) -> None:
        named = Counter(name for group in module_of("_api").GROUPS.values() for name in group.names)
        assert named == Counter(camdbench.__all__)

    def test_pages_document_names_where_they_are_public(self) -> None:
        api = module_of("_api")
        text = "\n".join(api.page(group) for group in api.GROUPS.values())
        missing = [name for name in camdbench.__all__ if not re.search(rf"^\.\. (auto|py:)\w+:: camdbench\.{name}\b", text, re.MULTILINE)]
        assert missing == []

    @pytest.mark.parametrize("name", [name for name in camdbench.__all__ if inspect.isfunction(getattr(camdbench, name))])
    def test_arguments_that_are_tensors_state_their_shape(self, name: str) -> None:
        assert without_shape(getattr(camdbench, name)) == []

    def test_the_check_of_shapes_finds_a_missing_one(self) -> None:
        def function(images: torch.Tensor, maps: torch.Tensor | None = None) -> None:  # noqa: F821
            """Do.

            Args:
                images: (N, 3, H, W)
                    in [0, 1].
                maps: saliency.
            """

        assert without_shape(function) == ["maps"]

    @pytest.mark.parametrize("what", ["property", "function"])
    def test_a_colon_in_a_text_is_no_type(self, what: str) -> None:
        api = module_of("_api")
        lines = ["Logits: raw.", "", "Returns:", "    One row per layer: name, shape."]
        given = list(lines)
        api.hide_colons(None, what, "", None, None, lines)
        assert ": " not in lines[3]
        assert (": " in lines[0]) == (what == "function")
        api.show_colons(None, what, "", None, None, lines)
        assert lines == given
