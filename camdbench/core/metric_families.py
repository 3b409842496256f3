"""Families of metrics: shared protocol switches, and reasons why an image has no value; free of torch.

A metric's protocol is a variant of a family and states only the differences. The registry parses decorators without
importing them: it looks up names here that the metric's module does not assign.
"""

from __future__ import annotations

from camdbench.core.protocols import Protocol

DECLARED = Protocol("declared", maps="default", resize="bilinear")
LOCALISED = DECLARED.variant("localised", ground_truth="exclusive boxes")
ON_MASKS = DECLARED.variant("on masks", ground_truth="masks")
MASKED = DECLARED.variant("masked", masking="pixels", scored_class="target", scored_output="probability")
MEAN_MASKED = MASKED.variant("masked to the mean colour", masking="normalised")
EXPLAINED_AGAIN = Protocol("explained again", scored_class="target", maps="raw", resize="bilinear")
CLASSIFIED = Protocol("classified", scored_class="label", scored_output="logit")
CLASS_MAPS = CLASSIFIED.variant("class maps", maps="raw", resize="masks to the grid, nearest-exact")

CONSTANT_MAP = "the map is constant and ranks no pixels"
FLAT_MAP = "the map is constant"
ZERO_MAP = "the map is zero everywhere"
ZERO_FIRST_MAP = "the map of the original image is zero everywhere"
NO_BOX = "the object has no box inside the image, or the map is zero everywhere"
NO_MASK = "the mask is empty, or the map is zero everywhere"
NO_LABEL = "the label is unknown"
