"""Encoders by name: tables, widths, RF2, minimalistic variants, dilation, and pretrained weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from parity import images, randomize
from safetensors.torch import save_file
from torch import nn

from seg.architecture import NAMES, find_variant
from seg.errors import SegError
from seg.models import LRASPP, RASPP, MobileNetEncoder, register_encoders


def test_rf2_halves_what_the_authors_halve() -> None:
    ends = {name: [(s.expansion, s.out_channels) for s in find_variant(f"mobilenet_{name}_rf2").blocks[-4:]]
            for name in ("v3_large", "v3_small", "v2_100")}
    assert ends["v3_large"][1:] == [(336, 80), (480, 80), (480, 80)]
    assert ends["v3_small"][1:] == [(144, 48), (288, 48), (288, 48)]
    assert ends["v2_100"] == [(576, 80), (480, 80), (480, 80), (480, 160)]
    assert [find_variant(f"mobilenet_{name}_rf2").tail_channels for name in ends] == [480, 288, None]


def test_minimalistic_variants_hold_nothing_slow() -> None:
    for size in ("large", "small"):
        encoder = MobileNetEncoder(f"mobilenet_v3_{size}_minimal_100_rf2")
        assert not [m for m in encoder.modules() if isinstance(m, nn.Hardswish | nn.Hardsigmoid)]
        assert {m.kernel_size for m in encoder.modules() if isinstance(m, nn.Conv2d)} == {(1, 1), (3, 3)}
        plain = find_variant(f"mobilenet_v3_{size}_rf2")
        assert [s.out_channels for s in plain.blocks] == [b.out_channels for b in encoder.blocks]


@pytest.mark.parametrize(("name", "whole", "width"), [
    ("mobilenet_v3_large_060", "mobilenet_v3_large", 0.6), ("mobilenet_v3_small_200", "mobilenet_v3_small", 2.0),
    ("mobilenet_v3_small_minimal_130_rf2", "mobilenet_v3_small_minimal_100_rf2", 1.3),
    ("mobilenet_v2_007", "mobilenet_v2_100", 0.07), ("mobilenet_v2_140_rf2", "mobilenet_v2_100_rf2", 1.4),
])
def test_any_width_gives_the_nearest_multiple_of_8_not_below_nine_tenths(name: str, whole: str, width: float) -> None:
    def nearest(channels: float) -> int:
        allowed = (multiple for multiple in range(8, 2048, 8) if multiple >= 0.9 * channels)
        return min(allowed, key=lambda multiple: (abs(multiple - channels), -multiple))  # the larger of two

    scaled = [s.out_channels for s in find_variant(name).blocks]
    assert scaled == [nearest(width * s.out_channels) for s in find_variant(whole).blocks]
    with torch.no_grad():
        assert LRASPP(name, classes=2, decoder_channels=8).eval()(images(64, 64)).shape == (1, 2, 64, 64)


def test_a_full_width_changes_nothing() -> None:
    assert find_variant("mobilenet_v3_large_100_rf2") == find_variant("mobilenet_v3_large_rf2")


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large_75", "mobilenet_v3_medium", "mobilenet_v2_100_rf3",
                                  "mobilenet_v2_minimal_100"])
def test_other_names_are_not_ours(name: str) -> None:
    with pytest.raises(SegError, match="There is no encoder"):
        MobileNetEncoder(name)


def test_smp_keeps_its_own_v2_and_gets_ours() -> None:
    assert smp.encoders.encoders["mobilenet_v2"]["encoder"] is not MobileNetEncoder
    for name in NAMES:
        assert smp.encoders.encoders[name]["params"] == {"variant": name}
    try:
        register_encoders("mobilenet_v3_small_060")
        model = smp.FPN("mobilenet_v3_small_060", encoder_weights=None, classes=2).eval()
        assert model.encoder.variant == "mobilenet_v3_small_060"
    finally:
        del smp.encoders.encoders["mobilenet_v3_small_060"]
    with pytest.raises(SegError, match="mobilenet_v3_small"):
        register_encoders("mobilenet_v3_smal")


@pytest.mark.parametrize(("name", "dilations"), [("mobilenet_v3_large", [1, 2, 2]), ("mobilenet_v3_small", [1, 2, 2]),
                                                 ("mobilenet_v2_100", [1, 2, 2, 2])])
def test_first_dilated_block_differs_between_conventions(name: str, dilations: list[int]) -> None:
    for first in (False, True):
        blocks = MobileNetEncoder(name, output_stride=16, dilate_first=first).blocks[-len(dilations):]
        assert [block.depthwise.conv.dilation[0] for block in blocks] == ([2] * len(dilations) if first else dilations)


@pytest.mark.parametrize(("name", "block", "channels"), [("mobilenet_v3_large_rf2", 5, 120), ("mobilenet_v3_small_rf2", 2, 88),
                                                         ("mobilenet_v2_100_rf2", 5, 192)])
def test_skip_is_the_depthwise_output_of_the_last_block_at_an_eighth(name: str, block: int, channels: int) -> None:
    encoder = MobileNetEncoder(name, output_stride=16, skip="expansion").eval()
    seen = []
    encoder.blocks[block].depthwise.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    with torch.no_grad():
        skip = encoder(torch.randn(1, 3, 64, 64))[3]
    assert skip is seen[0]
    assert skip.shape == (1, channels, 8, 8)


# Weights that others trained


def pretrained(monkeypatch: pytest.MonkeyPatch, name: str, seed: int = 3) -> tuple[Any, list]:
    """Makes timm return random weights for `name`; returns them, and the recorded requests."""
    twin, asked = randomize(timm.create_model(name), seed), []

    def create_model(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return twin

    monkeypatch.setattr(timm, "create_model", create_model)
    return twin, asked


def test_imagenet_weights_come_through_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    twin, asked = pretrained(monkeypatch, "mobilenetv3_small_100")
    model = LRASPP("mobilenet_v3_small_rf2", encoder_weights="imagenet", classes=3)
    assert asked == [("mobilenetv3_small_100", True)]
    assert torch.equal(model.encoder.stem.conv.weight, twin.conv_stem.weight)
    assert torch.equal(model.encoder.blocks[7].project.conv.weight, twin.blocks[3][1].conv_pwl.weight)
    assert model.mean == pytest.approx((0.485, 0.456, 0.406))
    tail, theirs = model.encoder.tail.conv.weight, twin.blocks[5][0].conv.weight
    assert len(tail) == len(theirs) // 2 and np.isin(tail.detach().numpy(), theirs.detach().numpy()).all(), "the strongest half"
    assert model.arguments["encoder_weights"] is None  # a rebuild must not download


def test_v2_takes_imagenet_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    twin, asked = pretrained(monkeypatch, "mobilenetv2_050")
    model = RASPP("mobilenet_v2_050_rf2", encoder_weights="imagenet", classes=3)
    assert asked == [("mobilenetv2_050", True)]
    assert torch.equal(model.encoder.blocks[0].project.conv.weight, twin.blocks[0][0].conv_pw.weight)
    assert torch.equal(model.encoder.blocks[13].depthwise.norm.running_var, twin.blocks[5][0].bn2.running_var)
    halved, theirs = model.encoder.blocks[13].project.conv.weight, twin.blocks[5][0].conv_pwl.weight
    assert len(halved) == len(theirs) // 2 and np.isin(halved.detach().numpy(), theirs.detach().numpy()).all()
    whole = RASPP("mobilenet_v2_050", encoder_weights="imagenet", classes=3)
    assert torch.equal(whole.encoder.blocks[16].project.conv.weight, twin.blocks[6][0].conv_pwl.weight)


@pytest.mark.parametrize(("name", "twin", "norm_eps"), [
    ("mobilenet_v2_050", "mobilenetv2_050", 1e-5), ("mobilenet_v3_small_minimal_100", "tf_mobilenetv3_small_minimal_100", 1e-3),
])
def test_the_weights_epsilon_and_mean_come_along_and_stay(monkeypatch: pytest.MonkeyPatch, name: str, twin: str,
                                                          norm_eps: float) -> None:
    theirs, _ = pretrained(monkeypatch, twin)
    model = LRASPP(name, encoder_weights="imagenet", classes=3)
    again = LRASPP(**model.arguments)
    for network in (model, again):
        assert {m.eps for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d)} == {norm_eps}
        assert network.mean == pytest.approx(theirs.pretrained_cfg["mean"])
    other = LRASPP(name, encoder_weights="imagenet", classes=3, encoder_norm_eps=0.01)
    assert other.encoder.stem.norm.eps == other.arguments["encoder_norm_eps"] == 0.01


@pytest.mark.parametrize(("encoder", "twin", "block", "theirs"), [
    ("mobilenet_v3_small", "mobilenetv3_small_100.lamb_in1k", 10, (4, 2)),
    ("mobilenet_v2_100", "mobilenetv2_100.ra_in1k", 16, (6, 0)),
])
def test_smp_loads_imagenet_weights_into_our_encoders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoder: str, twin: str,
                                                      block: int, theirs: tuple[int, int]) -> None:
    model = randomize(timm.create_model(twin.split(".")[0]), seed=4)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def download(repo_id: str, filename: str, revision: str) -> str:
        asked.append(repo_id)
        return str(tmp_path / filename)

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", download)
    loaded = smp.FPN(encoder, encoder_weights="imagenet", classes=2).encoder
    stage, place = theirs
    assert set(asked) == {f"timm/{twin}"}
    assert torch.equal(loaded.blocks[block].project.conv.weight, model.blocks[stage][place].conv_pwl.weight)
    assert loaded.stem.norm.eps == model.bn1.eps


def test_weights_of_another_encoder_are_refused() -> None:
    small, large = MobileNetEncoder("mobilenet_v3_small"), MobileNetEncoder("mobilenet_v3_large_rf2")
    before = large.stem.conv.weight.clone()
    with pytest.raises(SegError, match=r"not the weights of timm's mobilenetv3_large_100: blocks.* there and .* and \d+ more"):
        large.load_timm(timm.create_model("mobilenetv3_small_100").state_dict())
    with pytest.raises(SegError, match=r"blocks\.\d+\.\w+\.conv\.weight is \(\d+, .* there and"):
        large.load_timm(timm.create_model("mobilenetv3_large_075").state_dict())
    with pytest.raises(SegError, match=r"stem.conv.weight is \(32, 3, 3, 3\) there and \(16, 3, 3, 3\) here"):
        small.load_timm(timm.create_model("mobilenetv2_100").state_dict())
    assert torch.equal(large.stem.conv.weight, before)


@pytest.mark.parametrize("name", ["mobilenet_v2_035", "mobilenet_v3_large_075", "mobilenet_v3_small_060"])
def test_widths_that_nobody_trained_have_no_imagenet_weights(name: str) -> None:
    with pytest.raises(SegError, match=f"no ImageNet weights for {name}"):
        LRASPP(name, encoder_weights="imagenet")


def test_imagenet_weights_that_cannot_be_had_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool) -> nn.Module:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(SegError, match="encoder_weights=None"):
        LRASPP("mobilenet_v3_large", encoder_weights="imagenet")
