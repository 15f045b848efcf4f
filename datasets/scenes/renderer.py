"""Renderer: a scene in, a picture with its label ids and instance ids out."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from datasets.scenes import raster, shade
from datasets.scenes.ground import cloud_noise
from datasets.scenes.parts import Float32Array, Int32Array, Library, UInt8Array
from datasets.scenes.setting import TABLE_BEHIND_M, Ground, Light
from datasets.scenes.weather import Lens

MAX_FACES = 60_000
SHADOW_CELL_M = 0.2
SHADOW_SIZE_M = (110.0, 64.0)  # along and across


@dataclass(frozen=True)
class Scene:
    """What stands where, in which light, seen from where.

    Attributes:
        mesh: (N,) int32 of each object.
        placement: (N, 8) float64; position (3), sine and cosine of the yaw, scale (3).
        things: how they look, and their classes.
        camera: (15,) float64, see `raster`, for a picture of height 1: focal length and axis count in its height.
        clock: changes the noise of one picture against the next.
    """

    mesh: Int32Array
    placement: npt.NDArray[np.float64]
    things: shade.Things
    camera: npt.NDArray[np.float64]
    light: Light
    ground: Ground
    lens: Lens
    clock: int


@dataclass(frozen=True)
class Frame:
    """A rendered picture.

    Attributes:
        bgr: (H, W, 3) uint8.
        label_ids: (H, W) uint8, Cityscapes' label ids.
        instance_ids: (H, W) int32; label id * 1000 + number for things that are counted, else the label id.
    """

    bgr: UInt8Array
    label_ids: UInt8Array
    instance_ids: Int32Array


class Renderer:
    """Renders scenes at one size. It keeps its buffers, so each thread needs its own.

    Args:
        library: textures and meshes that scenes name by index.
        size_hw: height and width of the pictures [px].
    """

    def __init__(self, library: Library, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        self._packed = library.pack()
        feet = [_foot(mesh.corners) for mesh in library.meshes]
        self._stands = np.array([foot is not None for foot in feet])
        self._feet = np.array([np.zeros((4, 2)) if foot is None else foot for foot in feet])
        rng = np.random.default_rng(1)
        noise = cloud_noise(rng)
        # larger than a picture, so that each takes a section of its own
        self._grain = rng.standard_normal((size_hw[0] + 64, size_hw[1] + 64, 3), np.float32)
        self._buffers = raster.Buffers.of_size(size_hw, MAX_FACES)
        cells = [round(side / SHADOW_CELL_M) for side in SHADOW_SIZE_M]
        self._heights, self._feet_seen = np.empty(cells, np.float32), np.empty(cells, np.uint8)
        linear = np.linspace(0, 1, 256, dtype=np.float32)
        decode = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4).astype(np.float32)
        steps = np.linspace(0, 1, shade.ENCODED)
        toned = steps * 1.18 / (1 + 0.18 * steps)  # highlights roll off
        encoded = np.where(toned <= 0.0031308, toned * 12.92, 1.055 * toned ** (1 / 2.4) - 0.055)
        self._tables = shade.Tables(noise, decode, np.clip(encoded * 255 + 0.5, 0, 255).astype(np.uint8))

    def render(self, scene: Scene) -> Frame:
        """Renders a scene."""
        height, width = self.size_hw
        packed, camera = self._packed, scene.camera.copy()
        camera[12:15] = camera[12] * height, width / 2 + camera[13] * height, height / 2 + camera[14] * height
        count = raster.project(packed, scene.mesh, scene.placement, camera, self._buffers)
        order = np.argsort(self._buffers.nearest[:count], kind="stable")
        raster.rasterize(order, packed, self._buffers)
        image = np.empty((height, width, 3), np.uint8)
        labels, instances = np.empty((height, width), np.uint8), np.empty((height, width), np.int32)
        shade.shade(self._buffers, packed, scene.things, camera, scene.light, scene.ground, self._ahead(scene), self._tables,
                    image, labels, instances)
        if scene.light.wet > 0:
            shade.wet_road(self._buffers.shown, camera, scene.light.wet, labels, self._tables.noise, image)
        return Frame(self._develop(image, scene), labels, instances)

    def _ahead(self, scene: Scene) -> shade.Ahead:
        """Casts the shadows of the sun, and darkens the ground below and beside what stands on it."""
        light, camera = scene.light, scene.camera
        origin_x = round((camera[0] + 0.25 * SHADOW_SIZE_M[0] * camera[9] - SHADOW_SIZE_M[1] / 2) / SHADOW_CELL_M) * SHADOW_CELL_M
        origin_z = round((camera[2] - 4) / SHADOW_CELL_M) * SHADOW_CELL_M
        cells = raster.Cells(origin_x, origin_z, SHADOW_CELL_M, -light.sun[0] / light.sun[1], -light.sun[2] / light.sun[1])
        if light.sun_color[1] > 0.02:
            raster.cast_shadows(self._packed, scene.mesh, scene.placement, cells, self._heights, self._buffers.scratch)
        self._feet_seen[:] = 255
        x, z, sine, cosine, sx, sz = scene.placement.T[[0, 2, 3, 4, 5, 7], :, None]
        feet = self._feet[scene.mesh]  # (N, 4, 2)
        across, along = feet[..., 0] * sx, feet[..., 1] * sz
        turned = np.stack([x + across * cosine + along * sine - origin_x, z - across * sine + along * cosine - origin_z], -1)
        for corners in np.rint(turned[self._stands[scene.mesh]] / SHADOW_CELL_M).astype(np.int32):
            cv2.fillConvexPoly(self._feet_seen, corners, 70)
        occlusion = np.asarray(cv2.blur(cv2.blur(self._feet_seen, (7, 7)), (7, 7)), np.uint8)
        begin = camera[2] - TABLE_BEHIND_M
        return shade.Ahead(begin, *scene.ground.along(begin), self._heights, occlusion, cells)

    def _develop(self, image: UInt8Array, scene: Scene) -> UInt8Array:
        """Blurs as a lens does, adds a sensor's noise, and balances the colours."""
        height, width = self.size_hw
        blur_px = max(scene.lens.blur_px * height / 512, 0.3)
        blurred = cv2.GaussianBlur(image, (0, 0), blur_px)
        y, x = (scene.clock * 37) % 64, (scene.clock * 53) % 64
        grain = self._grain[y : y + height, x : x + width]
        developed = cv2.addWeighted(blurred, 1.0, grain, scene.lens.noise, 0.0, dtype=cv2.CV_8U)
        table = np.clip(np.arange(256)[:, None] * scene.lens.balance + 0.5, 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(developed, table[None]), np.uint8)


def _foot(corners: Float32Array) -> Float32Array | None:
    """Returns (4, 2) x and z of the rectangle that a mesh stands on, None where it hangs above the ground or lies on it."""
    points = corners.reshape(-1, 3)
    low = points[points[:, 1] < 0.6]
    if len(low) < 3 or points[:, 1].max() < 0.05:
        return None
    (x0, _, z0), (x1, _, z1) = low.min(0), low.max(0)
    if z1 - z0 < 0.4:  # a card stands for something round
        z0, z1 = z0 - 0.2, z1 + 0.2
    return np.array(((x0, z0), (x1, z0), (x1, z1), (x0, z1)), np.float32)
