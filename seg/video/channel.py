"""What the threads of the pipeline hand frames on by: a bounded queue that ends, fails and is given up as one."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK_S = 0.1  # how often a waiting thread looks whether it shall stop


class Stalled(Exception):
    """Nothing came within the time that `get` was given."""


class Ended(Exception):
    """Nothing more will come."""


class Channel(Generic[T]):
    """A bounded queue between threads, which keeps the order of places whoever puts first.

    Args:
        capacity: how many items may wait.
        newest: whether a full queue gives up its oldest item for a new one; else `put` waits.

    Attributes:
        dropped: items that were given up for newer ones.
    """

    def __init__(self, capacity: int, newest: bool = False) -> None:
        self.dropped = 0
        self._capacity, self._newest = capacity, newest
        self._items: dict[int, T] = {}
        self._next_in = self._next_out = 0
        self._ended = self._given_up = False
        self._fault: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: T, place: int | None = None) -> bool:
        """Appends an item, or puts it at its place; waits while there is none. Returns False where nobody will take it."""
        with self._changed:
            if place is None:
                place = self._next_in
            if self._newest and len(self._items) >= self._capacity:
                del self._items[self._next_out]
                self._next_out += 1
                self.dropped += 1
            self._changed.wait_for(lambda: self._given_up or place < self._next_out + self._capacity)
            if self._given_up:
                return False
            self._items[place] = item
            self._next_in = max(self._next_in, place + 1)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None, stop: Callable[[], bool] = lambda: False) -> tuple[int, T]:
        """Waits for the next item; returns its place and it. Places count what is taken, from 0.

        Args:
            timeout_s: how long it waits; None is for ever.
            stop: looked at while it waits; True ends the waiting as if nothing more came.

        Raises:
            Ended: there is none any more.
            Stalled: none came in time.
            BaseException: what `fail` was given, after all items before it.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while self._next_out not in self._items:
                if self._fault is not None:
                    raise self._fault
                if self._ended or self._given_up or stop():
                    raise Ended
                if deadline_s is not None and time.monotonic() > deadline_s:
                    raise Stalled
                self._changed.wait(_LOOK_S)
            place = self._next_out
            item = self._items.pop(place)
            self._next_out += 1
            self._changed.notify_all()
            return place - self.dropped, item

    def finish(self) -> None:
        """Says that nothing more will be put."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, fault: BaseException) -> None:
        """Says why nothing more will be put; who takes gets it raised, after the items that wait."""
        with self._changed:
            self._fault = self._fault or fault
            self._changed.notify_all()

    def give_up(self) -> None:
        """Says that nothing more will be taken, and forgets what waits."""
        with self._changed:
            self._given_up = True
            self._items.clear()
            self._changed.notify_all()
