"""Vehicles of the street: cars, lorries, buses and trams, and the paints that they come in.

Their front is +z; faces are seen from outside only; all their parts have the vehicle's own class (part 0).
"""

from dataclasses import dataclass
from random import Random

import numpy as np

from datasets.scenes.buses import add_buses
from datasets.scenes.cars import add_cars
from datasets.scenes.lorries import add_lorries
from datasets.scenes.parts import Bgr, Library
from datasets.scenes.trams import add_trams
from datasets.scenes.vehicle_parts import Vehicle

BLACK, GRAPHITE, GREY, SILVER, WHITE = (36, 34, 33), (84, 80, 77), (126, 122, 119), (178, 176, 173), (228, 229, 229)
NAVY, BLUE, RED, WINE, GREEN, BEIGE, BROWN, SAND = ((78, 50, 34), (140, 88, 40), (40, 34, 150), (46, 28, 88), (62, 74, 42),
                                                   (142, 168, 180), (52, 66, 84), (70, 160, 190))
CREAM, ORANGE, TEAL = (186, 212, 222), (44, 104, 196), (120, 110, 40)


@dataclass(frozen=True)
class Paints:
    """What vehicles of a kind are painted with.

    Attributes:
        choices: weight, first and second tint of each.
        spread: how much their brightness varies from one vehicle to the next.
    """

    choices: tuple[tuple[float, Bgr, Bgr], ...]
    spread: float = 0.12

    def pick(self, rng: Random) -> tuple[Bgr, Bgr]:
        """Returns a vehicle's tints."""
        _, first, second = rng.choices(self.choices, [weight for weight, _, _ in self.choices])[0]
        gain = rng.uniform(1 - self.spread, 1 + self.spread)

        def varied(color: Bgr) -> Bgr:
            blue, green, red = (min(max(value * gain + rng.gauss(0, 2), 0.0), 245.0) for value in color)
            return blue, green, red

        return varied(first), varied(second)


CAR_PAINTS = Paints(tuple((weight, color, color) for weight, color in (
    (20, SILVER), (16, GREY), (13, GRAPHITE), (19, BLACK), (14, WHITE), (9, NAVY), (6, BLUE), (7, RED), (3, WINE), (3, GREEN),
    (3, BEIGE), (1.5, BROWN), (1, SAND), (0.8, TEAL))), 0.2)
TRUCK_PAINTS = Paints((
    (8, WHITE, WHITE), (3, WHITE, SILVER), (3, RED, WHITE), (3, BLUE, WHITE), (2, NAVY, SILVER), (2, GREEN, BEIGE),
    (2, ORANGE, GREY), (2, BLUE, BLUE), (1, SAND, SAND), (2, GREY, GRAPHITE), (1, WINE, CREAM), (1, ORANGE, ORANGE),
    (2, WHITE, TEAL), (1, BLACK, SILVER)))
BUS_PAINTS = Paints((
    (5, WHITE, BLUE), (4, RED, WINE), (3, WHITE, RED), (3, CREAM, RED), (2, SAND, BLACK), (2, BLUE, WHITE), (2, NAVY, SILVER),
    (2, GREEN, CREAM), (2, SILVER, NAVY), (2, WHITE, GREEN), (1, ORANGE, CREAM), (1, WINE, CREAM)))
TRAIN_PAINTS = Paints((
    (4, WHITE, RED), (3, RED, CREAM), (3, CREAM, BLUE), (3, WHITE, NAVY), (2, SAND, GRAPHITE), (2, RED, GREY), (2, GREEN, CREAM),
    (2, BLUE, WHITE), (2, SILVER, TEAL), (1, ORANGE, CREAM)))


@dataclass(frozen=True)
class Vehicles:
    """The vehicles of a library by kind, and their paints."""

    cars: tuple[Vehicle, ...]
    trucks: tuple[Vehicle, ...]
    buses: tuple[Vehicle, ...]
    trains: tuple[Vehicle, ...]
    car_paints: Paints = CAR_PAINTS
    truck_paints: Paints = TRUCK_PAINTS
    bus_paints: Paints = BUS_PAINTS
    train_paints: Paints = TRAIN_PAINTS


def add_vehicles(library: Library, rng: np.random.Generator) -> Vehicles:
    """Adds all vehicles to a library."""
    return Vehicles(add_cars(library, rng), add_lorries(library, rng), add_buses(library, rng), add_trams(library, rng))
