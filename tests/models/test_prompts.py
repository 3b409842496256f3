"""Files of prompts: names, templates, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.models.prompts import Prompts, read_prompts


def test_lines_are_names_and_those_with_braces_templates(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffcat\n\n  tabby, a cat \n", encoding="utf-8")
    assert read_prompts(file) == Prompts(("cat", "tabby, a cat"), ("a photo of a {}.",))
    file.write_text("a {}\ncat\n{}!\ndog\n")
    assert read_prompts(file) == Prompts(("cat", "dog"), ("a {}", "{}!"))


@each(
    ("text", "message"),
    [
        ("cat\n", "expected a list of at least two names"),
        ("cat\ndog\ncat\n", "class 'cat' is named twice; name each once"),
        ("{} and {}\ncat\ndog\n", "expected a list of sentences with {} once"),
        (None, "cannot be read; give a text file with one class name per line"),
        (b"\xff\xfe\xff", "cannot be read; give a text file with one class name per line"),
    ],
)
def test_refusals(text: str | bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as refusal:
        read_prompts(file)
    assert str(refusal.value).startswith(f"--prompts = {file}: ")
    assert message in str(refusal.value)
