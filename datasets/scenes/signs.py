"""Faces of traffic signs and traffic lights."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.scenes.canvas import Canvas, gray
from datasets.scenes.parts import GLOW, HOLE, Bgr, Texel, UInt8Array

RED, BLUE, GREEN, YELLOW = (40, 36, 172), (140, 78, 26), (64, 96, 20), (36, 170, 214)  # blue, green, red
WHITE, BLACK = (222, 222, 222), (30, 30, 30)
LAMPS = {"red": (40, 44, 250), "amber": (40, 190, 255), "green": (190, 235, 60)}
UNLIT = {"red": (30, 28, 70), "amber": (24, 58, 78), "green": (52, 66, 28)}


class Plate(NamedTuple):
    """A sign's face, with its size [m]."""

    texture: UInt8Array
    width_m: float
    height_m: float


def _blank(side: float = 0.7) -> tuple[Canvas, float, float]:
    """Returns an empty square canvas, its middle, and the radius of a disc that fills it."""
    return Canvas(side, side, 72 / side), side / 2, side * 0.49


def _disc(rim: Bgr, inner: Bgr, share: float = 0.78) -> tuple[Canvas, float, float]:
    canvas, middle, radius = _blank()
    canvas.ellipse(middle, middle, radius, radius, Texel(rim))
    canvas.ellipse(middle, middle, radius * share, radius * share, inner)
    return canvas, middle, radius


def _regular(corners: int, turn: float, middle: float, radius: float, down: float = 0.0) -> npt.NDArray[np.float64]:
    """Returns the corners (N, 2) of a regular polygon, the first of them `turn` [rad] from the top."""
    angle = turn + np.arange(corners) * 2 * np.pi / corners
    return np.stack([middle + radius * np.sin(angle), middle + down - radius * np.cos(angle)], 1)


def _limit(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _disc(RED, WHITE, 0.76)
    return canvas.text(str(rng.choice(["30", "30", "40", "50", "60", "70"])), middle, middle, radius * 0.72, BLACK)


def _no_entry(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _disc(WHITE, RED, 0.95)
    return canvas.rect(middle - radius * 0.7, middle - radius * 0.17, radius * 1.4, radius * 0.34, WHITE)


def _no_stopping(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _disc(RED, BLUE, 0.8)
    for turn in (1, -1) if rng.random() < 0.5 else (1,):
        along = np.array([(-turn, -1), (turn, 1)]) * radius * 0.58
        canvas.line(middle + along, 0.07, RED)
    return canvas


def _arrow(canvas: Canvas, middle: float, radius: float, angle: float) -> Canvas:
    ahead, aside = np.array((np.sin(angle), -np.cos(angle))), np.array((np.cos(angle), np.sin(angle)))
    center, tip = np.array((middle, middle)), np.array((middle, middle)) + ahead * radius * 0.75
    canvas.line([center - ahead * radius * 0.6, center + ahead * radius * 0.3], radius * 0.24, WHITE)
    back, wing = tip - ahead * radius * 0.55, aside * radius * 0.42
    return canvas.polygon([tip, back + wing, back - wing], WHITE)


def _go(rng: np.random.Generator) -> Canvas:
    return _arrow(*_disc(WHITE, BLUE, 0.95), angle=rng.choice([0, 0.8, -0.8, 1.57, -1.57, 2.3, -2.3]))


def _warning(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _blank(0.8)
    below = middle + radius * 0.22
    for share, color in ((1.12, RED), (0.72, WHITE)):
        canvas.polygon(_regular(3, 0, middle, radius * share, radius * 0.22), Texel(color) if share > 1 else color)
    if rng.random() < 0.5:
        return canvas.line([(middle - 0.03, below - 0.16), (middle, below), (middle + 0.05, below + 0.1)], 0.06, BLACK)
    canvas.ellipse(middle, below - 0.13, 0.035, 0.035, BLACK)
    return canvas.line([(middle - 0.08, below + 0.13), (middle, below - 0.08), (middle + 0.08, below + 0.13)], 0.05, BLACK)


def _yield(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _blank(0.85)
    for share, color in ((1.12, RED), (0.66, WHITE)):
        canvas.polygon(_regular(3, np.pi, middle, radius * share, -radius * 0.22), Texel(color) if share > 1 else color)
    return canvas


def _stop(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _blank(0.8)
    canvas.polygon(_regular(8, np.pi / 8, middle, radius * 1.06), Texel(WHITE))
    canvas.polygon(_regular(8, np.pi / 8, middle, radius * 0.96), RED)
    return canvas.text("STOP", middle, middle, radius * 0.42, WHITE)


def _priority(rng: np.random.Generator) -> Canvas:
    canvas, middle, radius = _blank()
    for share, color in ((1.0, WHITE), (0.68, YELLOW)):
        canvas.polygon(_regular(4, 0, middle, radius * share), Texel(color) if share == 1 else color)
    return canvas


def _parking(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(0.6, 0.6, 110, WHITE).rect(0.02, 0.02, 0.56, 0.56, BLUE)
    return canvas.text("P", 0.3, 0.3, 0.34, WHITE)


def _zebra(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(0.7, 0.7, 100, WHITE).rect(0.02, 0.02, 0.66, 0.66, BLUE)
    canvas.polygon([(0.35, 0.08), (0.64, 0.6), (0.06, 0.6)], WHITE).ellipse(0.37, 0.25, 0.035, 0.035, BLACK)
    return canvas.line([(0.26, 0.55), (0.36, 0.33), (0.45, 0.55)], 0.05, BLACK)


def _one_way(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(0.9, 0.32, 84, WHITE).rect(0.02, 0.02, 0.86, 0.28, BLUE)
    canvas.line([(0.12, 0.16), (0.65, 0.16)], 0.09, WHITE)
    return canvas.polygon([(0.82, 0.16), (0.6, 0.04), (0.6, 0.28)], WHITE)


def _name(rng: np.random.Generator) -> Canvas:
    ground, ink = (BLUE, WHITE) if rng.random() < 0.5 else (WHITE, BLACK)
    return Canvas(1.1, 0.24, 80, ground).scribble(rng, 0.08, 0.06, 1.0, 0.12, ink)


def _notice(rng: np.random.Generator) -> Canvas:
    """Paints a small white or yellow plate with lines of text."""
    canvas = Canvas(0.5, 0.65, 100, WHITE if rng.random() < 0.6 else YELLOW)
    canvas.ellipse(0.25, 0.17, 0.12, 0.12, RED).ellipse(0.25, 0.17, 0.085, 0.085, BLUE)
    for y in (0.34, 0.44, 0.54):
        canvas.scribble(rng, 0.06, y, 0.4, 0.06, BLACK)
    return canvas


def _board(rng: np.random.Generator) -> Canvas:
    """Paints a direction board with lines of names and arrows."""
    ground = (BLUE, GREEN, WHITE, YELLOW)[rng.integers(4)]
    ink = BLACK if ground in (WHITE, YELLOW) else WHITE
    lines = int(rng.integers(1, 5))
    wide, high = rng.uniform(1.3, 2.6), 0.18 + 0.34 * lines
    canvas = Canvas(wide, high, 56, ink).rect(0.03, 0.03, wide - 0.06, high - 0.06, ground)
    left = rng.random() < 0.5
    for line in range(lines):
        y = 0.18 + 0.34 * line
        canvas.scribble(rng, 0.38 if left else 0.12, y, (wide - 0.5) * rng.uniform(0.6, 1), 0.17, ink)
        tip, tail = (0.1, 0.32) if left else (wide - 0.1, wide - 0.32)
        canvas.line([(tail, y + 0.09), (tip, y + 0.09)], 0.045, ink)
        canvas.polygon([(tip, y + 0.09), (tip * 0.5 + tail * 0.5, y - 0.01), (tip * 0.5 + tail * 0.5, y + 0.19)], ink)
    return canvas


def _chevrons(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(1.5, 0.5, 56, WHITE)
    for x in np.arange(-0.2, 1.5, 0.5):
        canvas.polygon([(x, 0), (x + 0.25, 0), (x + 0.5, 0.25), (x + 0.25, 0.5), (x, 0.5), (x + 0.25, 0.25)], RED)
    return canvas


PAINTERS: tuple[Callable[[np.random.Generator], Canvas], ...] = (
    _limit, _limit, _no_entry, _no_stopping, _go, _go, _warning, _warning, _yield, _stop, _priority, _parking, _zebra, _one_way,
    _name, _notice, _notice, _board, _board, _board, _board, _board, _chevrons)


def plates(rng: np.random.Generator) -> list[Plate]:
    """Returns one plate of each painter, a little faded and dirty."""
    painted = []
    for painter in PAINTERS:
        canvas = painter(rng)
        canvas.shade(0, 0, canvas.width_m, canvas.height_m, rng.uniform(0.88, 1.04), rng.uniform(0.8, 0.98))
        canvas.weather(rng, 0.03, 0.06)
        painted.append(Plate(canvas.texture(), canvas.width_m, canvas.height_m))
    return painted


def back_of(plate: Plate) -> UInt8Array:
    """Returns the plate from behind: bare metal of the same outline."""
    back = plate.texture[::2, ::-2].copy()
    back[..., :3] = (118, 116, 112)
    return back


def signal(lamps: tuple[str, ...], lit: str) -> UInt8Array:
    """Returns the front of a signal head with the lamp `lit`; it is 0.3 m wide, and 0.31 m high for each lamp."""
    canvas = Canvas(0.3, 0.31 * len(lamps), 130, gray(34))
    for index, lamp in enumerate(lamps):
        y = 0.155 + 0.31 * index
        canvas.ellipse(0.15, y, 0.125, 0.125, gray(16))
        glow = lamp == lit
        canvas.ellipse(0.15, y + 0.012, 0.105, 0.105, Texel(LAMPS[lamp], GLOW) if glow else UNLIT[lamp])
        if not glow:
            canvas.shade(0.03, y - 0.12, 0.24, 0.1, 0.5, 0.9)  # the hood's shadow
        else:
            blue, green, red = LAMPS[lamp]
            canvas.ellipse(0.15, y + 0.012, 0.06, 0.06, (blue / 2 + 127, green / 2 + 127, red / 2 + 127))
    return canvas.texture()


def outlined(texture: UInt8Array) -> bool:
    """Says whether a plate is other than rectangular."""
    return bool((texture[..., 3] == HOLE).any())
