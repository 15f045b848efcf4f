"""Frames for tests, without torch: processes that only run a network import this alone."""

import numpy as np


def make_frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns a (H, W, 3) uint8 BGR frame of coloured blobs and a little noise."""
    random = np.random.default_rng(seed)
    blobs = random.integers(0, 230, (height // 16 + 1, width // 16 + 1, 3)).repeat(16, 0).repeat(16, 1)[:height, :width]
    return (blobs + random.integers(0, 25, (height, width, 3))).astype(np.uint8)
