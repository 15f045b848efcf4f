"""Which triangle each pixel shows: projection, depth and shadows, compiled by Numba.

Triangles are drawn by their homogeneous edge functions (Olano and Greer, "Triangle scan conversion using 2D homogeneous
coordinates", 1997), so nothing has to be clipped: with M the matrix of a triangle's corners in camera space, the rows of
M^-1 times (x/z, y/z, 1) are its barycentric coordinates over z, and everything that is linear on the triangle is linear
on the picture once it is divided by z.

Camera space, in metres: x right, y up, z ahead. `camera` is a float64 array of 15: position (3), rotation from the world
(3, 3), focal length [px], column and row of the optical axis [px].
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import HOLE, Float32Array, Int32Array, Packed

# Without Numba's counting of references to arrays: it would take half of the time where a function is called for each pixel.
# Such functions can't make arrays, so they get them. Those called for each pixel are inlined: a call would copy arrays' fields.
# Indices are unsigned (np.uintp) in the innermost loops: for others Numba asks each time whether they count from the end.
SETTINGS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": True, "_nrt": False}
compiled: Any = numba.njit(**SETTINGS)
inlined: Any = numba.njit(**SETTINGS, forceinline=True)

NEAR_M = 0.4
FACE_FLOATS = 16  # what `project` says of a face: 9 of M^-1, then u and v at the corners (6), texels per pixel at 1 m
ANY_LEVEL = 1.6  # a level is left for the next coarser one at this many texels a pixel


class Buffers(NamedTuple):
    """What a picture is drawn in: its faces, and what each pixel shows; M faces at most.

    Attributes:
        faces: (M, FACE_FLOATS) float64. normals: (M, 3) float32, zero on two-sided meshes.
        owners: (M, 2) int32; object and triangle of the library.
        boxes: (M, 4) int32; first column, end column, first row, end row. nearest: (M,) float32; of the corners [m].
        nearness: (H, W) float32; one over the depth of each pixel [1/m]. shown: (H, W) int32; its face, -1 for none.
        scratch: (2, 3, 3) float64.
    """

    faces: npt.NDArray[np.float64]
    normals: Float32Array
    owners: Int32Array
    boxes: Int32Array
    nearest: Float32Array
    nearness: Float32Array
    shown: Int32Array
    scratch: npt.NDArray[np.float64]

    @classmethod
    def of_size(cls, size_hw: tuple[int, int], faces: int) -> "Buffers":
        """Makes room for pictures of a size and a number of faces."""
        return cls(np.empty((faces, FACE_FLOATS)), np.empty((faces, 3), np.float32), np.empty((faces, 2), np.int32),
                   np.empty((faces, 4), np.int32), np.empty(faces, np.float32), np.empty(size_hw, np.float32),
                   np.empty(size_hw, np.int32), np.empty((2, 3, 3)))


View = Buffers  # its former name, in caches on disk: Numba loads one before it sees that the cache is out of date


class Cells(NamedTuple):
    """The ground in square cells: its point at the first one, a cell's side, and where the shadow of one metre falls [m]."""

    origin_x: float
    origin_z: float
    cell_m: float
    shear_x: float
    shear_z: float


@compiled
def project(library: Packed, mesh: Any, placement: Any, camera: Any, buffers: Buffers) -> int:
    """Places the objects' triangles before the camera and keeps those that can be seen.

    Args:
        library: textures and meshes.
        mesh: (N,) of each object.
        placement: (N, 8) float64; position (3), sine and cosine of the yaw, scale (3).
        camera: see the head of this file.
        buffers: its faces are written; those that don't fit are left out.

    Returns:
        how many faces were written.
    """
    starts, two_sided, corners, uv = library.starts, library.two_sided, library.corners, library.uv
    texture, tables = library.texture, library.tables
    faces, normals, owners, boxes, nearest = buffers.faces, buffers.normals, buffers.owners, buffers.boxes, buffers.nearest
    height, width = buffers.shown.shape
    world, seen = buffers.scratch[0], buffers.scratch[1]
    count = 0
    focal, column_0, row_0 = camera[12], camera[13], camera[14]
    for thing in range(len(mesh)):
        px, py, pz, sine, cosine, sx, sy, sz = placement[thing]
        for index in range(starts[mesh[thing]], starts[mesh[thing] + 1]):
            if count == len(faces):
                return count
            behind = 0
            for k in range(3):
                x, y, z = corners[index, k, 0] * sx, corners[index, k, 1] * sy, corners[index, k, 2] * sz
                world[k, 0], world[k, 1], world[k, 2] = px + x * cosine + z * sine, py + y, pz - x * sine + z * cosine
                dx, dy, dz = world[k, 0] - camera[0], world[k, 1] - camera[1], world[k, 2] - camera[2]
                for j in range(3):
                    seen[k, j] = camera[3 + 3 * j] * dx + camera[4 + 3 * j] * dy + camera[5 + 3 * j] * dz
                behind += seen[k, 2] < NEAR_M
            if behind == 3:
                continue
            # cofactors; the determinant is negative where a face that is clockwise from outside looks at the camera
            a00 = seen[1, 1] * seen[2, 2] - seen[2, 1] * seen[1, 2]
            a01 = seen[2, 0] * seen[1, 2] - seen[1, 0] * seen[2, 2]
            a02 = seen[1, 0] * seen[2, 1] - seen[2, 0] * seen[1, 1]
            determinant = seen[0, 0] * a00 + seen[0, 1] * a01 + seen[0, 2] * a02
            mirrored = sx * sz < 0
            if abs(determinant) < 1e-9 or (not two_sided[mesh[thing]] and (determinant > 0) != mirrored):
                continue
            # the box around what of it is in front of the near plane
            left, right, top, bottom = 1e9, -1e9, 1e9, -1e9
            for k in range(3):
                j = (k + 1) % 3
                if seen[k, 2] >= NEAR_M:
                    column, row = column_0 + focal * seen[k, 0] / seen[k, 2], row_0 - focal * seen[k, 1] / seen[k, 2]
                    left, right, top, bottom = min(left, column), max(right, column), min(top, row), max(bottom, row)
                if (seen[k, 2] >= NEAR_M) != (seen[j, 2] >= NEAR_M):
                    t = (NEAR_M - seen[k, 2]) / (seen[j, 2] - seen[k, 2])
                    column = column_0 + focal * (seen[k, 0] + t * (seen[j, 0] - seen[k, 0])) / NEAR_M
                    row = row_0 - focal * (seen[k, 1] + t * (seen[j, 1] - seen[k, 1])) / NEAR_M
                    left, right, top, bottom = min(left, column), max(right, column), min(top, row), max(bottom, row)
            if right < 0 or bottom < 0 or left >= width or top >= height:
                continue
            face = faces[count]
            face[0], face[1], face[2] = a00 / determinant, a01 / determinant, a02 / determinant
            face[3] = (seen[2, 1] * seen[0, 2] - seen[0, 1] * seen[2, 2]) / determinant
            face[4] = (seen[0, 0] * seen[2, 2] - seen[2, 0] * seen[0, 2]) / determinant
            face[5] = (seen[2, 0] * seen[0, 1] - seen[0, 0] * seen[2, 1]) / determinant
            face[6] = (seen[0, 1] * seen[1, 2] - seen[1, 1] * seen[0, 2]) / determinant
            face[7] = (seen[1, 0] * seen[0, 2] - seen[0, 0] * seen[1, 2]) / determinant
            face[8] = (seen[0, 0] * seen[1, 1] - seen[1, 0] * seen[0, 1]) / determinant
            for k in range(3):  # as functions of the pixel's column and row
                across, up = face[3 * k] / focal, -face[3 * k + 1] / focal
                face[3 * k + 2] += (0.5 - column_0) * across + (0.5 - row_0) * up
                face[3 * k], face[3 * k + 1] = across, up
                face[9 + k], face[12 + k] = uv[index, k, 0], uv[index, k, 1]
            e1x, e1y, e1z = world[1, 0] - world[0, 0], world[1, 1] - world[0, 1], world[1, 2] - world[0, 2]
            e2x, e2y, e2z = world[2, 0] - world[0, 0], world[2, 1] - world[0, 1], world[2, 2] - world[0, 2]
            nx, ny, nz = e1y * e2z - e1z * e2y, e1z * e2x - e1x * e2z, e1x * e2y - e1y * e2x
            area = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
            flip = (-1.0 if mirrored else 1.0) / area
            if two_sided[mesh[thing]]:
                normals[count] = 0
            else:
                normals[count, 0], normals[count, 1], normals[count, 2] = nx * flip, ny * flip, nz * flip
            du1, dv1 = uv[index, 1, 0] - uv[index, 0, 0], uv[index, 1, 1] - uv[index, 0, 1]
            du2, dv2 = uv[index, 2, 0] - uv[index, 0, 0], uv[index, 2, 1] - uv[index, 0, 1]
            texels = abs(du1 * dv2 - du2 * dv1) * tables[texture[index], 0, 1] * tables[texture[index], 0, 2]
            face[15] = np.sqrt(texels / area) / focal  # texels per pixel at a depth of one metre
            owners[count, 0], owners[count, 1] = thing, index
            boxes[count, 0], boxes[count, 1] = max(0, int(left)), int(min(width, right + 1.0))
            boxes[count, 2], boxes[count, 3] = max(0, int(top)), int(min(height, bottom + 1.0))
            nearest[count] = max(min(seen[0, 2], seen[1, 2], seen[2, 2]), NEAR_M)
            count += 1
    return count


@inlined
def texel_at(tables: Any, texture: int, level: int, u: float, v: float) -> np.uintp:
    """Returns the index of the texel that holds (u, v), which repeat."""
    rows, columns = tables[texture, level, 1], tables[texture, level, 2]
    column = int((u - np.floor(u)) * columns)
    row = int((v - np.floor(v)) * rows)
    return np.uintp(tables[texture, level, 0] + min(row, rows - 1) * columns + min(column, columns - 1))


@inlined
def level_of(texels_per_pixel: float, levels: int) -> int:
    """Returns the level whose texels are about as large as a pixel."""
    level = 0
    while texels_per_pixel > ANY_LEVEL and level < levels - 1:
        texels_per_pixel *= 0.5
        level += 1
    return level


@compiled
def rasterize(order: Any, library: Packed, buffers: Buffers) -> None:
    """Draws faces, in an order that has the nearest first, into `nearness` and `shown` of the buffers."""
    texture, has_holes, texels, tables = library.texture, library.has_holes, library.texels, library.tables
    faces, owners, boxes, nearness, shown = buffers.faces, buffers.owners, buffers.boxes, buffers.nearness, buffers.shown
    levels = tables.shape[1]
    nearness[:] = 0
    shown[:] = -1
    for number in order:
        face, image = faces[number], texture[owners[number, 1]]
        holes = has_holes[image]
        a0, b0, c0, a1, b1, c1, a2, b2, c2 = face[:9]
        az, bz, cz = a0 + a1 + a2, b0 + b1 + b2, c0 + c1 + c2
        u0, u1, u2, v0, v1, v2 = face[9:15]
        for row in range(boxes[number, 2], boxes[number, 3]):
            first, last = float(boxes[number, 0]), float(boxes[number, 1]) - 1.0
            for a, b, c in ((a0, b0, c0), (a1, b1, c1), (a2, b2, c2)):
                at_row = b * row + c
                if a > 0:
                    first = max(first, -at_row / a)
                elif a < 0:
                    last = min(last, -at_row / a)
                elif at_row < 0:
                    last = -1.0
            depths, owner = nearness[row], shown[row]
            for column in range(int(np.ceil(first - 0.004)), int(np.floor(last + 0.004)) + 1):
                near = np.float32(az * column + bz * row + cz)
                if near <= depths[column]:
                    continue
                if holes:
                    depth = 1.0 / near
                    t0, t1, t2 = a0 * column + b0 * row + c0, a1 * column + b1 * row + c1, a2 * column + b2 * row + c2
                    u, v = (u0 * t0 + u1 * t1 + u2 * t2) * depth, (v0 * t0 + v1 * t1 + v2 * t2) * depth
                    level = level_of(face[15] * depth, levels)
                    if texels[texel_at(tables, image, level, u, v), 3] == HOLE:
                        continue
                depths[column] = near
                owner[column] = number


@compiled
def cast_shadows(library: Packed, mesh: Any, placement: Any, cells: Cells, heights: Any, scratch: Any) -> None:
    """Finds how high what keeps the sun from each cell of the ground reaches.

    A point at height y casts its shadow `shear * y` beside itself, so a point is in the shade where the height that
    is in the cell of its own shadow is above it.

    Args:
        library: textures and meshes.
        mesh: (N,) of each object.
        placement: (N, 8) float64, as in `project`.
        cells: where the cells lie.
        heights: (rows, columns) float32, written [m].
        scratch: (2, 3, 3) float64.
    """
    starts, corners, uv, texture = library.starts, library.corners, library.uv, library.texture
    has_holes, texels, tables = library.has_holes, library.texels, library.tables
    origin_x, origin_z, cell_m, shear_x, shear_z = cells
    p = scratch[0]
    rows, columns = heights.shape
    heights[:] = 0
    for thing in range(len(mesh)):
        px, py, pz, sine, cosine, sx, sy, sz = placement[thing]
        for index in range(starts[mesh[thing]], starts[mesh[thing] + 1]):
            for k in range(3):
                x, y, z = corners[index, k, 0] * sx, py + corners[index, k, 1] * sy, corners[index, k, 2] * sz
                p[k, 0] = (px + x * cosine + z * sine + shear_x * y - origin_x) / cell_m
                p[k, 1] = (pz - x * sine + z * cosine + shear_z * y - origin_z) / cell_m
                p[k, 2] = y
            low, high = min(p[0, 1], p[1, 1], p[2, 1]), max(p[0, 1], p[1, 1], p[2, 1])
            area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (p[1, 1] - p[0, 1])
            if high < 0 or low >= rows or abs(area) < 1e-6:
                continue
            image = texture[index]
            for row in range(max(0, int(np.ceil(low))), min(rows - 1, int(high)) + 1):
                first, last = 1e9, -1e9
                for k in range(3):
                    j = (k + 1) % 3
                    if (p[k, 1] <= row) != (p[j, 1] <= row):
                        column = p[k, 0] + (row - p[k, 1]) / (p[j, 1] - p[k, 1]) * (p[j, 0] - p[k, 0])
                        first, last = min(first, column), max(last, column)
                for column in range(max(0, int(np.ceil(first))), min(columns - 1, int(np.floor(last))) + 1):
                    t1 = ((column - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (row - p[0, 1])) / area
                    t2 = ((p[1, 0] - p[0, 0]) * (row - p[0, 1]) - (column - p[0, 0]) * (p[1, 1] - p[0, 1])) / area
                    y = p[0, 2] + t1 * (p[1, 2] - p[0, 2]) + t2 * (p[2, 2] - p[0, 2])
                    if y <= heights[row, column]:
                        continue
                    if has_holes[image]:
                        u = uv[index, 0, 0] + t1 * (uv[index, 1, 0] - uv[index, 0, 0]) + t2 * (
                            uv[index, 2, 0] - uv[index, 0, 0])
                        v = uv[index, 0, 1] + t1 * (uv[index, 1, 1] - uv[index, 0, 1]) + t2 * (
                            uv[index, 2, 1] - uv[index, 0, 1])
                        if texels[texel_at(tables, image, 1, u, v), 3] == HOLE:
                            continue
                    heights[row, column] = y
