"""Catalog: everything that a street may show, drawn once per process."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from datasets.scenes.buildings import Building, add_buildings
from datasets.scenes.figures import Figures, add_figures
from datasets.scenes.furniture import Furniture, add_furniture
from datasets.scenes.ground import Surfaces, add_surfaces
from datasets.scenes.parts import Library
from datasets.scenes.plants import Plants, add_plants
from datasets.scenes.vehicles import Vehicles, add_vehicles

DRAWN_BY = 7  # the seed of all textures and meshes; scenes differ by what they choose


@dataclass(frozen=True)
class Catalog:
    """What there is, by kind, in one library."""

    library: Library
    surfaces: Surfaces
    buildings: tuple[Building, ...]
    plants: Plants
    furniture: Furniture
    figures: Figures
    vehicles: Vehicles


@cache
def catalog() -> Catalog:
    """Draws the catalog."""
    library, rng = Library(), np.random.default_rng(DRAWN_BY)
    return Catalog(library, add_surfaces(library, rng), add_buildings(library, rng), add_plants(library, rng),
                   add_furniture(library, rng), add_figures(library, rng), add_vehicles(library, rng))
