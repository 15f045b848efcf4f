"""The bounded queue that passes frames between the threads of the pipeline; it also passes on the end, a fault, and giving up."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK_S = 0.1  # how often a waiting thread checks whether it should stop


class Stalled(Exception):
    """Nothing came within the timeout of `get`."""


class Ended(Exception):
    """Nothing more will come."""


class Channel(Generic[T]):
    """A bounded queue between threads; it keeps the order of the places, no matter which thread puts its item first.

    Args:
        capacity: how many items can wait.
        newest: whether a full queue drops its oldest item for a new one; otherwise `put` waits.

    Attributes:
        dropped: items that were dropped for newer ones.
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
        """Appends an item, or puts it at its place; waits for room. Returns False if nobody will take it any more."""
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
        """Waits for the next item; returns its place and the item. Places count the items that are taken, from 0.

        Args:
            timeout_s: how long it waits; None waits for ever.
            stop: called while it waits; True ends the waiting as if nothing more came.

        Raises:
            Ended: no more items will come.
            Stalled: none came in time.
            BaseException: the exception that `fail` was given, after all items before it.
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
        """Says why nothing more will be put; `get` raises the fault after the items that still wait."""
        with self._changed:
            self._fault = self._fault or fault
            self._changed.notify_all()

    def give_up(self) -> None:
        """Says that nothing more will be taken, and discards the waiting items."""
        with self._changed:
            self._given_up = True
            self._items.clear()
            self._changed.notify_all()
