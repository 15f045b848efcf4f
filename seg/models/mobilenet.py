"""MobileNetV3 and V2 as encoders in the form that segmentation-models-pytorch (SMP) expects.

Source: A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244; the dilation and the skip feature follow the authors'
segmentation code (tensorflow/models, research/deeplab). The tables are in `seg.architecture`.
"""

from typing import Any, Literal, cast

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import Tensor, nn

from seg.architecture import NAMES, NORM_EPS, find_variant
from seg.errors import SegError
from seg.models import keymaps
from seg.models.blocks import ACTIVATIONS, ConvNorm, InvertedResidual
from seg.models.fitting import check_whole, fitted, match_names

Skip = Literal["expansion", "last", "first"]
SKIPS = ("expansion", "last", "first")
TIMM_NORM_EPS = 1e-5  # of the networks that timm trained itself; those converted from TensorFlow keep the authors'


class MobileNetEncoder(nn.Module, EncoderMixin):
    """Turns an image into features at 1/1, 1/2, 1/4, 1/8, 1/16 and 1/32 (or the output stride, where dilated).

    Args:
        variant: the name, see `seg.architecture`; any width.
        depth: how many halvings to return features of, 1 to 5.
        output_stride: 8, 16 or 32; the strides beyond it are replaced by dilation.
        skip: the feature at 1/8: "expansion" (the depthwise output of the last block there; the authors' choice), or the
            output of the "last" or "first" block there.
        dilate_first: where dilation replaces the stride of a stage, dilate its first block too, as torchvision and SMP do. The
            authors and timm dilate only the blocks after it.
        norm_eps: epsilon of the batch norms. The default is the authors'; `load_timm` sets that of the weights.

    Raises:
        SegError: there is no such variant, or a value isn't allowed.
    """

    def __init__(self, variant: str, depth: int = 5, output_stride: int = 32, skip: Skip = "last",
                 dilate_first: bool = False, norm_eps: float = NORM_EPS) -> None:
        super().__init__()
        found = find_variant(variant)
        if skip not in SKIPS:
            raise SegError(f"skip is {skip!r}; it can be {', '.join(map(repr, SKIPS))}.")
        if not 1 <= depth <= 5:
            raise SegError(f"The encoder's depth is {depth}; it can be 1 to 5.")
        self.variant, self.timm_name, self.skip, self.dilate_first = variant, found.timm_name, skip, dilate_first
        self.first_halved = len(found.blocks) - found.halved_blocks
        blocks, activation = found.blocks, ACTIVATIONS[found.stem_activation]

        self.stem = ConvNorm(3, found.stem_channels, 3, stride=2, activation=activation)
        channels = [found.stem_channels, *(spec.out_channels for spec in blocks)]
        self.blocks = nn.ModuleList(InvertedResidual(c, spec) for c, spec in zip(channels, blocks, strict=False))
        self.tail: nn.Module = nn.Identity()
        if found.tail_channels is not None:
            self.tail = ConvNorm(channels[-1], found.tail_channels, activation=activation)

        self._strides = found.strides()  # dilation changes none of them
        self._depth, self._in_channels, self._output_stride = depth, 3, output_stride
        last = dict(zip(self._strides, channels, strict=True))  # of the blocks at each stride
        at_8 = self._blocks_at(8)
        last[8] = {"expansion": blocks[at_8[-1]].expansion, "last": blocks[at_8[-1]].out_channels,
                   "first": blocks[at_8[0]].out_channels}[skip]
        self._out_channels = [3, last[2], last[4], last[8], last[16], found.tail_channels or last[32]]
        self._init_weights()
        self.set_norm_eps(norm_eps)
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

    def set_norm_eps(self, norm_eps: float) -> None:
        """Sets the epsilon of all batch norms.

        Raises:
            SegError: it is not above 0.
        """
        if not norm_eps > 0:
            raise SegError(f"The epsilon of the encoder's batch norms is {norm_eps}; it must be above 0.")
        self.norm_eps = norm_eps
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = norm_eps

    def make_dilated(self, output_stride: int) -> None:
        """Replaces the strides beyond `output_stride` by dilation.

        Raises:
            SegError: `output_stride` is not 8, 16 or 32.
        """
        check_output_stride(output_stride)
        self._output_stride = output_stride
        steps = find_variant(self.variant).steps(output_stride, self.dilate_first)
        for block, (stride, dilation) in zip(self.blocks, steps, strict=True):
            cast(InvertedResidual, block).set_stride(stride, dilation)

    def get_stages(self) -> dict[int, list[nn.Module]]:
        """Returns the blocks by stride, as SMP requires of encoders."""
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

    def load_timm(self, state: dict[str, Tensor]) -> None:
        """Takes over the weights of its twin in timm, fitted by `seg.models.fitting`, and the epsilon of their batch norms.

        Raises:
            SegError: the state dict is not that of the twin in timm.
        """
        matched, lacking = match_names(self, fitted(keymaps.encoder_from_timm(state, self), self))
        check_whole(f"These are not the weights of timm's {self.timm_name}", lacking)
        nn.Module.load_state_dict(self, matched)
        self.set_norm_eps(NORM_EPS if self.timm_name.startswith("tf_") else TIMM_NORM_EPS)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Loads our own weights, or timm's, which SMP downloads for `encoder_weights="imagenet"`."""
        if "conv_stem.weight" not in state_dict:
            return super().load_state_dict(state_dict, strict, assign)
        self.load_timm(state_dict)
        return None


def check_output_stride(output_stride: int) -> None:
    """Raises SegError unless `output_stride` is 8, 16 or 32."""
    if output_stride not in (8, 16, 32):
        raise SegError(f"The output stride is {output_stride}; it can be 8, 16 or 32.")


def load_imagenet(encoder: MobileNetEncoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Loads timm's ImageNet weights (from its cache or the network); returns the mean and std that they expect.

    The weights of the minimalistic V3 were trained with TensorFlow's padding, which equals this project's padding only at odd
    sizes. They are still a useful start for training.

    Raises:
        SegError: there are none, or timm can't get them.
    """
    import timm

    name = encoder.timm_name
    if not hub_repo(name):
        raise SegError(f"timm has no ImageNet weights for {encoder.variant} (they would be called {name!r}). Use "
                       "encoder_weights=None to start from random ones, or another width.")
    try:
        twin: Any = timm.create_model(name, pretrained=True)
    except Exception as error:  # timm passes on every error that its hub client raises
        raise SegError(f"timm can't get the ImageNet weights of {name} ({type(error).__name__}: {error}). Use "
                       "encoder_weights=None to start from random ones, or run once with a network.") from None
    encoder.load_timm(twin.state_dict())
    return tuple(twin.pretrained_cfg["mean"]), tuple(twin.pretrained_cfg["std"])


def hub_repo(timm_name: str) -> str | None:
    """Returns the Hugging Face repository of timm's default weights of that name; None if there are none."""
    from timm.models import get_pretrained_cfg, is_model

    config = get_pretrained_cfg(timm_name) if is_model(timm_name) else None
    return config.hf_hub_id if config is not None else None


def register_encoders(*names: str) -> None:
    """Makes encoders known to SMP, so that `smp.FPN("mobilenet_v3_large")` and others take them.

    Args:
        names: those to add, of any width; if none are given, all published ones.

    Raises:
        SegError: there is no such encoder.
    """
    for name in names or NAMES:
        repo = hub_repo(find_variant(name).timm_name)
        smp.encoders.encoders[name] = {
            "encoder": MobileNetEncoder,
            "pretrained_settings": {"imagenet": {"repo_id": repo, "revision": "main"}} if repo else {},
            "params": {"variant": name},
        }


__all__ = ["SKIPS", "MobileNetEncoder", "Skip", "check_output_stride", "load_imagenet", "register_encoders"]
