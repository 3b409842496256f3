"""Names of models by library: `timm/NAME`, `hf/ORG/NAME`, `hf/./FOLDER` and `hf-zero-shot/…`; free of torch."""

from __future__ import annotations

import re
from pathlib import Path

TIMM = "timm/"
HF = "hf/"
ZERO_SHOT = "hf-zero-shot/"
_RELATIVE = re.compile(rf"(?<![^,=])({HF}|{ZERO_SHOT})(\.{{1,2}}(?:[/\\][^,@]*)?|~[^,@]*)")


def folder_of(name: str) -> Path | None:
    """Folder of `hf/./FOLDER`, `hf/../FOLDER`, `hf/~/FOLDER` and `hf//FOLDER`; None for a name on the hub."""
    rest = hf_place(name) if name.startswith((HF, ZERO_SHOT)) else ""
    return Path(rest).expanduser() if rest.startswith((".", "/", "~")) or Path(rest).is_absolute() else None


def with_absolute_folders(names: str, base: Path | None = None) -> str:
    """Model names, comma-separated, in which relative folders of transformers are absolute; others as they are.

    Args:
        names: names, perhaps with aliases `NAME=`.
        base: the folder to which they are relative; default: the current one.

    >>> with_absolute_folders("resnet50,hf/microsoft/resnet-18,mine=hf/../net", Path("/data/here"))
    'resnet50,hf/microsoft/resnet-18,mine=hf//data/net'
    """
    return _RELATIVE.sub(lambda found: found[1] + str(((base or Path()) / Path(found[2]).expanduser()).resolve()), names)


def is_zero_shot(name: str) -> bool:
    """Whether a name is that of a zero-shot classifier, which needs prompts."""
    return name.startswith(ZERO_SHOT)


def row_name(name: str) -> str:
    """Name in rows: that of a folder of transformers without the folders that hold it; others as they are."""
    folder, prefix = folder_of(name), hf_prefix(name)
    return name if folder is None else f"{prefix}{folder.resolve().name}{'@random' if name.endswith('@random') else ''}"


def hf_prefix(name: str) -> str:
    """The prefix of a name of transformers."""
    return ZERO_SHOT if is_zero_shot(name) else HF


def hf_place(name: str) -> str:
    """Folder, or name on the hub with its revision, of a name of transformers."""
    return name.removeprefix(hf_prefix(name)).removesuffix("@random")
