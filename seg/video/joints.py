"""Times that go on where a container's jump back, as in MPEG-TS files that were put one after the other."""

from fractions import Fraction

JUMP = Fraction(1, 2)  # s; what goes back by less is a broken time


class Joints:
    """Takes the times of one stream in the order that they are shown or heard in; each part begins where the last one ended."""

    def __init__(self) -> None:
        self._shift = Fraction(0)
        self._end: Fraction | None = None

    def __call__(self, time: Fraction, duration: Fraction) -> Fraction:
        """Returns the time [s] that goes on from the last one; `duration` is how long this one lasts."""
        time += self._shift
        if self._end is not None and time < self._end - JUMP:
            self._shift += self._end - time
            time = self._end
        self._end = time + duration
        return time
