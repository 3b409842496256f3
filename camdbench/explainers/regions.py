"""Ground-truth regions: as controls by themselves, and as wrappers that cut a map to them (Opti-CAM, Table 5)."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.errors import NotApplicable
from camdbench.explainers.saliency import Inner
from camdbench.explainers.trace import Trace
from camdbench.functional.boxes import union_mask


@explainer(
    "gtbox",
    paper="control; Opti-CAM, Table 5 (B)",
    cost="none",
    needs=("boxes",),
    aliases=("ground_truth_box",),
    normalisation="none",
    control=True,
)
def gtbox(trace: Trace) -> Tensor:
    """One inside the union of the ground-truth boxes, zero outside.

    (B, H, W), already a mask. A pixel is inside where its centre is.
    """
    return _inside_boxes(trace)


@explainer(
    "gtbox_complement",
    paper="control; Opti-CAM, Table 5 (I without B)",
    cost="none",
    needs=("boxes",),
    normalisation="none",
    control=True,
)
def gtbox_complement(trace: Trace) -> Tensor:
    """One outside the ground-truth boxes, zero inside.

    (B, H, W), already a mask.
    """
    return 1 - _inside_boxes(trace)


@explainer("gtmask", paper="control", cost="none", needs=("masks",), aliases=("ground_truth_mask",), normalisation="none", control=True)
def gtmask(trace: Trace) -> Tensor:
    """One on the object by its exact mask, zero elsewhere.

    (B, H, W), already a mask.
    """
    if trace.batch.masks is None:
        raise NotApplicable("needs ground-truth masks, which these images do not have")
    return trace.batch.masks.to(trace.images.device).float()


@explainer("inside_box", paper="Opti-CAM, Table 5 (S within B)", cost="that of the inner", needs=("boxes",), normalisation="none")
def inside_box(trace: Trace, inner: Inner) -> Tensor:
    """The finished map of another explainer, zero outside the ground-truth boxes.

    (B, H, W), already a mask: it is not stretched again.
    """
    return inner(trace).maps * _inside_boxes(trace)


@explainer("outside_box", paper="Opti-CAM, Table 5 (S without B)", cost="that of the inner", needs=("boxes",), normalisation="none")
def outside_box(trace: Trace, inner: Inner) -> Tensor:
    """The finished map of another explainer, zero inside the ground-truth boxes.

    (B, H, W), already a mask: it is not stretched again.
    """
    return inner(trace).maps * (1 - _inside_boxes(trace))


def _inside_boxes(trace: Trace) -> Tensor:
    if trace.batch.boxes is None:
        raise NotApplicable("needs ground-truth boxes, which these images do not have")
    return union_mask(trace.batch.boxes, trace.size).to(trace.images.device).float()
