"""Reading weights: safetensors, or a state dict with weights_only=True, which runs no code from the file."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError, first_line
from camdbench.core.files import check_growth
from camdbench.core.object_text import tensor_bytes

_PREFIXES = ("module.", "model.")  # of DataParallel, and of trainers with the network as `self.model`


def read_state(path: Path) -> dict[str, Tensor]:
    """State dict of a file, without the usual wrappers: `state_dict`, `model`, and prefixes `module.` or `model.`.

    Raises:
        UsageError: the file does not exist, is invalid, or contains more than tensors.
    """
    if not path.is_file():
        raise UsageError(f"weights file {path}: no such file")
    loaded: object
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded = load_file(path)
        else:
            check_growth(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about foreign formats; unreadable files raise
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format raises its own types
        reason = _reason(error)
        raise UsageError(f"weights file {path} cannot be read as safetensors or as a state dict of plain tensors: {reason}") from None
    return _unwrap(loaded, path)


def _reason(error: Exception) -> str:
    """Why a file cannot be read; torch's message on pickles advises to run their code."""
    if isinstance(error, pickle.UnpicklingError):
        code = re.search(r"GLOBAL (\S+)", str(error))
        return "it has another format" if code is None else f"it needs code ({code[1]}); save the network's state_dict() alone"
    return first_line(error)


def load_state(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load a state dict that must fit exactly; tensors are cast to the network's dtype.

    Raises:
        UsageError: missing or unexpected keys, or a different shape.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    for keys, what in ((missing, "lack"), (extra, "have the unexpected key"), (shapes, "have another shape for")):
        if keys:
            raise UsageError(f"the weights do not fit {name}: they {what} {keys[0]!r}{_more(keys)}")
    fitting = OrderedDict((key, tensor.to(own[key].dtype)) for key, tensor in state.items())
    fitting._metadata = getattr(own, "_metadata", {})  # pyright: ignore[reportAttributeAccessIssue] - versions; MNASNet needs them
    network.load_state_dict(fitting, strict=False)


def hash_weights(network: nn.Module) -> str:
    """SHA-256 (16 hex digits) of names, shapes and values of all weights and buffers, also those that are not saved."""
    digest, saved = hashlib.sha256(), network.state_dict()
    for name, value in sorted({**dict(network.named_buffers()), **saved}.items()):
        digest.update(name.encode() + bytes_of(value))
    return digest.hexdigest()[:16]


def bytes_of(value: object) -> bytes:
    """Shape, dtype and bytes of an entry of a state dict; quantised networks also keep tuples and other objects there."""
    if isinstance(value, Tensor):
        return tensor_bytes(value)
    if isinstance(value, tuple | list):
        return b"".join(map(bytes_of, cast("Sequence[object]", value)))
    return repr(value).encode()


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _unwrap(loaded: object, path: Path) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(cast("Mapping[str, Any]", loaded).get(wrapper), Mapping):
            loaded = cast("Mapping[str, Any]", loaded)[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise UsageError(f"weights file {path} holds {type(loaded).__name__}, not a state dict")
    state = cast("Mapping[str, object]", loaded)
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if len(tensors) != len(state) or not all(isinstance(key, str) for key in state):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"weights file {path} holds entries that are not tensors with a name; save the network's state_dict() alone")
    while prefix := next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in tensors)), ""):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors
