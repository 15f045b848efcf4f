"""What all networks here share: they take uint8 RGB images, normalise them, run an encoder and a decoder, and give scores."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg.architecture import MIN_SIZE, NAMES, NORM_EPS, is_variant
from seg.errors import SegError, did_you_mean
from seg.models.mobilenet import MobileNetEncoder, Skip, check_output_stride, load_imagenet
from seg.models.pretrained import load_encoder, load_named
from seg.weights import Description


def resize(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Bilinear with half-pixel centres, the one convention of this project."""
    return F.interpolate(x, size=tuple(size_hw), mode="bilinear", align_corners=False)


def full_precision(x: Tensor) -> Any:
    """Returns a context without autocast: the classifiers and their sum stay float32, since bfloat16 makes some scores equal."""
    device = x.device.type
    in_force = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if in_force else nullcontext()


def classify(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Runs a 1x1 classifier in float32, whatever the precision of its weights; call it within `full_precision`."""
    bias = None if conv.bias is None else conv.bias.float()
    return F.conv2d(x.float(), conv.weight.float(), bias)


class GlobalPool(nn.Module):
    """The mean over all positions, (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class SegmentationNetwork(nn.Module):
    """A network from uint8 RGB images to full-size class scores. Subclasses add the decoder and its arguments.

    Args:
        encoder_name: one of ours (`seg.architecture`: V3 and V2, any width) or any of SMP's (`tu-...` for timm's).
        encoder_weights: None for a random start, "imagenet" for timm's weights (our encoders), what SMP takes for its own, or
            a file (`seg.models.pretrained`).
        encoder_output_stride: 8, 16 or 32: how much smaller than the image the deepest feature is.
        decoder_channels: F of the paper, 128 or 256 there.
        in_channels: channels of the image.
        classes: channels of the scores.
        skip, dilate_first: see `MobileNetEncoder`.
        encoder_norm_eps: epsilon of our encoders' batch norms; None is the authors' 1e-3, or that of the encoder's weights.
        mean, std: per channel, for images scaled to 0..1; None takes what the encoder's weights expect, or 0.5, which maps
            images to [-1, 1] as the authors do.

    Attributes:
        encoder: image to features at 1/1, 1/2, ... 1/32, in SMP's form.
        decoder: those features to scores, float32.
        arguments: what rebuilds the network without a download.
        description: of the weights file, on networks that `load` gave.

    Raises:
        SegError: an unknown encoder (near names are listed), output stride or other value that can't be.
    """

    CLASSIFIERS: ClassVar[tuple[str, ...]]  # names of the decoder's layers that give scores
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    encoder: Any
    decoder: nn.Module
    description: Description
    _mean_255: Tensor
    _std_255: Tensor

    def __init__(self, encoder_name: str, encoder_weights: str | None, encoder_output_stride: int, decoder_channels: int,
                 in_channels: int, classes: int, *, skip: Skip | None = None, dilate_first: bool = False,
                 encoder_norm_eps: float | None = None,
                 mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> None:
        super().__init__()
        for name, number in (("decoder_channels", decoder_channels), ("in_channels", in_channels), ("classes", classes)):
            if number < 1:
                raise SegError(f"{name} is {number}; it must be at least 1.")
        check_output_stride(encoder_output_stride)
        self.encoder, expected_mean, expected_std = _make_encoder(
            encoder_name, encoder_weights, encoder_output_stride, in_channels, skip, dilate_first, encoder_norm_eps)

        self.mean = tuple(map(float, mean if mean is not None else expected_mean))
        self.std = tuple(map(float, std if std is not None else expected_std))
        if not len(self.mean) == len(self.std) == in_channels or min(self.std) <= 0:
            raise SegError(f"mean {self.mean} and std {self.std} must have one value for each of {in_channels} channels, "
                           "and std must be above 0.")
        self.register_buffer("_mean_255", torch.tensor(self.mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("_std_255", torch.tensor(self.std).view(1, -1, 1, 1) * 255, persistent=False)
        own_eps = self.encoder.norm_eps if isinstance(self.encoder, MobileNetEncoder) else NORM_EPS
        # A rebuilt network gets its weights from a file. What came with the encoder's weights (mean, std, eps) is stored here.
        self.arguments: dict[str, Any] = {
            "encoder_name": encoder_name, "encoder_weights": None, "encoder_output_stride": encoder_output_stride,
            "decoder_channels": decoder_channels, "in_channels": in_channels, "classes": classes,
            "dilate_first": dilate_first, "mean": list(self.mean), "std": list(self.std),
            "encoder_norm_eps": None if own_eps == NORM_EPS else own_eps,
        }

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> Self:
        """Builds the network as another implementation has it; `changes` are further arguments, such as classes.

        Raises:
            SegError: there is no such preset.
        """
        if preset not in cls.presets:
            raise SegError(f"{cls.__name__} has no preset {preset!r}. {did_you_mean(preset, cls.presets)}")
        return cls(**cls.presets[preset] | changes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 RGB images (N, C, H, W) to float32 scores (N, classes, H, W).

        Raises:
            SegError: not uint8, not of that shape, or smaller than 32x32.
        """
        return resize(self.logits(images), images.shape[2:])

    def logits(self, images: Tensor) -> Tensor:
        """Maps uint8 RGB images (N, C, H, W) to float32 scores (N, classes, ...) of the decoder's own size.

        Raises:
            SegError: as `forward`.
        """
        self._check(images)
        scores: Tensor = self.decoder(self.encoder(self.normalize(images)))
        return scores

    def normalize(self, images: Tensor) -> Tensor:
        """Subtracts the mean and divides by the standard deviation; a convolution's zero padding is then the mean."""
        normal = (images.float() - self._mean_255) / self._std_255
        return normal.to(next(self.decoder.parameters()).dtype)

    def classifier_names(self) -> list[str]:
        """Returns the state dict's names whose shape depends on the number of classes."""
        return [f"decoder.{layer}.{leaf}" for layer in self.CLASSIFIERS for leaf in ("weight", "bias")]

    def _check(self, images: Tensor) -> None:
        if images.dtype != torch.uint8:
            raise SegError(f"Images are {images.dtype}; they must be uint8, 0 to 255: the network normalises them itself, "
                           "and doing it twice is the commonest mistake.")
        if images.ndim != 4 or images.shape[1] != self.arguments["in_channels"]:
            raise SegError(f"Images have shape {tuple(images.shape)}; expected (N, {self.arguments['in_channels']}, H, W).")
        if min(images.shape[2:]) < MIN_SIZE:
            raise SegError(f"Images are {images.shape[2]}x{images.shape[3]}; the network needs at least {MIN_SIZE}x{MIN_SIZE}.")


def _make_encoder(name: str, weights: str | None, output_stride: int, in_channels: int, skip: Skip | None,
                  dilate_first: bool, norm_eps: float | None) -> tuple[Any, Sequence[float], Sequence[float]]:
    """Returns an encoder of ours or SMP's, and the mean and std that its weights expect."""
    mean: Sequence[float] = (0.5,) * in_channels
    std: Sequence[float] = (0.5,) * in_channels
    if is_variant(name):
        encoder: Any = MobileNetEncoder(name, output_stride=output_stride, skip=skip or "expansion", dilate_first=dilate_first)
        if weights == "imagenet":
            mean, std = load_imagenet(encoder)
        elif weights is not None and not Path(weights).is_file():
            raise SegError(f"There is no file {weights} with weights for {name}; encoder_weights can be None, 'imagenet' or a "
                           "file.")
        elif weights is not None:
            mean, std = load_encoder(encoder, weights)
        if norm_eps is not None:
            encoder.set_norm_eps(norm_eps)
        encoder.set_in_channels(in_channels, pretrained=weights is not None)
    else:
        known = [*smp.encoders.encoders, *(f"tu-{n}" for n in _timm_names())]  # ours are registered there
        if name not in known and not name.startswith("tu-"):  # a name of timm's may have a tag
            raise SegError(f"There is no encoder {name!r}. {did_you_mean(name, known)}")
        if skip is not None or dilate_first or norm_eps is not None:
            raise SegError(f"skip, dilate_first and encoder_norm_eps belong to our own encoders; {name!r} is not one of "
                           f"{sorted(NAMES)}.")
        from_file = weights is not None and Path(weights).is_file()
        try:
            encoder = smp.encoders.get_encoder(name, in_channels, depth=5, weights=None if from_file else weights,
                                               output_stride=output_stride)
            if weights is not None and not from_file:
                params = smp.encoders.get_preprocessing_params(name, pretrained=weights)
                mean, std = params["mean"], params["std"]
        except (KeyError, ValueError, RuntimeError) as error:
            if name not in known:
                raise SegError(f"There is no encoder {name!r}. {did_you_mean(name, known)}") from None
            raise SegError(f"The encoder {name!r} can't be made (weights {weights!r}, output stride {output_stride}): "
                           f"{error}") from None
        if from_file:
            load_named(encoder, str(weights), name)
            mean, std = _timm_normalisation(name, in_channels)
    if len(mean) != in_channels:  # weights for RGB that SMP spread over other channels
        mean, std = (sum(mean) / len(mean),) * in_channels, (sum(std) / len(std),) * in_channels
    return encoder, mean, std


def _timm_normalisation(name: str, in_channels: int) -> tuple[Sequence[float], Sequence[float]]:
    """Returns the mean and std that timm's weights of that name expect; 0.5 where timm knows none."""
    from timm.models import get_pretrained_cfg, is_model

    name = name.removeprefix("tu-")
    config = get_pretrained_cfg(name) if is_model(name) else None
    half = (0.5,) * in_channels
    return (config.mean, config.std) if config is not None else (half, half)


def _timm_names() -> list[str]:
    import timm

    return timm.list_models()


__all__ = ["GlobalPool", "SegmentationNetwork", "classify", "full_precision", "resize"]
