"""The output of every benchmark: NAME.md, NAME.json, NAME.html and NAME.png in one folder, with date, command and machine.

All are made in memory first and then written atomically, so an interrupted run leaves the earlier files undamaged.
"""

from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seg.document import Chart, Document, show, to_html, to_json, to_markdown
from seg.document.charts import to_png
from seg.files import atomic_write, write_text

RESULTS = Path(__file__).resolve().parent / "results"


class Steps:
    """A progress bar on standard error for a known number of steps; it draws only between runs, so it doesn't disturb them.

    Attributes:
        count: number of finished steps.
    """

    def __init__(self, count: int) -> None:
        self.count = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=count)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def done(self, what: str) -> None:
        """Reports a finished step."""
        self.count += 1
        self._progress.update(self._task, advance=1, description=what, refresh=True)


def publish(folder: Path, name: str, document: Document) -> None:
    """Prints the result, writes it, and says where it is.

    Raises:
        SegError: see `write`.
    """
    show(document)
    for path in write(folder, name, document):
        print(path)


def write(folder: Path, name: str, document: Document) -> list[Path]:
    """Writes NAME.md, NAME.json and NAME.html, and NAME.png with its chart; returns their paths.

    If there is no chart, an older picture is deleted, because it belongs to another run.

    Raises:
        SegError: the folder can't be written.
    """
    texts = {".md": to_markdown(document), ".json": to_json(document), ".html": to_html(document)}
    chart = next((block for block in document.blocks if isinstance(block, Chart)), None)
    png = None if chart is None else to_png(chart)
    paths = [folder / f"{name}{suffix}" for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    picture = folder / f"{name}.png"
    if png is None:
        picture.unlink(missing_ok=True)
        return paths
    with atomic_write(picture) as file:
        file.write(png)
    return [*paths, picture]
