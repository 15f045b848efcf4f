"""The options of a command line of `infer.py`, as a typed record; only `seg.cli.infer` uses the parser's namespace."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from seg import palettes

if TYPE_CHECKING:  # these modules load OpenCV and the engines, which is done only after the options are checked
    from seg.runtime.preprocess import Fit, Size
    from seg.video.pipeline import Mode

Eval = Literal["whole", "slide", "multiscale"]


@dataclass(frozen=True)
class InferOptions:
    """The options, by their names on the command line; `infer.py --help` says what each means.

    Attributes:
        command: the whole line, word by word, for the reports.
    """

    command: Sequence[str]
    # what to work on
    inputs: Sequence[str]
    video: str | None
    fps: float | None
    raw: str | None
    dataset: str | None
    root: str | None
    split: str
    class_map: Path | None
    find_size: bool
    limit: int | None
    # how to run
    weights: str
    engine: str
    precision: str
    size: "Size"
    fit: "Fit"
    eval: Eval
    window: tuple[int, int] | None
    overlap: float | None
    scales: tuple[float, ...] | None
    also: "tuple[Size | Eval, ...]"
    threads: int | None
    mode: "Mode"
    smooth: bool
    # what comes out
    save: str | None
    classes: str | None
    palette: palettes.Name
    output: Path | None
    overwrite: bool
    show: bool
    serve: str | None
    report: Sequence[Path]
    submit: Path | None
    quiet: bool

    @classmethod
    def of(cls, arguments: Namespace, command: Sequence[str], default_weights: str) -> Self:
        """Takes the parser's namespace, and fills in defaults for options that weren't given."""
        defaults = {"split": "val", "fit": "stretch", "mode": "latency", "weights": default_weights}
        given: dict[str, Any] = {field.name: getattr(arguments, field.name) for field in fields(cls) if field.name != "command"}
        given |= {name: default for name, default in defaults.items() if given[name] is None}
        return cls(command, **given)
