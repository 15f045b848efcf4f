"""Ground floors of buildings: a row of bays, each a shop window, a door, a gate or a window, as deep as the plinth."""

import numpy as np

from datasets.scenes.canvas import Canvas, gray, times
from datasets.scenes.facades import BAYS, Style, window
from datasets.scenes.parts import GLASS, PLAIN, TINT_2, Texel, UInt8Array

GROUND_M = 3.9  # height of a ground floor
BOARD_M = 0.75  # of the sign board above a shop


def ground_floor(rng: np.random.Generator, style: Style, wall: Canvas, use: str) -> UInt8Array:
    """Returns BAYS bays of a ground floor, GROUND_M high; its use is "shops", "homes", "garages" or "lobby"."""
    width_m = BAYS * style.bay_m
    canvas = wall.crop(width_m, GROUND_M)
    if use == "homes":
        _plinth(canvas, rng, width_m)
    door = int(rng.integers(BAYS))
    for bay in range(BAYS):
        x = bay * style.bay_m
        if use == "shops":
            _shop(canvas, rng, style, x, bay == door)
        elif use == "lobby":
            _lobby(canvas, rng, style, x)
        elif use == "garages" and bay != door:
            _garage(canvas, rng, style, x)
        elif bay == door:
            _door(canvas, rng, style, x + style.bay_m / 2 - 0.65, 1.3, 2.5)
        else:
            wide, high = style.window_m[0], min(style.window_m[1], 1.9)
            window(canvas, rng, style, x + (style.bay_m - wide) / 2, 0.75, wide, high)
    if use == "shops":
        _boards(canvas, rng, style, width_m)
    elif rng.random() < 0.6:
        canvas.rect(0, 0.02, width_m, 0.22, Texel(style.trim)).shade(0, 0.24, width_m, 0.14, 0.6, 1)
    canvas.shade(0, GROUND_M - 1.0, width_m, 1.0, 1.0, 0.72)  # splashes, and less light near the ground
    return canvas.texture()


def _plinth(canvas: Canvas, rng: np.random.Generator, width_m: float) -> None:
    canvas.rect(0, GROUND_M - 0.7, width_m, 0.7, Texel(gray(rng.uniform(85, 130), rng, 5)))
    canvas.shade(0, GROUND_M - 0.72, width_m, 0.04, 0.7)


def _shop(canvas: Canvas, rng: np.random.Generator, style: Style, x: float, entrance: bool) -> None:
    """Paints a shop window with goods behind it, or the shop's entrance beside a narrow window."""
    x, wide, top = x + 0.16, style.bay_m - 0.32, 1.0
    sill = GROUND_M - (0.12 if entrance else rng.uniform(0.3, 0.6))
    canvas.shade(x - 0.06, top, wide + 0.12, sill - top + 0.04, 0.5)
    canvas.rect(x, top, wide, sill - top, Texel(style.frame if rng.random() < 0.5 else (70, 72, 74)))
    left, right, up, low = x + 0.07, x + wide - 0.07, top + 0.07, sill - 0.08
    canvas.rect(left, up, right - left, low - up, Texel(gray(rng.uniform(28, 66), rng, 2), GLASS))
    canvas.shade(left, up, right - left, low - up, rng.uniform(1.1, 1.9), 0.85)
    for _ in range(int(rng.integers(5, 14))):  # goods, lamps, posters
        size = rng.uniform(0.12, 0.6), rng.uniform(0.12, 0.7)
        px, py = rng.uniform(left, max(right - size[0], left + 0.01)), low - size[1] - rng.choice([0, 0, 0.3, 0.7]) * rng.random()
        canvas.rect(px, max(py, up), min(size[0], right - px), size[1], gray(rng.uniform(45, 150), rng, 18))
    if rng.random() < 0.35:
        canvas.rect(left + 0.2, up + 0.2, 0.6, 0.9, Texel(gray(rng.uniform(150, 225), rng, 25)))
        canvas.scribble(rng, left + 0.26, up + 0.4, 0.5, 0.16, gray(70, rng, 40))
    if entrance:
        middle = x + wide * 0.5
        canvas.rect(middle - 0.55, up + 0.4, 1.1, sill - up - 0.4, Texel(style.frame))
        canvas.rect(middle - 0.45, up + 0.5, 0.9, sill - up - 0.75, Texel(gray(38, rng), GLASS))
        canvas.rect(middle + 0.3, up + 1.2, 0.06, 0.4, Texel(gray(190)))
    else:
        for share in ((0.5,) if wide > 2.3 else ()):
            canvas.rect(x + wide * share - 0.03, top, 0.06, sill - top, Texel((80, 82, 84)))
    canvas.rect(left, up + 0.5, right - left, 0.05, Texel((80, 82, 84))).shade(x, top, wide, 0.35, 0.4, 0.95)


def _boards(canvas: Canvas, rng: np.random.Generator, style: Style, width_m: float) -> None:
    """Paints the sign boards above the shops, one to one or two bays, each with its lettering."""
    bay = 0
    while bay < BAYS:
        span = min(int(rng.integers(1, 4)), BAYS - bay)
        x, wide = bay * style.bay_m + 0.08, span * style.bay_m - 0.16
        tinted = rng.random() < 0.6
        ground = (215.0, 215.0, 215.0) if tinted else gray(rng.choice([45.0, 70.0, 190.0, 215.0]), rng, 22)
        canvas.rect(x, 0.12, wide, BOARD_M, Texel(ground, TINT_2 if tinted else PLAIN)).shade(x, 0.12, wide, BOARD_M, 1.05, 0.88)
        letters = (228, 230, 230) if tinted or ground[1] < 130 else gray(50, rng, 30)
        length = min(wide - 0.4, rng.uniform(1.4, 3.4))
        at = x + (wide - length) * rng.choice([0.5, 0.5, 0.1])
        canvas.scribble(rng, at, 0.12 + BOARD_M * 0.28, length, BOARD_M * 0.45, Texel(letters))
        canvas.shade(x, 0.12 + BOARD_M, wide, 0.15, 0.4, 0.8)
        bay += span


def _door(canvas: Canvas, rng: np.random.Generator, style: Style, x: float, wide: float, high: float) -> None:
    top = GROUND_M - 0.15 - high
    canvas.rect(x - 0.14, top - 0.2, wide + 0.28, high + 0.2, Texel(style.trim))
    canvas.shade(x - 0.03, top - 0.03, wide + 0.06, 0.1, 0.5)
    canvas.rect(x, top, wide, 0.5, Texel(gray(48, rng), GLASS))
    canvas.rect(x, top + 0.55, wide, high - 0.55, Texel((190, 190, 190), TINT_2))
    for left in (0.14, 0.56):
        for y, tall in ((0.7, 0.8), (1.65, 0.7)):
            canvas.shade(x + wide * left, top + y, wide * 0.32, tall, 0.78, 0.86)
    canvas.rect(x + wide * 0.88, top + 1.5, 0.06, 0.14, Texel((90, 170, 190))).shade(x, top, wide, 0.25, 0.5, 0.95)
    canvas.rect(x - 0.2, GROUND_M - 0.15, wide + 0.4, 0.15, Texel(gray(rng.uniform(120, 155), rng, 4)))


def _garage(canvas: Canvas, rng: np.random.Generator, style: Style, x: float) -> None:
    x, wide, top = x + 0.2, style.bay_m - 0.4, GROUND_M - 2.5
    paint = Texel((195.0, 195.0, 195.0), TINT_2) if rng.random() < 0.4 else Texel(gray(rng.uniform(110, 205), rng, 5))
    canvas.shade(x - 0.08, top - 0.08, wide + 0.16, 2.6, 0.6).rect(x, top, wide, 2.5, paint)
    for y in np.arange(0.1, 2.5, 0.16):
        canvas.shade(x, top + y, wide, 0.05, 0.82)
    canvas.shade(x, top, wide, 0.4, 0.5, 0.95)


def _lobby(canvas: Canvas, rng: np.random.Generator, style: Style, x: float) -> None:
    """Paints floor-high glass between pillars, as below offices."""
    wide = style.bay_m - 0.5
    canvas.shade(x + 0.2, 0.5, wide + 0.1, GROUND_M - 0.5, 0.55)
    canvas.rect(x + 0.25, 0.55, wide, GROUND_M - 0.6, Texel(gray(rng.uniform(34, 60), rng, 2), GLASS))
    canvas.shade(x + 0.25, 0.55, wide, GROUND_M - 0.6, 1.5, 0.8)
    for _ in range(4):
        px = x + 0.3 + rng.uniform(0, wide - 0.6)
        canvas.rect(px, GROUND_M - rng.uniform(0.8, 2.2), rng.uniform(0.15, 0.5), 0.8, gray(rng.uniform(60, 130), rng, 9))
    for share in (0.0, 0.33, 0.67, 1.0):
        canvas.rect(x + 0.22 + wide * share, 0.55, 0.06, GROUND_M - 0.6, Texel(times(style.frame, 0.9)))
    canvas.rect(x + 0.25, 2.7 - 1.2, wide, 0.07, Texel(style.frame)).shade(x + 0.25, 0.55, wide, 0.5, 0.35, 0.95)
