"""Image classifiers of transformers: `hf/ORG/NAME[@REVISION]` from the hub's cache, `hf/./FOLDER` saved by save_pretrained (extra: hf).

`hf-zero-shot/…` names the same places; see `zero_shot`.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.errors import UsageError, first_line
from camdbench.core.files import check_text
from camdbench.core.foreign_code import offline
from camdbench.core.model_names import ZERO_SHOT, folder_of, hf_place, hf_prefix, row_name
from camdbench.models.image_processors import Preprocessing, read_processor

if TYPE_CHECKING:
    from torch import nn

    from camdbench.models.classifier import Classifier

_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def check_name(name: str) -> None:
    """Check the form of a name, its folder and that transformers is installed; imports neither torch nor transformers.

    Raises:
        UsageError: transformers is not installed, another form, or not a folder of a network.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UsageError(f"model {name}: transformers is not installed; run: pip install 'camdbench[hf]'")
    folder = folder_of(name)
    if folder is None and not _ON_HUB.fullmatch(hf_place(name)):
        prefix = hf_prefix(name)
        raise UsageError(f"model {name}: expected {prefix}ORG/NAME, {prefix}ORG/NAME@REVISION or {prefix}./FOLDER")
    if folder is not None and not folder.is_dir():
        raise UsageError(f"model {name}: no such folder; give one that save_pretrained wrote")
    if folder is not None and not (folder / "config.json").is_file():
        raise UsageError(f"model {name}: the folder has no config.json; give one that save_pretrained wrote")
    if folder is not None and (odd := next((file.name for file in folder.iterdir() if not (file.is_file() or file.is_dir())), "")):
        raise UsageError(f"model {name}: {odd} is no regular file, and may never end; give a folder that save_pretrained wrote")


def build(name: str, *, download: bool, **overrides: Any) -> Classifier:
    """Classifier of transformers with the preprocessing of its image processor; code of a repository is never run.

    Args:
        name: `hf/ORG/NAME`, `hf/ORG/NAME@REVISION` or `hf/./FOLDER`; `…@random` has random weights from a fixed seed.
        download: whether transformers may download missing files.
        overrides: `layer`, `mean`, `std`, if given.

    Raises:
        UsageError: missing or damaged files, not an image classifier, or an unsupported image processor.
    """
    check_name(name)
    from transformers import AutoModelForImageClassification

    from camdbench.models.classifier import Classifier

    with quiet():
        config = load_config(name, download=download)
        _check_kind(name, config)
        found = load_processor(name, config, download=download)
        network = (
            build_random(AutoModelForImageClassification, config) if name.endswith("@random") else _pretrained(name, download=download)
        )
    classifier = Classifier(
        network,
        overrides.get("layer"),
        mean=found.mean if overrides.get("mean") is None else overrides["mean"],
        std=found.std if overrides.get("std") is None else overrides["std"],
        name=row_name(name),
        class_names=_class_names(config),
        input_size=found.size,
        channels=found.channels,
        preprocess=found.geometry,
    )
    classifier.revision = revision_of(name)
    return classifier


def load(kind: Any, name: str, *, download: bool, **options: Any) -> Any:
    """Object read by `kind.from_pretrained`, with errors on one line; `kind` is a class of transformers.

    Raises:
        UsageError: missing or damaged files.
    """
    folder = folder_of(name)
    place, _, revision = hf_place(name).partition("@")
    where = {"revision": revision} if revision and folder is None else {}
    local = folder is not None or not download
    try:
        with offline() if local else nullcontext():
            return kind.from_pretrained(str(folder or place), local_files_only=local, trust_remote_code=False, **where, **options)
    except ImportError as error:
        raise UsageError(f"{name}: {first_line(error)}") from None
    except Exception as error:  # transformers and the readers of weights raise many types
        if folder is None and not download and isinstance(error, OSError):
            raise UsageError(f"{name.removesuffix('@random')}: not on this machine; add --download") from None
        raise UsageError(f"{name}: cannot be read ({first_line(error)})") from None


def revision_of(name: str) -> str | None:
    """Commit of a network in the hub's cache; None for a folder."""
    from huggingface_hub import constants, try_to_load_from_cache

    place, _, revision = hf_place(name).partition("@")
    file = None if folder_of(name) else try_to_load_from_cache(place, "config.json", constants.HF_HUB_CACHE, revision or None)
    return Path(file).parent.name if isinstance(file, str) else None


def load_config(name: str, *, download: bool) -> Any:
    """Configuration of a network.

    Raises:
        UsageError: missing or damaged files.
    """
    from transformers import AutoConfig

    folder = folder_of(name)
    if folder is not None:
        _check_json(name, folder / "config.json")
    return load(AutoConfig, name, download=download)


def _check_json(name: str, file: Path) -> None:
    try:
        check_text(file)
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or "model_type" not in settings:
        raise UsageError(f"{name}: config.json is damaged, or not that of a network of transformers; give a folder of save_pretrained")
    if "auto_map" in settings:
        raise UsageError(f"{name}: needs code of the repository, which is never run; load the network yourself")


def _check_kind(name: str, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN

    if config.model_type not in KNOWN:
        raise UsageError(f"{name}: {config.model_type} has no image classifier in transformers; give a network for image classification")


def load_processor(name: str, config: Any, *, download: bool) -> Preprocessing:
    """Preprocessing of its image processor.

    Raises:
        UsageError: missing or damaged files, or an unsupported image processor.
    """
    from transformers import AutoImageProcessor

    if config.model_type == "timm_wrapper":
        raise UsageError(f"{name}: a network of timm; use timm/NAME")
    folder = folder_of(name)
    if folder is not None and not any((folder / file).is_file() for file in ("preprocessor_config.json", "processor_config.json")):
        raise UsageError(f"{name}: the folder has no preprocessor_config.json; save its image processor there with save_pretrained")
    return read_processor(load(AutoImageProcessor, name, download=download).to_dict(), name)


def _pretrained(name: str, *, download: bool) -> nn.Module:
    import torch
    from transformers import AutoModelForImageClassification

    network, found = load(AutoModelForImageClassification, name, download=download, output_loading_info=True, dtype=torch.float32)
    if missing := sorted(found["missing_keys"]):
        fix = "give a network trained for classification"
        fix += f", or {ZERO_SHOT}{hf_place(name)} with --prompts" if getattr(network, "vision_model", None) is not None else ""
        raise UsageError(f"{name}: its weights lack {missing[0]} ({len(missing)} missing); {fix}")
    return network


def build_random(kind: Any, config: Any) -> nn.Module:
    """Network of a class of transformers with random weights from a fixed seed; the global generator is untouched."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind.from_config(config, trust_remote_code=False)


def _class_names(config: Any) -> tuple[str, ...]:
    """Names of `id2label` up to the first comma; none if they are LABEL_0, LABEL_1 and so on."""
    names = [str(config.id2label[index]) for index in sorted(config.id2label)]
    if all(text == f"LABEL_{index}" for index, text in enumerate(names)):
        return ()
    short = [text.partition(",")[0].strip() for text in names]
    return tuple(full if short.count(text) > 1 else text for full, text in zip(names, short, strict=True))


@contextmanager
def quiet() -> Generator[None]:
    """Transformers without progress bars and notices on stderr."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
