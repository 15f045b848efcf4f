"""Labels by a teacher: averaged over several scales and mirroring; unsure pixels are ignored, a coarser truth is respected."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seg.architecture import MIN_SIZE
from seg.errors import SegError
from seg.label_sets import IGNORE
from seg.models.network import resize
from seg.runtime.preprocess import fit_frame, place
from seg.training.teacher import Teacher

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Looks:
    """How a teacher looks at a picture, and when it counts as sure.

    Attributes:
        long_side: longer side to which pictures are scaled first [px]; None keeps their own size.
        scales: factors of that size; the probabilities at all of them are averaged.
        mirror: whether the mirrored picture is used, too.
        sure: smallest probability of a label; pixels below it are ignored.
        sure_within: the same within a coarser truth, of the probabilities among its classes only.

    Raises:
        SegError: a number is out of range.
    """

    long_side: int | None = None
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)
    mirror: bool = True
    sure: float = 0.7
    sure_within: float = 0.5

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise SegError(f"The scales are {', '.join(f'{scale:g}' for scale in self.scales) or 'none'}; each must be above 0.")
        for name, value in (("sure", self.sure), ("sure_within", self.sure_within)):
            if not 0 <= value <= 1:
                raise SegError(f"{name} is {value:g}; it must lie between 0 and 1.")
        if self.long_side is not None and self.long_side < MIN_SIZE:
            raise SegError(f"The long side is {self.long_side}; it must be at least {MIN_SIZE}.")


def probabilities(teacher: Teacher, image_rgb: UInt8Array, looks: Looks) -> Tensor:
    """Returns the averaged probabilities (C, H, W) of a picture (H, W, 3) uint8 RGB, at its own size.

    Raises:
        SegError: the teacher gives no scores, or more or fewer than it has classes.
    """
    size_hw = (image_rgb.shape[0], image_rgb.shape[1])
    total: Tensor | None = None
    for scale in looks.scales:
        placement = place(size_hw, None, "stretch", round(scale * (looks.long_side or max(size_hw))))
        image = torch.from_numpy(fit_frame(image_rgb, placement, ())).permute(2, 0, 1)[None]
        for mirrored in (False, True)[: 1 + looks.mirror]:
            scores = teacher(image.flip(3) if mirrored else image).scores
            if scores is None:
                raise SegError("The teacher is only an encoder, which gives no labels.")
            if scores.shape[1] != len(teacher.classes):
                raise SegError(f"The teacher gives {scores.shape[1]} scores per pixel, and {len(teacher.classes)} of its classes "
                               "are named.")
            found = resize(scores.flip(3) if mirrored else scores, size_hw).softmax(1)[0]
            total = found if total is None else total + found
    assert total is not None
    return total / (len(looks.scales) * (1 + looks.mirror))


def label(teacher: Teacher, image_rgb: UInt8Array, looks: Looks, truth: UInt8Array | None = None,
          allowed: Sequence[Sequence[int]] = ()) -> UInt8Array:
    """Labels a picture.

    Args:
        teacher: the labels are its classes.
        image_rgb: (H, W, 3) uint8.
        looks: how the teacher looks at the picture.
        truth: (H, W) uint8, what is known: an index into `allowed`, 255 where nothing is known.
        allowed: for each class of the truth, the teacher's classes that it may be; if there are none, its pixels are ignored.

    Returns:
        (H, W) uint8: the index of a class, or 255 where ignored.

    Raises:
        SegError: see `probabilities`.
    """
    found = probabilities(teacher, image_rgb, looks)
    if truth is None:
        best, labels = found.max(0)
        return labels.where(best >= looks.sure, IGNORE).to(torch.uint8).numpy()
    may_be, only = torch.zeros(256, len(found)), torch.full((256,), IGNORE)
    may_be[IGNORE] = 1
    for index, members in enumerate(allowed):
        may_be[index, list(members)] = 1
        if len(members) == 1:
            only[index] = members[0]
    known = torch.from_numpy(truth).long()
    found = found * may_be[known].permute(2, 0, 1)
    mass = found.sum(0)
    best, labels = found.max(0)
    sure = torch.where(known != IGNORE, best >= looks.sure_within * mass, best >= looks.sure)
    labels = labels.where(sure & (mass > 0), IGNORE)
    # If only one class is allowed, the pixel gets it whatever the teacher predicts.
    return labels.where(only[known] == IGNORE, only[known]).to(torch.uint8).numpy()


__all__ = ["Looks", "label", "probabilities"]
