"""Surfaces of the ground, and the noise that clouds, stains and wear come from."""

from dataclasses import dataclass

import cv2
import numpy as np

from datasets.scenes.parts import PLAIN, Float32Array, Library

NOISE_SIDE = 512  # a power of two


@dataclass(frozen=True)
class Surfaces:
    """Textures of the ground by index; each repeats, and covers the metres that stand behind its name in `TILE_M`."""

    asphalt: tuple[int, ...]
    slabs: tuple[int, ...]
    setts: int
    grass: tuple[int, ...]
    gravel: int


TILE_M = {"asphalt": 6.0, "slabs": 2.4, "setts": 1.6, "grass": 4.0, "gravel": 4.0}


def cloud_noise(rng: np.random.Generator, steepness: float = 1.6, side: int = NOISE_SIDE) -> Float32Array:
    """Returns (side, side) float32, 0 to 1 evenly distributed, that repeats; the steeper, the larger its shapes."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / np.maximum(frequency, 1) ** steepness
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (side, side))
    ranks = np.empty(field.size, np.float32)
    ranks[np.argsort(field, axis=None)] = np.linspace(0, 1, field.size)
    return ranks.reshape(side, side)


def add_surfaces(library: Library, rng: np.random.Generator) -> Surfaces:
    """Draws the surfaces and adds them to the library."""
    side = 256
    coarse, fine = cloud_noise(rng, 1.2, side), cloud_noise(rng, 0.3, side)

    def add(gray: Float32Array, bgr: tuple[float, float, float] = (1, 1, 1)) -> int:
        colors = np.clip(gray[..., None] * np.array(bgr), 0, 255).astype(np.uint8)
        return library.add_texture(np.dstack([colors, np.full((side, side), PLAIN, np.uint8)]))

    asphalt = []
    for crack_count in (3, 9):
        gray = 118 + 30 * (fine - 0.5) + 16 * (coarse - 0.5)
        lines = np.zeros((side, side), np.uint8)
        for _ in range(crack_count):
            walk = np.cumsum(rng.normal(0, 7, (14, 2)) + rng.normal(0, 5, 2), axis=0) + rng.uniform(60, side - 60, 2)
            cv2.polylines(lines, [np.clip(walk, 2, side - 3).astype(np.int32)], False, 255, 1, cv2.LINE_AA)
        for _ in range(crack_count // 3):  # patches that were dug up once
            x, y, w, h = rng.integers(0, side - 90), rng.integers(0, side - 60), rng.integers(25, 90), rng.integers(15, 60)
            gray[y : y + h, x : x + w] += rng.uniform(-16, 10)
        asphalt.append(add(gray - lines * 0.16))
    return Surfaces(
        asphalt=tuple(asphalt),
        slabs=tuple(add(_bonded(rng, side, rows, columns, 3) * 1.0 + 14 * (coarse - 0.5) + 14 * (fine - 0.5))
                    for rows, columns in ((4, 4), (6, 4), (10, 5))),
        setts=add(_bonded(rng, side, 14, 12, 2, spread=18) - 22 + 16 * (fine - 0.5)),
        grass=tuple(add(100 + 70 * (fine - 0.5) + 46 * (coarse - 0.5), tint)
                    for tint in ((0.52, 0.98, 0.80), (0.50, 0.90, 0.92), (0.60, 0.94, 0.70))),
        gravel=add(132 + 60 * (fine - 0.5) + 36 * (coarse - 0.5), (0.78, 0.92, 1.0)),
    )


def _bonded(rng: np.random.Generator, side: int, rows: int, columns: int, joint: int, spread: float = 9) -> Float32Array:
    """Returns slabs in courses, each shifted by half a slab against the one before it."""
    gray = np.empty((side, side), np.float32)
    y = np.linspace(0, side, rows + 1).astype(int)
    for r in range(rows):
        x = np.linspace(0, side, columns + 1).astype(int)
        tones = np.repeat(148 + rng.normal(0, spread, columns), np.diff(x)).astype(np.float32)
        for edge in x[:-1]:
            tones[edge : edge + joint] = 92
        gray[y[r] : y[r + 1]] = np.roll(tones, (side // columns // 2) * (r % 2))
        gray[y[r] : y[r] + joint] = 92
    return gray
