"""Augmentation: exact where it can be checked, determined only by its key, and without any network access."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from datasets.transforms import Augmentation, borrow_colors, paste_class
from seg.label_sets import IGNORE


def ramp(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], 2).astype(np.uint8)


def place(window: np.ndarray, frame: np.ndarray) -> tuple[int, int]:
    """Returns the top left corner at which `window` fits best into `frame`."""
    _, _, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(frame, window, cv2.TM_SQDIFF))
    return top, left


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_one_warp_equals_resize_then_crop(scale: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
    frame = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.uint8, copy=False)
    labels = np.random.default_rng(1).integers(0, 11, (20, 25), np.uint8).repeat(8, 0).repeat(8, 1)
    augmentation = Augmentation((48, 64), (scale, scale), flip=False, color_jitter=0)
    resized = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    resized_labels = cv2.resize(labels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    for index in range(5):
        image, train_ids = augmentation(frame, labels, (0, 0, index))
        top, left = place(image, resized)
        part = np.s_[top : top + 48, left : left + 64]
        assert np.abs(image[1:-1, 1:-1].astype(int) - resized[part][1:-1, 1:-1]).max() <= 3
        assert (train_ids == resized_labels[part]).mean() > (0.999 if scale >= 1 else 0.7)  # at 1/2, nearest is a tie


def test_a_smaller_sample_shows_the_same_part_of_the_street() -> None:
    frame, labels = ramp(300, 400), np.arange(300 * 400, dtype=np.uint32).reshape(300, 400) // (30 * 400)
    augmentation = Augmentation((128, 192), (0.7, 1.4), True, 0.3, balanced_crops=0.5)
    for index in range(12):
        full, small = (augmentation(frame, labels.astype(np.uint8), (0, 0, index), size) for size in (1.0, 0.5))
        assert small[0].shape == (64, 96, 3) and small[1].shape == (64, 96)
        halved = cv2.resize(full[0], (96, 64), interpolation=cv2.INTER_LINEAR)
        assert np.abs(halved.astype(int) - small[0])[1:-1, 1:-1].max() <= 4  # the frame's edge is mixed with padding
        assert (full[1][::2, ::2] == small[1]).mean() > 0.85  # stripes of 21 to 42 rows, and places are rounded to pixels
    assert augmentation(frame, labels.astype(np.uint8), (0, 0, 0), 0.7)[1].shape == (96, 128), "whole 32 px"


def test_labels_stay_with_their_pixels() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40, 30:70] = 7
    frame = np.repeat(labels[:, :, None] * 30, 3, 2)  # 210 where the label is 7
    augmentation = Augmentation((64, 64), (0.5, 2.0), flip=True, color_jitter=0)
    for index in range(20):
        image, train_ids = augmentation(frame, labels, (0, 0, index))
        level = image[:, :, 0]
        sure = (train_ids != IGNORE) & ((level < 5) | (level > 205))  # neither an edge nor mixed with padding
        assert sure.any() and np.array_equal(level[sure] > 100, train_ids[sure] == 7)


def test_padding_is_the_mean_and_ignored() -> None:
    augmentation = Augmentation((96, 96), (0.5, 0.5), flip=True, color_jitter=0, padding_rgb=(0.1, 0.5, 0.9))
    frame, labels = np.full((40, 40, 3), 250, np.uint8), np.full((40, 40), 3, np.uint8)
    corners = set()
    for index in range(8):
        image, train_ids = augmentation(frame, labels, (0, 0, index))
        assert (train_ids == 3).sum() == 20 * 20 and (train_ids == IGNORE).sum() == 96 * 96 - 20 * 20
        far = cv2.dilate((train_ids == 3).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        assert (image[far] == (26, 128, 230)).all()
        corners.add(tuple(np.argwhere(train_ids == 3)[0]))
    assert len(corners) > 4  # a frame that is smaller than the window lies anywhere in it


def test_draws_depend_on_the_key_alone() -> None:
    frame, labels = ramp(60, 80), np.zeros((60, 80), np.uint8)
    one, other = (Augmentation((32, 48), (0.5, 2.0), flip=True, color_jitter=0.3) for _ in range(2))
    keys = [(seed, epoch, index) for seed in range(2) for epoch in range(2) for index in range(2)]
    forward = {key: one(frame, labels, key)[0] for key in keys}
    backward = {key: other(frame, labels, key)[0] for key in reversed(keys)}
    assert all(np.array_equal(forward[key], backward[key]) for key in keys)
    assert len({image.tobytes() for image in forward.values()}) == len(keys)


def test_flip_and_colors_can_be_switched_off() -> None:
    frame, labels = ramp(40, 50), np.zeros((40, 50), np.uint8)

    def variants(flip: bool, color_jitter: float) -> list[np.ndarray]:
        augmentation = Augmentation((40, 50), (1.0, 1.0), flip, color_jitter)
        return [augmentation(frame, labels, (0, 0, index))[0] for index in range(12)]

    assert all(np.array_equal(image, frame) for image in variants(False, 0))
    mirrored = [bool(image[0, 0, 0] > image[0, -1, 0]) for image in variants(True, 0)]
    assert 0 < sum(mirrored) < 12
    assert len({image.tobytes() for image in variants(False, 0.3)}) == 12


def test_what_another_camera_does_leaves_labels_alone_and_can_be_switched_off() -> None:
    frame, labels = ramp(60, 80), np.arange(60 * 80, dtype=np.uint32).reshape(60, 80).astype(np.uint8) // 13
    plain, often = (Augmentation((60, 80), (1.0, 1.0), False, 0, camera_jitter=jitter) for jitter in (0.0, 1.0))
    pictures = []
    for index in range(6):
        image, train_ids = often(frame, labels, (0, 0, index))
        assert image.shape == frame.shape and image.dtype == np.uint8 and np.array_equal(train_ids, labels)
        assert np.array_equal(plain(frame, labels, (0, 0, index))[0], frame)
        pictures.append(image)
    assert len({picture.tobytes() for picture in pictures}) == 6
    assert all(np.abs(picture.astype(int) - frame).max() > 10 for picture in pictures)
    assert all(np.corrcoef(picture.ravel(), frame.ravel())[0, 1] > 0.8 for picture in pictures), "still the same street"


def test_balanced_windows_find_what_is_rare() -> None:
    labels = np.zeros((200, 400), np.uint8)
    labels[90:96, 300:306] = 5  # a thousandth of the frame
    labels[:20] = IGNORE
    frame = np.zeros((200, 400, 3), np.uint8)
    found = {balanced: sum((Augmentation((48, 48), (0.7, 1.4), True, 0, balanced_crops=balanced)(
        frame, labels, (0, 0, index))[1] == 5).any() for index in range(60)) for balanced in (0.0, 1.0)}
    assert found[0.0] < 15 and 18 < found[1.0] < 50, "half of the windows, since the frame holds two classes"
    nothing = np.full((200, 400), IGNORE, np.uint8)
    image, train_ids = Augmentation((48, 48), (1.0, 1.0), False, 0, balanced_crops=1.0)(frame, nothing, (0, 0, 0))
    assert image.shape == (48, 48, 3) and (train_ids == IGNORE).all()


def test_a_rare_class_is_copied_and_nothing_else() -> None:
    labels, theirs = np.zeros((40, 50), np.uint8), np.full((40, 50), 3, np.uint8)
    theirs[10:20, 5:15], theirs[30:35, 30:40], theirs[0, :] = 7, 9, IGNORE
    theirs[25, :10] = 12  # a set, with 11 classes
    frame, other = np.full((40, 50, 3), 10, np.uint8), ramp(40, 50) // 2 + 100
    seen = set()
    for seed in range(12):
        image, train_ids = paste_class((frame, labels), (other, theirs), 11, np.random.default_rng(seed))
        pasted = train_ids != 0
        value = int(train_ids[pasted][0])
        seen.add(value)
        assert np.array_equal(pasted, theirs == value)
        assert np.array_equal(image[pasted], other[pasted]) and (image[~pasted] == 10).all()
    assert seen == {7, 9}
    assert not labels.any() and (frame == 10).all(), "what came in is left alone"
    assert paste_class((frame, labels), (other, np.full_like(labels, 3)), 11, np.random.default_rng(0)) == (frame, labels)


def test_borrowed_colours_have_the_mean_and_deviation_of_their_picture() -> None:
    def statistics(rgb: np.ndarray) -> np.ndarray:
        return np.concatenate(cv2.meanStdDev(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)))

    random = np.random.default_rng(0)
    grey = np.clip(random.normal(0, 12, (60, 80, 1)) + random.normal(100, 5, (60, 80, 3)), 0, 255).astype(np.uint8)
    warm = np.clip(random.normal(0, 25, (40, 50, 1)) + random.normal((170, 140, 90), 8, (40, 50, 3)), 0, 255).astype(np.uint8)
    before = grey.copy()
    found = borrow_colors(grey, warm)
    assert np.abs(statistics(found) - statistics(warm)).max() < 1.5 < np.abs(statistics(grey) - statistics(warm)).max()
    assert found.shape == grey.shape and np.array_equal(grey, before)
    assert np.abs(borrow_colors(grey, grey).astype(int) - grey).max() <= 3, "its own colours change nothing but for rounding"
    plain = borrow_colors(np.full((8, 8, 3), 60, np.uint8), warm)
    assert np.ptp(plain, (0, 1)).max() == 0, "what has one colour keeps one"


def test_import_asks_no_network() -> None:
    code = ("import socket\nasked = []\ndef refuse(*args, **kwargs):\n    asked.append(args)\n    raise OSError\n"
            "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
            "import datasets.transforms\nassert not asked, asked")
    subprocess.run([sys.executable, "-c", code], check=True)
