"""Encoders from a file: the same networks from timm, folded norms, RF2's halves, larger kernels, new gates, and refusals."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from parity import images, randomize
from safetensors.torch import load_file, save_file
from torch import nn

from seg.errors import SegError
from seg.label_sets import CITYSCAPES
from seg.models import LRASPP, MobileNetEncoder, save
from seg.models.pretrained import load_encoder, norms_are_folded, unfold_norms

IMAGENET = Path(__file__).parents[2] / "shared" / "data" / "imagenet"


def write_twin(folder: Path, name: str) -> Path:
    """Saves a random network of timm."""
    torch.manual_seed(0)
    twin = randomize(timm.create_model(name))
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in twin.state_dict().items()}, path)
    return path


def fold(encoder: nn.Module) -> None:
    """Folds norms into the convolutions before them, as in files for inference."""
    for module in encoder.modules():
        if isinstance(module, nn.Sequential) and hasattr(module, "norm"):
            conv: Any = module.conv
            norm: Any = module.norm
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            with torch.no_grad():
                norm.bias -= norm.running_mean * scale
                conv.weight *= scale.view(-1, 1, 1, 1)
                norm.weight.fill_(1)
                norm.running_mean.zero_()
                norm.running_var.fill_(1 - norm.eps)


@pytest.mark.parametrize(("encoder_name", "timm_name"), [("mobilenet_v3_small", "mobilenetv3_small_100"),
                                                         ("mobilenet_v2_100", "mobilenetv2_100")])
def test_timms_file_gives_timms_features(tmp_path: Path, encoder_name: str, timm_name: str) -> None:
    path = write_twin(tmp_path, timm_name)
    network = LRASPP(encoder_name, encoder_weights=str(path), encoder_output_stride=32).eval()
    twin = timm.create_model(timm_name, features_only=True).eval()
    twin.load_state_dict(load_file(path), strict=False)
    with torch.no_grad():
        x = network.normalize(images(64, 96))
        torch.testing.assert_close(network.encoder(x)[1:3], twin(x)[:2], rtol=1e-4, atol=1e-4)
    assert network.arguments["encoder_weights"] is None, "what is rebuilt from a weights file needs no other file"


def test_torchvisions_checkpoint_and_ours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v3_small()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "theirs.pth")
    encoder = MobileNetEncoder("mobilenet_v3_small")
    load_encoder(encoder, tmp_path / "theirs.pth")
    assert torch.equal(encoder.state_dict()["stem.conv.weight"], theirs.state_dict()["features.0.0.weight"])
    network = LRASPP("mobilenet_v3_small")
    save_file(network.state_dict(), tmp_path / "ours.safetensors")
    load_encoder(encoder, tmp_path / "ours.safetensors")
    assert all(torch.equal(tensor, encoder.state_dict()[name]) for name, tensor in network.encoder.state_dict().items())


def test_epsilon_and_mean_are_those_of_the_weights(tmp_path: Path) -> None:
    imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.save(torchvision.models.mobilenet_v2().state_dict(), tmp_path / "v2.pth")
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "v3.pth")
    half, minimal = ([0.5] * 3, [0.5] * 3), "mobilenet_v3_small_minimal_100"
    for name, file, eps, (mean, std) in (
            ("mobilenet_v2_100", tmp_path / "v2.pth", 1e-5, imagenet),
            ("mobilenet_v3_small", tmp_path / "v3.pth", 1e-3, imagenet),
            ("mobilenet_v3_small", write_twin(tmp_path, "mobilenetv3_small_100"), 1e-5, imagenet),
            (minimal, write_twin(tmp_path, "tf_mobilenetv3_small_minimal_100"), 1e-3, half)):
        network = LRASPP(name, encoder_weights=str(file))
        assert {m.eps for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d)} == {eps}, name
        assert (list(network.mean), list(network.std)) == (mean, std), name
    own = LRASPP("mobilenet_v3_small_rf2", classes=19, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    save(own, tmp_path / "own.safetensors", CITYSCAPES, (64, 64))
    assert LRASPP("mobilenet_v3_small_rf2", encoder_weights=str(tmp_path / "own.safetensors")).mean == (0.1, 0.2, 0.3)


def test_rf2_starts_from_the_strongest_half(tmp_path: Path) -> None:
    whole = MobileNetEncoder("mobilenet_v3_small").eval()
    randomize(whole)
    torch.manual_seed(1)
    with torch.no_grad():  # half of the channels that RF2 removes are without effect
        for i, block in enumerate(whole.blocks):
            layers: Any = block
            if i >= len(whole.blocks) - 3:
                idle = torch.randperm(layers.expansion)[: layers.expansion // 2]
                for part in (layers.depthwise.conv, layers.depthwise.norm):
                    part.weight[idle] = 0
                layers.depthwise.norm.bias[idle] = layers.depthwise.norm.running_mean[idle] = 0
        silent = torch.randperm(96)[:48]
        for block in list(whole.blocks)[-3:]:
            project: Any = block.project
            project.conv.weight[silent] = 0
            project.norm.bias[silent] = project.norm.running_mean[silent] = 0
        tail: Any = whole.tail
        off = torch.randperm(576)[:288]
        tail.conv.weight[off] = 0
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    half = MobileNetEncoder("mobilenet_v3_small_rf2").eval()
    load_encoder(half, tmp_path / "whole.safetensors")
    kept = sorted(set(range(576)) - set(off.tolist()))
    for name, tensor in half.state_dict().items():
        if name.startswith("blocks.7."):
            assert torch.equal(tensor, whole.state_dict()[name]), "what RF2 leaves alone is as it was"
    project_rows = sorted(set(range(96)) - set(silent.tolist()))
    assert torch.equal(half.state_dict()["tail.conv.weight"], tail.conv.weight.detach()[kept][:, project_rows])
    # Without gates, whose inner halves do lose something, the halved stage has the same output as the whole one.
    for encoder in (whole, half):
        for block in encoder.blocks:
            block.squeeze_excite = nn.Identity()
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(half(x)[-1], whole(x)[-1][:, kept], rtol=1e-4, atol=1e-4)


def test_minimalistic_weights_start_large_without_a_change(tmp_path: Path) -> None:
    small, large = MobileNetEncoder("mobilenet_v3_large_minimal_100").eval(), MobileNetEncoder("mobilenet_v3_large").eval()
    randomize(small)
    save_file(small.state_dict(), tmp_path / "minimal.safetensors")
    load_encoder(large, tmp_path / "minimal.safetensors")
    for module in large.modules():  # only h-swish makes a difference otherwise
        for name, child in module.named_children():
            if isinstance(child, nn.Hardswish):
                setattr(module, name, nn.ReLU())
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
        for ours, theirs in zip(large.double()(x), small.double()(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    gate: Any = large.blocks[3].squeeze_excite
    gate(torch.randn(2, len(gate.expand.bias), 4, 4).double()).square().sum().backward()
    assert gate.expand.weight.grad.abs().sum() > 0, "the gate learns from the first step on"


@pytest.mark.parametrize("name", ["mobilenet_v3_small_rf2", "mobilenet_v3_large_rf2"])
def test_unfolding_changes_no_feature_and_gives_batch_statistics(tmp_path: Path, name: str) -> None:
    encoder = randomize(MobileNetEncoder(name)).eval().double()
    x = torch.randn(4, 3, 64, 64).double()
    with torch.no_grad():
        before = encoder(x)
        fold(encoder)
        torch.testing.assert_close(encoder(x), before, rtol=1e-4, atol=1e-5)
        assert norms_are_folded(encoder)
        unfold_norms(encoder, [x])
        assert not norms_are_folded(encoder)
        torch.testing.assert_close(encoder(x), before, rtol=1e-4, atol=1e-5)
        encoder.train()
        torch.testing.assert_close(encoder(x), before, rtol=1e-3, atol=1e-4)  # in training it is the same network still


def test_a_fresh_encoder_is_not_taken_for_a_folded_one() -> None:
    assert not norms_are_folded(MobileNetEncoder("mobilenet_v3_small_rf2"))


@pytest.mark.skipif(not IMAGENET.is_dir(), reason="the ImageNet weights are not on this machine")
@pytest.mark.parametrize(("name", "file"), [("mobilenet_v3_small_rf2", "mobilenetv3_small"),
                                            ("mobilenet_v3_large_rf2", "mobilenetv3_large_minimal")])
def test_imagenet_files(name: str, file: str) -> None:
    network = LRASPP(name, encoder_weights=str(IMAGENET / f"{file}.safetensors"))
    assert norms_are_folded(network.encoder) and network.mean == (0.5, 0.5, 0.5)
    with torch.no_grad():
        assert all(torch.isfinite(feature).all() for feature in network.encoder(network.normalize(images(64, 64))))


def test_smp_encoders_take_files_too(tmp_path: Path) -> None:
    path = write_twin(tmp_path, "tf_efficientnet_lite0")
    network = LRASPP("tu-tf_efficientnet_lite0", encoder_weights=str(path), decoder_channels=8)
    state = network.encoder.state_dict()
    assert torch.equal(state["model.conv_stem.weight"], load_file(path)["conv_stem.weight"])
    assert network.mean == (0.5, 0.5, 0.5), "as timm's description of these weights says"
    with pytest.raises(SegError, match=r"doesn't fit the encoder tu-efficientnet_b0"):
        LRASPP("tu-efficientnet_b0", encoder_weights=str(write_twin(tmp_path, "mobilenetv3_small_100")))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    large = write_twin(tmp_path, "mobilenetv3_large_100")
    with pytest.raises(SegError, match=r"doesn't fit the encoder mobilenet_v3_small: .* is missing|is \("):
        LRASPP("mobilenet_v3_small", encoder_weights=str(large))
    with pytest.raises(SegError, match="There is no file nowhere"):
        LRASPP("mobilenet_v3_small", encoder_weights="nowhere")
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(SegError, match="can't be read as weights"):
        LRASPP("mobilenet_v3_small", encoder_weights=str(tmp_path / "text.safetensors"))
    torch.save({"weights": Path}, tmp_path / "code.pth")
    with pytest.raises(SegError, match="was not loaded"):
        LRASPP("mobilenet_v3_small", encoder_weights=str(tmp_path / "code.pth"))
