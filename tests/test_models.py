"""The networks against the paper's figures and against torchvision and timm."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet_v3_large
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.models.segmentation.lraspp import _lraspp_mobilenetv3

from seg.errors import SegError
from seg.models import LRASPP, MobileNetV3Encoder, keymaps
from seg.models.blocks import SqueezeExcite
from seg.models.lraspp import SlidingPool
from seg.models.mobilenet_v3 import VARIANTS

TOLERANCE = 1e-4  # of the output's spread


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, batch-norm statistics and affines, so that nothing agrees by being 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5), (module.running_mean, -0.5, 0.5),
                                      (module.running_var, 0.5, 1.5)):
                tensor.data.uniform_(low, high, generator=generator)
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
    return model.eval()


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.std()


def images(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("encoder", "printed_millions", "millions"),
                         [("mobilenet_v3_large_rf2", 1.51, 1.507), ("mobilenet_v3_small_rf2", 0.47, 0.469)])
def test_parameters_are_those_of_table_7(encoder: str, printed_millions: float, millions: float) -> None:
    parameters = sum(p.numel() for p in LRASPP(encoder).parameters())
    assert parameters / 1e6 == pytest.approx(printed_millions, abs=0.005)
    assert parameters / 1e6 == pytest.approx(millions, abs=0.0005)


def test_rf2_halves_all_three_expansions() -> None:
    large, small = (VARIANTS[f"mobilenet_v3_{size}_rf2"] for size in ("large", "small"))
    assert [(s.expansion, s.out_channels) for s in large.blocks[-3:]] == [(336, 80), (480, 80), (480, 80)]
    assert [(s.expansion, s.out_channels) for s in small.blocks[-3:]] == [(144, 48), (288, 48), (288, 48)]
    assert (large.tail_channels, small.tail_channels) == (480, 288)


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


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v3_small"])
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_encoder_gives_timms_features_with_the_papers_dilation(name: str, output_stride: int) -> None:
    theirs = timm.create_model(VARIANTS[name].timm_name, features_only=True, output_stride=output_stride)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3  # timm's default is PyTorch's, the paper's is TensorFlow's
    randomize(theirs)
    ours = MobileNetV3Encoder(name, output_stride=output_stride).eval()
    assert ours.load_timm(theirs.state_dict()) == []
    x = torch.randn(1, 3, 97, 129)
    with torch.no_grad():
        features = ours(x)
        assert_same(features[-1], theirs(x)[-1])
    assert features[-1].shape[2] == -(-97 // output_stride)


def test_first_dilated_block_differs_between_conventions() -> None:
    dilations = {first: [block.depthwise.conv.dilation[0] for block in
                         MobileNetV3Encoder("mobilenet_v3_large", output_stride=16, dilate_first=first).blocks[-3:]]
                 for first in (False, True)}
    assert dilations == {False: [1, 2, 2], True: [2, 2, 2]}


def test_skip_is_the_depthwise_output_of_the_last_block_at_an_eighth() -> None:
    encoder = MobileNetV3Encoder("mobilenet_v3_large_rf2", output_stride=16, skip="expansion").eval()
    seen = []
    encoder.blocks[5].depthwise.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    with torch.no_grad():
        skip = encoder(torch.randn(1, 3, 64, 64))[3]
    assert skip is seen[0]
    assert skip.shape == (1, 120, 8, 8)


def test_hard_nonlinearities_are_the_papers_formulas() -> None:
    x = torch.cat([torch.linspace(-8, 8, 4001, dtype=torch.float64), torch.tensor([-3.0, 0.0, 3.0], dtype=torch.float64)])
    hard_sigmoid = (x + 3).clamp(0, 6) / 6
    assert torch.allclose(nn.Hardsigmoid()(x.float()).double(), hard_sigmoid, atol=1e-6)
    assert torch.allclose(nn.Hardswish()(x.float()).double(), x * hard_sigmoid, atol=1e-6)


def test_squeeze_excite_is_its_definition() -> None:
    module = SqueezeExcite(72).double()
    x = torch.randn(2, 72, 5, 7, dtype=torch.float64)
    squeezed = (x.mean((2, 3)) @ module.reduce.weight[:, :, 0, 0].T + module.reduce.bias).clamp_min(0)
    gate = ((squeezed @ module.expand.weight[:, :, 0, 0].T + module.expand.bias) + 3).clamp(0, 6) / 6
    assert module.reduce.out_channels == 24  # 18, rounded to a multiple of 8 that is not below 90%
    assert torch.allclose(module(x), x * gate[:, :, None, None])


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


@pytest.mark.parametrize("encoder", sorted(VARIANTS))
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_every_size_from_32_up_and_gradients_everywhere(encoder: str, output_stride: int) -> None:
    model = LRASPP(encoder, encoder_output_stride=output_stride, decoder_channels=16, classes=5)
    for height, width in ((32, 32), (33, 47), (65, 40)):
        with torch.no_grad():
            model.eval()
            assert model.logits(images(height, width)).shape == (1, 5, -(-height // 8), -(-width // 8))
            assert model(images(height, width)).shape == (1, 5, height, width)
    model.train()
    model(images(48, 64).expand(2, -1, -1, -1)).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None and "tail" not in name]
    assert without == []


@pytest.mark.parametrize("encoder", ["tu-mobilenetv3_large_100", "tu-mobilenetv4_conv_small", "resnet18"])
def test_smp_encoders_under_our_decoder(encoder: str) -> None:
    model = LRASPP(encoder, encoder_weights=None, classes=4).eval()
    with torch.no_grad():
        assert model.logits(images(96, 70)).shape == (1, 4, 12, 9)


@pytest.mark.parametrize("decoder", [smp.FPN, smp.DeepLabV3Plus, smp.Unet])
@pytest.mark.parametrize("encoder", ["mobilenet_v3_large", "mobilenet_v3_small_rf2"])
def test_our_encoders_under_smp_decoders(decoder: type[nn.Module], encoder: str) -> None:
    model = decoder(encoder, encoder_weights=None, in_channels=4, classes=3).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 4, 64, 96)).shape == (1, 3, 64, 96)


def test_scores_stay_float32_under_bfloat16() -> None:
    model = LRASPP("mobilenet_v3_small_rf2", classes=3).eval()
    seen = []
    model.encoder.stem.register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = model.logits(images(64, 64))
    with torch.no_grad():
        cast = model.to(torch.bfloat16).logits(images(64, 64))
    assert seen[0] == torch.bfloat16
    assert scores.dtype == cast.dtype == torch.float32
    assert len(scores.unique()) > 0.9 * scores.numel()  # bfloat16's 8 bits could not tell so many apart


def test_normalisation_is_inside_and_padding_is_the_mean() -> None:
    model = LRASPP("mobilenet_v3_small_rf2", classes=3)
    black_white = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert model.normalize(black_white)[0, 0, 0].tolist() == [-1, 1]
    grey = LRASPP("mobilenet_v3_small_rf2", classes=3, mean=(128 / 255,) * 3, std=(0.25,) * 3).eval()
    with torch.no_grad():  # on an image of the mean colour, borders can't be told from the middle
        stem = grey.encoder.stem.conv(grey.normalize(torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)))
    assert stem.abs().max() < 1e-5


@pytest.mark.parametrize(("batch", "words"), [
    (torch.zeros(1, 3, 64, 64), "uint8"),
    (torch.zeros(3, 64, 64, dtype=torch.uint8), r"\(N, 3, H, W\)"),
    (torch.zeros(1, 4, 64, 64, dtype=torch.uint8), r"\(N, 3, H, W\)"),
    (torch.zeros(1, 3, 31, 64, dtype=torch.uint8), "32x32"),
])
def test_wrong_images_are_refused(batch: torch.Tensor, words: str) -> None:
    with pytest.raises(SegError, match=words):
        LRASPP("mobilenet_v3_small_rf2", classes=3)(batch)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"encoder_name": "mobilenet_v3_lage"}, "mobilenet_v3_large"),
    ({"encoder_output_stride": 4}, "8, 16 or 32"),
    ({"decoder_channels": 0}, "at least 1"),
    ({"pool": "median"}, "sliding"),
    ({"skip": "middle"}, "expansion"),
    ({"encoder_weights": "jft"}, "imagenet"),
    ({"encoder_name": "resnet18", "skip": "first"}, "our own encoders"),
    ({"mean": (0.5,)}, "one value for each of 3"),
])
def test_wrong_arguments_are_named(arguments: dict, words: str) -> None:
    with pytest.raises(SegError, match=words):
        LRASPP(**arguments)


def test_unknown_preset_is_named() -> None:
    with pytest.raises(SegError, match="torchvision"):
        LRASPP.from_preset("torchvison")


def test_imagenet_weights_come_through_timm(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    twin = randomize(timm.create_model("mobilenetv3_small_100"), seed=3)
    asked = []

    def create_model(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return twin

    monkeypatch.setattr(timm, "create_model", create_model)
    model = LRASPP("mobilenet_v3_small_rf2", encoder_weights="imagenet", classes=3)
    assert asked == [("mobilenetv3_small_100", True)]
    assert torch.equal(model.encoder.stem.conv.weight, twin.conv_stem.weight)
    assert torch.equal(model.encoder.blocks[7].project.conv.weight, twin.blocks[3][1].conv_pwl.weight)
    assert model.mean == pytest.approx((0.485, 0.456, 0.406))
    assert "tail.conv.weight" in caplog.text
    assert "blocks.7." not in caplog.text
    assert model.arguments["encoder_weights"] is None  # a rebuild must not download


def test_smp_loads_imagenet_weights_into_our_encoders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    twin = randomize(timm.create_model("mobilenetv3_small_100"), seed=4)
    save_file(twin.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def download(repo_id: str, filename: str, revision: str) -> str:
        asked.append(repo_id)
        return str(tmp_path / filename)

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", download)
    model = smp.FPN("mobilenet_v3_small", encoder_weights="imagenet", classes=2)
    assert set(asked) == {"timm/mobilenetv3_small_100.lamb_in1k"}
    assert torch.equal(model.encoder.blocks[10].project.conv.weight, twin.blocks[4][2].conv_pwl.weight)
    assert torch.equal(model.encoder.tail.norm.running_var, twin.blocks[5][0].bn1.running_var)


def test_imagenet_weights_that_cannot_be_had_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool) -> nn.Module:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(SegError, match="encoder_weights=None"):
        LRASPP("mobilenet_v3_large", encoder_weights="imagenet")
