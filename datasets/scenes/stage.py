"""Stage: collects the objects of one picture, with their classes and instance numbers, as the renderer wants them."""

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from datasets.scenes.figures import Figure
from datasets.scenes.parts import Bgr, Int32Array
from datasets.scenes.setting import LABEL_IDS
from datasets.scenes.shade import Things
from seg.label_sets import CITYSCAPES, INSTANCE_FACTOR

PARTS = 4  # classes that one object may have
# Their instances are told apart.
COUNTED = frozenset(name for name, size in zip(CITYSCAPES.classes, CITYSCAPES.instance_sizes, strict=True) if size)

WHITE: Bgr = (255.0, 255.0, 255.0)


class Stage:
    """The objects of one picture, or of a part of it; `add` puts one there."""

    def __init__(self) -> None:
        self._mesh: list[int] = []
        self._placement: list[tuple[float, ...]] = []
        self._tints: list[tuple[Bgr, Bgr]] = []
        self._gloss: list[float] = []
        self._labels: list[tuple[str, ...]] = []
        self._figures: list[tuple[Figure, float, float, float, float, tuple[str, ...], tuple[Bgr, Bgr]]] = []

    def add(self, mesh: int, x: float, z: float, yaw: float = 0.0, *, labels: tuple[str, ...],
            scale: tuple[float, float, float] = (1.0, 1.0, 1.0), tints: tuple[Bgr, Bgr] = (WHITE, WHITE),
            gloss: float = 0.0) -> None:
        """Puts an object on the ground.

        Args:
            mesh: its index in the library.
            x: where it stands [m].
            z: likewise.
            yaw: how far it is turned from +z towards +x [rad].
            labels: the class of each of its parts; a further part has that of the last.
            scale: of its own x, y and z.
            tints: of its texels that are tinted.
            gloss: how its paint mirrors the sky, 0 to 1.
        """
        self._mesh.append(mesh)
        self._placement.append((x, 0.0, z, math.sin(yaw), math.cos(yaw), *scale))
        self._tints.append(tints)
        self._gloss.append(gloss)
        self._labels.append(labels)

    def add_figure(self, figure: Figure, x: float, z: float, heading: float, travelled_m: float = 0.0, *,
                   labels: tuple[str, ...], tints: tuple[Bgr, Bgr]) -> None:
        """Puts a figure on the ground, which will be turned to the camera; `heading` is where it looks or goes [rad]."""
        self._figures.append((figure, x, z, heading, travelled_m, labels, tints))

    def extend(self, other: "Stage") -> None:
        """Takes over what stands on another stage."""
        self._mesh += other._mesh
        self._placement += other._placement
        self._tints += other._tints
        self._gloss += other._gloss
        self._labels += other._labels
        self._figures += other._figures

    def arrays(self, eye: tuple[float, float]) -> tuple[Int32Array, npt.NDArray[np.float64], Things]:
        """Returns mesh, placement and things, see `renderer.Scene`.

        Args:
            eye: x and z of the camera that figures are turned to [m].
        """
        for figure, x, z, heading, travelled_m, names, tints in self._figures:
            bearing = math.atan2(x - eye[0], z - eye[1])
            mesh, mirrored = figure.mesh(math.pi - heading + bearing, travelled_m)
            self.add(mesh, x, z, bearing, labels=names, scale=(-1.0 if mirrored else 1.0, 1.0, 1.0), tints=tints)
        self._figures.clear()
        numbers: Counter[str] = Counter()
        labels, instances = list[int](), list[int]()  # of all parts of all objects, for numpy is slow one by one
        for names in self._labels:
            for name in names:
                label = instance = LABEL_IDS[name]
                if name in COUNTED:
                    instance = label * INSTANCE_FACTOR + numbers[name]
                    numbers[name] += 1
                labels.append(label)
                instances.append(instance)
            for ids in (labels, instances):
                ids.extend(ids[-1:] * (PARTS - len(names)))
        looks = np.array(self._tints, np.float32).reshape(-1, 2, 3) / 255
        return (np.array(self._mesh, np.int32), np.array(self._placement, np.float64).reshape(-1, 8),
                Things((looks**2.2).astype(np.float32), np.array(self._gloss, np.float32),
                       np.array(labels, np.uint8).reshape(-1, PARTS), np.array(instances, np.int32).reshape(-1, PARTS)))
