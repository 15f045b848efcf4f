"""What the objects of a scene are made of: textures and meshes, and the library that packs them for the renderer.

Object frame, in metres: x right, y up, z ahead (the way a vehicle drives); the origin lies on the ground below the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

# A texture's fourth channel says what a texel is. Where several meet in one texel, the highest code is kept.
HOLE = 0  # not there: whatever is behind it is seen, and labelled
TINT_1 = 1  # the colour is multiplied by the object's first tint: paint, coat, plaster
TINT_2 = 2  # the same with the second tint: trousers, window frames, lettering
GLASS = 3  # reflects the sky or the street, by the angle at which it is seen
GLOW = 4  # shines by itself: a lamp that is lit
PLAIN = 5  # has the colour of the texture

LEVELS = 7  # of a texture at most: itself and its halvings

Bgr = tuple[float, float, float]  # blue, green, red, 0 to 255, as they look


class Texel(NamedTuple):
    """What a texel of a texture is: its colour and its code."""

    bgr: Bgr
    code: int = PLAIN


class MeshBuilder:
    """Collects textured faces: `MeshBuilder().box(...).quad(...).build()`."""

    def __init__(self) -> None:
        self._corners: list[Float32Array] = []
        self._uv: list[Float32Array] = []
        self._texture: list[int] = []
        self._part: list[int] = []

    def triangle(self, corners: npt.ArrayLike, uv: npt.ArrayLike, texture: int, part: int = 0) -> "MeshBuilder":
        """Adds a triangle: corners (3, 3) [m], clockwise as seen from outside; uv (3, 2), u right and v down, 0 to 1."""
        self._corners.append(np.asarray(corners, np.float32).reshape(3, 3))
        self._uv.append(np.asarray(uv, np.float32).reshape(3, 2))
        self._texture.append(texture)
        self._part.append(part)
        return self

    def quad(self, corners: npt.ArrayLike, texture: int, part: int = 0,
             uv: tuple[float, float, float, float] = (0, 0, 1, 1)) -> "MeshBuilder":
        """Adds a face of four corners.

        Args:
            corners: (4, 3) [m]; upper left, upper right, lower right, lower left, as seen from outside.
            texture: its index in the library.
            part: which of the object's classes the face belongs to.
            uv: left, top, right, bottom of the texture's section; above 1 it repeats.
        """
        (a, b, c, d), (left, top, right, bottom) = np.asarray(corners, np.float32).reshape(4, 3), uv
        self.triangle((a, b, c), ((left, top), (right, top), (right, bottom)), texture, part)
        return self.triangle((a, c, d), ((left, top), (right, bottom), (left, bottom)), texture, part)

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float], side: int, *, front: int | None = None,
            back: int | None = None, top: int | None = None, bottom: bool = False, part: int = 0) -> "MeshBuilder":
        """Adds a box from corner `low` to corner `high`; each face shows the whole of its texture.

        Args:
            low: the corner of least x, y and z [m].
            high: the opposite corner [m].
            side: texture of both sides, and of the faces that have none of their own.
            front: of the face towards +z.
            back: of the face towards -z.
            top: of the upper face.
            bottom: whether it has a lower face.
            part: which of the object's classes it belongs to.
        """
        (x0, y0, z0), (x1, y1, z1) = low, high
        self.quad(((x0, y1, z1), (x0, y1, z0), (x0, y0, z0), (x0, y0, z1)), side, part)  # left
        self.quad(((x1, y1, z0), (x1, y1, z1), (x1, y0, z1), (x1, y0, z0)), side, part)  # right
        self.quad(((x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)), side if back is None else back, part)
        self.quad(((x1, y1, z1), (x0, y1, z1), (x0, y0, z1), (x1, y0, z1)), side if front is None else front, part)
        self.quad(((x0, y1, z1), (x1, y1, z1), (x1, y1, z0), (x0, y1, z0)), side if top is None else top, part)
        if bottom:
            self.quad(((x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)), side, part)
        return self

    def build(self, two_sided: bool = False) -> "Mesh":
        """Returns the mesh; `two_sided` where faces are seen from behind too, as those of thin things are."""
        return Mesh(np.stack(self._corners), np.stack(self._uv), np.array(self._texture, np.int32),
                    np.array(self._part, np.int32), two_sided)


@dataclass(frozen=True)
class Mesh:
    """Triangles of one object.

    Attributes:
        corners: (T, 3, 3) [m], clockwise as seen from outside, so that `cross(b - a, c - a)` points outwards.
        uv: (T, 3, 2) of each corner.
        texture: (T,) index in the library.
        part: (T,) which of the object's classes each belongs to.
        two_sided: whether faces are drawn from behind too.
    """

    corners: Float32Array
    uv: Float32Array
    texture: Int32Array
    part: Int32Array
    two_sided: bool = False


@dataclass
class Library:
    """All textures and meshes of a renderer; objects name them by index."""

    textures: list[UInt8Array] = field(default_factory=list)
    meshes: list[Mesh] = field(default_factory=list)
    _packed: "Packed | None" = field(default=None, init=False, repr=False)

    def add_texture(self, bgra: UInt8Array) -> int:
        """Takes over a texture (H, W, 4) uint8, blue green red and code, and returns its index."""
        self._packed = None
        self.textures.append(np.ascontiguousarray(bgra))
        return len(self.textures) - 1

    def add_mesh(self, mesh: Mesh) -> int:
        """Takes over a mesh and returns its index."""
        self._packed = None
        self.meshes.append(mesh)
        return len(self.meshes) - 1

    def pack(self) -> "Packed":
        """Returns everything as flat arrays, textures with their halvings; done once, however many renderers ask."""
        if self._packed is None:
            self._packed = self._pack()
        return self._packed

    def _pack(self) -> "Packed":
        texels: list[UInt8Array] = []
        tables = np.zeros((len(self.textures), LEVELS, 3), np.int32)
        offset = 0
        for index, texture in enumerate(self.textures):
            for level, halved in enumerate(_halvings(texture)):
                tables[index, level] = offset, halved.shape[0], halved.shape[1]
                texels.append(halved.reshape(-1, 4))
                offset += len(texels[-1])
        counts = [len(mesh.texture) for mesh in self.meshes]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return Packed(np.concatenate(texels), tables, starts, np.array([mesh.two_sided for mesh in self.meshes]),
                      np.concatenate([mesh.corners for mesh in self.meshes]),
                      np.concatenate([mesh.uv for mesh in self.meshes]),
                      np.concatenate([mesh.texture for mesh in self.meshes]),
                      np.concatenate([mesh.part for mesh in self.meshes]),
                      np.array([bool((texture[..., 3] == HOLE).any()) for texture in self.textures]))


class Packed(NamedTuple):
    """A library as flat arrays.

    Attributes:
        texels: (N, 4) uint8 of all textures and their halvings.
        tables: (textures, LEVELS, 3) int32; where each level begins, its height and width.
        starts: (meshes + 1,) int32; the first triangle of each mesh.
        two_sided: (meshes,) bool.
        corners, uv, texture, part: of all triangles, as in `Mesh`.
        has_holes: (textures,) bool.
    """

    texels: UInt8Array
    tables: Int32Array
    starts: Int32Array
    two_sided: npt.NDArray[np.bool_]
    corners: Float32Array
    uv: Float32Array
    texture: Int32Array
    part: Int32Array
    has_holes: npt.NDArray[np.bool_]


def _halvings(texture: UInt8Array) -> Sequence[UInt8Array]:
    """Returns LEVELS levels; the last ones repeat where a side has come down to one texel.

    A texel is a hole where more than half of what it covers is; its colour is the mean of what is there.
    """
    levels = [texture]
    while len(levels) < LEVELS:
        last = levels[-1]
        height, width = last.shape[:2]
        if min(height, width) < 2:
            levels.append(last)
            continue
        size = (width // 2, height // 2)
        solid = (last[..., 3] != HOLE).astype(np.float32)
        share = cv2.resize(solid, size, interpolation=cv2.INTER_AREA)
        colors = cv2.resize(last[..., :3] * solid[..., None], size, interpolation=cv2.INTER_AREA)
        code = cv2.resize(last[..., 3], size, interpolation=cv2.INTER_NEAREST)
        other = last[1 : size[1] * 2 : 2, 1 : size[0] * 2 : 2, 3]
        code = np.where(code != HOLE, code, other)  # of what is there, not of a hole next to it
        halved = np.empty((size[1], size[0], 4), np.uint8)
        halved[..., :3] = colors / np.maximum(share, 1e-3)[..., None]
        halved[..., 3] = np.where((share >= 0.5) & (code == HOLE), PLAIN, np.where(share >= 0.5, code, HOLE))
        levels.append(halved)
    return levels
