"""Frames at another size, compared with OpenCV's."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import make_frame

from seg.runtime.resize import resize

SIDES = st.integers(1, 90)


def by_opencv(frame: np.ndarray, size_hw: tuple[int, int], how: int) -> np.ndarray:
    return cv2.resize(frame, size_hw[::-1], interpolation=how).reshape(*size_hw, 3)


@given(SIDES, SIDES, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 2**32 - 1), st.integers(1, 4))
@example(90, 90, 1.0, 0.5, 0, 1)  # one axis alone
@example(90, 90, 0.01, 0.01, 0, 3)  # to one pixel
@example(40, 40, 0.75, 0.75, 0, 3)
@settings(max_examples=60, deadline=None)
def test_shrinks_by_area(height: int, width: int, down: float, across: float, seed: int, threads: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 2, (height, width, 3), np.uint8) * np.uint8(255)  # the hardest case
    size_hw = max(1, round(height * down)), max(1, round(width * across))
    found = resize(frame, size_hw, threads)
    assert found.shape == (*size_hw, 3) and found.flags.c_contiguous
    far = np.abs(found.astype(int) - by_opencv(frame, size_hw, cv2.INTER_AREA)).max()
    factor = max(height / size_hw[0], width / size_hw[1])
    assert far <= (2 if factor <= 3 else 2 + factor / 8), "weights have eight bits"


def test_a_level_stays_as_it_is() -> None:
    for level in (0, 1, 127, 128, 254, 255):
        assert (resize(np.full((67, 101, 3), level, np.uint8), (23, 44)) == level).all()


@pytest.mark.parametrize("size_hw", [(60, 80), (60, 30), (20, 80)])
def test_enlarges_bilinearly(size_hw: tuple[int, int]) -> None:
    """Also if only one side grows."""
    frame = make_frame(40, 50)
    np.testing.assert_array_equal(resize(frame, size_hw), by_opencv(frame, size_hw, cv2.INTER_LINEAR))


def test_leaves_the_frame_alone() -> None:
    frame = make_frame(40, 50)
    before = frame.copy()
    assert resize(frame, (40, 50)) is frame
    frame.flags.writeable = False
    assert resize(frame, (30, 20)).flags.writeable
    np.testing.assert_array_equal(frame, before)
