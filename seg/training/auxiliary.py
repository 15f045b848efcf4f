"""An auxiliary head: a second classifier on earlier features, which shortens the path of the gradient and is later discarded.

Source: H. Zhao et al., Pyramid Scene Parsing Network, arXiv 1612.01105, section 3.3, which weights its loss by 0.4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from seg.errors import SegError
from seg.models.blocks import ConvNorm
from seg.models.network import SegmentationNetwork


@dataclass
class Auxiliary:
    """The auxiliary head of a training.

    Attributes:
        weight: weight of its loss beside the network's own; 0 for no head.
        level: level of the encoder's features that it classifies, which is the number of halvings of the image, 1 to 5.
        channels: channels of its 3x3 convolution.
    """

    weight: float = 0.0
    level: int = 4
    channels: int = 64


class AuxiliaryHead(nn.Module):
    """Classifies the features that the encoder computed in its last pass.

    Args:
        config: its size and place.
        network: the network whose encoder's features it uses.
        classes: number of scores for each pixel.

    Raises:
        SegError: a number is out of range.
    """

    def __init__(self, config: Auxiliary, network: SegmentationNetwork, classes: int) -> None:
        super().__init__()
        widths: Sequence[int] = network.encoder.out_channels
        if not (math.isfinite(config.weight) and config.weight > 0):
            raise SegError(f"model.auxiliary.weight is {config.weight}; it must be a number of at least 0.")
        if not 1 <= config.level < len(widths) or not widths[config.level]:
            raise SegError(f"model.auxiliary.level is {config.level}; the encoder has features of level 1 to {len(widths) - 1}.")
        if config.channels < 1:
            raise SegError(f"model.auxiliary.channels is {config.channels}; it must be at least 1.")
        self.config = config
        self.project = ConvNorm(widths[config.level], config.channels, kernel=3, activation=nn.ReLU)
        self.classifier = nn.Conv2d(config.channels, classes, 1)
        self._features: list[Tensor] = []
        network.encoder.register_forward_hook(self._keep)

    def _keep(self, encoder: nn.Module, inputs: tuple[Tensor, ...], features: Sequence[Tensor]) -> None:
        if encoder.training:
            self._features = [features[self.config.level]]

    def forward(self) -> Tensor:
        """Returns scores (N, classes, h, w) for the features that the encoder has just computed."""
        features = self._features.pop()
        scores: Tensor = self.classifier(self.project(features))
        return scores
