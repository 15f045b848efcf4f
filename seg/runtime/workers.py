"""The threads that help with a frame: one pool for the whole process, whatever runs in it."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from seg.machine import usable_cores


@cache
def pool() -> ThreadPoolExecutor:
    """Returns the pool, with a thread for each usable core."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="seg")


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool without its threads
    os.register_at_fork(after_in_child=pool.cache_clear)
