"""Lite R-ASPP over any encoder: the paper's decoder for street scenes.

Source: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244, section 6.4 and figure 10. Where the text is silent
the authors' code (tensorflow/models, research/deeplab) decides; other implementations' choices are arguments.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg.errors import SegError, did_you_mean
from seg.models.blocks import NORM_EPS, ConvNorm
from seg.models.mobilenet_v3 import VARIANTS, MobileNetV3Encoder, Skip, check_output_stride, load_imagenet
from seg.weights import Description

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MIN_SIZE = 32

PRESETS: dict[str, dict[str, Any]] = {
    "torchvision": {
        "encoder_name": "mobilenet_v3_large", "pool": "global", "skip": "first", "gate": "sigmoid", "dilate_first": True,
        "decoder_norm_eps": 1e-5, "mean": IMAGENET_MEAN, "std": IMAGENET_STD,
    },
}


def resize(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Bilinear with half-pixel centres, the one convention of this project."""
    return F.interpolate(x, size=tuple(size_hw), mode="bilinear", align_corners=False)


class SlidingPool(nn.Module):
    """The paper's average pooling "with a large kernel and a large stride": 49x49 every 16x20 at output stride 16.

    The window is cut to inputs that are smaller than it (then this is global pooling), and windows at the lower and right
    edge average what they hold, so that no part of an image goes unseen. At the paper's 1025x2049 this is its 2x5 grid.
    """

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        self.kernel = 49 * 16 // output_stride | 1  # 97, 49, 25: odd
        self.stride = (16 * 16 // output_stride, 20 * 16 // output_stride)

    def forward(self, x: Tensor) -> Tensor:
        kernel = (min(self.kernel, x.shape[2]), min(self.kernel, x.shape[3]))
        return F.avg_pool2d(x, kernel, self.stride, ceil_mode=True)


class GlobalPool(nn.Module):
    """The mean over all positions, (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class LRASPPDecoder(nn.Module):
    """Gates the deepest feature by its pooled self, classifies it, and adds a classifier on the feature at 1/8.

    The two classifiers and their sum stay float32 under lower precision: scores in bfloat16 tie.
    """

    def __init__(self, skip_channels: int, deep_channels: int, channels: int, classes: int, output_stride: int,
                 pool: str, gate: str, norm_eps: float) -> None:
        super().__init__()
        self.project = ConvNorm(deep_channels, channels, activation=nn.ReLU, norm_eps=norm_eps)
        self.pool = SlidingPool(output_stride) if pool == "sliding" else GlobalPool()
        self.attention = nn.Conv2d(deep_channels, channels, 1, bias=False)
        self.gate = nn.Hardsigmoid() if gate == "hard" else nn.Sigmoid()
        self.deep_classifier = nn.Conv2d(channels, classes, 1)
        self.skip_classifier = nn.Conv2d(skip_channels, classes, 1)

    def forward(self, skip: Tensor, deep: Tensor) -> Tensor:
        """Maps (N, C8, H/8, W/8) and (N, C, H/OS, W/OS) to scores (N, classes, H/8, W/8) in float32."""
        gate = self.gate(self.attention(self.pool(deep)))
        if isinstance(self.pool, SlidingPool):
            gate = resize(gate, deep.shape[2:])
        deep = self.project(deep) * gate
        autocast = torch.is_autocast_enabled(deep.device.type)
        with torch.autocast(deep.device.type, enabled=False) if autocast else nullcontext():
            scores = self._classify(self.deep_classifier, deep)
            return resize(scores, skip.shape[2:]) + self._classify(self.skip_classifier, skip)

    @staticmethod
    def _classify(conv: nn.Conv2d, x: Tensor) -> Tensor:
        bias = None if conv.bias is None else conv.bias.float()
        return F.conv2d(x.float(), conv.weight.float(), bias)


class LRASPP(nn.Module):
    """A network from uint8 RGB images to full-size class scores; the defaults are the paper's Large (Table 7, row 8).

    Args:
        encoder_name: one of ours (`mobilenet_v3_large`, `mobilenet_v3_large_rf2`, `mobilenet_v3_small`,
            `mobilenet_v3_small_rf2`) or any of SMP's (`tu-...` for timm's).
        encoder_weights: None for a random start, "imagenet" for timm's weights (our encoders), or what SMP takes for its own.
        encoder_output_stride: 8, 16 or 32: how much smaller than the image the deepest feature is.
        decoder_channels: F of the paper, 128 or 256 there.
        in_channels: channels of the image.
        classes: channels of the scores.
        pool: "sliding" (the paper's) or "global" (torchvision's; any size exports).
        skip: the feature at 1/8, see `MobileNetV3Encoder`; None is "expansion" for our encoders, and the only choice for SMP's.
        gate: "hard" (the authors') or "sigmoid" (torchvision's), behind the pooled branch.
        dilate_first: see `MobileNetV3Encoder`.
        decoder_norm_eps: epsilon of the decoder's batch norm.
        mean, std: per channel, for images scaled to 0..1; None takes what the encoder's weights expect, or 0.5, which maps
            images to [-1, 1] as the authors do.

    Raises:
        SegError: an unknown encoder (near names are listed), output stride or other value that can't be.
    """

    description: Description  # of the weights file, on networks that `load` gave
    _mean_255: Tensor
    _std_255: Tensor

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
        decoder_norm_eps: float = NORM_EPS,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (("pool", pool, ("sliding", "global")), ("gate", gate, ("hard", "sigmoid"))):
            if value not in known:
                raise SegError(f"{name} is {value!r}; it can be {' or '.join(map(repr, known))}.")
        for name, number in (("decoder_channels", decoder_channels), ("in_channels", in_channels), ("classes", classes)):
            if number < 1:
                raise SegError(f"{name} is {number}; it must be at least 1.")
        check_output_stride(encoder_output_stride)

        self.encoder, expected_mean, expected_std = _make_encoder(
            encoder_name, encoder_weights, encoder_output_stride, in_channels, skip, dilate_first)
        _, *_, skip_channels, _, deep_channels = self.encoder.out_channels  # 1/1, 1/2, 1/4, 1/8, 1/16, 1/32
        self.decoder = LRASPPDecoder(skip_channels, deep_channels, decoder_channels, classes, encoder_output_stride, pool,
                                     gate, decoder_norm_eps)

        self.mean = tuple(map(float, mean if mean is not None else expected_mean))
        self.std = tuple(map(float, std if std is not None else expected_std))
        if not len(self.mean) == len(self.std) == in_channels or min(self.std) <= 0:
            raise SegError(f"mean {self.mean} and std {self.std} must have one value for each of {in_channels} channels, "
                           "and std must be above 0.")
        self.register_buffer("_mean_255", torch.tensor(self.mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("_std_255", torch.tensor(self.std).view(1, -1, 1, 1) * 255, persistent=False)
        # What rebuilds this network without a download: weights come from a file, mean and std are fixed now.
        self.arguments: dict[str, Any] = {
            "encoder_name": encoder_name, "encoder_weights": None, "encoder_output_stride": encoder_output_stride,
            "decoder_channels": decoder_channels, "in_channels": in_channels, "classes": classes, "pool": pool, "skip": skip,
            "gate": gate, "dilate_first": dilate_first, "decoder_norm_eps": decoder_norm_eps,
            "mean": list(self.mean), "std": list(self.std),
        }

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> "LRASPP":
        """Builds the network as another implementation has it; `changes` are further arguments, such as classes.

        Raises:
            SegError: there is no such preset.
        """
        if preset not in PRESETS:
            raise SegError(f"There is no preset {preset!r}. {did_you_mean(preset, PRESETS)}")
        return cls(**PRESETS[preset] | changes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 RGB images (N, C, H, W) to float32 scores (N, classes, H, W).

        Raises:
            SegError: not uint8, not of that shape, or smaller than 32x32.
        """
        return resize(self.logits(images), images.shape[2:])

    def logits(self, images: Tensor) -> Tensor:
        """Maps uint8 RGB images (N, C, H, W) to float32 scores (N, classes, ceil(H/8), ceil(W/8)).

        Raises:
            SegError: as `forward`.
        """
        self._check(images)
        features = self.encoder(self.normalize(images))
        return self.decoder(features[3], features[-1])

    def normalize(self, images: Tensor) -> Tensor:
        """Subtracts the mean and divides by the standard deviation; a convolution's zero padding is then the mean."""
        normal = (images.float() - self._mean_255) / self._std_255
        return normal.to(self.decoder.attention.weight.dtype)

    def classifier_names(self) -> list[str]:
        """Returns the state dict's names whose shape depends on the number of classes."""
        return [f"decoder.{layer}.{leaf}" for layer in ("deep_classifier", "skip_classifier") for leaf in ("weight", "bias")]

    def _check(self, images: Tensor) -> None:
        if images.dtype != torch.uint8:
            raise SegError(f"Images are {images.dtype}; they must be uint8, 0 to 255: the network normalises them itself, "
                           "and doing it twice is the commonest mistake.")
        if images.ndim != 4 or images.shape[1] != self.arguments["in_channels"]:
            raise SegError(f"Images have shape {tuple(images.shape)}; expected (N, {self.arguments['in_channels']}, H, W).")
        if min(images.shape[2:]) < MIN_SIZE:
            raise SegError(f"Images are {images.shape[2]}x{images.shape[3]}; the network needs at least {MIN_SIZE}x{MIN_SIZE}.")


def _make_encoder(name: str, weights: str | None, output_stride: int, in_channels: int, skip: Skip | None,
                  dilate_first: bool) -> tuple[Any, Sequence[float], Sequence[float]]:
    """Returns an encoder of ours or SMP's, and the mean and std that its weights expect."""
    mean: Sequence[float] = (0.5,) * in_channels
    std: Sequence[float] = (0.5,) * in_channels
    if name in VARIANTS:
        encoder: Any = MobileNetV3Encoder(name, output_stride=output_stride, skip=skip or "expansion", dilate_first=dilate_first)
        if weights == "imagenet":
            mean, std = load_imagenet(encoder)
        elif weights is not None:
            raise SegError(f"encoder_weights is {weights!r}; for {name} it can be None or 'imagenet'.")
        encoder.set_in_channels(in_channels, pretrained=weights is not None)
    else:
        if skip is not None or dilate_first:
            raise SegError(f"skip and dilate_first belong to our own encoders; {name!r} is not one of {sorted(VARIANTS)}.")
        try:
            encoder = smp.encoders.get_encoder(name, in_channels, depth=5, weights=weights, output_stride=output_stride)
            if weights is not None:
                params = smp.encoders.get_preprocessing_params(name, pretrained=weights)
                mean, std = params["mean"], params["std"]
        except (KeyError, ValueError, RuntimeError) as error:
            known = [*smp.encoders.encoders, *(f"tu-{n}" for n in _timm_names())]
            if name not in known:
                raise SegError(f"There is no encoder {name!r}. {did_you_mean(name, known)}") from None
            raise SegError(f"The encoder {name!r} can't be made (weights {weights!r}, output stride {output_stride}): "
                           f"{error}") from None
    if len(mean) != in_channels:  # weights for RGB that SMP spread over other channels
        mean, std = (sum(mean) / len(mean),) * in_channels, (sum(std) / len(std),) * in_channels
    return encoder, mean, std


def _timm_names() -> list[str]:
    import timm

    return timm.list_models()


