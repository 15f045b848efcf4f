"""Fixtures that several test modules share."""

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from networks import tiny_weights

if TYPE_CHECKING:  # loading the scenes takes seconds, and most tests don't need them
    from datasets.scenes.catalog import Catalog
    from datasets.scenes.renderer import Renderer

__all__ = ["tiny_weights"]


def pytest_collection_finish() -> None:
    """Exempts everything that was imported from garbage collection.

    The code under test collects on purpose, after each engine and each video. Each of these collections would otherwise visit
    all objects of torch and of the other packages, which takes longer than many a test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the cache of the tests apart from the user's cache folder.

    All tests of a run share it, so that loops are compiled once.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lraspp_cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRASPP_CACHE_DIR", str(folder))
        yield


@pytest.fixture(scope="session")
def parts() -> "Catalog":
    """All textures and meshes of the scenes; drawing them takes seconds."""
    from datasets.scenes.catalog import catalog

    return catalog()


@pytest.fixture(scope="module")
def renderer(request: pytest.FixtureRequest, parts: "Catalog") -> "Renderer":
    """A renderer for pictures of the test module's SIZE_HW."""
    from datasets.scenes.renderer import Renderer

    return Renderer(parts.library, request.module.SIZE_HW)
