"""Text for any output: signs in ASCII where an encoding lacks them, and control characters made visible.

Registers the error handler `HANDLER`, and the codec `ASCII`, which click does not replace by UTF-8.
"""

from __future__ import annotations

import codecs
import json
import re

HANDLER, ASCII = "camdbench_signs", "camdbench_ascii"
BREAK = "\u2028"  # line separator: a line break that a table asks for; one in a name is made visible
SUPERSCRIPTS = dict(zip("ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "abcdefghijklmnoprstuvwxyz", strict=True))
SIGNS = (
    {"—": "-", "–": "-", "−": "-", "·": "-", "×": "x", "±": "+/-", "…": "...", "†": "+", "∞": "inf", "∩": "n", "∪": "u", "α": "alpha"}
    | {"↑": "^", "↓": "v", "→": "->", "←": "<-", "≤": "<=", "≈": "~", "≥": ">=", "“": '"', "”": '"', "‘": "'", "’": "'"}
    | {raised: f"^{letter}" for raised, letter in SUPERSCRIPTS.items()}
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2029-\u202e\u2066-\u2069\ud800-\udfff]")  # with signs that reorder text


def in_encoding(text: str, encoding: str) -> str:
    r"""Replace what an encoding lacks: by an ASCII sign, else by an escape sequence.

    >>> in_encoding("ad ↓ %  36.3 ± 1.2 — ñ", "ascii"), in_encoding("ad ↓ %  36.3 ± 1.2 — ñ", "latin-1")
    ('ad v %  36.3 +/- 1.2 - \\u00f1', 'ad v %  36.3 ± 1.2 - ñ')
    """
    return text.encode(encoding, HANDLER).decode(encoding)


def visible(text: str) -> str:
    r"""Replace control characters, surrogates and signs that reorder text by their escape sequences.

    >>> print(visible("net\n\x1b[31m"))
    net\n\x1b[31m
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def in_json(text: str) -> str:
    r"""JSON text in which control characters that JSON allows, and signs that reorder text, are escape sequences.

    >>> print(in_json('["\x9b0m", "é"]'))
    ["\u009b0m", "é"]
    """
    return re.sub(rf"(?!\n){_CONTROL.pattern}", lambda found: json.dumps(found[0])[1:-1], text)


def encodable(text: str) -> str:
    r"""Replace halves of character pairs, as in a file name that is not UTF-8, by their escape sequences.

    >>> encodable("é\udcff")
    'é\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SIGNS.get(sign) or json.dumps(sign)[1:-1] for sign in lacking), error.end  # escapes that JSON reads, too


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != ASCII:
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_codec.encode,
        ascii_codec.decode,
        ascii_codec.streamreader,
        ascii_codec.streamwriter,
        ascii_codec.incrementalencoder,
        ascii_codec.incrementaldecoder,
        name=ASCII,
    )


codecs.register_error(HANDLER, _replace)
codecs.register(_find_codec)
