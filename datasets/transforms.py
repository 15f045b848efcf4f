"""Augmentation with Albumentations: scale, crop and pad in one warp, flip, colour, and changes that another camera would make.

All random numbers come from a generator that the caller gives, so that a sample is the same whichever worker makes it.
"""

import os
import random
from collections.abc import Sequence
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # its import would ask the network for the newest version

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from datasets.sizes import smaller_hw
from seg.label_sets import IGNORE
from seg.runtime.preprocess import fit_frame, place

UInt8Array = npt.NDArray[np.uint8]

MEAN_RGB = (0.5, 0.5, 0.5)  # the default mean with which our networks normalise


class ScaleCrop(A.DualTransform):
    """Scales by a random factor, then cuts a random window. Outside the frame it has the mean colour and label 255.

    Scaling and cutting are one affine map that uses only the window's pixels, so that no other part of a memory-mapped
    frame is read. It samples at the same points as resizing the whole frame (half-pixel, bilinear; labels nearest),
    with a fraction of the work: at factor 2 a frame has four times its pixels. The call's argument `size` is the share of full
    size that the sample gets: window and factor become as much smaller, so that it shows as much of the street.

    Args:
        crop_hw: full size of the window [px].
        scale_range: bounds of the factor at full size, drawn evenly between them.
        balanced: share of the windows that are placed around a pixel of a class, instead of anywhere. The class is drawn
            evenly from those in the frame.
        padding_rgb: the colour outside the frame, 0 to 1.
        table: (256,) what labels become; 255 must stay. None leaves them.
    """

    def __init__(self, crop_hw: tuple[int, int], scale_range: tuple[float, float], balanced: float = 0.0,
                 padding_rgb: Sequence[float] = MEAN_RGB, table: UInt8Array | None = None) -> None:
        super().__init__(p=1.0)
        self.table = table
        self.crop_hw = crop_hw
        self.scale_range = scale_range
        self.balanced = balanced
        self.padding_rgb = tuple(round(255 * level) for level in padding_rgb)

    @property
    def targets_as_params(self) -> list[str]:
        """What a call must have beside image and mask."""
        return ["size"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws the factor and the window's place: within the frame, or around it if the frame is smaller than the window."""
        crop_hw = smaller_hw(self.crop_hw, data["size"])
        scale = data["size"] * self.py_random.uniform(*self.scale_range)
        slacks = [scale * size - crop for size, crop in zip(params["shape"][:2], crop_hw, strict=True)]
        top, left = (self.py_random.uniform(min(0.0, slack), max(0.0, slack)) for slack in slacks)
        if self.balanced and self.py_random.random() < self.balanced and (pixel := self._pixel(data["mask"])) is not None:
            offsets = (self.py_random.uniform(0.2, 0.8) * crop for crop in crop_hw)  # not always in the middle of the window
            top, left = (min(max(scale * place - offset, min(0.0, slack)), max(0.0, slack))
                         for place, offset, slack in zip(pixel, offsets, slacks, strict=True))
        # A pixel of the window at (x, y) shows the frame at ((x + left + 1/2) / scale - 1/2, ...).
        step = 1 / scale
        matrix = np.array([[step, 0, (round(left) + 0.5) * step - 0.5], [0, step, (round(top) + 0.5) * step - 0.5]])
        return {"matrix": matrix, "crop_hw": crop_hw}

    def _pixel(self, labels: UInt8Array) -> tuple[int, int] | None:
        """Returns a pixel of one of the classes in the frame, None where it has no labels."""
        labels = self._mapped(labels)
        counts = cv2.calcHist([labels], [0], None, [IGNORE + 1], [0, IGNORE + 1])
        present = np.flatnonzero(counts[:IGNORE])
        if not len(present):
            return None
        places = np.flatnonzero(labels.ravel() == self.py_random.choice(present.tolist()))
        return divmod(int(places[self.py_random.randrange(len(places))]), labels.shape[1])

    def _mapped(self, labels: UInt8Array) -> UInt8Array:
        return labels if self.table is None else np.asarray(cv2.LUT(labels, self.table), np.uint8)

    def apply(self, img: UInt8Array, matrix: npt.NDArray[np.float64], crop_hw: tuple[int, int], **params: Any) -> UInt8Array:
        """Warps the frame."""
        return self._warp(img, matrix, crop_hw, cv2.INTER_LINEAR, self.padding_rgb)

    def apply_to_mask(self, mask: UInt8Array, matrix: npt.NDArray[np.float64], crop_hw: tuple[int, int],
                      **params: Any) -> UInt8Array:
        """Warps the labels, without mixing them."""
        return self._mapped(self._warp(mask, matrix, crop_hw, cv2.INTER_NEAREST, (IGNORE,)))

    def _warp(self, image: UInt8Array, matrix: npt.NDArray[np.float64], crop_hw: tuple[int, int], how: int,
              fill: tuple[int, ...]) -> UInt8Array:
        height, width = crop_hw
        left, top = matrix[:, 2].tolist()
        inside = 0 <= top <= image.shape[0] - height and 0 <= left <= image.shape[1] - width
        if matrix[0, 0] == 1 and inside:  # no warp: the same pixels, in a tenth of the time
            return image[int(top):int(top) + height, int(left):int(left) + width]
        return np.asarray(cv2.warpAffine(image, matrix, (width, height), flags=how | cv2.WARP_INVERSE_MAP,
                                         borderMode=cv2.BORDER_CONSTANT, borderValue=fill), np.uint8)


Pair = tuple[UInt8Array, UInt8Array]
LARGE_SHARE = 0.15  # of a picture; classes that fill more are seen often enough


def paste_class(sample: Pair, donor: Pair, classes: int, random: np.random.Generator) -> Pair:
    """Copies all pixels of one class from a sample to another one, to the same place.

    Args:
        sample: image (H, W, 3) and labels (H, W) that are copied into; left as they are.
        donor: those that are copied from, of the same size.
        classes: labels from there up are no classes.
        random: draws the class, evenly, from those in the donor that fill at most 15% of it.
    """
    counts = np.bincount(donor[1].ravel(), minlength=IGNORE + 1)[:min(classes, IGNORE)]
    rare = np.flatnonzero((counts > 0) & (counts <= LARGE_SHARE * donor[1].size))
    if not len(rare):
        return sample
    chosen = donor[1] == random.choice(rare)
    image, labels = sample[0].copy(), sample[1].copy()
    image[chosen], labels[chosen] = donor[0][chosen], donor[1][chosen]
    return image, labels


def borrow_colors(image_rgb: UInt8Array, donor_rgb: UInt8Array) -> UInt8Array:
    """Gives a picture the colours of another one: its mean and standard deviation in each channel of CIELAB.

    As in E. Reinhard et al., *Color Transfer between Images* (2001), who use another space of lightness and opposed colours.

    Args:
        image_rgb: (H, W, 3); left as it is.
        donor_rgb: another picture of any size.
    """
    lab = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2LAB)
    mean, spread = cv2.meanStdDev(lab)
    new_mean, new_spread = cv2.meanStdDev(cv2.cvtColor(donor_rgb, cv2.COLOR_RGB2LAB))
    # A picture of one colour has no spread to stretch; noise isn't stretched to a picture either.
    gain = np.minimum(new_spread / np.maximum(spread, 1), 4)
    levels = np.arange(256)[:, None]
    table = np.clip(np.rint((levels - mean.T) * gain.T + new_mean.T), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.LUT(lab, table[None]), cv2.COLOR_LAB2RGB), np.uint8)


class Fitted:
    """Brings frames for evaluation to the size at which the network will run, as `infer.py` does.

    Args:
        long_side: longer side of the scaled frames [px]; their labels keep the frame's own size. None for frames of their own
            size; they are extended to sides that are multiples of 16, with labels that are ignored.
        padding_rgb: the colour outside the frame, 0 to 1.
    """

    def __init__(self, long_side: int | None, padding_rgb: Sequence[float] = MEAN_RGB) -> None:
        self.long_side = long_side
        self.padding_rgb = padding_rgb

    def size_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Returns the (H, W) that a frame gets."""
        return place(frame_hw, None, "stretch", self.long_side).size_hw

    def __call__(self, image_rgb: UInt8Array, train_ids: UInt8Array, key: tuple[int, ...], size: float = 1.0) -> Pair:
        """Returns the frame for the network, and its labels."""
        placement = place(image_rgb.shape[:2], None, "stretch", self.long_side)
        image = fit_frame(image_rgb, placement, tuple(self.padding_rgb[::-1]))  # it expects BGR
        if self.long_side is not None:
            return image, train_ids
        below, right = (image.shape[axis] - train_ids.shape[axis] for axis in (0, 1))
        labels = cv2.copyMakeBorder(train_ids, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(IGNORE,))
        return image, np.asarray(labels, np.uint8)


class Augmentation:
    """Random scale, crop, horizontal flip, colours and camera, drawn from (seed, epoch, index) alone.

    Args:
        crop_hw: full size of the output [px].
        scale_range: bounds of the random factor at full size.
        flip: whether half of the samples are mirrored.
        color_jitter: brightness, contrast and saturation change by up to this share; 0 leaves colours alone.
        camera_jitter: how often each change that another camera would make is applied: another white balance and gamma, blur or
            lower resolution, noise, JPEG's losses. 0 is never.
        balanced_crops: share of the windows around a pixel of a class that is drawn evenly, see `ScaleCrop`.
        padding_rgb: the colour outside the frame, 0 to 1.
        table: (256,) what labels become; None leaves them.
    """

    def __init__(self, crop_hw: tuple[int, int], scale_range: tuple[float, float], flip: bool, color_jitter: float,
                 camera_jitter: float = 0.0, balanced_crops: float = 0.0, padding_rgb: Sequence[float] = MEAN_RGB,
                 table: UInt8Array | None = None) -> None:
        steps: list[A.BasicTransform] = [ScaleCrop(crop_hw, scale_range, balanced_crops, padding_rgb, table)]
        if flip:
            steps.append(A.HorizontalFlip(p=0.5))
        if color_jitter:
            # Hue is not changed: its two conversions cost more than all the rest, and colours in a street have a meaning.
            steps.append(A.ColorJitter(brightness=(1 - color_jitter, 1 + color_jitter), hue=(0, 0), p=1.0,
                                       contrast=(1 - color_jitter, 1 + color_jitter),
                                       saturation=(1 - color_jitter, 1 + color_jitter)))
        if camera_jitter:
            p = camera_jitter
            steps += [
                A.RGBShift(r_shift_limit=20, g_shift_limit=20, b_shift_limit=20, p=p),
                A.RandomGamma(gamma_limit=(60, 160), p=p),
                A.OneOf([A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.5)), A.Downscale(scale_range=(0.4, 0.9))], p=p),
                A.GaussNoise(std_range=(0.01, 0.06), noise_scale_factor=0.5, p=p / 2),  # it costs as much as all the rest
                A.ImageCompression(quality_range=(30, 90), p=p),
            ]
        self._steps = A.Compose(steps)

    def __call__(self, image_rgb: UInt8Array, train_ids: UInt8Array, key: tuple[int, ...], size: float = 1.0) -> Pair:
        """Returns the augmented pair (crop_h, crop_w, 3) and (crop_h, crop_w).

        Args:
            image_rgb: (H, W, 3).
            train_ids: (H, W).
            key: decides what is drawn, such as (seed, epoch, index).
            size: share of full size, see `ScaleCrop`.
        """
        generator = np.random.default_rng(key)
        self._steps.set_random_state(generator, random.Random(int(generator.integers(2**62))))
        result = self._steps(image=image_rgb, mask=train_ids, size=size)
        return result["image"], result["mask"]
