"""Catalog: everything that a street may show, drawn once per process."""

from dataclasses import dataclass, fields, replace
from functools import cache
from random import Random
from typing import Any

import numpy as np

from datasets.scenes.buildings import Building, add_buildings
from datasets.scenes.figures import Figures, add_figures
from datasets.scenes.furniture import Furniture, add_furniture
from datasets.scenes.ground import Surfaces, add_surfaces
from datasets.scenes.parts import Library
from datasets.scenes.plants import Plants, add_plants
from datasets.scenes.vehicles import Paints, Vehicles, add_vehicles

FEW, HOUSES = 2, 8  # of each kind in a town; of houses as many as a street draws at once, to find one that fits
DRAWN_BY = 7  # the seed of all textures and meshes; scenes differ by what they choose


@dataclass(frozen=True)
class Catalog:
    """What there is, by kind, in one library; with a `town`, what that town has."""

    library: Library
    surfaces: Surfaces
    buildings: tuple[Building, ...]
    plants: Plants
    furniture: Furniture
    figures: Figures
    vehicles: Vehicles
    town: int | None = None

    def of_town(self, town: int) -> "Catalog":
        """Returns the few things of each kind that one town has, in few paints."""
        rng = Random(f"town {town}")

        def few(things: Any) -> Any:
            if isinstance(things, tuple):
                return tuple(rng.sample(things, min(FEW, len(things))))
            if isinstance(things, Paints):
                return replace(things, choices=few(things.choices))
            return things

        def few_of_each(group: Any) -> Any:
            return replace(group, **{field.name: few(getattr(group, field.name)) for field in fields(group)})

        return replace(self, town=town, buildings=tuple(rng.sample(self.buildings, HOUSES)), **{
            name: few_of_each(getattr(self, name)) for name in ("surfaces", "plants", "furniture", "figures", "vehicles")})


@cache
def catalog() -> Catalog:
    """Draws the catalog."""
    library, rng = Library(), np.random.default_rng(DRAWN_BY)
    return Catalog(library, add_surfaces(library, rng), add_buildings(library, rng), add_plants(library, rng),
                   add_furniture(library, rng), add_figures(library, rng), add_vehicles(library, rng))
