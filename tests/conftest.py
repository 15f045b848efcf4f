"""Fixtures that several test modules share."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from networks import tiny_weights

if TYPE_CHECKING:  # loading the scenes takes seconds, which most tests don't need
    from datasets.scenes.catalog import Catalog
    from datasets.scenes.renderer import Renderer

__all__ = ["tiny_weights"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests compile and choose stays out of the user's cache folder, and what lies there out of the tests.

    Processes that share the suite share it, so that loops are compiled once.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lraspp_cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRASPP_CACHE_DIR", str(folder))
        yield


@pytest.fixture(scope="session")
def parts() -> "Catalog":
    """All textures and meshes of the scenes, which take seconds to draw."""
    from datasets.scenes.catalog import catalog

    return catalog()


@pytest.fixture(scope="module")
def renderer(request: pytest.FixtureRequest, parts: "Catalog") -> "Renderer":
    """Renders pictures of the test module's SIZE_HW."""
    from datasets.scenes.renderer import Renderer

    return Renderer(parts.library, request.module.SIZE_HW)
