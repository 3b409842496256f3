"""Segment Anything (Kirillov et al. 2023, arXiv:2304.02643) through the transformers library (extra: sam)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import UsageError


class SegmentAnything:
    """The masks of objects whose boxes are known: one mask for each box, and their union.

    Args:
        weights: a folder with config.json, model.safetensors and the processor's configuration, as `facebook/sam-vit-base`
            has them; nothing is fetched, and no code of the folder is run.
        device: where the network runs.

    Raises:
        UsageError: transformers is not installed, or the folder holds no such network.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        try:
            library: Any = importlib.import_module("transformers")
        except ImportError:
            raise UsageError("--method sam: transformers is not installed; run: pip install 'camdbench[sam]'") from None
        for name in ("config.json", "model.safetensors"):
            if not (weights / name).is_file():
                raise UsageError(f"--weights {weights}: {name} is not there; expected a folder like that of facebook/sam-vit-base")
        try:
            network = library.SamModel.from_pretrained(str(weights), local_files_only=True, use_safetensors=True)
            self._processor = library.SamProcessor.from_pretrained(str(weights), local_files_only=True)
        except Exception as error:  # configurations fail in many ways
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"--weights {weights} cannot be read as a Segment Anything network: {reason}") from None
        self._network: Any = network.to(device).eval().requires_grad_(False)
        self._device = device

    def __call__(self, picture: Image.Image, boxes: Tensor) -> Tensor:
        """The mask (H, W) of all objects of an RGB picture; boxes (N, 4) xyxy in pixels, ends exclusive, one or more."""
        given = self._processor(picture, input_boxes=[boxes.tolist()], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            found = self._network(**given, multimask_output=False)
        masks = self._processor.post_process_masks(
            found.pred_masks.cpu(), given["original_sizes"].cpu(), given["reshaped_input_sizes"].cpu()
        )
        return masks[0].flatten(0, 1).any(0)
