"""Calls in a process of their own: `call` waits for the result, and `later` leaves the call for when this program has ended.

A process can't give back all the memory of libraries that it has loaded. So what needs many of them for a moment, such as a trial
of all engines, runs in a process that ends with it.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from seg.errors import SegError
from seg.runtime import compile_ahead, loops
from seg.runtime.cache import Cache, default_folder

_ROOT = Path(__file__).resolve().parents[2]  # the folder of the package, which need not be installed
# Its own session: Ctrl-C in the terminal is for this program. On Windows: no console window of its own.
_ASIDE: dict[str, Any] = {"start_new_session": True, "creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0),
                          "stderr": subprocess.DEVNULL}
_Result = TypeVar("_Result")
_left: "subprocess.Popen[bytes] | None" = None


class Killed(SegError):
    """The process of a call was killed by a signal: it crashed, or memory was used up."""


def possible() -> bool:
    """Returns whether this program is a Python that can start another one; a frozen program isn't."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def call(job: Callable[[], _Result]) -> _Result:
    """Returns what the call returns, and raises its `SegError`. Where no process can be started, the call is made in this one.

    Args:
        job: can be pickled, and so can what it returns.

    Raises:
        Killed: see there.
    """
    for loop in loops.LOOPS:  # the process would compile them a second time
        loop()
    try:
        done = subprocess.run([*_python(), "now"], env=_environment(), input=pickle.dumps(job), stdout=subprocess.PIPE, **_ASIDE)
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError, pickle.PickleError):
        return job()
    try:
        succeeded, result = pickle.loads(done.stdout)
    except (EOFError, pickle.UnpicklingError):
        if done.returncode < 0:
            raise Killed(f"its process was killed by signal {-done.returncode}.") from None
        return job()
    if not succeeded:
        raise result
    found: _Result = result
    return found


def later(job: Callable[[], object] | None) -> None:
    """Starts a process that compiles the loops of all engines; does nothing if this program has started it already.

    If this program has ended by then, the process also makes the call. While the program runs, both would be slow. Of several
    such processes at once only the first works.

    Args:
        job: can be pickled; None only compiles.
    """
    global _left
    if _left is not None or not possible():
        return
    with suppress(OSError, ValueError, AttributeError, pickle.PickleError):
        number, name = tempfile.mkstemp(prefix="lraspp-")  # the process deletes it
        try:
            with os.fdopen(number, "wb") as file:
                pickle.dump(job, file)
            # Nothing is written to its input: the system closes the pipe when this program ends.
            _left = subprocess.Popen([*_python(), "later", name], env=_environment(), stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, **_ASIDE)
        except BaseException:
            os.unlink(name)
            raise


def finish() -> None:
    """Behaves towards the process of `later` as if this program had ended, and waits for that process."""
    if _left is not None and _left.stdin is not None:
        _left.stdin.close()
        _left.wait()


def _python() -> list[str]:
    """Returns the beginning of a command that runs this module.

    Raises:
        OSError: it isn't possible.
    """
    if not possible():
        raise OSError("no Python")
    return [sys.executable, "-P", "-m", "seg.runtime.apart"]


def _environment() -> dict[str, str]:
    """Returns the environment of a process that finds the packages that this program finds, and in the same order."""
    folders = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]  # Python ignores others, too
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, str(_ROOT)])}


def _now() -> None:
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answer:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get into the answer
        job = pickle.load(sys.stdin.buffer)
        loops.prepare()
        try:
            result = True, job()
        except SegError as fault:
            result = False, fault
        pickle.dump(result, answer)


def _later(name: str) -> None:
    waiting = threading.Thread(target=os.read, args=(sys.stdin.fileno(), 1), daemon=True)  # until the program ends
    waiting.start()
    with open(name, "rb") as file:
        job = pickle.load(file)
    os.unlink(name)
    with Cache(default_folder()).lock("later", patience_s=0) as alone:
        if alone:
            subprocess.run([sys.executable, "-P", "-m", compile_ahead.__name__], stdin=subprocess.DEVNULL, check=True)
            if job is not None and not waiting.is_alive():
                job()


if __name__ == "__main__":
    if sys.argv[1] == "now":
        _now()
    else:
        _later(sys.argv[2])
