"""Segment Anything (Kirillov et al. 2023, arXiv:2304.02643) through the transformers library (extra: sam)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from camdbench.core.errors import UsageError, first_line
from camdbench.core.foreign_code import offline


class SegmentAnything:
    """Segments the objects in given boxes; the mask is the union over boxes.

    Args:
        weights: folder like that of `facebook/sam-vit-base`, with config.json, model.safetensors and the processor's
            configuration; nothing is downloaded, and no code of the folder is run.
        device: device of the network.

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
                raise UsageError(f"--weights {weights}: {name} does not exist; use a folder like that of facebook/sam-vit-base")
        try:
            with offline():
                network = library.SamModel.from_pretrained(str(weights), local_files_only=True, use_safetensors=True)
                self._processor = library.SamProcessor.from_pretrained(str(weights), local_files_only=True)
        except Exception as error:  # transformers raises many types
            raise UsageError(f"--weights {weights}: cannot be read as a Segment Anything network: {first_line(error)}") from None
        self._network: Any = network.to(device).eval().requires_grad_(False)
        self._device = device

    def __call__(self, picture: Image.Image, boxes: Tensor) -> Tensor:
        """Mask (H, W) bool of all objects of an RGB image with boxes (N, 4) xyxy in pixels, ends exclusive, N > 0."""
        given = self._processor(picture, input_boxes=[boxes.tolist()], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            found = self._network(**given, multimask_output=False)
        masks = self._processor.post_process_masks(
            found.pred_masks.cpu(), given["original_sizes"].cpu(), given["reshaped_input_sizes"].cpu()
        )
        return masks[0].flatten(0, 1).any(0)
