"""The kernel compared with torch's float64 interpolation and argmax."""

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from seg.errors import SegError
from seg.runtime.upsample import upsample_argmax

KINDS = ("noise", "blobs", "constant", "few values", "huge and tiny", "near ties", "ramps")


def make_scores(kind: str, classes: int, height: int, width: int, seed: int) -> np.ndarray:
    """Returns scores (C, h, w) that are difficult in one way or another."""
    random = np.random.default_rng(seed)
    noise: np.ndarray = random.normal(size=(classes, height, width))
    if kind == "blobs":  # as from real networks: large regions of one class
        noise = noise.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    elif kind == "constant":
        noise = np.full_like(noise, 3.25)
    elif kind == "few values":  # many exact ties at the corners
        noise = random.integers(-1, 2, noise.shape)
    elif kind == "huge and tiny":
        noise = noise * 10.0 ** random.integers(-20, 20, noise.shape)
    elif kind == "near ties":  # float32 sums can't distinguish them
        noise = 1000 + random.integers(0, 3, noise.shape) * 6.1035e-05
    elif kind == "ramps":  # each class wins somewhere between corners, and the corners' winners say little about it
        y, x = np.mgrid[:height, :width]
        angle = random.uniform(0, 7, (classes, 1, 1))
        noise = np.cos(angle) * x + np.sin(angle) * y + random.normal(size=(classes, 1, 1))
    return noise.astype(np.float32)


def float64_scores(scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Returns the reference's interpolated scores (C, H, W) in float64."""
    tensor = torch.from_numpy(scores.astype(np.float64))[None]
    return F.interpolate(tensor, size=size_hw, mode="bilinear", align_corners=False)[0].numpy()


def check_winners(train_ids: np.ndarray, reference: np.ndarray) -> None:
    """Checks that every chosen class has the highest reference score, to within float64's rounding (a tie)."""
    chosen = np.take_along_axis(reference, train_ids[None].astype(np.int64), 0)[0]
    rounding = 1e-14 * np.abs(reference).max(0) + 1e-300
    wrong = reference.max(0) - chosen > rounding
    # Corners far larger than what lies between them leave their own rounding behind.
    assert not wrong.any() or (reference.max(0) - chosen)[wrong].max() <= 1e-14 * np.abs(reference).max()


sizes = st.integers(1, 40)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), classes=st.integers(1, 21), height=st.integers(1, 12), width=st.integers(1, 12),
       out_height=sizes, out_width=sizes, threads=st.integers(1, 3), seed=st.integers(0, 2**16))
@example(kind="blobs", classes=19, height=12, width=12, out_height=96, out_width=96, threads=1, seed=0)
@example(kind="noise", classes=255, height=3, width=2, out_height=24, out_width=16, threads=2, seed=0)
@example(kind="noise", classes=5, height=1, width=1, out_height=9, out_width=7, threads=2, seed=0)
@example(kind="noise", classes=5, height=12, width=12, out_height=1, out_width=1, threads=1, seed=0)
@example(kind="ramps", classes=21, height=2, width=2, out_height=40, out_width=40, threads=1, seed=1)
def test_equals_float64_interpolation(kind: str, classes: int, height: int, width: int, out_height: int, out_width: int,
                                      threads: int, seed: int) -> None:
    scores = make_scores(kind, classes, height, width, seed)
    train_ids = upsample_argmax(scores, (out_height, out_width), threads=threads)
    assert train_ids.dtype == np.uint8
    check_winners(train_ids, float64_scores(scores, (out_height, out_width)))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from([kind for kind in KINDS if kind != "huge and tiny"]), scale=st.sampled_from([0.1, 1, 30]),
       classes=st.integers(1, 21), height=st.integers(1, 9), width=st.integers(1, 9), out_height=sizes, out_width=sizes,
       threads=st.integers(1, 3), seed=st.integers(0, 2**16))
@example(kind="constant", scale=1, classes=255, height=2, width=2, out_height=5, out_width=5, threads=1, seed=0)
@example(kind="blobs", scale=30, classes=19, height=9, width=9, out_height=72, out_width=72, threads=2, seed=0)
def test_confidence_is_the_softmax_in_float64(kind: str, scale: float, classes: int, height: int, width: int, out_height: int,
                                              out_width: int, threads: int, seed: int) -> None:
    scores = make_scores(kind, classes, height, width, seed) * np.float32(scale)
    size_hw = out_height, out_width
    confidence = np.full(size_hw, np.nan, np.float32)
    train_ids = upsample_argmax(scores, size_hw, confidence=confidence, threads=threads)
    np.testing.assert_array_equal(train_ids, upsample_argmax(scores, size_hw))
    reference = float64_scores(scores, size_hw)
    expected = 1 / np.exp(reference - reference.max(0)).sum(0)
    np.testing.assert_allclose(confidence, expected, rtol=3e-7, atol=0)


def test_confidence_that_is_no_place_to_write_is_refused() -> None:
    wrongs: list[Any] = [np.zeros((4, 5), np.float32), np.zeros((4, 4)), np.zeros((4, 8), np.float32)[:, ::2]]
    for wrong in wrongs:
        with pytest.raises(SegError, match=r"confidence is float.* expected float32 \(4, 4\)"):
            upsample_argmax(np.zeros((2, 3, 3), np.float32), (4, 4), confidence=wrong)


def test_nothing_of_a_frames_size_is_allocated() -> None:
    scores, out, confidence = make_scores("noise", 4, 64, 64, 0), np.empty((512, 512), np.uint8), np.empty((512, 512), np.float32)
    upsample_argmax(scores, (512, 512), out, confidence=confidence)
    tracemalloc.start()
    try:
        upsample_argmax(scores, (512, 512), out)
        upsample_argmax(scores, (512, 512), out, confidence=confidence)
        assert tracemalloc.get_traced_memory()[1] < 512 * 512 / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size_hw", [(96, 160), (90, 155), (12, 20), (7, 9), (200, 33)])
def test_equals_torch_pixel_by_pixel_where_nothing_ties(size_hw: tuple[int, int]) -> None:
    scores = make_scores("noise", 11, 12, 20, seed=3)
    expected = float64_scores(scores, size_hw).argmax(0)
    np.testing.assert_array_equal(upsample_argmax(scores, size_hw), expected)


def test_a_class_that_wins_at_no_corner_is_found() -> None:
    scores = np.array([[[9.0, 0.0]], [[0.0, 9.0]], [[6.0, 6.0]]], np.float32)  # the third: between the two alone
    train_ids = upsample_argmax(scores, (1, 16))
    assert set(train_ids[0].tolist()) == {0, 1, 2}
    assert train_ids[0, 7] == 2


@settings(max_examples=50, deadline=None)
@given(top=st.integers(0, 20), left=st.integers(0, 20), height=st.integers(1, 30), width=st.integers(1, 30),
       seed=st.integers(0, 100))
def test_a_window_is_a_crop_of_the_whole(top: int, left: int, height: int, width: int, seed: int) -> None:
    scores = make_scores("noise", 6, 7, 7, seed)
    window = (top / 8, left / 8, height / 8, width / 8)  # in scores; the whole is 56x56
    train_ids = upsample_argmax(scores, (height, width), window=window)
    whole = upsample_argmax(scores, (56, 56))
    np.testing.assert_array_equal(train_ids, whole[top:top + height, left:left + width])


def test_writes_into_out_and_takes_any_strides() -> None:
    scores = make_scores("blobs", 7, 9, 13, seed=1)
    expected = upsample_argmax(scores, (50, 70))
    out = np.full((50, 70), 77, np.uint8)
    reordered = np.asfortranarray(scores)
    assert upsample_argmax(reordered, (50, 70), out) is out
    np.testing.assert_array_equal(out, expected)


def test_many_callers_at_once_get_what_one_gets() -> None:
    inputs = [make_scores("noise", 8, 16, 24, seed) for seed in range(24)]
    expected = [upsample_argmax(scores, (128, 192)) for scores in inputs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda scores: upsample_argmax(scores, (128, 192), threads=2), inputs))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("scores", "size_hw", "out", "words"), [
    (np.zeros((2, 3, 3)), (4, 4), None, "float64"),
    (np.zeros((3, 3), np.float32), (4, 4), None, "expected float32"),
    (np.zeros((0, 3, 3), np.float32), (4, 4), None, "expected float32"),
    (np.zeros((256, 1, 1), np.float32), (4, 4), None, "256 classes"),
    (np.zeros((2, 3, 3), np.float32), (0, 4), None, "0x4"),
    (np.zeros((2, 3, 3), np.float32), (4, 4), np.zeros((4, 5), np.uint8), "out is uint8"),
    (np.zeros((2, 3, 3), np.float32), (4, 4), np.zeros((4, 8), np.uint8)[:, ::2], "C-contiguous"),
])
def test_refuses(scores: np.ndarray, size_hw: tuple[int, int], out: np.ndarray | None, words: str) -> None:
    with pytest.raises(SegError, match=words):
        upsample_argmax(scores, size_hw, out)


@pytest.mark.parametrize("cache", ["unwritable", "damaged"])
def test_works_without_a_good_cache(cache: str, tmp_path: Path) -> None:
    """A cache that can't be written, or that contains rubbish, only costs time."""
    code = ("import numpy as np; from seg.runtime.upsample import upsample_argmax; "
            "print(upsample_argmax(np.eye(3, dtype=np.float32)[:, None], (1, 6)).tolist())")

    def run(folder: Path) -> str:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    folder = tmp_path / "cache"
    if cache == "unwritable":
        folder.write_text("a file where the folder should be")
    else:
        run(folder)
        kept = [path for path in folder.rglob("*") if path.is_file()]
        assert kept
        for path in kept:
            path.write_bytes(b"rubbish")
    assert run(folder) == "[[0, 0, 1, 1, 2, 2]]"
