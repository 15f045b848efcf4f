"""How much memory a training and its validation take, so that one that is too large is refused before it starts."""

from collections.abc import Callable
from copy import deepcopy

import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from seg.errors import SegError
from seg.machine import available_memory_bytes
from seg.models import SegmentationNetwork

_PROBE_HW = (128, 128)
# The peak of a step, as a multiple of what the forward pass keeps for the backward pass: 1.20 was measured with row 11 on two
# crops of 512x512, one thread, 2026-11-27.
_BACKWARD = 1.25
# At the peak, for a frame with 19 classes: 184 were measured with row 8 on 1024x2048, 72 with row 11 on 3000x4000, the same day.
_VALIDATION_BYTES_PER_PIXEL = 200


def kept_bytes_per_pixel(network: SegmentationNetwork, loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Returns how many bytes the forward pass keeps for the backward pass, per pixel of a batch; measured on a tiny batch.

    Args:
        network: it is not changed.
        loss: maps scores (N, C, h, w) and labels (N, H, W) to the loss.
    """
    tried, storages = deepcopy(network).train(), dict[int, torch.UntypedStorage]()
    own = {parameter.untyped_storage().data_ptr() for parameter in tried.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage  # kept alive, so that no other storage gets the same address
        return tensor

    images = torch.zeros(2, 3, *_PROBE_HW, dtype=torch.uint8, device=next(tried.parameters()).device)
    labels = torch.zeros(2, *_PROBE_HW, dtype=torch.int64, device=images.device)
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss(tried.logits(images), labels)
    return sum(storage.nbytes() for storage in storages.values()) / labels.numel()


def check_memory(kept_per_pixel: float, crop_hw: tuple[int, int], batch_size: int, frame_hw: tuple[int, int] | None,
                 val_batch_size: int, available: int | None = None) -> None:
    """Reports how much memory a step and a validation take, and refuses them if the machine has too little.

    Args:
        kept_per_pixel: see `kept_bytes_per_pixel`.
        crop_hw: size of the training samples.
        batch_size: batch size of a step, in this process.
        frame_hw: the largest validated frame; None if there is no validation.
        val_batch_size: number of frames that are validated at once.
        available: memory that may be used [bytes]; None asks the system.

    Raises:
        SegError: the machine has too little memory.
    """
    free = available_memory_bytes() if available is None else available
    needs = [(_BACKWARD * kept_per_pixel * batch_size * crop_hw[0] * crop_hw[1],
              f"a step on {batch_size} samples of {crop_hw[0]}x{crop_hw[1]}", "Lower --data.batch_size or --data.crop_hw.")]
    if frame_hw is not None:
        needs.append((_VALIDATION_BYTES_PER_PIXEL * val_batch_size * frame_hw[0] * frame_hw[1],
                      f"validation on frames of up to {frame_hw[0]}x{frame_hw[1]}", "Shrink pictures and labels alike."))
    said = " and ".join(f"{what} about {needed / 1e9:.1f} GB" for needed, what, _ in needs)
    if free is None:
        rank_zero_info(f"Of memory, {said}.")
        return
    for needed, what, remedy in needs:
        if needed > free:
            raise SegError(f"{what[0].upper()}{what[1:]} takes about {needed / 1e9:.1f} GB of memory, and "
                           f"{free / 1e9:.1f} GB are free. {remedy}")
    rank_zero_info(f"Memory: {said}; {free / 1e9:.1f} GB are free.")
