"""The paper's backbones as tables, and the names that they go by: family, width and RF2.

Sources: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244, Tables 1 and 2; M. Sandler et al., MobileNetV2,
arXiv 1801.04381, Table 2. RF2 (the halved last stage) and the minimalistic V3 follow the authors' code (tensorflow/models,
research/deeplab and research/slim).

A name is `FAMILY[_WIDTH][_rf2]`: `mobilenet_v3_large`, `mobilenet_v3_small_minimal_100`, `mobilenet_v2_035_rf2`. The width is
in percent, three digits, and may be any. V2's must be given: plain `mobilenet_v2` is the name of SMP's own, which ends in
the classifier's 1280-channel layer.
"""

import math
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from seg.errors import SegError, did_you_mean

MIN_SIZE = 32  # of a frame's sides [px]: the deepest feature is 32 times smaller
NORM_EPS = 1e-3  # of batch norms; TensorFlow's, which the authors train with
Activation = Literal["relu", "relu6", "hard_swish"]
RE: Activation = "relu"
RE6: Activation = "relu6"
HS: Activation = "hard_swish"


def round_to_8(channels: float) -> int:
    """Rounds to a multiple of 8, never below 90% of the value."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class BlockSpec(NamedTuple):
    """One row of the papers' tables."""

    kernel: int
    expansion: int
    out_channels: int
    squeeze: bool
    activation: Activation
    stride: int


LARGE = (
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
)
SMALL = (
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
)
V2_STAGES = (  # expansion factor, channels, blocks, stride of the first
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)


def _v2_blocks(halved_from: int | None) -> tuple[BlockSpec, ...]:
    """Lays V2's stages out; under RF2 those from `halved_from` give half their channels."""
    blocks, channels = [], 32
    for stage, (factor, table_channels, count, stride) in enumerate(V2_STAGES):
        out_channels = table_channels // 2 if halved_from is not None and stage >= halved_from else table_channels
        for i in range(count):
            blocks.append(BlockSpec(3, factor * channels, out_channels, False, RE6, stride if i == 0 else 1))
            channels = out_channels
    return tuple(blocks)


def halve_tail(blocks: tuple[BlockSpec, ...]) -> tuple[BlockSpec, ...]:
    """V3's RF2: halves expansion and output of the last three blocks, in which the feature is smallest and widest."""
    halved = (s._replace(expansion=s.expansion // 2, out_channels=s.out_channels // 2) for s in blocks[-3:])
    return (*blocks[:-3], *halved)


@dataclass(frozen=True)
class Variant:
    """An encoder in numbers.

    Attributes:
        blocks: the table's rows.
        stem_channels, stem_activation: of the first convolution, 3x3 with stride 2; the tail has the same activation.
        tail_channels: of the final 1x1 convolution; None where there is none (V2).
        timm_name: its twin in timm, of which it can take weights.
        halved_blocks: how many at the end differ from the twin's, by RF2.
    """

    blocks: tuple[BlockSpec, ...]
    stem_channels: int
    stem_activation: Activation
    tail_channels: int | None
    timm_name: str
    halved_blocks: int

    def strides(self) -> list[int]:
        """Returns how much smaller than the image the feature is in front of each block, and behind the last."""
        found = [2]
        for spec in self.blocks:
            found.append(found[-1] * spec.stride)
        return found

    def steps(self, output_stride: int, dilate_first: bool) -> list[tuple[int, int]]:
        """Returns each block's stride and dilation, where the strides beyond `output_stride` become dilation.

        Args:
            output_stride: 8, 16 or 32.
            dilate_first: dilate the first block of a stage that lost its stride too.
        """
        strides = self.strides()
        return [(after // before if after <= output_stride else 1, max(1, (after if dilate_first else before) // output_stride))
                for before, after in pairwise(strides)]

    def minimalistic(self) -> "Variant":
        """Without squeeze-and-excite, h-swish and 5x5 filters, for hardware where those are slow."""
        blocks = tuple(s._replace(kernel=3, squeeze=False, activation=RE) for s in self.blocks)
        return replace(self, blocks=blocks, stem_activation=RE)

    def scaled(self, width: float, keep_stem: bool) -> "Variant":
        """Multiplies all channels by `width`, rounded to multiples of 8; a block's expansion keeps its ratio to its input.

        Args:
            width: 1 changes nothing.
            keep_stem: leave the first convolution's channels.

        Raises:
            SegError: at that width channels would vanish.
        """
        narrowest = min(self.stem_channels, *(s.out_channels for s in self.blocks))
        if not (math.isfinite(width) and narrowest * width >= 1):
            raise SegError(f"The width {width:g} leaves {narrowest * width:.2g} of {narrowest} channels; at least one must "
                           f"remain, so it can be {math.ceil(100 / narrowest)} percent or more.")
        stem_channels = self.stem_channels if keep_stem else round_to_8(self.stem_channels * width)
        blocks, table_in, channels = [], self.stem_channels, stem_channels
        for spec in self.blocks:
            expansion = round_to_8(spec.expansion / table_in * channels)
            table_in, channels = spec.out_channels, round_to_8(spec.out_channels * width)
            blocks.append(spec._replace(expansion=expansion, out_channels=channels))
        tail_channels = None if self.tail_channels is None else round_to_8(self.tail_channels * width)
        return replace(self, blocks=tuple(blocks), stem_channels=stem_channels, tail_channels=tail_channels)


_NAME = re.compile(r"mobilenet_(?:v3_(?P<size>large|small)(?P<minimal>_minimal)?|v2(?=_\d))"
                   r"(?:_(?P<percent>\d{3}))?(?P<rf2>_rf2)?")


def is_variant(name: str) -> bool:
    """Whether `name` is that of an encoder of this project, whatever its width."""
    return _NAME.fullmatch(name) is not None


def find_variant(name: str) -> Variant:
    """Returns the variant of that name, of any width.

    Raises:
        SegError: it isn't such a name (near ones are listed), or at that width channels would vanish.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise SegError(f"There is no encoder {name!r} of this project. {did_you_mean(name, NAMES)}")
    size, percent, rf2 = match["size"], match["percent"] or "100", match["rf2"] is not None
    width = int(percent) / 100
    if size is None:
        variant = Variant(_v2_blocks(halved_from=5 if rf2 else None), 32, RE6, None, f"mobilenetv2_{percent}", 4 * rf2)
        return variant.scaled(width, keep_stem=False)
    blocks, tail_channels = {"large": (LARGE, 960), "small": (SMALL, 576)}[size]
    minimal = "_minimal" if match["minimal"] else ""
    # timm trained the plain ones by itself; the minimalistic come from the authors, through TensorFlow.
    variant = Variant(halve_tail(blocks) if rf2 else blocks, 16, HS, tail_channels // (1 + rf2),
                      f"{'tf_' if minimal else ''}mobilenetv3_{size}{minimal}_{percent}", 3 * rf2)
    if minimal:
        variant = variant.minimalistic()
    return variant.scaled(width, keep_stem=width < 0.75)  # as timm has it


_FAMILIES = ("mobilenet_v3_large", "mobilenet_v3_large_075", "mobilenet_v3_large_minimal_100",
             "mobilenet_v3_small", "mobilenet_v3_small_075", "mobilenet_v3_small_050", "mobilenet_v3_small_minimal_100",
             "mobilenet_v2_100", "mobilenet_v2_050", "mobilenet_v2_035")
NAMES = tuple(name + rf2 for name in _FAMILIES for rf2 in ("", "_rf2"))  # those with a width that somebody has published


def sliding_pool(output_stride: int) -> tuple[int, tuple[int, int]]:
    """Returns kernel and (vertical, horizontal) stride of the decoder's pooling: 49 and (16, 20) at output stride 16."""
    return 49 * 16 // output_stride | 1, (16 * 16 // output_stride, 20 * 16 // output_stride)  # 97, 49, 25: odd


def pool_windows(side: int, kernel: int, stride: int) -> list[tuple[int, int]]:
    """Returns begin and end of the windows along a side: the last ones average what they hold, and each begins inside."""
    return [(begin, min(begin + kernel, side)) for begin in range(0, max(side - kernel, 0) + stride, stride) if begin < side]
