"""Setting: label ids, the light of a day and the ground of a street, as plain data that the compiled loops can read."""

from typing import NamedTuple

import numpy as np

from datasets.scenes.parts import Float32Array, Int32Array, UInt8Array
from seg.label_sets import CITYSCAPES

ACROSS_M, ALONG_M = 0.02, 0.04  # steps of the ground's tables
TABLE_BEHIND_M, TABLE_AHEAD_M = 40.0, 220.0  # of the camera; where the table along the street begins and ends
KERB_M = 0.16
SIDE_STREET, ZEBRA, STOP_LINE, KERB = 1, 2, 3, 4  # what may lie at a place along the street

LABEL_IDS = dict(zip(CITYSCAPES.classes, CITYSCAPES.label_ids, strict=True)) | {"static": 4}

Triple = tuple[float, float, float]


class Light(NamedTuple):
    """The light of a day; colours are blue, green, red. Plain floats throughout: the compiled loops count references to arrays.

    Attributes:
        sun: direction towards the sun; sun_color: black under clouds.
        sky_color, ground_color: what comes from above and below where the sun does not reach.
        zenith, horizon, cloud: of the sky itself.
        cover: share of the sky under clouds; drift: how far the clouds have moved.
        haze: per metre, how much of what is seen is replaced by `horizon`.
        exposure: factor before encoding; wet: 0 for a dry road to 1.
    """

    sun: Triple
    sun_color: Triple
    sky_color: Triple
    ground_color: Triple
    zenith: Triple
    horizon: Triple
    cloud: Triple
    cover: float
    drift: tuple[float, float]
    haze: float
    exposure: float
    wet: float


class Ground(NamedTuple):
    """The ground by its distance from the middle of the street, which swings from side to side.

    Attributes:
        bend: amplitude [m], radians per metre and phase of the street's middle.
        strip_at: (A,) int32; the material at each step of ACROSS_M aside, the middle of the street in the middle.
        kerb_at: (A,) float32; from there to the nearest kerb [m]. line_at: (A,) int32; the nearest line, -1 for none.
        materials: (M, 6) float32; texture, metres per repetition, tint (3), label id.
        lines: (L, 8) float32; distance, width, dash, gap, offset [m], colour (3).
        crossings: (Q, 4) float32; begin and end of a side street, width of the zebra before it [m], stop line.
        road: the material of side streets.
    """

    bend: Triple
    strip_at: Int32Array
    kerb_at: Float32Array
    line_at: Int32Array
    materials: Float32Array
    lines: Float32Array
    crossings: Float32Array
    road: int

    def mirrored(self) -> "Ground":
        """Returns the ground with left and right exchanged."""
        lines = self.lines.copy()
        lines[:, 0] *= -1
        return self._replace(bend=(-self.bend[0], *self.bend[1:]), strip_at=self.strip_at[::-1].copy(),
                             kerb_at=self.kerb_at[::-1].copy(), line_at=self.line_at[::-1].copy(), lines=lines)

    def along(self, begin: float) -> tuple[Float32Array, UInt8Array]:
        """Returns, at each step of ALONG_M from `begin`, where the middle of the street is [m], and what lies there."""
        z = begin + ALONG_M * np.arange(int((TABLE_BEHIND_M + TABLE_AHEAD_M) / ALONG_M))
        amplitude, frequency, phase = self.bend
        there = np.zeros(len(z), np.uint8)
        for first, last, zebra_m, stops in self.crossings:
            before = np.where(z < first, first - z, z - last)
            there[(before > 0) & (before < KERB_M)] = KERB
            if zebra_m > 0:
                there[(before > 0.8) & (before < 0.8 + zebra_m)] = ZEBRA
            if stops:
                there[np.abs(before - zebra_m - 2.2) < 0.22] = STOP_LINE
            there[before <= 0] = SIDE_STREET
        return (amplitude * np.sin(frequency * z + phase)).astype(np.float32), there
