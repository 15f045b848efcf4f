"""Lite R-ASPP over any encoder: the paper's decoder for street scenes.

Source: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244, section 6.4 and figure 10. Where the text doesn't say,
the authors' code (tensorflow/models, research/deeplab) decides. The choices of other implementations are arguments.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from seg.architecture import NORM_EPS, sliding_pool
from seg.errors import SegError
from seg.models.blocks import ConvNorm
from seg.models.mobilenet import Skip
from seg.models.network import GlobalPool, SegmentationNetwork, classify, full_precision, resize
from seg.models.pretrained import IMAGENET_MEAN, IMAGENET_STD


class SlidingPool(nn.Module):
    """The paper's average pooling "with a large kernel and a large stride": 49x49 every 16x20 at output stride 16.

    If the input is smaller than the window, the window is cut to it; then this is global pooling. Windows at the lower and
    right edge average only what they contain, so that every part of an image is used. At the paper's 1025x2049 this gives
    its 2x5 grid.
    """

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = sliding_pool(output_stride)

    def forward(self, x: Tensor) -> Tensor:
        kernel = (min(self.kernel, x.shape[2]), min(self.kernel, x.shape[3]))
        return F.avg_pool2d(x, kernel, self.stride, ceil_mode=True)


class LRASPPDecoder(nn.Module):
    """Multiplies the deepest feature by a gate from its own means, classifies it, and adds a classifier on the feature at 1/8."""

    def __init__(self, encoder_channels: Sequence[int], channels: int, classes: int, output_stride: int,
                 pool: str, gate: str, norm_eps: float) -> None:
        super().__init__()
        _, *_, skip_channels, _, deep_channels = encoder_channels  # 1/1, 1/2, 1/4, 1/8, 1/16, 1/32
        self.project = ConvNorm(deep_channels, channels, activation=nn.ReLU, norm_eps=norm_eps)
        self.pool = SlidingPool(output_stride) if pool == "sliding" else GlobalPool()
        self.attention = nn.Conv2d(deep_channels, channels, 1, bias=False)
        self.gate = nn.Hardsigmoid() if gate == "hard" else nn.Sigmoid()
        self.deep_classifier = nn.Conv2d(channels, classes, 1)
        self.skip_classifier = nn.Conv2d(skip_channels, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps the encoder's features to scores (N, classes, ceil(H/8), ceil(W/8)) in float32."""
        skip, deep = features[3], features[-1]  # (N, C8, H/8, W/8), (N, C, H/OS, W/OS)
        gate = self.gate(self.attention(self.pool(deep)))
        if isinstance(self.pool, SlidingPool):
            gate = resize(gate, deep.shape[2:])
        deep = self.project(deep) * gate
        with full_precision(deep):
            return resize(classify(self.deep_classifier, deep), skip.shape[2:]) + classify(self.skip_classifier, skip)


class LRASPP(SegmentationNetwork):
    """The paper's fast decoder; the defaults are its Large (Table 7, row 8). `logits` gives scores at 1/8.

    Args:
        encoder_name, encoder_weights, encoder_output_stride, decoder_channels, in_channels, classes,
            encoder_norm_eps, mean, std: see `SegmentationNetwork`.
        pool: "sliding" (the paper's) or "global" (torchvision's; any size exports).
        skip: the feature at 1/8, see `MobileNetEncoder`; None is "expansion" for our encoders, and the only choice for SMP's.
        gate: "hard" (the authors') or "sigmoid" (torchvision's), behind the pooled branch.
        dilate_first: see `MobileNetEncoder`.
        decoder_norm_eps: epsilon of the decoder's batch norm.

    Raises:
        SegError: an unknown encoder (near names are listed), output stride or other value that can't be.
    """

    decoder: LRASPPDecoder

    CLASSIFIERS = ("deep_classifier", "skip_classifier")
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "torchvision": {
            "encoder_name": "mobilenet_v3_large", "pool": "global", "skip": "first", "gate": "sigmoid", "dilate_first": True,
            "decoder_norm_eps": 1e-5, "mean": IMAGENET_MEAN, "std": IMAGENET_STD,
        },
    }

    def __init__(
        self,
        encoder_name: str = "mobilenet_v3_large_rf2",
        encoder_weights: str | None = None,
        encoder_output_stride: int = 16,
        decoder_channels: int = 128,
        in_channels: int = 3,
        classes: int = 19,
        *,
        pool: Literal["sliding", "global"] = "sliding",
        skip: Skip | None = None,
        gate: Literal["hard", "sigmoid"] = "hard",
        dilate_first: bool = False,
        encoder_norm_eps: float | None = None,
        decoder_norm_eps: float = NORM_EPS,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        for name, value, known in (("pool", pool, ("sliding", "global")), ("gate", gate, ("hard", "sigmoid"))):
            if value not in known:
                raise SegError(f"{name} is {value!r}; it can be {' or '.join(map(repr, known))}.")
        super().__init__(encoder_name, encoder_weights, encoder_output_stride, decoder_channels, in_channels, classes,
                         skip=skip, dilate_first=dilate_first, encoder_norm_eps=encoder_norm_eps, mean=mean, std=std)
        self.decoder = LRASPPDecoder(self.encoder.out_channels, decoder_channels, classes, encoder_output_stride, pool, gate,
                                     decoder_norm_eps)
        self.arguments |= {"pool": pool, "skip": skip, "gate": gate, "decoder_norm_eps": decoder_norm_eps}


__all__ = ["LRASPP", "LRASPPDecoder", "SlidingPool"]
