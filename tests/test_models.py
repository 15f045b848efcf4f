"""The networks: shapes, gradients, combinations of SMP's parts with ours, precision, and refusals."""

import pytest
import segmentation_models_pytorch as smp
import torch
from parity import images, randomize
from torch import nn

from seg.architecture import NAMES
from seg.errors import SegError
from seg.models import LRASPP, RASPP, MobileNetEncoder
from seg.models.lraspp import SlidingPool

BOTH = pytest.mark.parametrize("network", [LRASPP, RASPP])


def test_skip_is_the_depthwise_output_of_the_last_block_at_an_eighth() -> None:
    encoder = MobileNetEncoder("mobilenet_v3_large_rf2", output_stride=16, skip="expansion").eval()
    seen = []
    encoder.blocks[5].depthwise.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    with torch.no_grad():
        skip = encoder(torch.randn(1, 3, 64, 64))[3]
    assert skip is seen[0]
    assert skip.shape == (1, 120, 8, 8)


@pytest.mark.parametrize(("output_stride", "size_hw", "grid"), [(16, (65, 129), (2, 5)), (32, (33, 65), (2, 5)),
                                                               (16, (49, 49), (1, 1)), (16, (23, 30), (1, 1))])
def test_sliding_pool_has_the_papers_grid(output_stride: int, size_hw: tuple[int, int], grid: tuple[int, int]) -> None:
    x = torch.randn(1, 4, *size_hw)
    pooled = SlidingPool(output_stride)(x)
    assert pooled.shape[2:] == grid
    if grid == (1, 1):
        assert torch.allclose(pooled, x.mean((2, 3), keepdim=True), atol=1e-5)


def test_sliding_pool_sees_all_of_an_image() -> None:
    x = torch.zeros(1, 1, 64, 128)
    x[..., -1, -1] = 1
    assert SlidingPool(16)(x).amax() > 0


@BOTH
@pytest.mark.parametrize(("encoder", "output_stride"), [
    *((name, 16) for name in NAMES), *((name, output_stride) for name in ("mobilenet_v3_small", "mobilenet_v2_035_rf2")
                                       for output_stride in (8, 32))])
def test_every_size_from_32_up_and_gradients_everywhere(network: type[LRASPP | RASPP], encoder: str,
                                                        output_stride: int) -> None:
    model = network(encoder, encoder_output_stride=output_stride, decoder_channels=16, classes=5)
    stride = 8 if network is LRASPP else output_stride
    for height, width in ((32, 32), (33, 47), (65, 40)):
        with torch.no_grad():
            model.eval()
            assert model.logits(images(height, width)).shape == (1, 5, -(-height // stride), -(-width // stride))
            assert model(images(height, width)).shape == (1, 5, height, width)
    model.train()
    model(images(48, 64).expand(2, -1, -1, -1)).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("encoder", ["tu-mobilenetv3_large_100", "tu-mobilenetv4_conv_small", "tu-semnasnet_100",
                                     "tu-mobilenetv1_100", "resnet18"])
def test_smp_encoders_under_our_decoders(encoder: str) -> None:
    lraspp, raspp = (network(encoder, encoder_weights=None, classes=4).eval() for network in (LRASPP, RASPP))
    with torch.no_grad():
        assert lraspp.logits(images(96, 70)).shape == (1, 4, 12, 9)
        assert raspp.logits(images(96, 70)).shape == (1, 4, 6, 5)


@pytest.mark.parametrize("decoder", [smp.FPN, smp.DeepLabV3Plus, smp.Unet])
@pytest.mark.parametrize("encoder", ["mobilenet_v3_large", "mobilenet_v3_small_rf2", "mobilenet_v2_035",
                                     "mobilenet_v3_small_minimal_100_rf2"])
def test_our_encoders_under_smp_decoders(decoder: type[nn.Module], encoder: str) -> None:
    model = decoder(encoder, encoder_weights=None, in_channels=4, classes=3).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 4, 64, 96)).shape == (1, 3, 64, 96)


@BOTH
def test_scores_stay_float32_under_bfloat16(network: type[LRASPP | RASPP]) -> None:
    model = randomize(network("mobilenet_v3_small_rf2", classes=3))
    seen = []
    model.encoder.stem.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = model.logits(images(96, 128))
    with torch.no_grad():
        cast = model.to(torch.bfloat16).logits(images(64, 64))
    assert seen[0] == torch.bfloat16
    assert scores.dtype == cast.dtype == torch.float32
    assert len(scores.unique()) > 0.9 * scores.numel()  # bfloat16's 8 bits could not distinguish so many values


def test_normalisation_is_inside_and_padding_is_the_mean() -> None:
    model = LRASPP("mobilenet_v3_small_rf2", classes=3)
    black_white = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert model.normalize(black_white)[0, 0, 0].tolist() == [-1, 1]
    grey = LRASPP("mobilenet_v3_small_rf2", classes=3, mean=(128 / 255,) * 3, std=(0.25,) * 3).eval()
    with torch.no_grad():  # on an image of the mean colour, borders can't be distinguished from the middle
        stem = grey.encoder.stem.conv(grey.normalize(torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)))
    assert stem.abs().max() < 1e-5


@pytest.mark.parametrize(("batch", "words"), [
    (torch.zeros(1, 3, 64, 64), "uint8"),
    (torch.zeros(3, 64, 64, dtype=torch.uint8), r"\(N, 3, H, W\)"),
    (torch.zeros(1, 4, 64, 64, dtype=torch.uint8), r"\(N, 3, H, W\)"),
    (torch.zeros(1, 3, 31, 64, dtype=torch.uint8), "32x32"),
])
def test_wrong_images_are_refused(batch: torch.Tensor, words: str) -> None:
    for network in (LRASPP, RASPP):
        with pytest.raises(SegError, match=words):
            network("mobilenet_v3_small_rf2", classes=3)(batch)


@BOTH
@pytest.mark.parametrize(("arguments", "words"), [
    ({"encoder_name": "mobilenet_v3_lage"}, "'mobilenet_v3_large'"),
    ({"encoder_name": "mobilenet_v2_100_rf"}, "mean 'mobilenet_v2_100_rf2' or 'mobilenet_v2_050_rf2' or"),
    ({"encoder_name": "tu-mobilenetv1_10"}, "'tu-mobilenetv1_100'"),
    ({"encoder_name": "mobilenet_v2_003_rf2"}, r"width 0\.03 leaves 0\.48 of 16 channels.* 7 percent"),
    ({"encoder_name": "mobilenet_v3_small_000"}, "7 percent or more"),
    ({"encoder_output_stride": 4}, "8, 16 or 32"),
    ({"encoder_output_stride": 64}, "8, 16 or 32"),
    ({"encoder_name": "resnet18", "encoder_output_stride": 12}, "8, 16 or 32"),
    ({"decoder_channels": 0}, "decoder_channels is 0; it must be at least 1"),
    ({"decoder_channels": -128}, "decoder_channels is -128; it must be at least 1"),
    ({"classes": 0}, "classes is 0"),
    ({"encoder_weights": "jft"}, "imagenet"),
    ({"encoder_name": "resnet18", "dilate_first": True}, "our own encoders"),
    ({"encoder_name": "resnet18", "encoder_norm_eps": 1e-5}, "our own encoders"),
    ({"encoder_norm_eps": 0.0}, "epsilon of the encoder's batch norms is 0.0"),
    ({"mean": (0.5,)}, "one value for each of 3"),
    ({"std": (0.5, 0.5, 0)}, "above 0"),
])
def test_wrong_arguments_are_named(network: type[LRASPP | RASPP], arguments: dict, words: str) -> None:
    with pytest.raises(SegError, match=words):
        network(**arguments)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"pool": "median"}, "sliding"), ({"gate": "soft"}, "hard"), ({"skip": "middle"}, "expansion"),
    ({"encoder_name": "resnet18", "skip": "first"}, "our own encoders"),
])
def test_wrong_arguments_of_lraspp_are_named(arguments: dict, words: str) -> None:
    with pytest.raises(SegError, match=words):
        LRASPP(**arguments)


def test_raspp_says_that_it_needs_two_images_to_train() -> None:
    model = RASPP("mobilenet_v2_035_rf2", classes=3, decoder_channels=8)
    with pytest.raises(SegError, match="at least two images"):
        model.train()(images(64, 64))
    assert model.eval()(images(64, 64)).shape == (1, 3, 64, 64)


def test_unknown_preset_is_named() -> None:
    with pytest.raises(SegError, match="torchvision"):
        LRASPP.from_preset("torchvison")
    with pytest.raises(SegError, match="RASPP has no preset"):
        RASPP.from_preset("torchvision")
