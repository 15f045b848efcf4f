"""Calls in a process of their own: `call` waits for the result, and `later` leaves the call for when this program has ended.

A process can't give back all the memory of libraries that it has loaded. So what needs many of them for a moment, such as a trial
of all engines, runs in a process that ends with it.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from seg.errors import SegError
from seg.runtime import compile_ahead, loops

_ROOT = Path(__file__).resolve().parents[2]  # the folder of the package, which need not be installed
_Result = TypeVar("_Result")
_left: "subprocess.Popen[bytes] | None" = None


def call(job: Callable[[], _Result]) -> _Result:
    """Returns what the call returns, and raises its `SegError`. Where the process fails, the call is made in this one.

    Args:
        job: can be pickled, and so can what it returns.
    """
    for loop in loops.LOOPS:  # the process would compile them a second time
        loop()
    try:
        done = subprocess.run([*_python(), "now"], env=_environment(), input=pickle.dumps(job), check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        succeeded, result = pickle.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError, pickle.PickleError, EOFError):
        return job()
    if not succeeded:
        raise result
    found: _Result = result
    return found


def later(job: Callable[[], object] | None) -> None:
    """Starts a process that compiles the loops of all engines; does nothing if this program has started it already.

    If this program has ended by then, the process also makes the call. While the program runs, both would be slow.

    Args:
        job: can be pickled; None only compiles.
    """
    global _left
    if _left is not None:
        return
    nothing = subprocess.DEVNULL
    with suppress(OSError, ValueError):
        _left = subprocess.Popen([*_python(), "later"], env=_environment(), stdin=subprocess.PIPE, stdout=nothing, stderr=nothing,
                                 start_new_session=True)
        threading.Thread(target=_send, args=(_left, pickle.dumps(job))).start()


def finish() -> None:
    """Behaves towards the process of `later` as if this program had ended, and waits for that process."""
    if _left is not None and _left.stdin is not None:
        _left.stdin.close()
        _left.wait()


def _send(process: "subprocess.Popen[bytes]", message: bytes) -> None:
    """Writes the message, and leaves the pipe open: the system closes it when this program ends."""
    assert process.stdin is not None
    with suppress(OSError, ValueError):
        process.stdin.write(message)
        process.stdin.flush()


def _python() -> list[str]:
    """Returns the beginning of a command that runs this module.

    Raises:
        OSError: this program is no Python that could run one, as when it is frozen.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("no Python")
    return [sys.executable, "-P", "-m", "seg.runtime.apart"]


def _environment() -> dict[str, str]:
    """Returns the environment of a process that finds the packages that this program finds, and in the same order."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*(folder or os.getcwd() for folder in sys.path), str(_ROOT)])}


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


def _later() -> None:
    try:
        job = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # the program ended before it had written everything
        job = None
    waiting = threading.Thread(target=os.read, args=(sys.stdin.fileno(), 1), daemon=True)  # until the program ends
    waiting.start()
    subprocess.run([sys.executable, "-P", "-m", compile_ahead.__name__], stdin=subprocess.DEVNULL, check=True)
    if job is not None and not waiting.is_alive():
        job()


if __name__ == "__main__":
    {"now": _now, "later": _later}[sys.argv[1]]()
