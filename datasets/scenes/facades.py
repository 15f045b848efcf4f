"""Textures of buildings: walls, storeys with windows, ground floors with shops and doors, roofs.

A facade is two textures whose bays are equally wide: `storeys`, which repeats upwards and sideways, and `ground`. Brick
and stone are painted as they are, plaster in greys for the building's first tint; awnings, boards and doors take its
second one.
"""

from dataclasses import dataclass

import numpy as np

from datasets.scenes.canvas import FINER, Canvas, gray, noise, times
from datasets.scenes.parts import GLASS, PLAIN, TINT_2, Bgr, Float32Array, Texel, UInt8Array

TEXELS_PER_M = 28
BAYS, FLOORS = 4, 3  # of a storeys texture; a ground texture has as many bays

SURFACE_M = 3.3  # side of a texture of bare wall

# Width and height of a brick, stone or panel [m], how bright its joints are, and how unlike its neighbours it is.
BLOCKS = {"brick": ((0.22, 0.0825), 1.25, 0.10), "stone": ((0.825, 0.4125), 0.8, 0.06), "panel": ((1.65, 1.1), 0.85, 0.02)}
BRICKS: tuple[Bgr, ...] = (  # blue, green, red
    (82, 92, 128), (66, 74, 106), (108, 128, 148), (124, 148, 163), (90, 110, 138), (74, 70, 94))
STONES: tuple[Bgr, ...] = ((128, 148, 160), (150, 162, 168), (112, 124, 132))
FRAMES: tuple[Bgr, ...] = ((214, 218, 220), (200, 204, 206), (62, 60, 58), (52, 66, 88), (96, 100, 100))


@dataclass(frozen=True)
class Material:
    """What a wall is of: its colour where it is plain, the code of its texels, and `kind` brick, stone, plaster, panel."""

    kind: str
    color: Bgr
    code: int = PLAIN


@dataclass(frozen=True)
class Style:
    """How a building looks.

    Attributes:
        bay_m, floor_m: size of one window's share of the facade.
        window_m: width and height.
        frame: colour of window frames; trim: of sills, lintels and cornices.
        layout: how a window is divided: "casement", "sash", "grid", "single".
        surround: "none", "lintel", "frame", "gable" or "arch".
        band: whether a string course runs along each floor.
    """

    wall: Material
    bay_m: float
    floor_m: float
    window_m: tuple[float, float]
    frame: Bgr
    trim: Bgr
    layout: str
    surround: str
    band: bool


def masonry(rng: np.random.Generator, size_hw: tuple[int, int], pixels_per_m: float, color: Bgr, block_m: tuple[float, float],
            joint: float, spread: float) -> UInt8Array:
    """Returns courses of bricks or stones (H, W, 3); `block_m` is width and height, `joint` the joints' brightness."""
    height, width = size_hw
    courses = max(round(height / (block_m[1] * pixels_per_m)), 1)
    across = max(round(width / (block_m[0] * pixels_per_m)), 1)
    row = np.arange(height) * courses / height
    column = np.arange(width) * across / width + 0.5 * (row.astype(int) % 2)[:, None]  # every other course is shifted
    tone = rng.normal(1, spread, (courses, across)).astype(np.float32)[row.astype(int)[:, None], column.astype(int) % across]
    hue = 1 + (tone[..., None] - 1) * np.array([0.4, 0.9, 1.2], np.float32)
    edge_y, edge_x = courses / height, across / width  # a pixel's share of a block
    mortar = ((row % 1 < 1.2 * edge_y)[:, None]) | (column % 1 < 1.2 * edge_x)
    painted: Float32Array = np.array(color, np.float32) * hue * np.where(mortar, joint, 1).astype(np.float32)[..., None]
    return np.clip(painted, 0, 255).astype(np.uint8)


def bare_wall(rng: np.random.Generator, material: Material, width_m: float, height_m: float, streaks: float = 0.11) -> Canvas:
    """Returns a weathered wall without windows, `streaks` strong being the traces of rain on it."""
    canvas = Canvas(width_m, height_m, TEXELS_PER_M, Texel(material.color, material.code))
    if material.kind in BLOCKS:
        block_m, joint, spread = BLOCKS[material.kind]
        side = round(SURFACE_M * TEXELS_PER_M) * FINER
        tile = masonry(rng, (side, side), TEXELS_PER_M * FINER, material.color, block_m, joint, spread)
        height, width = canvas.size_hw
        canvas.bgr = np.tile(tile, (-(-height // side), -(-width // side), 1))[-height:, :width]
    return canvas.weather(rng, 0.035, streaks)


def window(canvas: Canvas, rng: np.random.Generator, style: Style, x: float, y: float, width: float, height: float) -> None:
    """Paints a window whose opening has its upper left corner at (x, y), with what surrounds it."""
    trim = style.trim
    if style.surround == "frame":
        canvas.rect(x - 0.16, y - 0.16, width + 0.32, height + 0.2, Texel(trim))
    elif style.surround in ("lintel", "gable"):
        canvas.rect(x - 0.15, y - 0.24, width + 0.3, 0.24, Texel(trim))
    if style.surround == "gable":
        canvas.rect(x - 0.25, y - 0.34, width + 0.5, 0.1, Texel(times(trim, 1.08)))
        canvas.shade(x - 0.2, y - 0.24, width + 0.4, 0.06, 0.7, 1)
    if style.surround == "arch":
        canvas.ellipse(x + width / 2, y + 0.02, width / 2 + 0.14, 0.4, Texel(trim))
        canvas.ellipse(x + width / 2, y + 0.02, width / 2, 0.26, Texel((52, 50, 48), GLASS))
    canvas.shade(x - 0.04, y - 0.03, width + 0.08, height + 0.03, 0.6)  # the reveal is in shadow
    frame = 0.07
    canvas.rect(x, y, width, height, Texel(style.frame))
    panes(canvas, rng, style, x + frame, y + frame, width - 2 * frame, height - 2 * frame)
    canvas.shade(x, y, width, 0.2, 0.45, 0.95).shade(x, y, 0.06, height, 0.7)
    canvas.rect(x - 0.1, y + height, width + 0.2, 0.1, Texel(times(trim, 1.1)))  # sill
    canvas.shade(x - 0.1, y + height + 0.1, width + 0.2, 0.14, 0.62, 0.95)
    for edge in (x - 0.06, x + width - 0.02):  # dirt that runs off the sill's ends
        canvas.shade(edge, y + height + 0.1, rng.uniform(0.05, 0.12), rng.uniform(0.3, 0.9), rng.uniform(0.8, 0.95), 1)


def panes(canvas: Canvas, rng: np.random.Generator, style: Style, x: float, y: float, width: float, height: float) -> None:
    """Paints the glass of a window: the dark room, curtains or blinds, and glazing bars."""
    dark = gray(rng.uniform(26, 60), rng, 2)
    canvas.rect(x, y, width, height, Texel(dark, GLASS)).shade(x, y, width, height, rng.uniform(1.0, 1.5), 0.8)
    drapes = rng.random()
    cloth = gray(rng.uniform(105, 185), rng, 7)
    if drapes < 0.3:  # to both sides
        for left, wide in ((x, width * rng.uniform(0.14, 0.3)), (x + width * rng.uniform(0.7, 0.86), width)):
            wide = min(wide, x + width - left)
            canvas.rect(left, y, wide, height, cloth).shade(left + wide * 0.4, y, wide * 0.2, height, 0.85)
    elif drapes < 0.5:  # a net across
        canvas.rect(x, y, width, height * rng.choice([0.5, 1.0]), times(cloth, 0.75))
        for fold in np.linspace(0.1, 0.9, 5):
            canvas.shade(x + width * fold, y, 0.05, height, 0.9)
    elif drapes < 0.68:  # a blind, partly down
        canvas.rect(x, y, width, height * rng.uniform(0.2, 0.85), cloth)
    elif drapes < 0.72:  # somebody is in
        canvas.rect(x, y, width, height, (96, 146, 170))
    bars = {"single": ((), ()), "casement": ((0.5,), (0.3,)), "sash": ((), (0.5,)), "grid": ((0.33, 0.67), (0.25, 0.5, 0.75))}
    upright, level = bars[style.layout]
    for share in upright:
        canvas.rect(x + width * share - 0.03, y, 0.06, height, Texel(style.frame))
    for share in level:
        canvas.rect(x, y + height * share - 0.03, width, 0.06, Texel(style.frame))


def storeys(rng: np.random.Generator, style: Style, wall: Canvas) -> UInt8Array:
    """Returns FLOORS x BAYS windows in a wall."""
    width_m, height_m = BAYS * style.bay_m, FLOORS * style.floor_m
    canvas = wall.crop(width_m, height_m)
    wide, high = style.window_m
    pipe = rng.integers(BAYS + 2)
    shutters = style.wall.kind == "plaster" and rng.random() < 0.3
    for floor in range(FLOORS):
        top = floor * style.floor_m
        if style.band:
            canvas.rect(0, top + style.floor_m - 0.22, width_m, 0.2, Texel(style.trim))
            canvas.shade(0, top + style.floor_m - 0.04, width_m, 0.1, 0.65, 0.9)
        for bay in range(BAYS):
            x, y = bay * style.bay_m + (style.bay_m - wide) / 2, top + (style.floor_m - high) * 0.42
            if shutters:
                for left in (x - wide * 0.5 - 0.02, x + wide + 0.02):
                    canvas.rect(left, y, wide * 0.5, high, Texel((200, 200, 200), TINT_2))
                    for slat in np.arange(0.05, high, 0.12):
                        canvas.shade(left + 0.04, y + slat, wide * 0.5 - 0.08, 0.05, 0.8)
            window(canvas, rng, style, x, y, wide, high)
    if pipe < BAYS:
        canvas.rect(pipe * style.bay_m + 0.05, 0, 0.1, height_m, Texel(gray(120, rng)))
        canvas.shade(pipe * style.bay_m + 0.15, 0, 0.06, height_m, 0.7)
    return canvas.texture()


def office(rng: np.random.Generator, style: Style, wall: Canvas) -> UInt8Array:
    """Returns FLOORS storeys of ribbon windows between parapets of the wall's material, as offices have them."""
    width_m, height_m = BAYS * style.bay_m, FLOORS * style.floor_m
    canvas = wall.crop(width_m, height_m)
    share = rng.uniform(0.5, 0.8)  # of glass
    posts = int(rng.integers(2, 5))  # to a bay
    for floor in range(FLOORS):
        y, high = floor * style.floor_m + style.floor_m * (1 - share) * 0.5, style.floor_m * share
        canvas.rect(0, y, width_m, high, Texel((70, 64, 58), GLASS))
        for index in range(BAYS * posts):
            x, wide = index * style.bay_m / posts, style.bay_m / posts
            tone = gray(rng.uniform(42, 64), rng, 2)
            canvas.rect(x, y, wide, high, tone)
            if rng.random() < 0.35:
                canvas.rect(x, y, wide, high * rng.uniform(0.1, 0.7), gray(rng.uniform(85, 125), rng, 3))
            canvas.rect(x - 0.035, y, 0.07, high, Texel(style.frame))
        canvas.rect(0, y, width_m, 0.07, Texel(style.frame)).shade(0, y, width_m, 0.22, 0.5, 0.95)
        canvas.rect(0, y + high - 0.06, width_m, 0.06, Texel(style.frame))
        canvas.shade(0, y + high, width_m, 0.12, 0.75, 1)
    return canvas.texture()


def roof(rng: np.random.Generator, color: Bgr, row_m: float) -> UInt8Array:
    """Returns 4 x 3 m of tiles or slates whose rows are `row_m` high."""
    canvas = Canvas(4, 3, 24, color)
    canvas.bgr = masonry(rng, canvas.size_hw, 24 * FINER, color, (0.25, row_m), 0.7, 0.12)
    texture = canvas.weather(rng, 0.12).texture()
    moss = np.clip(noise(rng, texture.shape[:2], (3, 3), 3) - 0.45, 0, 0.5)[..., None]
    texture[..., :3] = texture[..., :3] * (1 - moss) + moss * np.array([60, 92, 88], np.float32)
    return texture


def railing(rng: np.random.Generator) -> UInt8Array:
    """Returns 3 x 1 m of a balcony's front."""
    canvas = Canvas(3, 1, TEXELS_PER_M, gray(rng.uniform(70, 190), rng))
    for x in np.arange(0.05, 3, 0.14):
        canvas.rect(x, 0.08, 0.07, 0.75, times(gray(60), rng.uniform(0.7, 1.2)))
    return canvas.shade(0, 0.84, 3, 0.16, 0.9).texture()


def pane_texture(rng: np.random.Generator, style: Style) -> UInt8Array:
    """Returns one window alone, 1.2 x 1.4 m, as dormers have it."""
    canvas = Canvas(1.2, 1.4, TEXELS_PER_M, style.trim)
    window(canvas, rng, style, 0.16, 0.16, 0.88, 1.1)
    return canvas.texture()
