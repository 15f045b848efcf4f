"""Encoders and networks compared with torchvision's and timm's, and with plain implementations of the paper's formulas."""

from collections.abc import Mapping
from typing import Any

import pytest
import timm
import torch
from parity import assert_same, images, randomize
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.models.segmentation.lraspp import _lraspp_mobilenetv3

from seg.architecture import NAMES, find_variant
from seg.models import LRASPP, RASPP, MobileNetEncoder, keymaps
from seg.models.blocks import SqueezeExcite

# TensorFlow pads an even size on one side; at 97x129 each strided convolution sees an odd one.
X = torch.randn(1, 3, 97, 129, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "output_stride"), [
    *((name, output_stride) for name in ("mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_v2_100")
      for output_stride in (32, 16, 8)),
    *((name, 16) for name in NAMES if not name.endswith(("_large", "_small", "v2_100", "_rf2"))),
])
def test_encoders_give_timms_features_with_the_papers_dilation(name: str, output_stride: int) -> None:
    theirs = randomize(timm.create_model(find_variant(name).timm_name, features_only=True, output_stride=output_stride))
    ours = MobileNetEncoder(name, output_stride=output_stride).eval()
    ours.load_timm(theirs.state_dict())
    assert ours.norm_eps == next(m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        features, expected = ours(X)[1:], theirs(X)
    assert len(features) == len(expected) == 5
    for feature, other in zip(features, expected, strict=True):
        assert_same(feature, other)
    assert features[-1].shape[2] == -(-97 // output_stride)


def _at_last_of_each_size(layers: Any, x: Tensor) -> dict[int, Tensor]:
    """Runs `layers`, and returns the output of the last one at each height."""
    seen = {}
    for layer in layers:
        x = layer(x)
        seen[x.shape[2]] = x
    return seen


@pytest.mark.parametrize("build", [mobilenet_v3_large, mobilenet_v3_small])
@pytest.mark.parametrize("output_stride", [32, 16])
def test_v3_encoders_give_torchvisions_features_with_its_dilation(build: Any, output_stride: int) -> None:
    theirs = randomize(build(dilated=output_stride == 16))
    ours = MobileNetEncoder(build.__name__, output_stride=output_stride, dilate_first=True).eval()
    ours.load_state_dict(keymaps.encoder_from_torchvision(theirs.state_dict(), ours))
    with torch.no_grad():
        features, expected = ours(X), _at_last_of_each_size(theirs.features, X)
    for feature in (features[1], features[2], features[3], features[5]):
        assert_same(feature, expected[feature.shape[2]])


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v2_100", 1.0), ("mobilenet_v2_050", 0.5), ("mobilenet_v2_035", 0.35),
                                             ("mobilenet_v2_140", 1.4)])
def test_v2_encoders_give_torchvisions_features(name: str, width: float) -> None:
    theirs = randomize(mobilenet_v2(width_mult=width))
    norm_eps = theirs.features[0][1].eps  # PyTorch's default, and not the authors'
    ours = MobileNetEncoder(name, norm_eps=norm_eps).eval()
    ours.load_state_dict(keymaps.encoder_from_torchvision(theirs.state_dict(), ours))
    with torch.no_grad():
        features = ours(X)
        expected = _at_last_of_each_size(theirs.features[:-1], X)  # the last belongs to the classifier
    assert norm_eps == 1e-5
    for feature in features[1:]:
        assert_same(feature, expected[feature.shape[2]])


@pytest.mark.parametrize("output_stride", [16, 32])
def test_torchvision_preset_gives_torchvisions_scores(output_stride: int) -> None:
    if output_stride == 16:
        theirs = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    else:
        theirs = _lraspp_mobilenetv3(mobilenet_v3_large(dilated=False), 21)
    theirs = randomize(theirs)
    ours = LRASPP.from_preset("torchvision", classes=21, encoder_output_stride=output_stride).eval()
    ours.load_state_dict(keymaps.lraspp_from_torchvision(theirs.state_dict(), ours.encoder))
    batch = images(161, 225)
    with torch.no_grad():
        assert_same(ours(batch), theirs(ours.normalize(batch))["out"])


def test_parity_would_see_another_epsilon() -> None:
    ours = randomize(MobileNetEncoder("mobilenet_v2_035")).eval()
    with torch.no_grad():
        before = ours(X)[-1]
        ours.set_norm_eps(1e-5)
        with pytest.raises(AssertionError):
            assert_same(ours(X)[-1], before)


def conv_norm_relu(x: Tensor, state: Mapping[str, Tensor], name: str, eps: float = 1e-3) -> Tensor:
    """Computes a 1x1 convolution, batch norm and ReLU by their formulas."""
    weight, norm = state[f"{name}.conv.weight"][:, :, 0, 0], {key: state[f"{name}.norm.{key}"][:, None, None] for key in
                                                              ("weight", "bias", "running_mean", "running_var")}
    x = torch.einsum("oc,nchw->nohw", weight, x)
    return ((x - norm["running_mean"]) / (norm["running_var"] + eps).sqrt() * norm["weight"] + norm["bias"]).clamp_min(0)


def classify(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    return torch.einsum("oc,nchw->nohw", state[f"{name}.weight"][:, :, 0, 0], x) + state[f"{name}.bias"][:, None, None]


def upsample(x: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size_hw, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("encoder", ["mobilenet_v2_100_rf2", "mobilenet_v3_small"])
def test_raspp_is_its_definition(encoder: str) -> None:
    model = randomize(RASPP(encoder, decoder_channels=24, classes=7))
    batch, state = images(97, 129), {name: tensor.double() for name, tensor in model.decoder.state_dict().items()}
    with torch.no_grad():
        deep = model.encoder(model.normalize(batch))[-1].double()
        pooled = conv_norm_relu(deep.mean((2, 3), keepdim=True), state, "pooled_branch")
        both = torch.cat([conv_norm_relu(deep, state, "branch"), pooled.expand(-1, -1, *deep.shape[2:])], 1)
        scores = classify(conv_norm_relu(both, state, "project"), state, "classifier")
        assert scores.shape == (1, 7, 7, 9)  # at the output stride
        assert_same(model.logits(batch).double(), scores)
        assert_same(model(batch).double(), upsample(scores, (97, 129)))


def test_lraspp_is_its_definition_in_the_authors_order() -> None:
    model = randomize(LRASPP("mobilenet_v3_small_rf2", decoder_channels=24, classes=7))
    batch, state = images(97, 1025), {name: tensor.double() for name, tensor in model.decoder.state_dict().items()}
    with torch.no_grad():
        *_, skip, _, deep = (feature.double() for feature in model.encoder(model.normalize(batch)))
        grid = F.avg_pool2d(deep, (7, 49), (16, 20), ceil_mode=True)  # the feature is 7x65
        gate = (torch.einsum("oc,nchw->nohw", state["attention.weight"][:, :, 0, 0], grid) + 3).clamp(0, 6) / 6
        gated = conv_norm_relu(deep, state, "project") * upsample(gate, deep.shape[2:])
        # Here the resize to 1/8 comes before the classifier; in the network it comes after it.
        scores = classify(upsample(gated, skip.shape[2:]), state, "deep_classifier") + classify(skip, state, "skip_classifier")
        assert grid.shape[2:] == (1, 2)
        assert_same(model.logits(batch).double(), scores)


def test_hard_nonlinearities_are_the_papers_formulas() -> None:
    border = torch.tensor([-3.0, 0.0, 3.0])
    around = [torch.nextafter(border, torch.tensor(towards)) for towards in (-torch.inf, torch.inf)]
    x = torch.cat([torch.linspace(-8, 8, 4001), border, *around, torch.tensor([-1e30, 1e30])])
    exact = x.double()
    hard_sigmoid = (exact + 3).clamp(0, 6) / 6
    torch.testing.assert_close(nn.Hardsigmoid()(x).double(), hard_sigmoid, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(nn.Hardswish()(x).double(), exact * hard_sigmoid, rtol=1e-6, atol=1e-6)
    assert nn.Hardsigmoid()(border).tolist() == [0, 0.5, 1]
    assert nn.Hardswish()(border).tolist() == [0, 0, 3]
    assert nn.Hardsigmoid()(x[x < -3]).abs().max() == nn.Hardswish()(x[x < -3]).abs().max() == 0


def test_squeeze_excite_is_its_definition() -> None:
    module = SqueezeExcite(72).double()
    x = torch.randn(2, 72, 5, 7, dtype=torch.float64)
    squeezed = (x.mean((2, 3)) @ module.reduce.weight[:, :, 0, 0].T + module.reduce.bias).clamp_min(0)
    gate = ((squeezed @ module.expand.weight[:, :, 0, 0].T + module.expand.bias) + 3).clamp(0, 6) / 6
    assert module.reduce.out_channels == 24  # 18, rounded to a multiple of 8 that is not below 90%
    assert torch.allclose(module(x), x * gate[:, :, None, None])
