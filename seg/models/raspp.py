"""R-ASPP over any encoder: the paper's reduced form of atrous spatial pyramid pooling, which LR-ASPP is compared with.

Sources: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244, section 6.4; M. Sandler et al., MobileNetV2,
arXiv 1801.04381, section 6.3; the authors' code (tensorflow/models, research/deeplab).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seg.architecture import NORM_EPS
from seg.errors import SegError
from seg.models.blocks import ConvNorm
from seg.models.network import GlobalPool, SegmentationNetwork, classify, full_precision, resize


class RASPPDecoder(nn.Module):
    """A 1x1 branch and a globally pooled branch on the deepest feature, concatenated, projected, classified."""

    def __init__(self, encoder_channels: Sequence[int], channels: int, classes: int, norm_eps: float) -> None:
        super().__init__()
        deep_channels = encoder_channels[-1]
        self.branch = ConvNorm(deep_channels, channels, activation=nn.ReLU, norm_eps=norm_eps)
        self.pool = GlobalPool()
        self.pooled_branch = ConvNorm(deep_channels, channels, activation=nn.ReLU, norm_eps=norm_eps)
        self.project = ConvNorm(2 * channels, channels, activation=nn.ReLU, norm_eps=norm_eps)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps the encoder's features to scores (N, classes, ceil(H/OS), ceil(W/OS)) in float32.

        Raises:
            SegError: a single image in training: batch norm of the pooled branch needs more than one value per channel.
        """
        deep = features[-1]  # (N, C, H/OS, W/OS)
        if self.training and len(deep) == 1:
            raise SegError("The batch holds one image; R-ASPP's pooled branch has one value of each channel per image, and "
                           "its batch norm needs at least two images to train. Raise the batch size.")
        pooled = resize(self.pooled_branch(self.pool(deep)), deep.shape[2:])
        deep = self.project(torch.cat([self.branch(deep), pooled], 1))  # (N, 2F, H/OS, W/OS) to (N, F, H/OS, W/OS)
        with full_precision(deep):
            return classify(self.classifier, deep)


class RASPP(SegmentationNetwork):
    """The decoder that MobileNetV2 came with; the defaults are Table 7's row 1. `logits` gives scores at the output stride.

    Args:
        encoder_name, encoder_weights, encoder_output_stride, decoder_channels, in_channels, classes,
            encoder_norm_eps, mean, std: see `SegmentationNetwork`.
        dilate_first: see `MobileNetEncoder`.
        decoder_norm_eps: epsilon of the decoder's batch norms.

    Raises:
        SegError: an unknown encoder (near names are listed), output stride or other value that can't be.
    """

    decoder: RASPPDecoder

    CLASSIFIERS = ("classifier",)

    def __init__(
        self,
        encoder_name: str = "mobilenet_v2_100",
        encoder_weights: str | None = None,
        encoder_output_stride: int = 16,
        decoder_channels: int = 256,
        in_channels: int = 3,
        classes: int = 19,
        *,
        dilate_first: bool = False,
        encoder_norm_eps: float | None = None,
        decoder_norm_eps: float = NORM_EPS,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(encoder_name, encoder_weights, encoder_output_stride, decoder_channels, in_channels, classes,
                         dilate_first=dilate_first, encoder_norm_eps=encoder_norm_eps, mean=mean, std=std)
        self.decoder = RASPPDecoder(self.encoder.out_channels, decoder_channels, classes, decoder_norm_eps)
        self.arguments |= {"decoder_norm_eps": decoder_norm_eps}


__all__ = ["RASPP", "RASPPDecoder"]
