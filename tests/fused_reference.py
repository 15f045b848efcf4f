"""What our own engine computes, as a plain reference: layer by layer, in float64, rounded where the engine rounds.

Between the roundings the reference is exact, but the engine uses float32. So if a sum lies close to the middle between two
numbers of a coarse format, the two may round it differently.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seg.architecture import NORM_EPS, find_variant, sliding_pool
from seg.ranges import Range
from seg.runtime.fused.formats import expanded_format_in
from seg.runtime.fused.program import DEFAULTS
from seg.weights import read_description, read_tensors

Round = Callable[[Tensor], Tensor]


def bfloat16(values: Tensor) -> Tensor:
    """Rounds to bfloat16."""
    return values.float().bfloat16().double()


ROUNDINGS: dict[str, Round] = {"fp32": lambda values: values, "bf16": bfloat16}
_ACTIVATIONS: dict[str, Round] = {"relu": F.relu, "relu6": F.relu6, "hard_swish": F.hardswish}


def scores(path: Path, frame_bgr: np.ndarray, precision: str, ranges: Mapping[str, Range] = MappingProxyType({}),
           expanded: str | None = None) -> np.ndarray:
    """Returns the scores (C, h, w) of a frame.

    Args:
        path: path of the weights.
        frame_bgr: (H, W, 3) uint8.
        precision: "fp32" or "bf16", for the parts that int8 leaves unchanged.
        ranges: input ranges of the convolutions that are computed in int8.
        expanded: precision of the inputs and weights of depthwise convolutions; the default is this processor's.
    """
    expanded = expanded or expanded_format_in(precision).precision
    return _Reference(path, ROUNDINGS[precision], ROUNDINGS[expanded], ranges).scores(frame_bgr)


def ranges_of(path: Path, frame_bgr: np.ndarray) -> dict[str, Range]:
    """Returns ranges for the inputs of all 1x1 convolutions that can be computed in int8.

    They are coarse, so float32 hardly ever reaches another level than float64, and each is too narrow at one end.
    """
    reference = _Reference(path, ROUNDINGS["fp32"], ROUNDINGS["fp32"], {})
    reference.scores(frame_bgr)
    found = {}
    for i, (part, (lowest, highest)) in enumerate(reference.extremes.items()):
        step = (highest - lowest) / 16
        found[part] = Range(step, 255 - round(0.8 * highest / step) if i % 2 else round(-0.8 * lowest / step))
    return found


class _Reference:
    """Weights and activations are rounded; sums, gates and scores aren't."""

    def __init__(self, path: Path, rounded: Round, expanded: Round, ranges: Mapping[str, Range]) -> None:
        self._description = read_description(path)
        self._tensors = {name: torch.from_numpy(tensor.astype(np.float64)) for name, tensor in read_tensors(path).items()}
        self._given: dict[str, Any] = DEFAULTS | self._description.arguments
        self._eps = self._given["encoder_norm_eps"] or NORM_EPS
        self._variant = find_variant(self._given["encoder_name"])
        self._round, self._round_expanded, self._ranges = rounded, expanded, ranges
        self.extremes: dict[str, tuple[float, float]] = {}  # of each layer's inputs

    def scores(self, frame_bgr: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(frame_bgr[:, :, ::-1].transpose(2, 0, 1).astype(np.float64))[None] - 127.5
        mean, std = (255 * torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
                     for values in (self._description.mean, self._description.std))
        weight, bias = self._folded("encoder.stem", self._eps)
        height, width = image.shape[2:]
        padded = self._round(mean - 127.5).repeat(1, 1, height + 2, width + 2)  # the mean colour
        padded[:, :, 1:-1, 1:-1] = image
        stem_activation = _ACTIVATIONS[self._variant.stem_activation]
        x = self._round_expanded(stem_activation(F.conv2d(padded - (mean - 127.5), self._round(weight / std), bias, 2)))

        moves = self._variant.steps(self._given["encoder_output_stride"], self._given["dilate_first"])
        at_8 = [i for i, stride in enumerate(self._variant.strides()[1:]) if stride == 8]
        kind = self._given["skip"] or "expansion"
        skip_block = at_8[0] if kind == "first" else at_8[-1]
        for i, (stride, dilation) in enumerate(moves):
            x, expanded = self._block(i, x, stride, dilation)
            if i == skip_block:
                skip = expanded if kind == "expansion" else x
        if self._variant.tail_channels is not None:
            x = self._round(stem_activation(self._layer("encoder.tail", x, self._eps)))

        deep = self._round(F.relu(self._layer("decoder.project", x, self._given["decoder_norm_eps"])))
        pooled = F.conv2d(self._pooled(x), self._tensors["decoder.attention.weight"])
        gate = (torch.sigmoid if self._given["gate"] == "sigmoid" else F.hardsigmoid)(pooled)
        deep = self._round(deep * _resized(gate, deep))
        classified = [self._product(feature, self._tensors[f"decoder.{part}_classifier.weight"],
                                    self._tensors[f"decoder.{part}_classifier.bias"])
                      for part, feature in (("deep", deep), ("skip", skip))]
        return (_resized(*classified) + classified[1])[0].numpy()

    def _block(self, i: int, x: Tensor, stride: int, dilation: int) -> tuple[Tensor, Tensor]:
        """Returns an inverted residual's output, and the input of its projection."""
        spec, part = self._variant.blocks[i], f"encoder.blocks.{i}"
        activation = _ACTIVATIONS[spec.activation]
        expanded = self._round_expanded(activation(self._layer(f"{part}.expand", x, self._eps))) if i else x
        weight, bias = self._folded(f"{part}.depthwise", self._eps)
        middle = activation(F.conv2d(expanded, self._round_expanded(weight), bias, stride, spec.kernel // 2 * dilation, dilation,
                                     len(weight)))
        gate = None
        if spec.squeeze:
            names = [f"{part}.squeeze_excite.{layer}.{kind}" for layer in ("reduce", "expand") for kind in ("weight", "bias")]
            first, first_bias, second, second_bias = (self._tensors[name] for name in names)
            squeezed = F.relu(F.conv2d(middle.mean((2, 3), keepdim=True), first, first_bias))  # the mean is taken before rounding
            gate = F.hardsigmoid(F.conv2d(squeezed, second, second_bias))
        middle = self._round(middle)
        projected = self._layer(f"{part}.project", middle, self._eps, gate)
        if stride == 1 and x.shape[1] == projected.shape[1]:
            projected = projected + x
        return self._round(projected), middle

    def _layer(self, part: str, x: Tensor, eps: float, gate: Tensor | None = None) -> Tensor:
        """Computes a 1x1 convolution, in int8 if there is a range. A gate multiplies the weights, or in int8 the input."""
        weight, bias = self._folded(part, eps)
        given = x if gate is None else x * gate
        self.extremes[part] = min(float(given.min()), 0.0), max(float(given.max()), 0.0)
        if part not in self._ranges:
            return self._product(x, weight if gate is None else weight * gate.view(1, -1, 1, 1), bias)
        step, zero = self._ranges[part]
        levels = torch.round(given / step + zero).clamp(0, 255)
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-30) / 127  # any scale does for an output without weights
        sums = F.conv2d(levels - zero, torch.round(weight / scale))  # integers, which float64 holds exactly
        return sums * (scale.view(1, -1, 1, 1) * step) + bias.view(1, -1, 1, 1)

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
