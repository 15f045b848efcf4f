"""Multiply-adds of a network at a frame size, layer by layer. They are counted on tensors without data, so every size is fast.

Two figures, from the image to full-size scores:

- `convolutions`: the number of outputs of each convolution (or matrix product) times the products that each output sums.
  Biases are left out. Batch norm is left out too, since it can be folded into the convolution before it.
- `elementwise`: one for each output element of sums and products (residuals, gates), of h-swish and swish (for their
  product) and of a bilinear resize, and one for each value that a pool averages. ReLU, ReLU6, the sigmoids, concatenation and the
  normalisation of the image are left out.

With this second count included, the results match the figures of the MobileNetV3 paper; see `seg.models.paper`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seg.models.network import SegmentationNetwork


@dataclass(frozen=True)
class LayerMacs:
    """The multiply-adds of one operation.

    Attributes:
        name: the module that it belongs to, as in the state dict; empty for the network itself.
        kind: "conv 3x3", "depthwise 5x5", "conv 1x1", "matmul", "sum", "product", "h-swish", "swish",
            "pool" or "resize".
        shape: of its output, (1, channels, height, width).
        convolutions, elementwise: multiply-adds; one of the two is 0.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    convolutions: int
    elementwise: int


@dataclass(frozen=True)
class Macs:
    """The count of a network for one frame of size (H, W)."""

    size_hw: tuple[int, int]
    layers: tuple[LayerMacs, ...]

    @property
    def convolutions(self) -> int:
        """Multiply-adds of the convolutions alone."""
        return sum(layer.convolutions for layer in self.layers)

    @property
    def elementwise(self) -> int:
        """Multiply-adds outside the convolutions."""
        return sum(layer.elementwise for layer in self.layers)

    @property
    def total(self) -> int:
        """Both together."""
        return self.convolutions + self.elementwise


def count(network: SegmentationNetwork, size_hw: tuple[int, int]) -> Macs:
    """Counts the multiply-adds of one frame; `network` stays as it is.

    Raises:
        SegError: the size is below the network's smallest.
    """
    empty = copy.deepcopy(network).eval().to("meta")
    images = torch.empty(1, network.arguments["in_channels"], *size_hw, dtype=torch.uint8, device="meta")
    with torch.no_grad(), _Counter(empty) as counter:
        empty(images)
    return Macs(size_hw, tuple(counter.layers))


def _outputs(args: tuple[Any, ...], out: Tensor) -> int:
    return out.numel()


def _inputs(args: tuple[Any, ...], out: Tensor) -> int:
    return int(args[0].numel())


def _windows(args: tuple[Any, ...], out: Tensor) -> int:
    return out.numel() * prod(args[1])


# By the operator's name without the underscore of its in-place form. Operators that aren't named here take no multiply-adds.
_ELEMENTWISE: dict[str, tuple[str, Callable[[tuple[Any, ...], Tensor], int]]] = {
    "add": ("sum", _outputs),
    "mul": ("product", _outputs),
    "hardswish": ("h-swish", _outputs),
    "silu": ("swish", _outputs),
    "mean": ("pool", _inputs),
    "_adaptive_avg_pool2d": ("pool", _inputs),
    "avg_pool2d": ("pool", _windows),
    "upsample_bilinear2d": ("resize", _outputs),
}
_MATRIX_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}  # the place of their first factor


class _Counter(TorchDispatchMode):
    """Sees each operator that torch runs; hooks tell it in which module the operator runs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers: list[LayerMacs] = []
        self._modules = [""]
        # Classifiers are called through their weights, see `seg.models.network.classify`.
        self._by_weight = {id(module.weight): name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
        for name, module in network.named_modules():
            module.register_forward_pre_hook(lambda _module, _inputs, name=name: self._modules.append(name))
            module.register_forward_hook(lambda _module, _inputs, _out: self._leave())

    def _leave(self) -> None:
        self._modules.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = func._schema.name.removeprefix("aten::").rstrip("_")
        if operator == "convolution":
            self._convolution(args[1], out)
        elif operator in _MATRIX_PRODUCTS:
            factor = args[_MATRIX_PRODUCTS[operator]]
            self._add("matmul", out, convolutions=out.numel() * factor.shape[-1])
        elif operator in _ELEMENTWISE:
            kind, work = _ELEMENTWISE[operator]
            self._add(kind, out, elementwise=work(args, out))
        return out

    def _convolution(self, weight: Tensor, out: Tensor) -> None:
        _, in_channels, height, width = weight.shape  # in_channels: of one group
        kind = "depthwise" if in_channels == 1 and out.shape[1] > 1 else "conv"
        name = self._by_weight.get(id(weight), self._modules[-1])
        self._add(f"{kind} {height}x{width}", out, convolutions=out.numel() * in_channels * height * width, name=name)

    def _add(self, kind: str, out: Tensor, convolutions: int = 0, elementwise: int = 0, name: str | None = None) -> None:
        name = self._modules[-1] if name is None else name
        self.layers.append(LayerMacs(name, kind, tuple(out.shape), convolutions, elementwise))


__all__ = ["LayerMacs", "Macs", "count"]
