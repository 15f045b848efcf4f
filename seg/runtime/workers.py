"""The threads that help with a frame: one pool for the whole process, shared by everything that runs in it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from seg.machine import usable_cores


@cache
def pool() -> ThreadPoolExecutor:
    """Returns the pool, which has one thread for each usable core."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="seg")


def share(count: int, threads: int, work: Callable[[int, int], object]) -> None:
    """Splits range(count) into one part per thread and calls work(begin, end) for each; the first part runs in this thread."""
    bounds = [count * part // threads for part in range(threads + 1)]
    parts = [(begin, end) for begin, end in pairwise(bounds) if begin < end]
    jobs = [pool().submit(work, *part) for part in parts[1:]]
    work(*parts[0])
    for job in jobs:
        job.result()


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool without its threads
    os.register_at_fork(after_in_child=pool.cache_clear)
