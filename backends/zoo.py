"""Torch modules that infertop knows by name: its own small network, and torchvision's."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from . import hf
from .configuration import Options
from .errors import MeasureError
from .models import ZOO, Model
from .signature import Declared

SMALLCNN_SEED = 20
"""Seed of smallcnn's weights: always the same, so that its ONNX file and its module agree everywhere."""

_VIDEO, _PAIRS = ".video.", ".optical_flow."


def build(model: Model, options: Options) -> Any:
    """The module of a zoo or torchvision model, in training mode as torchvision hands it out, weights seeded by `options.seed`."""
    import torch

    if model.name == "smallcnn":
        return smallcnn()
    torchvision = _torchvision()
    torch.manual_seed(options.seed)
    try:
        return torchvision.models.get_model(model.name, weights=None, **_quickly(torchvision, model.name))
    except ValueError as error:
        raise MeasureError(
            "model-not-found",
            f"torchvision {torchvision.__version__} has no model named {model.name}",
            "infertop models lists the names",
            str(error),
        ) from error


def declared(model: Model) -> list[Declared]:
    """The inputs that a zoo or torchvision model takes, with a symbol for the batch."""
    for info in ZOO:
        if info.name == model.name:
            return [Declared("input", "float32", ("batch", *info.shape))]
    module = _torchvision().models.get_model_builder(model.name).__module__
    if _VIDEO in module:
        side = 112 if module.endswith("resnet") else 224
        return [Declared("input", "float32", ("batch", 3, 16, side, side))]
    if _PAIRS in module:
        return [Declared(name, "float32", ("batch", 3, 128, 128)) for name in ("image1", "image2")]
    side = 299 if model.name == "inception_v3" else 224
    return [Declared("input", "float32", ("batch", 3, side, side))]


def import_for(model: Model) -> None:
    """Import what the model needs besides torch, so that it counts as import and not as loading."""
    if model.kind == "hf":
        hf.runtime()
    if model.kind in ("zoo", "torchvision") and model.name != "smallcnn":
        _torchvision()


def smallcnn() -> Any:
    """Three times convolution, batch norm and ReLU, a mean and a linear layer: 3x32x32 in, 10 classes out."""
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> Any:
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
                norm=nn.BatchNorm2d(outputs),
                relu=nn.ReLU(),
            )
        )

    module = nn.Sequential(
        OrderedDict(
            block1=block(3, 16, 1),
            block2=block(16, 32, 2),
            block3=block(32, 64, 2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classify=nn.Linear(64, 10),
        )
    )
    _weigh(module)
    return module


def _weigh(module: Any) -> None:
    """Weights from numpy's legacy generator, whose stream never changes; torch's own may, and the ONNX file would no longer agree."""
    import torch

    random = np.random.RandomState(SMALLCNN_SEED)
    state = module.state_dict()
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        numbers = random.standard_normal(tuple(value.shape))
        if name.endswith("running_var"):
            numbers = np.abs(numbers) + 0.5
        elif value.ndim > 1:
            numbers *= np.sqrt(2 / np.prod(value.shape[1:]))
        elif name.endswith("norm.weight"):
            numbers = 1 + 0.1 * numbers
        else:
            numbers *= 0.1
        state[name] = torch.from_numpy(numbers.astype(np.float32))
    module.load_state_dict(state)


def _quickly(torchvision: Any, name: str) -> dict[str, Any]:
    """Arguments that spare slow or impossible work: detectors fetch a backbone's weights, two networks initialise for a minute."""
    if name in torchvision.models.list_models(module=torchvision.models.detection):
        return {"weights_backbone": None}
    if name in torchvision.models.list_models(module=torchvision.models.segmentation):
        return {"weights_backbone": None}
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}


def _torchvision() -> Any:
    try:
        import torchvision
    except ImportError as error:
        raise MeasureError(
            "backend-missing", "torchvision cannot be imported", "pip install 'infertop[torch]'", str(error)
        ) from error
    return torchvision
