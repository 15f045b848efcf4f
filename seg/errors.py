"""The one exception that a user may see.

Library code raises `SegError` with a sentence that says what came, what was expected and what to do. The command lines
(`seg.cli`) print that sentence and exit with code 2; anything else that escapes is a defect of ours and keeps its traceback.
"""

import difflib
from collections.abc import Iterable, Sequence


class SegError(Exception):
    """A problem that the user can solve: a wrong path, a wrong option, a file with the wrong content."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a sentence that lists the names nearest to `name`, or all of them if none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    return f"Known are {', '.join(repr(n) for n in known)}."


def shortened(sentences: Sequence[str], most: int = 20) -> list[str]:
    """Returns the first `most` sentences, and one that says how many more there are."""
    return [*sentences[:most], *([f"And {len(sentences) - most} more."] if len(sentences) > most else [])]
