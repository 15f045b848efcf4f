"""Test scenes, and what is visible in a scene, computed with one ray per pixel: slow, and without the renderer's loops."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.scenes.catalog import Catalog
from datasets.scenes.parts import HOLE, Library
from datasets.scenes.renderer import Scene
from datasets.scenes.setting import LABEL_IDS
from datasets.scenes.stage import Stage
from datasets.scenes.street import Street

NEAR_M = 0.4  # nothing nearer than this is drawn


class Seen(NamedTuple):
    """By pixel: the object and its part, -1 for none; the depth [m]; and whether the ray met holes; (H, W)."""

    thing: npt.NDArray[np.int64]
    part: npt.NDArray[np.int64]
    depth: npt.NDArray[np.float64]
    ragged: npt.NDArray[np.bool_]


def scene_of(parts: Catalog, stage: Stage, *, sun: tuple[float, float, float] | None = None) -> Scene:
    """Returns a scene of the objects on a stage, with the light and asphalt of some street."""
    street = Street(parts, 3)
    camera = np.array([0, 1.5, 0, *np.eye(3).ravel(), 1.0, 0, 0])
    light = street.light._replace(sun_color=(0.0, 0.0, 0.0), wet=0.0, haze=0.0)
    if sun:
        light = light._replace(sun=sun, sun_color=(2.0, 2.0, 2.0), sky_color=(0.2, 0.2, 0.2))
    asphalt = np.array((0, 6, 1, 1, 1, LABEL_IDS["road"]), np.float32)
    ground = street.ground._replace(bend=(0.0, 0.0, 0.0), materials=np.tile(asphalt, (len(street.ground.materials), 1)),
                                    lines=np.zeros((0, 8), np.float32), line_at=np.full_like(street.ground.line_at, -1),
                                    kerb_at=np.full_like(street.ground.kerb_at, 1e9), crossings=np.zeros((0, 4), np.float32))
    return Scene(*stage.arrays((0.0, 0.0)), camera, light, ground, replace(street.lens, noise=0.0, blur_px=0.3), 0)


def rays(scene: Scene, size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Returns the direction (H, W, 3) through the centre of each pixel, in the world, scaled to a depth of one metre."""
    height, width = size_hw
    focal, across, down = scene.camera[12:15] * height
    rows, columns = np.mgrid[:height, :width] + 0.5
    seen = np.stack([(columns - width / 2 - across) / focal, (height / 2 + down - rows) / focal, np.ones(size_hw)], -1)
    return seen @ scene.camera[3:12].reshape(3, 3)


def cast(library: Library, scene: Scene, size_hw: tuple[int, int]) -> Seen:
    """Casts a ray through each pixel (Möller and Trumbore, 1997)."""
    directions = rays(scene, size_hw).reshape(-1, 3)
    count, eye = len(directions), scene.camera[:3]
    thing, part = np.full(count, -1), np.full(count, -1)
    depth, ragged = np.full(count, np.inf), np.zeros(count, bool)
    for index, (mesh_index, place) in enumerate(zip(scene.mesh, scene.placement, strict=True)):
        mesh = library.meshes[mesh_index]
        x, y, z, sine, cosine = place[:5]
        local = mesh.corners.astype(np.float64) * place[5:]
        turned = np.stack([x + local[..., 0] * cosine + local[..., 2] * sine, y + local[..., 1],
                           z + local[..., 2] * cosine - local[..., 0] * sine], -1)
        mirrored = place[5] * place[7] < 0
        for triangle, uv, texture, own_part in zip(turned, mesh.uv, mesh.texture, mesh.part, strict=True):
            first, second = triangle[1] - triangle[0], triangle[2] - triangle[0]
            normal = np.cross(first, second) * (-1 if mirrored else 1)
            if not mesh.two_sided and normal @ (triangle[0] - eye) >= 0:
                continue
            across = np.cross(directions, second)
            determinant = across @ first
            inverse = 1 / np.where(np.abs(determinant) < 1e-12, np.inf, determinant)
            from_first = eye - triangle[0]
            u = (across @ from_first) * inverse
            up = np.cross(from_first, first)
            v = (directions @ up) * inverse
            far = (second @ up) * inverse
            hit = np.flatnonzero((u >= 0) & (v >= 0) & (u + v <= 1) & (far > NEAR_M) & (far < depth))
            texels = library.textures[texture]
            if (texels[..., 3] == HOLE).any():
                ragged[hit] = True
                at = uv[0] + u[hit, None] * (uv[1] - uv[0]) + v[hit, None] * (uv[2] - uv[0])
                column, row = ((at % 1) * texels.shape[1::-1]).astype(int).T
                hit = hit[texels[np.minimum(row, len(texels) - 1), np.minimum(column, texels.shape[1] - 1), 3] != HOLE]
            thing[hit], part[hit], depth[hit] = index, own_part, far[hit]
    return Seen(*(values.reshape(size_hw) for values in (thing, part, depth, ragged)))
