"""The fast layers for training on a processor give the results of torch's own layers."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from seg.models import LRASPP
from seg.models.blocks import ConvNorm
from seg.training import memory
from seg.training.layers import speed_up


def both(module: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Returns the module in double precision with torch's layers, and a copy with the fast ones in single precision."""
    fast = copy.deepcopy(module)
    speed_up(fast)
    assert any(type(one) is not type(other) for one, other in zip(fast.modules(), module.modules(), strict=True))
    return module.double().train(), fast.train().to(memory_format=torch.channels_last)


def check_alike(module: nn.Module, x: torch.Tensor, tolerance: float = 2e-4) -> None:
    """Compares output, gradients and buffers of the two, relative to the largest value of each."""
    results = []
    for network, inputs in zip(both(module), (x.double(), x.to(memory_format=torch.channels_last)), strict=True):
        inputs = inputs.clone(memory_format=torch.preserve_format).requires_grad_()
        out = network(inputs)
        slopes = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
        out.backward(slopes)
        results.append([out, inputs.grad, *(p.grad for p in network.parameters()), *network.buffers()])
    for place, (truth, found) in enumerate(zip(*results, strict=True)):
        scale = truth.abs().max().clamp_min(1e-3)
        assert (found.double() - truth).abs().max() <= tolerance * scale, f"tensor {place} of {tuple(truth.shape)}"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("activation", [None, nn.ReLU, nn.ReLU6, nn.Hardswish])
@pytest.mark.parametrize(("channels", "out", "kernel", "stride", "groups", "size_hw"), [
    (16, 24, 1, 1, 1, (8, 12)), (16, 24, 1, 1, 1, (7, 9)), (24, 24, 5, 1, 24, (9, 13)), (24, 24, 5, 2, 24, (13, 10)),
    (40, 40, 3, 2, 40, (8, 7)), (3, 16, 3, 2, 1, (16, 16)), (12, 12, 5, 1, 12, (6, 6)),
], ids=["pointwise", "odd pointwise", "depthwise", "strided", "3x3", "stem", "12 channels"])
def test_convolution_and_norm_train_as_torchs(activation: type[nn.Module] | None, channels: int, out: int, kernel: int,
                                              stride: int, groups: int, size_hw: tuple[int, int], threads: int) -> None:
    torch.manual_seed(0)
    module = ConvNorm(channels, out, kernel, stride, groups, activation)
    nn.init.normal_(module.norm.weight)
    nn.init.normal_(module.norm.bias)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check_alike(module, torch.randn(3, channels, *size_hw) * 2 + 5)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dilation", [2, 4])
def test_dilated_convolutions_train_as_torchs(dilation: int) -> None:
    torch.manual_seed(0)
    for size_hw in ((16, 24), (15, 24)):  # with complete phases, and without
        module = nn.Sequential(nn.Conv2d(16, 16, 5, padding=2 * dilation, dilation=dilation, groups=16, bias=False))
        check_alike(module, torch.randn(2, 16, *size_hw))


@pytest.mark.parametrize("name", ["mobilenet_v3_small_rf2", "mobilenet_v3_large_rf2"])
def test_a_network_trains_as_with_torchs_layers(name: str) -> None:
    torch.manual_seed(0)
    plain = LRASPP(name, classes=5, pool="global").to(memory_format=torch.channels_last).train()
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    fast = copy.deepcopy(plain)
    speed_up(fast)
    slopes = torch.randn(2, 5, 8, 12)
    for one in (plain, fast):
        one.logits(images).backward(slopes)
    torch.testing.assert_close(fast.logits(images), plain.logits(images), rtol=1e-3, atol=1e-3)
    for (place, found), truth in zip(fast.named_parameters(), plain.parameters(), strict=True):
        assert found.grad is not None and truth.grad is not None
        assert (found.grad - truth.grad).norm() <= 2e-3 * truth.grad.norm() + 1e-4, place
    assert fast.state_dict().keys() == plain.state_dict().keys()
    fast.eval(), plain.load_state_dict(fast.state_dict())
    torch.testing.assert_close(fast(images), plain.eval()(images), rtol=0, atol=0)


def test_what_the_fast_layers_are_not_for_goes_torchs_way() -> None:
    torch.manual_seed(0)
    plain = ConvNorm(16, 16, 5, groups=16, activation=nn.Hardswish).train()
    fast = copy.deepcopy(plain)
    speed_up(fast)
    x = torch.randn(2, 16, 9, 9)  # channels first
    torch.testing.assert_close(fast(x), plain(x), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fast(x.to(memory_format=torch.channels_last)), plain(x.to(memory_format=torch.channels_last)),
                                   rtol=0, atol=0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_freed_memory_is_kept() -> None:
    # Importing the package `seg.training` would take longer than all the rest.
    code = (f"import resource, runpy, torch\nkeep_freed_memory = runpy.run_path({memory.__file__!r})['keep_freed_memory']\n"
            "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "def taken():\n"
            "    for _ in range(12): torch.ones(10**7)\n"  # the first allocations may leave a hole that is too small
            "    before = faults()\n"
            "    for _ in range(5): torch.ones(10**7)\n"
            "    return faults() - before\n"
            "print(taken(), keep_freed_memory(), taken())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    without, with_it = int(done[0]), int(done[2])
    assert done[1] == "True"
    if not without:
        pytest.skip("this C library keeps it by itself")
    assert with_it < without / 10
