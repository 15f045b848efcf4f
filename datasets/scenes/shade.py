"""What each pixel looks like and is labelled: objects, ground and sky in the light of the day, compiled by Numba.

Colours are linear light in blue, green, red until the last step. A ray is the direction through a pixel, scaled to a
depth of one metre, so that depth times ray is the way from the camera.
"""

from typing import Any, NamedTuple

import numpy as np

from datasets.scenes.parts import GLASS, GLOW, TINT_1, TINT_2, Float32Array, Int32Array, Packed, UInt8Array
from datasets.scenes.raster import Buffers, Cells, compiled, inlined, level_of, texel_at
from datasets.scenes.setting import (
    ACROSS_M,
    ALONG_M,
    KERB,
    KERB_M,
    LABEL_IDS,
    SIDE_STREET,
    STOP_LINE,
    ZEBRA,
    Ground,
    Light,
)

TERRAIN, SKY = LABEL_IDS["terrain"], LABEL_IDS["sky"]
ENCODED = 4096  # steps of linear light that are told apart on the way to 8 bits


class Things(NamedTuple):
    """What N objects look like and are.

    Attributes:
        tints: (N, 2, 3) float32, linear light. gloss: (N,) float32; how their paint mirrors the sky.
        part_labels: (N, P) uint8 label ids of their parts. part_instances: (N, P) int32 ids of instances.
    """

    tints: Float32Array
    gloss: Float32Array
    part_labels: UInt8Array
    part_instances: Int32Array


class Ahead(NamedTuple):
    """The street by steps along it, from `Ground.along`, and what shades the ground, see `raster.cast_shadows`.

    Attributes:
        begin: where the first step lies [m]. middles: (L,) float32; the street's middle [m]. crossing: (L,) uint8.
        heights: (rows, columns) float32 [m]. occlusion: (rows, columns) uint8; 255 where all of the sky is seen.
        cells: where rows and columns lie.
    """

    begin: float
    middles: Float32Array
    crossing: UInt8Array
    heights: Float32Array
    occlusion: UInt8Array
    cells: Cells


class Tables(NamedTuple):
    """What all pictures share.

    Attributes:
        noise: (S, S) float32, 0 to 1; S is a power of two.
        decode: (256,) float32; 8 bits to linear light. encode: (ENCODED,) uint8; back.
    """

    noise: Float32Array
    decode: Float32Array
    encode: UInt8Array


@inlined
def _smooth(noise: Any, x: float, y: float) -> float:
    """Returns the noise between four of its cells; it repeats, and its side is a power of two."""
    last = noise.shape[0] - 1
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    x0, y0 = np.uintp(int(left) & last), np.uintp(int(top) & last)
    x1, y1 = np.uintp((int(left) + 1) & last), np.uintp((int(top) + 1) & last)
    upper = noise[y0, x0] + fx * (noise[y0, x1] - noise[y0, x0])
    lower = noise[y1, x0] + fx * (noise[y1, x1] - noise[y1, x0])
    return upper + fy * (lower - upper)


@inlined
def _sky(dx: float, dy: float, dz: float, light: Any, noise: Any) -> tuple[float, float, float]:
    """Returns the colour of the sky in a direction of length 1."""
    up = max(dy, 0.0)
    t = min(1.0, np.sqrt(up) * 1.25)
    b = light.horizon[0] + t * (light.zenith[0] - light.horizon[0])
    g = light.horizon[1] + t * (light.zenith[1] - light.horizon[1])
    r = light.horizon[2] + t * (light.zenith[2] - light.horizon[2])
    if light.cover > 0.01 and up > 0.015:
        x, z = dx / (up + 0.08), dz / (up + 0.08)
        x, z = 38.0 * x + light.drift[0], 38.0 * z + light.drift[1]
        density = 0.72 * _smooth(noise, x, z) + 0.28 * _smooth(noise, 3.1 * x, 3.1 * z)
        share = min(1.0, max(0.0, (density - 1.0 + light.cover) * 3.0 + 0.5)) * min(1.0, 9.0 * up)
        tone = 0.72 + 0.4 * _smooth(noise, 0.7 * x + 91.0, 0.7 * z + 17.0)
        b += share * (light.cloud[0] * tone - b)
        g += share * (light.cloud[1] * tone - g)
        r += share * (light.cloud[2] * tone - r)
    along = dx * light.sun[0] + dy * light.sun[1] + dz * light.sun[2]
    if along > 0.8:
        glow = (along - 0.8) * 5.0
        glow *= glow
        glow *= glow * 0.5
        b, g, r = b + glow * light.sun_color[0] * 0.5, g + glow * light.sun_color[1] * 0.5, r + glow * light.sun_color[2] * 0.5
    return b, g, r


@inlined
def _sunlit(heights: Any, where: Any, x: float, y: float, z: float, bias: float) -> float:
    """Returns the share of the sun that reaches a point, 0 to 1."""
    column = (x + where.shear_x * y - where.origin_x) / where.cell_m
    row = (z + where.shear_z * y - where.origin_z) / where.cell_m
    rows, columns = heights.shape
    if not (0 <= column < columns - 1 and 0 <= row < rows - 1):
        return 1.0
    left, top = np.uintp(column), np.uintp(row)
    right, bottom = np.uintp(column + 1), np.uintp(row + 1)
    fx, fy = column - np.floor(column), row - np.floor(row)
    above = y + bias
    upper = (1 - fx) * (heights[top, left] <= above) + fx * (heights[top, right] <= above)
    lower = (1 - fx) * (heights[bottom, left] <= above) + fx * (heights[bottom, right] <= above)
    return (1 - fy) * upper + fy * lower


@inlined
def _open(occlusion: Any, where: Any, x: float, z: float) -> float:
    """Returns the share of the sky that a point on the ground sees."""
    column = int((x - where.origin_x) / where.cell_m + 0.5)
    row = int((z - where.origin_z) / where.cell_m + 0.5)
    if not (0 <= column < occlusion.shape[1] and 0 <= row < occlusion.shape[0]):
        return 1.0
    return occlusion[np.uintp(row), np.uintp(column)] / 255.0


@compiled
def shade(buffers: Buffers, library: Packed, things: Things, camera: Any, light: Light, ground: Ground, ahead: Ahead,
          tables: Tables, image: Any, labels: Any, instances: Any) -> None:
    """Colours and labels every pixel.

    Args:
        buffers: what is seen.
        library: textures and meshes.
        things: the objects.
        camera: see `raster`.
        light: of the day.
        ground: of the street.
        ahead: the street and its shadows.
        tables: what all pictures share.
        image: (H, W, 3) uint8 BGR, written.
        labels: (H, W) uint8 label ids, written.
        instances: (H, W) int32 ids of instances, written.
    """
    nearness, shown, faces, normals, owners = buffers.nearness, buffers.shown, buffers.faces, buffers.normals, buffers.owners
    library_texture, library_part, texels, levels_of = library.texture, library.part, library.texels, library.tables
    tints, gloss, part_labels, part_instances = things
    begin, middles, crossing, heights, occlusion, cells = ahead
    noise, decode, encode = tables
    height, width = shown.shape
    levels = levels_of.shape[1]
    focal = camera[12]
    for row in range(height):
        up_cam = (camera[14] - 0.5 - row) / focal
        for column in range(width):
            across_cam = (column + 0.5 - camera[13]) / focal
            dx = camera[3] * across_cam + camera[6] * up_cam + camera[9]
            dy = camera[4] * across_cam + camera[7] * up_cam + camera[10]
            dz = camera[5] * across_cam + camera[8] * up_cam + camera[11]
            number = shown[row, column]
            haze = 0.0
            if number >= 0:
                shown_face = np.uintp(number)
                face = faces[shown_face]
                thing, index = np.uintp(owners[shown_face, 0]), np.uintp(owners[shown_face, 1])
                depth = 1.0 / nearness[row, column]
                t0 = (face[0] * column + face[1] * row + face[2]) * depth
                t1 = (face[3] * column + face[4] * row + face[5]) * depth
                t2 = (face[6] * column + face[7] * row + face[8]) * depth
                u, v = face[9] * t0 + face[10] * t1 + face[11] * t2, face[12] * t0 + face[13] * t1 + face[14] * t2
                at = texel_at(levels_of, library_texture[index], level_of(face[15] * depth, levels), u, v)
                b, g, r = decode[texels[at, 0]], decode[texels[at, 1]], decode[texels[at, 2]]
                code = texels[at, 3]
                if TINT_1 <= code <= TINT_2:
                    second = code - TINT_1
                    b, g, r = b * tints[thing, second, 0], g * tints[thing, second, 1], r * tints[thing, second, 2]
                nx, ny, nz = normals[shown_face]
                x, y, z = camera[0] + depth * dx, camera[1] + depth * dy, camera[2] + depth * dz
                card = nx == 0 and ny == 0 and nz == 0
                facing = 0.55 if card else max(0.0, nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2])
                sun = 0.0
                if light.sun_color[1] > 0.02 and facing > 0.01:
                    sun = facing * _sunlit(heights, cells, x, y, z, 0.7 if card else 0.25)
                sky = 0.6 if card else 0.5 + 0.5 * ny
                near_ground = 0.62 + 0.38 * min(1.0, max(y, 0.0) * 0.8)
                if code != GLOW:
                    above, below = sky * near_ground, (1 - sky) * near_ground
                    b *= above * light.sky_color[0] + below * light.ground_color[0] + sun * light.sun_color[0]
                    g *= above * light.sky_color[1] + below * light.ground_color[1] + sun * light.sun_color[1]
                    r *= above * light.sky_color[2] + below * light.ground_color[2] + sun * light.sun_color[2]
                else:
                    b, g, r = b * 1.6, g * 1.6, r * 1.6
                if (code == GLASS or (code == TINT_1 and gloss[thing] > 0)) and not card:
                    length = np.sqrt(dx * dx + dy * dy + dz * dz)
                    cosine = (dx * nx + dy * ny + dz * nz) / length
                    mirrored_up = dy / length - 2 * cosine * ny
                    away = 1 + cosine  # cosine is negative: the face looks at the camera
                    away = max(0.0, away * away * away)
                    share = 0.12 + 0.6 * away if code == GLASS else gloss[thing] * (0.05 + 0.5 * away)
                    t = min(1.0, max(0.0, mirrored_up * 2.2 + 0.1 * _smooth(noise, 9.0 * x, 9.0 * (y + z))))
                    b += share * (t * light.horizon[0] + (1 - t) * 0.4 * light.ground_color[0] - 0.5 * b)
                    g += share * (t * light.horizon[1] + (1 - t) * 0.4 * light.ground_color[1] - 0.5 * g)
                    r += share * (t * light.horizon[2] + (1 - t) * 0.4 * light.ground_color[2] - 0.5 * r)
                labels[row, column] = part_labels[thing, library_part[index]]
                instances[row, column] = part_instances[thing, library_part[index]]
                haze = depth
            elif dy < -1e-4:
                depth = -camera[1] / dy
                x, z = camera[0] + depth * dx, camera[2] + depth * dz
                step = np.uintp(min(max(int((z - begin) / ALONG_M), 0), len(middles) - 1))
                b, g, r, label = _ground(x, z, x - middles[step], crossing[step], depth / focal,
                                         depth * depth / (focal * camera[1]), ground, library, noise, decode)
                sun = light.sun[1] * _sunlit(heights, cells, x, 0.0, z, 0.12) if light.sun_color[1] > 0.02 else 0.0
                seen = _open(occlusion, cells, x, z)
                b *= light.sky_color[0] * seen + sun * light.sun_color[0]
                g *= light.sky_color[1] * seen + sun * light.sun_color[1]
                r *= light.sky_color[2] * seen + sun * light.sun_color[2]
                labels[row, column], instances[row, column] = label, label
                haze = depth
            else:
                length = np.sqrt(dx * dx + dy * dy + dz * dz)
                b, g, r = _sky(dx / length, dy / length, dz / length, light, noise)
                labels[row, column], instances[row, column] = SKY, SKY
            if haze > 0:
                thick = light.haze * haze
                clear = 1.0 / (1.0 + thick * (1.0 + 0.5 * thick))  # nearly exp(-thick), in a tenth of its time
                b = clear * b + (1 - clear) * light.horizon[0]
                g = clear * g + (1 - clear) * light.horizon[1]
                r = clear * r + (1 - clear) * light.horizon[2]
            off_axis = across_cam * across_cam + up_cam * up_cam
            gain = light.exposure * (1 - 0.28 * off_axis) * (ENCODED - 1)
            image[row, column, 0] = encode[int(min(b * gain, ENCODED - 1.0))]
            image[row, column, 1] = encode[int(min(g * gain, ENCODED - 1.0))]
            image[row, column, 2] = encode[int(min(r * gain, ENCODED - 1.0))]


@inlined
def _ground(x: float, z: float, aside: float, there: int, across_m: float, along_m: float, ground: Ground, library: Packed,
            noise: Any, decode: Any) -> tuple[float, float, float, int]:
    """Returns colour and label id of the ground; across_m and along_m are a pixel's size on it."""
    strip_at, kerb_at, line_at, lines = ground.strip_at, ground.kerb_at, ground.line_at, ground.lines
    materials, road, texels, tables = ground.materials, np.uintp(ground.road), library.texels, library.tables
    step = np.uintp(min(max(int(aside / ACROSS_M + 0.5 * len(strip_at)), 0), len(strip_at) - 1))
    material, kerb, line = np.uintp(strip_at[step]), kerb_at[step], line_at[step]
    on_road = material == road
    if there == SIDE_STREET:
        material, line, kerb = road, -1, 1e9
    elif there == KERB and not on_road:
        kerb = 0.0
    elif there == ZEBRA and on_road:
        line = -1
    tile_m, texture = materials[material, 1], np.uintp(materials[material, 0])
    level = level_of(tables[texture, 0, 2] / tile_m * np.sqrt(across_m * along_m), tables.shape[1])
    at = texel_at(tables, texture, level, x / tile_m, z / tile_m)
    stain = 0.76 + 0.48 * _smooth(noise, 3.1 * x, 1.3 * z)
    b = decode[texels[at, 0]] * materials[material, 2] * stain
    g = decode[texels[at, 1]] * materials[material, 3] * stain
    r = decode[texels[at, 2]] * materials[material, 4] * stain
    if kerb < 0.25 and material == road:  # the gutter
        b, g, r = 0.7 * b, 0.7 * g, 0.7 * r
    elif kerb < KERB_M:
        b, g, r = 0.30 * stain, 0.31 * stain, 0.31 * stain
    share = 0.0
    if line >= 0:
        distance, half = abs(aside - lines[line, 0]), 0.5 * lines[line, 1]
        if distance < half + across_m:
            dash, period = lines[line, 2], lines[line, 2] + lines[line, 3]
            at_z = z + lines[line, 4]
            if dash == period or at_z - np.floor(at_z / period) * period < dash:
                share = min(1.0, max(0.0, (half - distance) / across_m + 0.5)) * min(1.0, 2 * half / across_m)
                white_b, white_g, white_r = lines[line, 5], lines[line, 6], lines[line, 7]
    elif on_road and there == ZEBRA:
        stripe = aside - np.floor(aside)
        share = 0.8 * min(1.0, max(0.0, (0.25 - abs(stripe - 0.5)) / max(across_m, 0.02) + 0.5))
        white_b, white_g, white_r = 0.60, 0.62, 0.62
    if on_road and there == STOP_LINE:
        share, white_b, white_g, white_r = 0.9, 0.60, 0.62, 0.62
    if share > 0:
        share *= min(1.0, 0.35 + 1.1 * _smooth(noise, 23.0 * x, 23.0 * z))  # worn off
        b, g, r = b + share * (white_b - b), g + share * (white_g - g), r + share * (white_r - r)
    return b, g, r, int(materials[material, 5])


@compiled
def wet_road(shown: Any, camera: Any, wet: float, labels: Any, noise: Any, image: Any) -> None:
    """Lets the wet ground mirror what is above it, row by row around the horizon, into `image` (H, W, 3) uint8."""
    height, width = shown.shape
    focal = camera[12]
    for row in range(height):
        up_cam = (camera[14] - 0.5 - row) / focal
        for column in range(width):
            if shown[row, column] >= 0 or labels[row, column] == TERRAIN:
                continue
            across_cam = (column + 0.5 - camera[13]) / focal
            dx = camera[3] * across_cam + camera[6] * up_cam + camera[9]
            dy = camera[4] * across_cam + camera[7] * up_cam + camera[10]
            dz = camera[5] * across_cam + camera[8] * up_cam + camera[11]
            if dy > -1e-3:
                continue
            depth = -camera[1] / dy
            x, z = camera[0] + depth * dx, camera[2] + depth * dz
            # the column's horizon: where dy is 0
            horizon = row + (dy * focal) / max(camera[7], 0.2)
            wobble = (_smooth(noise, 60.0 * x, 25.0 * z) - 0.5) * 14.0 * min(1.0, 8.0 / depth)
            source = int(2 * horizon - row + wobble)
            if source < 0:
                source = 0
            if source >= height:
                continue
            puddle = min(1.0, max(0.0, (_smooth(noise, 5.0 * x, 2.0 * z) - 0.42) * 5.0))
            grazing = 1.0 + dy / np.sqrt(dx * dx + dy * dy + dz * dz)
            share = wet * (0.15 + 0.75 * puddle) * grazing * grazing * grazing
            for channel in range(3):
                own = image[row, column, channel] * (1.0 - 0.25 * wet)
                image[row, column, channel] = np.uint8(own + share * (0.85 * image[source, column, channel] - own))
