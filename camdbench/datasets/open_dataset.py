"""Opening of data sets by spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from camdbench.core.errors import UsageError, unknown
from camdbench.core.references import is_reference, split_alias
from camdbench.core.registries import dataset_facts, datasets
from camdbench.core.spec import Spec, parse_spec

if TYPE_CHECKING:  # samples need torch, a wrong spec does not
    from camdbench.datasets.mosaic_draws import LoadModel
    from camdbench.datasets.samples import Dataset


_TABLE = re.compile(r"(.+\.(?:csv|parquet|json))(\(.*\))?", re.IGNORECASE | re.DOTALL)
_COCO = re.compile(r"coco\(\s*(['\"]?)([^'\"(),=]+\.json)\1\s*(?:,(.*))?\)", re.IGNORECASE | re.DOTALL)


def split_table(text: str) -> tuple[str, str]:
    """Path and options of a table of pictures or of a file in COCO's form; two empty texts for any other spec.

    >>> split_table("my/photos.csv(size=64)"), split_table("coco(labels.json, size=64)"), split_table("folder(size=64)")
    (('my/photos.csv', '(size=64)'), ('labels.json', '(size=64)'), ('', ''))
    """
    if found := _COCO.fullmatch(text.strip()):
        return found[2].strip(), f"({found[3].strip()})" if (found[3] or "").strip() else ""
    found = _TABLE.fullmatch(text.strip())
    return (found[1], found[2] or "") if found else ("", "")


def table_in(folder: Path, text: str) -> str:
    """Spec of a table or of a file in COCO's form, with its paths, `images` and `classes` included, from `folder`; others as they are.

    >>> table_in(Path("a"), "mine=photos.csv(images='b')"), table_in(Path("a"), "coco(c.json, size=64)"), table_in(Path("a"), "folder")
    ('mine=a/photos.csv(images="a/b")', 'a/c.json(size=64)', 'folder')
    """
    alias, plain = split_alias(text)
    file, options = split_table(plain)
    if not file:
        return text
    arguments = parse_spec(f"table{options}").arguments
    paths = {name: str(folder / str(arguments[name])) for name in ("images", "classes") if is_path(arguments.get(name))}
    found = str(folder / file) + str(Spec.of("table", arguments | paths)).removeprefix("table")
    return f"{alias}={found}" if alias else found


def is_path(given: object) -> bool:
    """Whether an option `images` or `classes` is a path: not absent, a list, `names` or `positions`."""
    return isinstance(given, str | Path) and given not in ("names", "positions")


def is_own_data(text: str) -> bool:
    """Whether the text of a data set is a table of pictures or a reference, and not a registered name.

    >>> is_own_data("photos-{split}.csv(size=64)"), is_own_data("mine.py:data"), is_own_data("shortcuts(size=64)")
    (True, True, False)
    """
    return is_reference(text) or split_table(text) != ("", "")


def named_dataset(text: str) -> Spec | None:
    """The spec of a text that begins with the name of a data set of camdbench; None for tables, references and other texts.

    >>> str(named_dataset("shortcuts(size=64)")), named_dataset("shortcuts.csv"), named_dataset("my photos")
    ('shortcuts(size=64)', None, None)
    """
    return None if is_own_data(text) or text.partition("(")[0].strip() not in datasets else parse_spec(text)


def check_dataset(text: str, split: str | None, data_root: str | Path | None) -> tuple[Spec, str]:
    """The checked spec of a data set and its split (`all` without splits); reads no data.

    Raises:
        UsageError: unknown name, option or split, or a missing or superfluous data root.
    """
    try:
        spec = datasets.parse_one(text)
    except UsageError:
        if not Path(text).is_dir():
            raise
        fix = f"give --dataset folder --data-root {text}, with images {Path(text) / 'images' / 'CLASS'}/FILE"
        raise UsageError(f"--dataset {text}: a folder, not the name of a data set; {fix}") from None
    if spec.wrapped:
        inner, name = check_dataset(str(parse_spec(text).wrapped[0]), split, data_root)
        return Spec.of(spec.name, spec.arguments, [inner]), name
    facts = datasets.get(spec.name).facts
    arguments = spec.arguments
    arguments.pop("split", None)
    chosen = parse_spec(text).arguments.get("split")  # unchecked: a checked spec omits defaults
    if chosen is not None and split is not None and chosen != split:
        raise UsageError(f"--split {split}: differs from --dataset {text}; name the split once")
    default = next((option.default for option in datasets.get(spec.name).options if option.name == "split"), "all")
    name = split or chosen or (default if facts.splits else "all")
    if facts.splits and name not in facts.splits:
        raise unknown("split", str(name), facts.splits, of=spec.name)
    if not facts.splits and name != "all":
        raise UsageError(f"--split {name}: data set {spec.name} has no splits; remove --split")
    if facts.on_disk and data_root is None:
        raise UsageError(f"data set {spec.name} is read from disk; set --data-root DIR")
    if not facts.on_disk and data_root is not None:
        raise UsageError(f"--data-root {data_root}: data set {spec.name} is rendered, not read; remove --data-root")
    return Spec.of(spec.name, arguments), str(name)


def available_annotations(spec: Spec, split: str, data_root: str | Path | None) -> tuple[str, ...]:
    """Annotations of a checked data set, such as `boxes` and `masks`, by the existing files and the option `masks`; reads no data."""
    facts = dataset_facts(spec)
    found = set(facts.gives)
    if data_root is not None:
        wanted = (entry.split(": ") for entry in facts.optional)
        found |= {kind for kind, path in wanted if Path(data_root, path.format(split=split)).exists()}
    source = spec.arguments.get("masks", "gt")
    if (source == "bbox" and "boxes" in found) or source not in ("gt", "bbox"):
        found.add("masks")
    return tuple(sorted(found))


def open_dataset(spec: Spec, split: str, data_root: str | Path | None, *, download: bool = False, load: LoadModel | None = None) -> Dataset:
    """Open a checked data set.

    Args:
        spec: the checked data set.
        split: its split.
        data_root: folder of a data set on disk.
        download: whether torchvision may download it first, if supported.
        load: loads a model by name, for a wrapper that filters images by a model.

    Raises:
        UsageError: the files have another layout.
        CamdbenchError: the download failed.
    """
    if spec.wrapped:
        return datasets.call(
            spec.name, open_dataset(spec.wrapped[0], split, data_root, download=download, load=load), load, **spec.arguments
        )
    facts = datasets.get(spec.name).facts
    if download and facts.download and data_root is not None:
        from camdbench.datasets.download import fetch

        fetch(spec.name, split, Path(data_root))
    arguments = spec.arguments | ({"split": split} if facts.splits else {})
    if not facts.on_disk or data_root is None:
        return datasets.call(spec.name, **arguments)
    data: Dataset = datasets.call(spec.name, Path(data_root), **arguments)
    _check_labels(data, f"--data-root {data_root}: {spec.name}, split {split},")
    return data


def _check_labels(data: Dataset, what: str) -> None:
    """Raise UsageError for a data set without images or with a label out of range."""
    if not data.ids:
        raise UsageError(f"{what} has no images")
    for name, label in zip(data.ids, data.labels, strict=True):
        if not -1 <= label < len(data.classes):
            raise UsageError(f"{what} image {name}: class index {label} is out of range for {len(data.classes)} classes")
