"""The error handler of every command line: an error that a user can fix becomes a sentence and an exit code, not a traceback.

Exit codes: 0 done; 2 the user must fix something (argparse uses the same), or the machine has no more disk or memory; 130
interrupted by Ctrl-C, 143 ended by SIGTERM, 129 by SIGHUP. Any other exception is a bug of ours, and we need to see its
traceback.
"""

import argparse
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

from seg.errors import SegError, did_you_mean
from seg.files import read_yaml
from seg.label_sets import ClassMap
from seg.machine import switch_off_telemetry

EXIT_ERROR = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT

Main = Callable[[Sequence[str] | None], int | None]


def run(main: Main, argv: Sequence[str] | None = None) -> int:
    """Runs `main(argv)` and returns the exit code of the process.

    If `main` keeps something on Ctrl-C, it says so by `raise KeyboardInterrupt("Kept ...")`; that text is printed.

    Args:
        main: takes the arguments after the program's name, None for those of the process; returns an exit code.
        argv: handed on to `main`.
    """
    switch_off_telemetry()
    # If a terminal can't show a character, for example in a file's name, that is no reason to stop.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(argv)
        if sys.stdout is not None:  # it is None where the parent has closed it
            sys.stdout.flush()  # a closed pipe or a full disk shows here, not at exit
        return code or 0
    except SegError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        foreign = re.search(r"'([A-Za-z][\w-]*)", str(error)) if not package else None  # Lightning's have only a quoted name
        if foreign is None and package in ("", "seg", "datasets"):  # a bug of ours
            raise
        how = f"pip install {foreign[1]}" if foreign else "In a checkout: make install, or pip install '.[train,export]'"
        print(f"error: This needs {foreign[1] if foreign else package}, which is not installed. {how}.", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt as interrupt:
        print("\n" + " ".join(["Interrupted.", *map(str, interrupt.args)]), file=sys.stderr)
        return interrupt.exit_code if isinstance(interrupt, Interrupted) else EXIT_INTERRUPTED
    except BrokenPipeError:  # such as `infer.py ... | head`: the reader has read enough
        _drop_output()
        return 0
    except OSError as error:  # an error in a library that our code didn't check: full disk, name too long, no rights
        if error.errno is None:
            raise
        if error.filename is None:
            _drop_output()
        place = f" {error.filename}" if error.filename is not None else ""
        print(f"error: A file{place} can't be read or written: {error.strerror or error}.", file=sys.stderr)
        return EXIT_ERROR
    except MemoryError:
        print("error: This machine has too little free memory for that. Give smaller frames, or fewer at once.", file=sys.stderr)
        return EXIT_ERROR


def _drop_output() -> None:
    """Discards what standard output still holds, because Python would try to write it again at exit and fail."""
    with suppress(OSError, AttributeError):  # standard output is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are sentences of ours, which name the option that was meant."""

    def __init__(self, **settings: Any) -> None:
        """Takes argparse's settings. No abbreviations: a new option would change what an old line means."""
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses the arguments after a check that none is empty."""
        check_not_empty(sys.argv[1:] if args is None else args)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises a `SegError` where argparse would print its usage and leave."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        unknown = re.search(r"unrecognized arguments:.*?(--[\w-]+)", message)
        hint = f" {did_you_mean(unknown[1], known)}" if unknown else f" {self.prog} --help lists the options."
        raise SegError(f"{message[:1].upper()}{message[1:]}.{hint}")


def check_not_empty(arguments: Sequence[str]) -> None:
    """Refuses empty arguments, because an empty path would mean the current folder.

    Raises:
        SegError: there is one; the message names the option before it.
    """
    for before, argument in zip(("", *arguments), arguments, strict=False):
        option = argument.removesuffix("=") if re.fullmatch(r"--[\w.-]+=", argument) else before
        if not argument.strip() or option is not before:
            behind = f" behind {option}" if option.startswith("-") else ""
            raise SegError(f"An argument{behind} is empty; is a variable not set? Give a value, or leave it out.")


def parse_size(text: str) -> tuple[int, int]:
    """Returns (height, width) of "HxW"; used as the type of an argument."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write height x width, such as 360x480")
    return int(height), int(width)


def read_class_map(path: Path) -> ClassMap:
    """Reads a YAML that says what classes are in another label set: a name, a list of names, or null for each.

    Raises:
        SegError: it can't be read, or is something else.
    """
    classes = read_yaml(path, missing=f"There is no file {path}.")

    def fits(target: Any) -> bool:
        return target is None or isinstance(target, str) or (isinstance(target, list) and all(isinstance(n, str) for n in target))

    if not isinstance(classes, dict) or not all(isinstance(name, str) and fits(target) for name, target in classes.items()):
        raise SegError(f"{path} must be a mapping from each class to a name, a list of names, or null.")
    return classes


class Interrupted(KeyboardInterrupt):
    """Work that was ended by a signal.

    Attributes:
        exit_code: tells which signal.
    """

    def __init__(self, text: str, signal_number: int) -> None:
        super().__init__(*([text] if text else []))
        self.exit_code = 128 + signal_number


class Interruption:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a flag that long work checks between steps; the second interrupts at once.

    In this way a frame is finished, files are closed and a report of what was measured is written. Use it with `with`.

    Attributes:
        wished: whether one of these signals came.
    """

    _SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

    def __init__(self) -> None:
        self.wished = False
        self._signal_number = int(signal.SIGINT)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows signal handlers nowhere else
            for number in self._SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, for example, ignores SIGHUP
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def error(self, text: str = "") -> Interrupted:
        """Returns the exception to raise when the work has ended, with a sentence that says what was kept."""
        return Interrupted(text, self._signal_number)

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        self._signal_number = signal_number
        if self.wished:
            raise self.error()
        self.wished = True
