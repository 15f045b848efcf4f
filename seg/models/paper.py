"""The networks that the MobileNetV3 paper compares, as printed. Each row holds the printed figures and can build its network.

Source: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244 (final version), Tables 7 and 8: Cityscapes without
ImageNet weights, single scale. Latencies are those of one large core of a Pixel 3 in float32.

Where the text leaves a choice open, the printed figures decide it. All V2 rows of LR-ASPP take the 1/8 feature from the block's
output: with the expanded feature, which the V3 rows take and the authors' code takes for both, row 3 would have 1.031M
parameters and not 1.02M. (Its multiply-adds suggest the expanded feature: without it, 0.1 billion of the 12.83 are missing.)
RF2 in V2 first halves the channels and then scales them by the width.
"""

from dataclasses import dataclass, field
from typing import Any

from seg.models.lraspp import LRASPP
from seg.models.macs import Macs, count
from seg.models.network import SegmentationNetwork
from seg.models.raspp import RASPP

FULL_HW, HALF_HW = (1024, 2048), (512, 1024)  # the paper's f and h, for latency
FULL_MADDS_HW, HALF_MADDS_HW = (1025, 2049), (513, 1025)  # its tool counts here


@dataclass(frozen=True)
class Network:
    """A network by name, built when asked for.

    Attributes:
        label: for tables.
        kind: its class.
        arguments: of its class.
    """

    label: str
    kind: type[SegmentationNetwork]
    arguments: dict[str, Any]

    def build(self, **changes: Any) -> SegmentationNetwork:
        """Builds it with random weights; `changes` are further arguments, such as classes or pool."""
        return self.kind(**self.arguments | changes)

    @property
    def decoder(self) -> str:
        """The decoder as the paper writes it."""
        return "LR-ASPP" if self.kind is LRASPP else "R-ASPP"


@dataclass(frozen=True)
class Row(Network):
    """A row of Table 7 or 8.

    Attributes:
        number: of the row, from 1.
        miou: in percent; Table 7 on val, Table 8 on test.
        millions: parameters; None in Table 8, which doesn't print them.
        madds_full, madds_half: billions of multiply-adds at 1025x2049 and 513x1025; the second None in Table 7.
        cpu_full_s, cpu_half_s: seconds for a frame of 1024x2048 and of 512x1024.
    """

    number: int = field(kw_only=True)
    miou: float = field(kw_only=True)
    millions: float | None = field(kw_only=True, default=None)
    madds_full: float = field(kw_only=True)
    madds_half: float | None = field(kw_only=True, default=None)
    cpu_full_s: float = field(kw_only=True)
    cpu_half_s: float = field(kw_only=True)


def _row7(number: int, backbone: str, kind: type[SegmentationNetwork], filters: int, encoder_name: str, miou: float,
          millions: float, madds: float, cpu_full_s: float, cpu_half_s: float) -> Row:
    arguments: dict[str, Any] = {"encoder_name": encoder_name, "decoder_channels": filters}
    if kind is LRASPP and "_v2_" in encoder_name:
        arguments["skip"] = "last"
    label = f"{backbone}, {'LR-ASPP' if kind is LRASPP else 'R-ASPP'} {filters}"
    return Row(label, kind, arguments, number=number, miou=miou, millions=millions, madds_full=madds,
               cpu_full_s=cpu_full_s, cpu_half_s=cpu_half_s)


TABLE_7 = (
    _row7(1, "V2", RASPP, 256, "mobilenet_v2_100", 72.84, 2.11, 21.29, 3.90, 1.02),
    _row7(2, "V2 RF2", RASPP, 256, "mobilenet_v2_100_rf2", 72.56, 1.15, 13.68, 3.03, 0.793),
    _row7(3, "V2 RF2", LRASPP, 256, "mobilenet_v2_100_rf2", 72.97, 1.02, 12.83, 2.98, 0.786),
    _row7(4, "V2 RF2", LRASPP, 128, "mobilenet_v2_100_rf2", 72.74, 0.98, 12.57, 2.89, 0.766),
    _row7(5, "V3-Large", RASPP, 256, "mobilenet_v3_large", 72.64, 3.60, 18.43, 3.55, 0.906),
    _row7(6, "V3-Large RF2", RASPP, 256, "mobilenet_v3_large_rf2", 71.91, 1.76, 11.24, 2.60, 0.668),
    _row7(7, "V3-Large RF2", LRASPP, 256, "mobilenet_v3_large_rf2", 72.37, 1.63, 10.33, 2.55, 0.659),
    _row7(8, "V3-Large RF2", LRASPP, 128, "mobilenet_v3_large_rf2", 72.36, 1.51, 9.74, 2.47, 0.657),
    _row7(9, "V2 0.5 RF2", LRASPP, 128, "mobilenet_v2_050_rf2", 68.57, 0.28, 4.00, 1.59, 0.415),
    _row7(10, "V2 0.35 RF2", LRASPP, 128, "mobilenet_v2_035_rf2", 66.83, 0.16, 2.54, 1.27, 0.354),
    _row7(11, "V3-Small RF2", LRASPP, 128, "mobilenet_v3_small_rf2", 68.38, 0.47, 2.90, 1.21, 0.327),
)


def _row8(number: int, backbone: str, encoder_name: str, output_stride: int, miou: float, madds_full: float,
          madds_half: float, cpu_full_s: float, cpu_half_s: float) -> Row:
    arguments = {"encoder_name": encoder_name, "decoder_channels": 128, "encoder_output_stride": output_stride}
    return Row(f"{backbone}, output stride {output_stride}", LRASPP, arguments, number=number, miou=miou,
               madds_full=madds_full, madds_half=madds_half, cpu_full_s=cpu_full_s, cpu_half_s=cpu_half_s)


TABLE_8 = (
    _row8(1, "V3-Large RF2", "mobilenet_v3_large_rf2", 16, 72.6, 9.74, 2.48, 2.47, 0.657),
    _row8(2, "V3-Large RF2", "mobilenet_v3_large_rf2", 32, 72.0, 7.74, 1.98, 2.06, 0.534),
    _row8(3, "V3-Small RF2", "mobilenet_v3_small_rf2", 16, 69.4, 2.90, 0.74, 1.21, 0.327),
    _row8(4, "V3-Small RF2", "mobilenet_v3_small_rf2", 32, 68.3, 2.06, 0.53, 1.03, 0.275),
)

# Other networks that the paper builds on or offers, without figures for street scenes: all with LR-ASPP at output stride 16.
FURTHER = tuple(
    Network(label, LRASPP, {"encoder_name": encoder_name, "decoder_channels": 128})
    for label, encoder_name in (
        ("V1", "tu-mobilenetv1_100"),
        ("MnasNet-A1", "tu-semnasnet_100"),
        ("V3-Large minimalistic RF2", "mobilenet_v3_large_minimal_100_rf2"),
        ("V3-Small minimalistic RF2", "mobilenet_v3_small_minimal_100_rf2"),
        ("V3-Large 0.75 RF2", "mobilenet_v3_large_075_rf2"),
        ("V3-Small 0.75 RF2", "mobilenet_v3_small_075_rf2"),
        ("V3-Small 0.5 RF2", "mobilenet_v3_small_050_rf2"),
    )
)


@dataclass(frozen=True)
class MAdds:
    """Multiply-adds of a network at a size, in three counts, each of which includes the one before.

    Attributes:
        convolutions: alone.
        with_elementwise: as `seg.models.macs` counts it.
        as_published: as the authors' graph computes it. There LR-ASPP first resizes its F channels to 1/8 and then classifies
            them; here it classifies first. The scores are the same, since a 1x1 convolution and a resize commute, and the work is
            smaller. R-ASPP has only one order.
    """

    convolutions: int
    with_elementwise: int
    as_published: int


def madds(network: SegmentationNetwork, size_hw: tuple[int, int]) -> MAdds:
    """Counts the multiply-adds of one frame of size (H, W).

    Raises:
        SegError: as `seg.models.macs.count`.
    """
    macs = count(network, size_hw)
    return MAdds(macs.convolutions, macs.total, macs.total + _late_classifier(network, macs))


def _late_classifier(network: SegmentationNetwork, macs: Macs) -> int:
    """The additional multiply-adds if the resize came before the deep classifier and not after it."""
    if not isinstance(network, LRASPP):
        return 0
    shapes = {layer.name: layer.shape for layer in macs.layers if layer.convolutions}
    _, classes, height, width = shapes["decoder.deep_classifier"]
    _, _, height_8, width_8 = shapes["decoder.skip_classifier"]
    channels = network.arguments["decoder_channels"]
    more_positions = height_8 * width_8 - height * width
    return int(channels * classes * more_positions + (channels - classes) * height_8 * width_8)


__all__ = [
    "FULL_HW",
    "FULL_MADDS_HW",
    "FURTHER",
    "HALF_HW",
    "HALF_MADDS_HW",
    "TABLE_7",
    "TABLE_8",
    "MAdds",
    "Network",
    "Row",
    "madds",
]
