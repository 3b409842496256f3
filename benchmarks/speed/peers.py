"""The jobs by other libraries: grad-cam, torchcam, captum, Quantus and lime, on the network as it comes from torchvision."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jobs import CAPTUM, GRAD_CAM, LIME, QUANTUS, TORCHCAM
from paces import Contestant, Work
from torch import Tensor, nn

from camdbench.core.registries import explainers, metrics

_GRAD_CAM = {
    "gradcam": "GradCAM",
    "gradcampp": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "hirescam": "HiResCAM",
    "elementwise": "GradCAMElementWise",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}
_TORCHCAM = {"gradcam": "GradCAM", "scorecam": "ScoreCAM"}


def _setup(work: Work) -> tuple[nn.Module, nn.Module, Tensor, list[str]]:
    """The network with weights that want gradients, as it comes; its layer, its input, and the names of the explainers."""
    names = [spec.name for spec in explainers.parse(work.job.explainers)]
    return work.classifier.network, work.classifier.module(work.classifier.layer_name()), work.classifier.normalised(work.images), names


def _parts(work: Work, inputs: Tensor) -> tuple[Tensor, ...]:
    return inputs.split(work.job.batch)


def _unfrozen(network: nn.Module, job: Callable[[], object]) -> Contestant:
    """The job with weights that want gradients, and without progress bars."""

    def contestant() -> object:
        network.requires_grad_(True)
        try:
            with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return job()
        finally:
            network.requires_grad_(False)

    return contestant


def grad_cam(work: Work) -> Contestant:
    """CAMs of grad-cam, those of `nine CAMs` that it has; or its ROAD on given maps."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget

    network, layer, inputs, names = _setup(work)
    if work.job.metrics:
        from pytorch_grad_cam.metrics.road import ROADCombined

        maps = np.random.default_rng(0).random((len(inputs), work.job.size, work.job.size), dtype=np.float32)
        scored = [ClassifierOutputSoftmaxTarget(0)] * len(inputs)
        return _unfrozen(network, lambda: ROADCombined()(inputs, maps, scored, network))
    cams = [getattr(pytorch_grad_cam, _GRAD_CAM[name])(model=network, target_layers=[layer]) for name in names if name in _GRAD_CAM]
    targets = [ClassifierOutputTarget(0)] * work.job.batch
    return _unfrozen(network, lambda: [cam(part, targets=targets) for part in _parts(work, inputs) for cam in cams])


def torchcam(work: Work) -> Contestant:
    """CAMs of torchcam, or its insertion and deletion together."""
    from torchcam import methods

    network, layer, inputs, names = _setup(work)
    make: Any = getattr(methods, _TORCHCAM[names[0]])

    def cam() -> object:
        with make(network, target_layer=layer) as extractor:
            return [extractor(0, network(part)) for part in _parts(work, inputs)]

    def curves() -> object:
        from torchcam.metrics import DeletionInsertionMetric

        step = int(metrics.get("insertion").arguments(metrics.parse(work.job.metrics)[0])["step"])
        with make(network, target_layer=layer) as extractor:
            metric = DeletionInsertionMetric(extractor, lambda logits: logits.softmax(1), steps=-(-inputs[0, 0].numel() // step))
            metric.update(inputs, class_idx=0)
            return metric.summary()

    return _unfrozen(network, curves if work.job.metrics else cam)


def captum(work: Work) -> Contestant:
    """Captum's Grad-CAM and Integrated Gradients, its sensitivity and its infidelity."""
    from captum.attr import IntegratedGradients, LayerGradCam
    from captum.metrics import infidelity, sensitivity_max

    network, layer, inputs, names = _setup(work)
    grad: Any = LayerGradCam(network, layer)
    path = IntegratedGradients(network)
    metric = work.job.metrics.partition("(")[0]

    def explained(images: Any) -> Any:
        return (grad.attribute(images, target=0),)

    if metric == "max_sensitivity":
        return _unfrozen(network, lambda: sensitivity_max(explained, inputs))
    if metric == "infidelity":
        maps, side = torch.rand_like(inputs), max(1, 32 * work.job.size // 224)

        def cover(images: Tensor) -> tuple[Tensor, Tensor]:
            change = torch.zeros_like(images)
            for row, (top, left) in enumerate(torch.randint(work.job.size - side, (len(images), 2)).tolist()):
                place = (row, slice(None), slice(top, top + side), slice(left, left + side))
                change[place] = images[place]
            return change, images - change

        return _unfrozen(network, lambda: infidelity(network, cover, inputs, maps, target=0, n_perturb_samples=100))
    if names == ["integratedgradients"]:
        return _unfrozen(network, lambda: path.attribute(inputs, target=0, n_steps=20))
    return _unfrozen(network, lambda: [grad.attribute(part, target=0) for part in _parts(work, inputs)])


def quantus(work: Work) -> Contestant:
    """Quantus' region perturbation on given maps, and its Max-Sensitivity of Captum's Grad-CAM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import quantus as library
    from captum.attr import LayerGradCam

    network, layer, inputs, _ = _setup(work)
    given = {"model": network, "x_batch": inputs.numpy(), "y_batch": work.labels.numpy(), "device": "cpu"}
    size = tuple(inputs.shape[-2:])
    if work.job.metrics.startswith("aopc"):
        metric: Any = library.RegionPerturbation(patch_size=8, regions_evaluation=100, disable_warnings=True)
        maps = np.random.default_rng(0).random((len(inputs), 1, *size), dtype=np.float32)
        return _unfrozen(network, lambda: metric(a_batch=maps, **given))
    method: Any = LayerGradCam(network, layer)

    def explain(model: object, inputs: Any, targets: Any, **options: object) -> Any:
        del model, options
        maps = method.attribute(torch.as_tensor(inputs), target=torch.as_tensor(targets))
        return nn.functional.interpolate(maps, size, mode="bilinear").detach().numpy()

    metric = library.MaxSensitivity(nr_samples=10, lower_bound=0.2, disable_warnings=True)
    return _unfrozen(network, lambda: metric(explain_func=explain, **given))


def lime(work: Work) -> Contestant:
    """The authors' package, with as many samples."""
    from lime.lime_image import LimeImageExplainer

    network, _, _, _ = _setup(work)
    classifier, images = work.classifier, work.images.permute(0, 2, 3, 1).double().numpy()
    samples = int(explainers.get("lime").arguments(explainers.parse(work.job.explainers)[0])["samples"])

    def predict(pictures: Any) -> Any:
        with torch.no_grad():
            return classifier(torch.as_tensor(np.asarray(pictures)).permute(0, 3, 1, 2).float()).softmax(1).numpy()

    def job() -> object:
        explainer: Any = LimeImageExplainer(random_state=0)
        return [explainer.explain_instance(image, predict, num_samples=samples) for image in images]

    return _unfrozen(network, job)


PEERS: dict[str, Callable[[Work], Contestant]] = {
    GRAD_CAM: grad_cam,
    TORCHCAM: torchcam,
    CAPTUM: captum,
    QUANTUS: quantus,
    LIME: lime,
}
