"""The progress of a command, on standard error; it shows nothing if that is not a terminal."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_T = TypeVar("_T")


def progress(items: Iterable[_T], total: int | None, quiet: bool = False, what: str = "frames") -> Iterator[_T]:
    """Yields the items, and shows how many are done."""
    with progress_bar(quiet, what) as bar:
        task = bar.add_task("", total=total)
        for item in items:
            yield item
            bar.advance(task)


def progress_bar(quiet: bool = False, what: str = "frames") -> Progress:
    """Returns a bar that counts `what`; `quiet` hides it."""
    console = Console(stderr=True)
    return Progress(BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn(), console=console,
                    refresh_per_second=4, transient=True, disable=quiet or not console.is_terminal)
