"""Any text fits any encoding; signs of the package have a meaning in ASCII."""

from __future__ import annotations

import ast
from pathlib import Path

import camdbench
from camdbench.core.signs import SIGNS, in_encoding, visible

PACKAGE = Path(camdbench.__file__).parent


def test_every_sign_that_the_package_prints_has_ascii_in_its_place():
    texts = {
        (file.name, node.value)
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and file.name not in ("errors.py", "signs.py")
    }
    lacking = {
        (name, sign)
        for name, text in texts
        for sign in text
        if not sign.isascii() and not sign.isalpha() and sign not in {*SIGNS, "\u2060"}
    }
    assert not lacking
    assert all(text.isascii() for text in SIGNS.values())


def test_text_of_any_kind_can_be_encoded_and_what_an_encoding_has_stays():
    text = "ᵃ Grad-CAM · 36.3 ± 1.2 … ñ 漢 \udcff"
    for encoding in ("ascii", "latin-1", "cp1252", "cp437", "shift_jis", "utf-8"):
        assert in_encoding(text, encoding).encode(encoding)
    assert in_encoding(text, "cp1252") == "^a Grad-CAM · 36.3 ± 1.2 … ñ \\u6f22 \\udcff"
    assert in_encoding(text, "ascii") == "^a Grad-CAM - 36.3 +/- 1.2 ... \\u00f1 \\u6f22 \\udcff"
    assert in_encoding(text[:-1], "utf-8") == text[:-1]


def test_no_control_character_and_no_change_of_direction_is_left():
    assert visible("\x1b[31m a\r\n\tb\x9b \u202e \udcff") == r"\x1b[31m a\r\n\tb\x9b \u202e \udcff"
    assert visible("Grad-CAM ᵃ ñ 漢 —") == "Grad-CAM ᵃ ñ 漢 —"
