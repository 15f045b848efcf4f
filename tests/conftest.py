"""Fixtures that several test modules share."""

import os
from collections.abc import Iterator

import pytest
from networks import tiny_weights

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
