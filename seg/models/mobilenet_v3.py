"""MobileNetV3-Large and -Small as encoders in the form that segmentation-models-pytorch (SMP) expects.

Source: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244, Tables 1 and 2; the halved last stage (RF2), the
dilation and the skip feature follow the authors' segmentation code (tensorflow/models, research/deeplab).
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal, cast

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import Tensor, nn

from seg.errors import SegError
from seg.models import keymaps
from seg.models.blocks import BlockSpec, ConvNorm, InvertedResidual

log = logging.getLogger(__name__)

Skip = Literal["expansion", "last", "first"]
SKIPS = ("expansion", "last", "first")
RE, HS = nn.ReLU, nn.Hardswish

LARGE = [
    BlockSpec(3, 16, 16, False, RE, 1),
    BlockSpec(3, 64, 24, False, RE, 2),
    BlockSpec(3, 72, 24, False, RE, 1),
    BlockSpec(5, 72, 40, True, RE, 2),
    BlockSpec(5, 120, 40, True, RE, 1),
    BlockSpec(5, 120, 40, True, RE, 1),
    BlockSpec(3, 240, 80, False, HS, 2),
    BlockSpec(3, 200, 80, False, HS, 1),
    BlockSpec(3, 184, 80, False, HS, 1),
    BlockSpec(3, 184, 80, False, HS, 1),
    BlockSpec(3, 480, 112, True, HS, 1),
    BlockSpec(3, 672, 112, True, HS, 1),
    BlockSpec(5, 672, 160, True, HS, 2),
    BlockSpec(5, 960, 160, True, HS, 1),
    BlockSpec(5, 960, 160, True, HS, 1),
]
SMALL = [
    BlockSpec(3, 16, 16, True, RE, 2),
    BlockSpec(3, 72, 24, False, RE, 2),
    BlockSpec(3, 88, 24, False, RE, 1),
    BlockSpec(5, 96, 40, True, HS, 2),
    BlockSpec(5, 240, 40, True, HS, 1),
    BlockSpec(5, 240, 40, True, HS, 1),
    BlockSpec(5, 120, 48, True, HS, 1),
    BlockSpec(5, 144, 48, True, HS, 1),
    BlockSpec(5, 288, 96, True, HS, 2),
    BlockSpec(5, 576, 96, True, HS, 1),
    BlockSpec(5, 576, 96, True, HS, 1),
]
STEM_CHANNELS = 16


def halve_tail(specs: list[BlockSpec]) -> list[BlockSpec]:
    """RF2: halves expansion and output of the last three blocks, in which the feature is smallest and widest."""
    halved = [s._replace(expansion=s.expansion // 2, out_channels=s.out_channels // 2) for s in specs[-3:]]
    return [*specs[:-3], *halved]


@dataclass(frozen=True)
class Variant:
    """An encoder by name: its blocks, the channels of its final 1x1 convolution, and timm's twin of it."""

    blocks: list[BlockSpec]
    tail_channels: int
    timm_name: str
    hub_repo: str


_LARGE_TIMM = ("mobilenetv3_large_100", "timm/mobilenetv3_large_100.ra_in1k")
_SMALL_TIMM = ("mobilenetv3_small_100", "timm/mobilenetv3_small_100.lamb_in1k")
VARIANTS = {
    "mobilenet_v3_large": Variant(LARGE, 960, *_LARGE_TIMM),
    "mobilenet_v3_large_rf2": Variant(halve_tail(LARGE), 480, *_LARGE_TIMM),
    "mobilenet_v3_small": Variant(SMALL, 576, *_SMALL_TIMM),
    "mobilenet_v3_small_rf2": Variant(halve_tail(SMALL), 288, *_SMALL_TIMM),
}


class MobileNetV3Encoder(nn.Module, EncoderMixin):
    """Turns an image into features at 1/1, 1/2, 1/4, 1/8, 1/16 and 1/32 (or the output stride, where dilated).

    Args:
        variant: name in `VARIANTS`.
        depth: how many halvings to return features of, 1 to 5.
        output_stride: 8, 16 or 32; the strides beyond it become dilation.
        skip: the feature at 1/8: "expansion" (the depthwise output of the last block there; the authors' choice), or the
            output of the "last" or "first" block there.
        dilate_first: dilate the first block of a stage that lost its stride too, as torchvision and SMP do. The authors
            and timm dilate only those after it.
    """

    def __init__(self, variant: str, depth: int = 5, output_stride: int = 32, skip: Skip = "last",
                 dilate_first: bool = False) -> None:
        super().__init__()
        if skip not in SKIPS:
            raise SegError(f"skip is {skip!r}; it can be {', '.join(map(repr, SKIPS))}.")
        if not 1 <= depth <= 5:
            raise SegError(f"The encoder's depth is {depth}; it can be 1 to 5.")
        self.variant, self.skip, self.dilate_first = variant, skip, dilate_first
        blocks, tail_channels = VARIANTS[variant].blocks, VARIANTS[variant].tail_channels

        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2, activation=HS)
        channels = [STEM_CHANNELS, *(spec.out_channels for spec in blocks)]
        self.blocks = nn.ModuleList(InvertedResidual(c, spec) for c, spec in zip(channels, blocks, strict=False))
        self.tail = ConvNorm(channels[-1], tail_channels, activation=HS)

        # The table's stride in front of each block and behind it; dilation changes neither.
        self._strides = [2]
        for spec in blocks:
            self._strides.append(self._strides[-1] * spec.stride)
        self._depth, self._in_channels, self._output_stride = depth, 3, output_stride
        last = dict(zip(self._strides, channels, strict=True))  # of the blocks at each stride
        at_8 = self._blocks_at(8)
        last[8] = {"expansion": blocks[at_8[-1]].expansion, "last": blocks[at_8[-1]].out_channels,
                   "first": blocks[at_8[0]].out_channels}[skip]
        self._out_channels = [3, last[2], last[4], last[8], last[16], tail_channels]
        self._init_weights()
        if output_stride != 32:
            self.make_dilated(output_stride)

    def _blocks_at(self, stride: int) -> list[int]:
        return [i for i, s in enumerate(self._strides[1:]) if s == stride]

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def make_dilated(self, output_stride: int) -> None:
        """Replaces the strides beyond `output_stride` by dilation.

        Raises:
            SegError: `output_stride` is not 8, 16 or 32.
        """
        check_output_stride(output_stride)
        self._output_stride = output_stride
        for block, before, after in zip(self.blocks, self._strides, self._strides[1:], strict=False):
            lost = max(1, (after if self.dilate_first else before) // output_stride)
            cast(InvertedResidual, block).set_stride(
                stride=after // before if after <= output_stride else 1, dilation=lost)

    def get_stages(self) -> dict[int, list[nn.Module]]:
        """Returns the blocks by stride, as SMP asks of encoders."""
        return {stride: [self.blocks[i] for i in self._blocks_at(stride)] for stride in (16, 32)}

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps normalised images (N, C, H, W) to features; sizes are rounded up at each halving."""
        features = {1: x}
        x = features[2] = self.stem(x)
        at_8 = self._blocks_at(8)
        for i, (block, stride) in enumerate(zip(self.blocks, self._strides[1:], strict=True)):
            if stride > 2**self._depth:
                break
            x, expanded = block(x)
            if stride != 8:
                features[stride] = x
            elif self.skip == "expansion" and i == at_8[-1]:
                features[8] = expanded
            elif self.skip == "last" or (self.skip == "first" and i == at_8[0]):
                features[8] = x
        if self._depth == 5:
            features[32] = self.tail(x)
        return [features[2**level] for level in range(self._depth + 1)]

    def load_timm(self, state: dict[str, Tensor]) -> list[str]:
        """Takes over the weights of timm's MobileNetV3; returns the names of those whose shapes don't agree (RF2's tail).

        Raises:
            SegError: the state dict is not that of the twin in timm.
        """
        mapped = keymaps.encoder_from_timm(state, self)
        own = self.state_dict()
        missing = sorted(set(own) - set(mapped))
        if missing:
            raise SegError(f"These are not the weights of timm's {VARIANTS[self.variant].timm_name}: "
                           f"{len(missing)} are missing, {missing[0]!r} for one.")
        differing = [name for name in own if mapped[name].shape != own[name].shape]
        nn.Module.load_state_dict(self, own | {k: v for k, v in mapped.items() if k in own and k not in differing})
        return differing

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Loads our own weights, or timm's, which SMP downloads for `encoder_weights="imagenet"`."""
        if "conv_stem.weight" not in state_dict:
            return super().load_state_dict(state_dict, strict, assign)
        _log_left_out(self.variant, self.load_timm(state_dict))
        return None


def _log_left_out(variant: str, names: list[str]) -> None:
    if names:
        log.warning("%s: %d tensors keep their random start, since RF2 halves them: %s", variant, len(names), ", ".join(names))


def check_output_stride(output_stride: int) -> None:
    """Raises SegError unless `output_stride` is 8, 16 or 32."""
    if output_stride not in (8, 16, 32):
        raise SegError(f"The output stride is {output_stride}; it can be 8, 16 or 32.")


def load_imagenet(encoder: MobileNetV3Encoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Loads timm's ImageNet weights (from its cache or the network); returns the mean and std that they expect.

    Raises:
        SegError: timm can't get them.
    """
    import timm

    name = VARIANTS[encoder.variant].timm_name
    try:
        twin: Any = timm.create_model(name, pretrained=True)
    except Exception as error:  # timm lets through whatever its hub client raises
        raise SegError(f"timm can't get the ImageNet weights of {name} ({type(error).__name__}: {error}). Use "
                       "encoder_weights=None to start from random ones, or run once with a network.") from None
    _log_left_out(encoder.variant, encoder.load_timm(twin.state_dict()))
    return tuple(twin.pretrained_cfg["mean"]), tuple(twin.pretrained_cfg["std"])


def register_encoders() -> None:
    """Makes the encoders known to SMP, so that `smp.FPN("mobilenet_v3_large")` and others take them."""
    for name, variant in VARIANTS.items():
        smp.encoders.encoders[name] = {
            "encoder": MobileNetV3Encoder,
            "pretrained_settings": {"imagenet": {"repo_id": variant.hub_repo, "revision": "main"}},
            "params": {"variant": name},
        }


__all__ = ["SKIPS", "VARIANTS", "MobileNetV3Encoder", "Skip", "check_output_stride", "load_imagenet", "register_encoders"]
