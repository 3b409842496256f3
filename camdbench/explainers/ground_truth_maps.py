"""Ground-truth regions as controls, and wrappers that restrict a map to them (Opti-CAM, Table 5)."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainer
from camdbench.explainers.common.saliency import Wrapped
from camdbench.explainers.common.trace import Trace
from camdbench.functional.boxes import union_mask


@explainer(
    "gtbox",
    paper="control; Opti-CAM, Table 5 (B)",
    cost=Cost(),
    needs=("boxes",),
    aliases=("ground_truth_box",),
    normalisation="none",
    control=True,
)
def gtbox(trace: Trace) -> Tensor:
    r"""Ground-truth box control: one inside the union of the boxes, zero outside.

    .. math:: S_i = [i \in B]

    A pixel is inside if its centre is.

    Returns:
        (B, H, W) in {0, 1}, a finished mask.
    """
    return _inside_boxes(trace)


@explainer(
    "gtbox_complement", paper="control; Opti-CAM, Table 5 (I without B)", cost=Cost(), needs=("boxes",), normalisation="none", control=True
)
def gtbox_complement(trace: Trace) -> Tensor:
    r"""Complement of the ground-truth boxes: one outside the boxes, zero inside.

    .. math:: S_i = [i \notin B]

    The map is 1 minus that of `gtbox`.

    Returns:
        (B, H, W) in {0, 1}, a finished mask.
    """
    return 1 - _inside_boxes(trace)


@explainer("gtmask", paper="control", cost=Cost(), needs=("masks",), aliases=("ground_truth_mask",), normalisation="none", control=True)
def gtmask(trace: Trace) -> Tensor:
    r"""Ground-truth mask control: one on the object, zero elsewhere.

    .. math:: S_i = [i \in M]

    The object is that of the segmentation mask.

    Returns:
        (B, H, W) in {0, 1}, a finished mask.
    """
    if trace.batch.masks is None:
        raise NotApplicable("needs ground-truth masks, which these images do not have")
    return trace.batch.masks.to(trace.images.device).float()


@explainer("inside_box", paper="Opti-CAM, Table 5 (S within B)", cost=Cost(wrapped=1), needs=("boxes",), normalisation="none")
def inside_box(trace: Trace, wrapped: Wrapped) -> Tensor:
    r"""Saliency map of another explainer, set to zero outside the ground-truth boxes.

    .. math:: S_i = n(E(x))_i\,[i \in B]

    The map is normalised before and not after.

    Returns:
        (B, H, W) in [0, 1], a finished mask.
    """
    return wrapped(trace).maps * _inside_boxes(trace)


@explainer("outside_box", paper="Opti-CAM, Table 5 (S without B)", cost=Cost(wrapped=1), needs=("boxes",), normalisation="none")
def outside_box(trace: Trace, wrapped: Wrapped) -> Tensor:
    r"""Saliency map of another explainer, set to zero inside the ground-truth boxes.

    .. math:: S_i = n(E(x))_i\,[i \notin B]

    The map is normalised before and not after.

    Returns:
        (B, H, W) in [0, 1], a finished mask.
    """
    return wrapped(trace).maps * (1 - _inside_boxes(trace))


def _inside_boxes(trace: Trace) -> Tensor:
    if trace.batch.boxes is None:
        raise NotApplicable("needs ground-truth boxes, which these images do not have")
    return union_mask(trace.batch.boxes, trace.size).to(trace.images.device).float()
