"""Bicycles, motorcycles and scooters, parked and ridden, as `solids.Views` draw them [m]: x right, y up, z ahead."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import GLASS, GLOW, TINT_1
from datasets.scenes.poses import Pose, mirrored, riding, xyz
from datasets.scenes.solids import Paint, Views

Point = tuple[float, float, float]

BODY = Paint((232, 232, 232), TINT_1)
RUBBER, BLACK, GREY = Paint((40, 40, 42)), Paint((38, 36, 36)), Paint((95, 95, 98))
METAL, LEATHER, WICKER = Paint((165, 165, 168)), Paint((34, 40, 56)), Paint((70, 105, 135))
RED, PLATE, CRATE = Paint((35, 30, 150)), Paint((200, 205, 205)), Paint((60, 75, 60))
LAMP, SCREEN = Paint((225, 240, 245), GLOW), Paint((120, 115, 110), GLASS)
CRANK_M = 0.17


@dataclass(frozen=True)
class Bicycle:
    """A bicycle.

    Attributes:
        wheel_m: radius of its wheels.
        bar_m: height of the handlebar.
        saddle_m: height of the saddle.
        low_frame: whether one steps through it.
        drop_bar: whether the handlebar is a racing one.
        guards: whether it has mudguards and lamps.
        load: "", "basket", "panniers" or "crate".
    """

    wheel_m: float = 0.34
    bar_m: float = 1.04
    saddle_m: float = 0.94
    low_frame: bool = False
    drop_bar: bool = False
    guards: bool = True
    load: str = ""

    @property
    def stride_m(self) -> float:
        """Distance that it covers while its pedals turn once."""
        return 2.4 * 2 * np.pi * self.wheel_m

    def pedals(self, phases: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns the pedals (2, views, 3), left and right, at phases (views,) of a turn."""
        angle = 2 * np.pi * (np.asarray(phases) + np.array([[0.5], [0.0]]))
        side = np.array([[-0.12], [0.12]]) + 0 * angle
        return np.stack([side, 0.29 + CRANK_M * np.cos(angle), -0.06 + CRANK_M * np.sin(angle)], -1)

    def draw(self, views: Views, phases: npt.ArrayLike) -> None:
        """Draws it, its pedals at phases (views,) of a turn."""
        radius, saddle = self.wheel_m, self.saddle_m
        rear, front, crank, seat = (0, radius, -0.5), (0, radius, 0.56), (0, 0.29, -0.06), (0, saddle - 0.1, -0.22)
        head, neck = (0, 0.89, 0.34), (0, 0.72, 0.4)
        for hub in (rear, front):
            views.wheel(hub, radius, 0.042, RUBBER, METAL, 20, 0.45)
        upper = ((0, 0.62, 0.42), (0, 0.5, -0.11)) if self.low_frame else (head, seat)
        for start, end in ((crank, seat), (neck, crank), (head, neck), upper):
            views.rod(start, end, BODY, 0.02)
        for end in (crank, seat):
            views.rod(rear, end, BODY, 0.013)
        for side in (-0.045, 0.045):
            views.rod((side, 0.7, 0.41), (side, radius, 0.56), BODY, 0.014, 0.01)
        views.rod(seat, (0, saddle, -0.24), METAL, 0.013)
        views.rod((0, saddle, -0.36), (0, saddle + 0.01, -0.1), LEATHER, (0.07, 0.035), 0.025)
        self._draw_bar(views)
        views.rod((0.03, 0.29, -0.06), (0.03, radius, -0.5), BLACK, 0.022, 0.012).ball((0.03, 0.29, -0.06), BLACK, (0.01, 0.085))
        for pedal in self.pedals(phases):
            views.rod(crank, pedal * xyz(0.4, 1, 1), GREY, 0.014)
            views.rod(pedal - xyz(0, 0, 0.05), pedal + xyz(0, 0, 0.05), BLACK, (0.045, 0.014))
        if self.guards:
            for hub in (rear, front):
                _guard(views, hub, radius + 0.012, 0.026, BLACK, 20, 170)
            views.ball((0, 0.82, 0.46), METAL, 0.04).ball((0, radius + 0.3, -0.72), RED, 0.03)
            rack = (0, saddle - 0.22, -0.69)
            views.rod((0, saddle - 0.2, -0.26), rack, GREY, (0.07, 0.012)).rod(rack, rear, GREY, 0.009)
        self._draw_load(views)

    def _draw_bar(self, views: Views) -> None:
        bar = self.bar_m
        views.rod((0, 0.89, 0.34), (0, bar, 0.33), METAL, 0.014)
        for sign in (-1, 1):
            if self.drop_bar:
                bend, tip = (0.2 * sign, bar, 0.38), (0.2 * sign, bar, 0.45)
                views.rod((0, bar, 0.36), bend, BLACK, 0.014).rod(bend, tip, BLACK, 0.018)
                views.rod(tip, (0.2 * sign, bar - 0.13, 0.4), BLACK, 0.016)
            else:
                bend = (0.18 * sign, bar + 0.03, 0.35)
                views.rod((0, bar, 0.35), bend, METAL, 0.012).rod(bend, (0.3 * sign, bar + 0.02, 0.22), BLACK, 0.018)

    def _draw_load(self, views: Views) -> None:
        if self.load == "basket":
            views.rod((0, 0.82, 0.56), (0, 1.02, 0.58), WICKER, (0.15, 0.11), (0.19, 0.15), cap=0.1, shade=(0.8, 1.0))
        elif self.load == "panniers":
            for x in (-0.13, 0.13):
                views.rod((x, 0.42, -0.56), (x, 0.72, -0.54), BLACK, (0.06, 0.14), (0.06, 0.15), cap=0.15, shade=(0.8, 1.1))
        elif self.load == "crate":
            views.rod((0, 0.75, -0.55), (0, 0.98, -0.55), CRATE, (0.18, 0.2), (0.2, 0.22), cap=0.05, shade=(0.8, 1.0))

    def ridden(self, height_m: float, girth: float, phases: npt.ArrayLike) -> Pose:
        """Returns a rider's pose while the pedals are at phases (views,) of a turn."""
        hand = (0.2, self.bar_m + 0.03, 0.42) if self.drop_bar else (0.29, self.bar_m + 0.05, 0.24)
        lean = 0.85 if self.drop_bar else 0.22 + 0.6 * max(0.0, self.saddle_m - self.bar_m + 0.15)
        feet = self.pedals(phases) + height_m * xyz(0, 0.065, -0.05)
        return riding(height_m, girth, (0, self.saddle_m + 0.075, -0.23), feet, hand, lean)


@dataclass(frozen=True)
class Motorcycle:
    """A motorcycle or scooter.

    Attributes:
        scooter: whether feet stand on a board behind a leg shield.
        wheel_m: radius of its wheels.
        tyre_m: thickness of their tyres.
        axles_m: z of the rear and of the front axle.
        seat_m: height of the seat.
        bar_m: height of the handlebar.
        fairing: whether its front is covered.
        screen_m: height of a wind-screen above the handlebar.
        cases: "", "top" or "all".
    """

    scooter: bool = False
    wheel_m: float = 0.31
    tyre_m: float = 0.14
    axles_m: tuple[float, float] = (-0.68, 0.74)
    seat_m: float = 0.8
    bar_m: float = 1.06
    fairing: bool = False
    screen_m: float = 0.0
    cases: str = ""

    def draw(self, views: Views, phases: npt.ArrayLike) -> None:
        """Draws it, the same at all phases."""
        radius, seat, (back, ahead) = self.wheel_m, self.seat_m, self.axles_m
        for z in self.axles_m:
            views.wheel((0, radius, z), radius, self.tyre_m, RUBBER, GREY, 5, 1.0).ball((0, radius, z), METAL, (0.07, 0.05))
        _guard(views, (0, radius, ahead), radius + 0.02, self.tyre_m / 2 + 0.03, BODY, 30, 125)
        for x in (-0.09, 0.09):
            views.rod((x, radius, ahead), (x, self.bar_m - 0.1, ahead - 0.32), GREY if self.scooter else METAL, 0.027)
        self._draw_bar(views)
        if self.scooter:
            self._draw_scooter(views)
        else:
            self._draw_motorcycle(views)
        lamp, housing = self.bar_m - (0.02 if self.scooter else 0.12), BODY if self.scooter else BLACK
        views.ball((0, lamp, ahead - 0.28), housing, (0.105, 0.1)).ball((0, lamp, ahead - 0.21), LAMP, (0.075, 0.05))
        views.rod((0, seat - 0.11, back - 0.06), (0, seat - 0.1, back - 0.2), BODY, (0.1, 0.06))
        views.ball((0, seat - 0.1, back - 0.25), RED, (0.08, 0.03), 0.5)
        views.rod((0, 0.66, back - 0.24), (0, 0.4, back - 0.34), BLACK, (0.09, 0.02))
        views.rod((0, 0.62, back - 0.3), (0, 0.46, back - 0.34), PLATE, (0.09, 0.008), cap=0)
        if self.screen_m:
            top = (0, self.bar_m + self.screen_m, ahead - 0.4)
            views.rod((0, self.bar_m, ahead - 0.27), top, SCREEN, (0.21, 0.012), (0.15, 0.012), cap=0.3)
        cases = [((0.0, seat + 0.05), 0.23, (0.22, 0.18))] if self.cases else []
        cases += [((x, 0.45), 0.27, (0.1, 0.23)) for x in (-0.29, 0.29)] if self.cases == "all" else []
        for (x, y), height, size in cases:
            views.rod((x, y, back - 0.06), (x, y + height, back - 0.06), BLACK, size, cap=0.2, shade=(0.9, 1.2))

    def _draw_bar(self, views: Views) -> None:
        bar, z = self.bar_m, self.axles_m[1] - 0.38
        for sign in (-1, 1):
            bend = (0.24 * sign, bar + 0.03, z)
            views.rod((0, bar, z + 0.02), bend, METAL, 0.016).rod(bend, (0.36 * sign, bar + 0.02, z - 0.08), BLACK, 0.022)
            views.rod((0.24 * sign, bar + 0.03, z + 0.02), (0.3 * sign, bar + 0.2, z), BLACK, 0.009)
            views.ball((0.32 * sign, bar + 0.22, z - 0.01), BLACK, (0.075, 0.025), 0.6)

    def _draw_motorcycle(self, views: Views) -> None:
        radius, seat, (back, ahead) = self.wheel_m, self.seat_m, self.axles_m
        views.rod((0, 0.38, -0.16), (0, 0.4, 0.22), GREY, 0.17)  # engine
        views.rod((0, 0.42, 0.1), (0, 0.66, 0.22), METAL, (0.14, 0.11))
        views.rod((0, 0.62, back + 0.3), (0, 0.56, 0.3), BLACK, (0.1, 0.09))
        views.rod((0, radius, back), (0, 0.42, -0.2), GREY, (0.12, 0.035))
        views.rod((0, seat, -0.02), (0, seat + 0.08, 0.3), BODY, (0.1, 0.09), (0.15, 0.14))  # tank
        views.rod((0, seat - 0.06, -0.08), (0, seat - 0.02, back + 0.06), BLACK, (0.13, 0.07), (0.11, 0.07))
        views.rod((0, seat - 0.14, -0.1), (0, seat - 0.1, back), BODY, (0.13, 0.06), (0.1, 0.05))
        views.rod((0.16, 0.3, 0.2), (0.18, 0.3, -0.3), METAL, 0.03)  # exhaust
        views.rod((0.18, 0.31, -0.3), (0.2, 0.42, back - 0.12), METAL, 0.045, 0.055)
        if self.fairing:
            views.rod((0, 0.82, ahead - 0.34), (0, self.bar_m - 0.03, ahead - 0.28), BODY, (0.22, 0.17), (0.2, 0.13))
            views.rod((0, 0.46, 0.12), (0, 0.8, 0.3), BODY, (0.19, 0.22), (0.22, 0.2), cap=0.6, shade=(0.85, 1.0))

    def _draw_scooter(self, views: Views) -> None:
        (back, ahead), bar, seat = self.axles_m, self.bar_m, self.seat_m
        views.rod((0, 0.3, -0.1), (0, 0.27, ahead - 0.34), GREY, (0.17, 0.05))  # board and shield
        views.rod((0, 0.32, ahead - 0.3), (0, bar - 0.12, ahead - 0.4), BODY, (0.23, 0.05), (0.2, 0.06), cap=0.5, shade=(0.85, 1))
        views.rod((0, bar - 0.1, ahead - 0.36), (0, bar + 0.01, ahead - 0.38), BODY, (0.13, 0.1))
        views.rod((0, 0.5, -0.2), (0, 0.56, back), BODY, (0.19, 0.22), (0.2, 0.2), shade=(1, 0.95))
        views.rod((0, 0.34, -0.22), (0, 0.36, back + 0.1), GREY, (0.17, 0.1))
        views.rod((0, seat - 0.05, -0.1), (0, seat - 0.03, back + 0.02), LEATHER, (0.12, 0.07), (0.14, 0.08))
        views.rod((0.19, 0.3, back + 0.2), (0.2, 0.34, back - 0.16), METAL, 0.05)

    def ridden(self, height_m: float, girth: float, phases: npt.ArrayLike) -> Pose:
        """Returns its rider's pose, the same at all phases (views,)."""
        feet = mirrored((0.15, 0.37, 0.18) if self.scooter else (0.2, 0.4, -0.14), len(np.asarray(phases)))
        hand = (0.34, self.bar_m + 0.05, self.axles_m[1] - 0.45)
        lean = 0.35 if self.fairing else 0.12
        return riding(height_m, girth, (0, self.seat_m + 0.1, -0.28), feet, hand, lean)


def _guard(views: Views, hub: Point, radius: float, width: float, paint: Paint, first_deg: float, last_deg: float) -> None:
    """Draws a mudguard over a wheel, from one angle to another; 0 is ahead, 90 above."""
    angles = np.radians(np.linspace(first_deg, last_deg, 6))
    points = np.array(hub) + radius * np.stack([0 * angles, np.sin(angles), np.cos(angles)], 1)
    for start, end in pairwise(points):
        views.rod(start, end, paint, (width, 0.016))
