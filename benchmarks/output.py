"""What every benchmark writes: NAME.md, NAME.json and NAME.png in one folder, with date, command and machine in them.

All three are made in memory first and then written atomically, so an interrupted run leaves the last one's files whole.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from seg import machine
from seg.files import atomic_write, write_text
from seg.report.markdown import table

RESULTS = Path(__file__).resolve().parent / "results"
FORMAT_VERSION = 1
_WIDTH_IN_FILES = 160  # of printed tables where standard output is no terminal


@dataclass(frozen=True)
class Origin:
    """Where a result comes from: command, date and machine stand beside every figure."""

    command: str
    created: datetime
    machine: machine.Machine

    @classmethod
    def here(cls, module: str, arguments: Sequence[str]) -> "Origin":
        """Describes this run of `python -m MODULE ARGUMENTS`."""
        return cls(shlex.join(["python", "-m", module, *arguments]), datetime.now(UTC), machine.describe())

    def sentence(self) -> str:
        """Returns date, command, machine and versions, as Markdown."""
        versions = ", ".join(f"{name} {version}" for name, version in self.machine.versions.items())
        return (f"Measured on {self.created:%Y-%m-%d} by `{self.command}` on {self.machine}; "
                f"Python {self.machine.python}, {versions}.")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return {"format_version": FORMAT_VERSION, "created": self.created.isoformat(timespec="seconds"),
                "command": self.command, "machine": self.machine.to_dict()}


@dataclass(frozen=True)
class Table:
    """A table that is printed and written; `rule` aligns its columns as Markdown does, such as ":--|--:"."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    rule: str

    def markdown(self) -> str:
        """Returns it as Markdown."""
        return table(self.head, self.rows, self.rule)

    def rich(self) -> RichTable:
        """Returns it for a terminal."""
        printed = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading, alignment in zip(self.head, self.rule.split("|"), strict=True):
            right = alignment.endswith(":")
            printed.add_column(heading.replace("**", ""), justify="right" if right else "left", no_wrap=not right)
        for row in self.rows:
            printed.add_row(*(cell.replace("**", "") for cell in row))
        return printed


Part = str | Table
"""Of a report: a Markdown paragraph or heading, or a table."""


def to_markdown(parts: Sequence[Part]) -> str:
    """Returns the whole report."""
    return "\n\n".join(part if isinstance(part, str) else part.markdown() for part in parts) + "\n"


def show(parts: Sequence[Part], console: Console | None = None) -> None:
    """Prints the report; `console` is standard output by default."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH_IN_FILES, highlight=False)
    for part in parts:
        if isinstance(part, Table):
            console.print(part.rich())
        else:
            console.print(part.lstrip("# "), style="bold" if part.startswith("#") else "", markup=False)
            console.print()


class Steps:
    """A progress bar on standard error for a known number of steps; it works between two runs only, never beside one."""

    def __init__(self, count: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=count)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def done(self, what: str) -> None:
        """Says what was just done."""
        self._progress.update(self._task, advance=1, description=what, refresh=True)


def write(folder: Path, name: str, parts: Sequence[Part], data: dict[str, Any], png: bytes | None) -> list[Path]:
    """Writes NAME.md, NAME.json and NAME.png; returns them. Without a picture an older one goes: it is of another run.

    Raises:
        SegError: the folder can't be written.
    """
    text = to_markdown(parts)
    as_json = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    paths = [folder / f"{name}{suffix}" for suffix in (".md", ".json", ".png")]
    write_text(paths[0], text)
    write_text(paths[1], as_json)
    if png is None:
        paths.pop().unlink(missing_ok=True)
        return paths
    with atomic_write(paths[2]) as file:
        file.write(png)
    return paths
