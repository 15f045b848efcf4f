"""Memory that stays with the process: a training step frees and takes the same hundred megabytes again and again."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's mallopt
_TOP_PAD_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed, which it would give back to the system; returns whether it was told.

    Each page that comes back from the system has to be filled with zeros: a tenth of a step on a processor. The process
    takes its peak until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, 2**31 - 1), mallopt(_TOP_PAD, _TOP_PAD_BYTES)])
