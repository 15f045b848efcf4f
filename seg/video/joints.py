"""Makes times continue where a container's times jump back, as in MPEG-TS files that were joined one after the other."""

from fractions import Fraction

JUMP = Fraction(1, 2)  # s; a smaller step back is a wrong time, not a joint


class Joints:
    """Takes the times of one stream in the order of display; each part starts where the last one ended."""

    def __init__(self) -> None:
        self._shift = Fraction(0)
        self._end: Fraction | None = None

    def __call__(self, time: Fraction, duration: Fraction) -> Fraction:
        """Returns the time [s] that continues from the last one; `duration` is how long this frame or packet lasts."""
        time += self._shift
        if self._end is not None and time < self._end - JUMP:
            self._shift += self._end - time
            time = self._end
        self._end = time + duration
        return time
