"""The memory that training takes: counted, reported and refused beforehand; whole frames are scored in bands."""

import ctypes
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from datasets import sizes
from datasets.module import SegmentationData
from seg.errors import SegError
from seg.models import LRASPP
from seg.training import bands as bands_module
from seg.training import footprint
from seg.training.bands import bands
from seg.training.losses import SegmentationLoss


class Largest(TorchDispatchMode):
    """Records the largest tensor that is created."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numel = max(self.numel, made.numel() if isinstance(made, Tensor) else 0)
        return made


@pytest.mark.parametrize("size_hw", [(64, 96), (61, 93), (5, 7), (8, 200)])
def test_bands_are_the_labels_of_the_whole(size_hw: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(2, 5, -(-size_hw[0] // 8), -(-size_hw[1] // 8), generator=torch.Generator().manual_seed(0))
    expected = interpolate(logits, size_hw, mode="bilinear", align_corners=False).argmax(1)
    for limit in (10**9, 2 * 5 * size_hw[1] * 6, 1):
        monkeypatch.setattr(bands_module, "_BAND_SCORES", limit)
        found = torch.full_like(expected, -1)
        with Largest() as largest:
            for rows, labels in bands(logits, size_hw):
                found[:, rows] = labels
        assert (found == expected).float().mean() > 0.999
        assert limit == 1 or largest.numel <= max(limit, found.numel())


class Tiny(nn.Module):
    """Keeps the input of its convolution and the output of its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)

    def logits(self, images: Tensor) -> Tensor:
        return torch.relu(self.conv(images.float()))


def test_what_is_kept_is_counted_and_the_network_left_alone() -> None:
    network: Any = Tiny()
    assert footprint.kept_bytes_per_pixel(network, lambda scores, labels: scores.sum()) == 4 * (3 + 5)
    large = LRASPP("mobilenet_v3_small_rf2", classes=5)
    before, state = {name: value.clone() for name, value in large.state_dict().items()}, torch.random.get_rng_state()
    loss = SegmentationLoss()
    loss.prepare(5, (), lambda: np.ones(5, np.int64))
    kept = footprint.kept_bytes_per_pixel(large, lambda scores, labels: loss(scores, labels, 0))
    assert all(torch.equal(value, before[name]) for name, value in large.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    # What the check of a folder says is of layers that are sped up on a processor, which keep about a fifth less.
    assert 0.7 * kept * footprint._BACKWARD < sizes.STEP_BYTES_PER_PIXEL < 1.1 * kept * footprint._BACKWARD
    assert sizes.VALIDATION_BYTES_PER_PIXEL == footprint._VALIDATION_BYTES_PER_PIXEL


def test_what_does_not_fit_is_refused_beforehand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SegError, match=r"A step on 4 samples of 2240x3008 takes about 11\.\d GB of memory, and 8\.0 GB "
                                       r"are free\. Lower --data\.batch_size or --data\.crop_hw"):
        footprint.check_memory(330, (2240, 3008), 4, (3000, 4000), 1, available=8 * 10**9)
    with pytest.raises(SegError, match=r"Validation on frames of up to 9000x9000 takes about .* Shrink"):
        footprint.check_memory(330, (320, 320), 4, (9000, 9000), 1, available=8 * 10**9)
    footprint.check_memory(330, (320, 320), 4, None, 1, available=8 * 10**9)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux forgets an earlier peak")
def test_a_loader_holds_its_batch_and_one_picture_decoded(tmp_path: Path) -> None:
    def memory(kind: str) -> int:
        return 1024 * int(Path("/proc/self/status").read_text().split(f"{kind}:")[1].split()[0])

    for folder, suffix, image in (("train", ".jpg", np.full((3000, 4000, 3), 90, np.uint8)),
                                  ("trainannot", ".png", np.full((3000, 4000), 3, np.uint8))):
        (tmp_path / folder).mkdir()
        encoded = cv2.imencode(suffix, image)[1].tobytes()
        for index in range(4):
            (tmp_path / folder / f"{index}{suffix}").write_bytes(encoded)
    del image

    taken = dict[bool, int]()
    for cache in (False, True):
        data = SegmentationData(str(tmp_path), crop_hw=(512, 512), batch_size=4, workers=0, cache=cache)
        ctypes.CDLL(None).malloc_trim(0)  # memory that is free but still with the process would hide what is taken
        Path("/proc/self/clear_refs").write_text("5")
        before, loader = memory("VmRSS"), data.train_dataloader()
        assert [batch["image"].shape[0] for _ in range(2) for batch in loader] == [4, 4]
        taken[cache] = memory("VmHWM") - before
    three_decoded = 3 * 4 * 3000 * 4000
    assert taken[False] < three_decoded < taken[True], taken
