"""What our own engine computes, written plainly: layer by layer, in float64, rounded where the engine rounds.

Between the roundings all is exact here, and float32 there. So where a sum lies close to the middle between two numbers of a
coarse format, now and then the two round it differently.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seg.architecture import NORM_EPS, find_variant, sliding_pool
from seg.runtime.fused.program import DEFAULTS
from seg.weights import read_description, read_tensors

Round = Callable[[Tensor], Tensor]


def bfloat16(values: Tensor) -> Tensor:
    """Rounds to bfloat16."""
    return values.float().bfloat16().double()


ROUNDINGS: dict[str, Round] = {"fp32": lambda values: values, "bf16": bfloat16}
_ACTIVATIONS: dict[str, Round] = {"relu": F.relu, "relu6": F.relu6, "hard_swish": F.hardswish}


def scores(path: Path, frame_bgr: np.ndarray, precision: str) -> np.ndarray:
    """Returns the scores (C, h, w) of a frame."""
    return _Reference(path, ROUNDINGS[precision]).scores(frame_bgr)


class _Reference:
    """Weights and activations are rounded; what sums up, gates and scores aren't."""

    def __init__(self, path: Path, rounded: Round) -> None:
        self._description = read_description(path)
        self._tensors = {name: torch.from_numpy(tensor.astype(np.float64)) for name, tensor in read_tensors(path).items()}
        self._given: dict[str, Any] = DEFAULTS | self._description.arguments
        self._eps = self._given["encoder_norm_eps"] or NORM_EPS
        self._variant = find_variant(self._given["encoder_name"])
        self._round = rounded

    def scores(self, frame_bgr: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(frame_bgr[:, :, ::-1].transpose(2, 0, 1).astype(np.float64))[None] - 127.5
        mean, std = (255 * torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
                     for values in (self._description.mean, self._description.std))
        weight, bias = self._folded("encoder.stem", self._eps)
        height, width = image.shape[2:]
        padded = self._round(mean - 127.5).repeat(1, 1, height + 2, width + 2)  # the mean colour
        padded[:, :, 1:-1, 1:-1] = image
        stem_activation = _ACTIVATIONS[self._variant.stem_activation]
        x = self._round(stem_activation(F.conv2d(padded - (mean - 127.5), self._round(weight / std), bias, 2)))

        moves = self._variant.steps(self._given["encoder_output_stride"], self._given["dilate_first"])
        at_8 = [i for i, stride in enumerate(self._variant.strides()[1:]) if stride == 8]
        kind = self._given["skip"] or "expansion"
        skip_block = at_8[0] if kind == "first" else at_8[-1]
        for i, (stride, dilation) in enumerate(moves):
            x, expanded = self._block(i, x, stride, dilation)
            if i == skip_block:
                skip = expanded if kind == "expansion" else x
        if self._variant.tail_channels is not None:
            x = self._round(stem_activation(self._product(x, *self._folded("encoder.tail", self._eps))))

        deep = self._round(F.relu(self._product(x, *self._folded("decoder.project", self._given["decoder_norm_eps"]))))
        pooled = F.conv2d(self._pooled(x), self._tensors["decoder.attention.weight"])
        gate = (torch.sigmoid if self._given["gate"] == "sigmoid" else F.hardsigmoid)(pooled)
        deep = self._round(deep * _resized(gate, deep))
        classified = [self._product(feature, self._tensors[f"decoder.{part}_classifier.weight"],
                                    self._tensors[f"decoder.{part}_classifier.bias"])
                      for part, feature in (("deep", deep), ("skip", skip))]
        return (_resized(*classified) + classified[1])[0].numpy()

    def _block(self, i: int, x: Tensor, stride: int, dilation: int) -> tuple[Tensor, Tensor]:
        """Returns an inverted residual's output, and what its projection reads."""
        spec, part = self._variant.blocks[i], f"encoder.blocks.{i}"
        activation = _ACTIVATIONS[spec.activation]
        expanded = self._round(activation(self._product(x, *self._folded(f"{part}.expand", self._eps)))) if i else x
        weight, bias = self._folded(f"{part}.depthwise", self._eps)
        middle = activation(F.conv2d(expanded, self._round(weight), bias, stride, spec.kernel // 2 * dilation, dilation,
                                     len(weight)))
        weight, bias = self._folded(f"{part}.project", self._eps)
        if spec.squeeze:
            names = [f"{part}.squeeze_excite.{layer}.{kind}" for layer in ("reduce", "expand") for kind in ("weight", "bias")]
            first, first_bias, second, second_bias = (self._tensors[name] for name in names)
            squeezed = F.relu(F.conv2d(middle.mean((2, 3), keepdim=True), first, first_bias))  # of what isn't rounded yet
            weight = weight * F.hardsigmoid(F.conv2d(squeezed, second, second_bias)).view(1, -1, 1, 1)
        middle = self._round(middle)
        projected = self._product(middle, weight, bias)
        if stride == 1 and x.shape[1] == projected.shape[1]:
            projected = projected + x
        return self._round(projected), middle

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(x, self._round(weight), bias)

    def _pooled(self, x: Tensor) -> Tensor:
        if self._given["pool"] == "global":
            return x.mean((2, 3), keepdim=True)
        kernel, stride = sliding_pool(self._given["encoder_output_stride"])
        sides = [min(kernel, side) for side in x.shape[2:]]
        return F.avg_pool2d(x, sides, stride, ceil_mode=True)

    def _folded(self, part: str, eps: float) -> tuple[Tensor, Tensor]:
        gamma, beta, mean, variance = (self._tensors[f"{part}.norm.{name}"]
                                       for name in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / torch.sqrt(variance + eps)
        return self._tensors[f"{part}.conv.weight"] * scale.view(-1, 1, 1, 1), beta - mean * scale


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
