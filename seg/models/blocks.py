"""The blocks of MobileNetV2 and V3: convolution with batch norm, squeeze-and-excite, inverted residual.

Source: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244, sections 4 and 5.
"""

import torch
from torch import Tensor, nn

from seg.architecture import NORM_EPS, Activation, BlockSpec, round_to_8

NORM_MOMENTUM = 0.01  # the paper's "average decay of 0.99"
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish}


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, and a nonlinearity unless `activation` is None; output size ceil(size / stride)."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1,
                 activation: type[nn.Module] | None = None, norm_eps: float = NORM_EPS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=norm_eps, momentum=NORM_MOMENTUM)
        if activation is not None:
            self.act = activation(inplace=True)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate computed from their means: reduced to a quarter of the channels, ReLU, expanded, hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_to_8(channels / 4)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        squeezed = torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))  # (N, C/4, 1, 1)
        return x * self.gate(self.expand(squeezed))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise k x k, squeeze-and-excite, linear 1x1 projection; the input is added where shapes allow."""

    def __init__(self, in_channels: int, spec: BlockSpec) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.expansion = in_channels, spec.out_channels, spec.expansion
        self.expand: nn.Module = nn.Identity()
        if spec.expansion != in_channels:
            self.expand = ConvNorm(in_channels, spec.expansion, activation=ACTIVATIONS[spec.activation])
        self.depthwise = ConvNorm(spec.expansion, spec.expansion, spec.kernel, spec.stride, groups=spec.expansion,
                                  activation=ACTIVATIONS[spec.activation])
        self.squeeze_excite: nn.Module = SqueezeExcite(spec.expansion) if spec.squeeze else nn.Identity()
        self.project = ConvNorm(spec.expansion, spec.out_channels)

    def set_stride(self, stride: int, dilation: int) -> None:
        """Sets stride and dilation of the depthwise convolution; the output size stays ceil(size / stride)."""
        conv = self.depthwise.conv
        conv.stride, conv.dilation = (stride, stride), (dilation, dilation)
        conv.padding = (conv.kernel_size[0] // 2 * dilation,) * 2

    @property
    def has_residual(self) -> bool:
        """Whether the input is added. As in the authors' code, the current stride decides, not the stride in the table."""
        return self.depthwise.conv.stride == (1, 1) and self.in_channels == self.out_channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the block's output and the expanded feature, which is the depthwise convolution's output."""
        expanded = self.depthwise(self.expand(x))
        out = self.project(self.squeeze_excite(expanded))
        return (out + x if self.has_residual else out), expanded
