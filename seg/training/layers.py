"""Layers that compute the same as torch's, but faster on a processor, forwards and backwards; `speed_up` inserts them.

They are for training in float32 with channels last; everything else, including evaluation, uses torch's layers. Weights and state
dicts stay the same; results stay the same to float tolerance, because sums are computed in another order.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seg.models.blocks import ConvNorm
from seg.runtime.fused.processor import LANES
from seg.runtime.fused.vectors import HARD_SWISH, LINEAR, RELU, RELU6
from seg.runtime.workers import share
from seg.training.layer_loops import KERNEL, norm_loops, row_width, weight_gradient_loop

_NUMBERS = {nn.ReLU: RELU, nn.ReLU6: RELU6, nn.Hardswish: HARD_SWISH, type(None): LINEAR}
_ENOUGH = 16  # pictures in a batch from which on torch uses oneDNN's 1x1 convolution on one thread, too
Float32Array = npt.NDArray[np.float32]


def speed_up(network: nn.Module) -> None:
    """Replaces layers of a network by the layers of this module, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = _Conv2d
        elif type(module) is ConvNorm and type(getattr(module, "act", None)) in _NUMBERS:
            module.__class__ = _ConvNorm


def _is_plain(x: Tensor) -> bool:
    """Returns whether the layers of this module can compute x."""
    return (x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
            and x.is_contiguous(memory_format=torch.channels_last))


def _rows(x: Tensor) -> Tensor:
    """Returns (N, C, H, W) as (N, H, W, C); with channels last in memory this is no copy."""
    return x.permute(0, 2, 3, 1).contiguous()


class _Conv2d(nn.Conv2d):
    """A convolution that uses one of three other methods where torch's own is slow."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward(x)
        if self.kernel_size == (1, 1) and self.stride == (1, 1) and self.groups == 1 and _is_plain(x):
            return self._pointwise(x)
        (kernel, *others), d = self.kernel_size, self.dilation[0]
        depthwise = self.groups == self.in_channels == self.out_channels
        if not depthwise or others != [kernel] or self.padding != (d * (kernel // 2),) * 2 or self.padding_mode != "zeros":
            return super().forward(x)
        if self.dilation == (1, 1) and self.stride[0] == self.stride[1]:
            return self._depthwise(x, self.stride[0])
        if self.dilation == (d, d) and self.stride == (1, 1) and not x.shape[2] % d and not x.shape[3] % d:
            return self._dilated(x, d)
        return super().forward(x)

    def _pointwise(self, x: Tensor) -> Tensor:
        """Computes a 1x1 convolution on more and smaller pictures: on one thread torch is slow for fewer than 16 pictures."""
        n, c, h, w = x.shape
        if n >= _ENOUGH or n * h * w % _ENOUGH or torch.get_num_threads() > 1 or self.padding != (0, 0):
            return super().forward(x)
        pixels = x.permute(0, 2, 3, 1).reshape(_ENOUGH, -1, 1, c).permute(0, 3, 1, 2)
        out = F.conv2d(pixels, self.weight, self.bias)
        return out.permute(0, 2, 3, 1).reshape(n, h, w, -1).permute(0, 3, 1, 2)

    def _dilated(self, x: Tensor, d: int) -> Tensor:
        """Computes a dilated convolution as a plain one on each of its phases, which are independent of each other.

        Pixel (y, x) is combined only with pixels (y + i d, x + j d). torch's gradient of a dilated depthwise convolution takes
        many times as long as that of a plain one.
        """
        n, c, h, w = len(x), self.out_channels, x.shape[2] // d, x.shape[3] // d
        phases = x.permute(0, 2, 3, 1).reshape(n, h, d, w, d, -1).permute(2, 4, 0, 1, 3, 5).reshape(d * d * n, h, w, -1)
        out = self._depthwise(phases.permute(0, 3, 1, 2), 1)
        out = out.permute(0, 2, 3, 1).reshape(d, d, n, h, w, c).permute(2, 3, 0, 4, 1, 5).reshape(n, h * d, w * d, c)
        return out.permute(0, 3, 1, 2)

    def _depthwise(self, x: Tensor, stride: int) -> Tensor:
        kernel = self.kernel_size[0]
        if kernel == KERNEL and self.bias is None and self.in_channels >= LANES and _is_plain(x):
            out: Tensor = _Depthwise.apply(x, self.weight, stride)
            return out
        return F.conv2d(x, self.weight, self.bias, stride, kernel // 2, 1, self.groups)


class _Depthwise(torch.autograd.Function):
    """A 5x5 depthwise convolution with our own gradient of the weights: torch's takes four times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, KERNEL // 2, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        slopes = slopes.contiguous(memory_format=torch.channels_last)
        by_x, by_weight, _ = torch.ops.aten.convolution_backward(
            slopes, x, weight, None, [ctx.stride] * 2, [KERNEL // 2] * 2, [1, 1], False, [0, 0], len(weight),
            [ctx.needs_input_grad[0], False, False])
        if ctx.needs_input_grad[1]:
            compute, inputs, outer = weight_gradient_loop(), _rows(x).numpy(), _rows(slopes).numpy()
            parts = list[Float32Array]()

            def work(first: int, last: int) -> None:
                sums = np.zeros((KERNEL, KERNEL, len(weight)), np.float32)
                compute(inputs, outer, ctx.stride, first, last, sums)
                parts.append(sums)

            share(len(x), torch.get_num_threads(), work)
            by_weight = torch.from_numpy(sum(parts)).permute(2, 0, 1)[:, None]
        return by_x, by_weight, None


class _ConvNorm(ConvNorm):
    """A convolution, then batch norm and activation in one: two passes over the map each way, and one map less in memory."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        norm, activation = self.norm, getattr(self, "act", None)
        if (norm.training and torch.is_grad_enabled() and _is_plain(x) and norm.affine and norm.momentum is not None
                and norm.track_running_stats and type(norm) is nn.BatchNorm2d and x.numel() > x.shape[1]):
            return _norm_act(norm, x, _NUMBERS[type(activation)])
        x = norm(x)
        return x if activation is None else activation(x)


def _norm_act(norm: nn.BatchNorm2d, x: Tensor, activation: int) -> Tensor:
    out, mean, variance = _NormAct.apply(x, norm.weight, norm.bias, norm.eps, activation)
    assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        count = x.numel() // x.shape[1]
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    normalised: Tensor = out
    return normalised


class _NormAct(torch.autograd.Function):
    """Maps (N, C, H, W), weight and bias (C,) to activation(batch norm), and to the batch's mean and variance (C,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float,
                activation: int) -> tuple[Tensor, Tensor, Tensor]:
        sum_up, apply, *_ = norm_loops()
        rows, count = _rows(x).view(-1, x.shape[1]).numpy(), x.numel() // x.shape[1]
        centre = rows[0].copy()  # sums of squares around a value of the map stay exact even if its mean is large
        wide = _wide(centre)
        sums = _in_parts(count, len(wide), lambda part, sums: sum_up(rows[part].ravel(), wide, sums), len(centre))
        first, second = sums / count
        mean, variance = centre + first, np.maximum(second - first * first, 0)
        rstd = 1 / np.sqrt(variance + eps)
        scale = (weight.detach().numpy() * rstd).astype(np.float32)
        shift = (bias.detach().numpy() - mean * scale).astype(np.float32)
        out = torch.empty_like(x, memory_format=torch.channels_last)
        found, wide_scale, wide_shift = _rows(out).view(-1, x.shape[1]).numpy(), _wide(scale), _wide(shift)
        share(count, torch.get_num_threads(), lambda start, end: apply(
            rows[start:end].ravel(), wide_scale, wide_shift, activation, found[start:end].ravel()))
        ctx.save_for_backward(x)
        ctx.constants = scale, shift, mean, rstd, activation
        statistics = torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(variance.astype(np.float32))
        ctx.mark_non_differentiable(*statistics)
        return out, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (x,), (scale, shift, mean, rstd, activation) = ctx.saved_tensors, ctx.constants
        sum_up, apply = norm_loops()[2:]
        channels, count = x.shape[1], x.numel() // x.shape[1]
        rows, outer = (_rows(t).view(-1, channels).numpy() for t in (x, slopes))
        wide_scale, wide_shift, wide_mean = _wide(scale), _wide(shift), _wide(mean)
        by_bias, by_centred = _in_parts(
            count, len(wide_scale), lambda part, sums: sum_up(rows[part].ravel(), outer[part].ravel(), wide_scale, wide_shift,
                                                              wide_mean, activation, sums), channels)
        factor, offset = _wide(scale * rstd**2 * by_centred / count), _wide(scale * by_bias / count)
        out = torch.empty_like(x, memory_format=torch.channels_last)
        found = _rows(out).view(-1, channels).numpy()
        share(count, torch.get_num_threads(), lambda start, end: apply(
            rows[start:end].ravel(), outer[start:end].ravel(), wide_scale, wide_shift, wide_mean, factor, offset, activation,
            found[start:end].ravel()))
        by_weight = by_centred * rstd
        return out, *(torch.from_numpy(values.astype(np.float32)) for values in (by_weight, by_bias)), None, None


def _wide(values: npt.NDArray[Any]) -> Float32Array:
    """Repeats the constants of each channel over a row of the loops."""
    return np.tile(values.astype(np.float32), row_width(len(values)) // len(values))


def _in_parts(count: int, width: int, sum_up: Any, channels: int) -> npt.NDArray[np.float64]:
    """Returns two sums by channel (2, C) over all pixels; sum_up(part, sums) adds a part's sums, by column of a row."""
    parts = list[npt.NDArray[np.float64]]()

    def work(first: int, last: int) -> None:
        sums = np.zeros((2, width))
        sum_up(slice(first, last), sums)
        parts.append(sums)

    share(count, torch.get_num_threads(), work)
    total: npt.NDArray[np.float64] = np.sum(parts, 0).reshape(2, -1, channels).sum(1)
    return total
