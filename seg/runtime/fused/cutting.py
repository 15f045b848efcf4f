"""How a block is cut into tasks, so that they stay in a core's cache and are shared out well."""

from collections.abc import Iterator
from typing import NamedTuple

from seg.runtime.fused.packing import ceil_div
from seg.runtime.fused.processor import LANES
from seg.runtime.fused.products import PIXELS as _PIXELS

CACHE_BYTES = 160 * 1024  # that a task's rows may take: a part of the 256 KiB or more that a core has for itself

# Estimates for a processor with AVX2, in multiply-adds of a product; they need to be right to a factor only:
_DEPTHWISE_COST = 1.3  # of one in a depthwise convolution
_READ_COST = 8.0  # of an input that is read from further away than a core's cache
_TASK_COST = 1e5  # of a task
_NARROWEST = 32  # columns of a strip


class Work(NamedTuple):
    """What a block has to do.

    Attributes:
        height, width: of the output.
        in_width: of the input.
        inputs: that an expanded value is the sum of.
        channels: expanded.
        stride, kernel, reach: of the depthwise convolution; the last is how many rows and columns it spans.
        outputs: of the projection; 0 if it isn't a part of the block.
        number_bytes: of an expanded value.
    """

    height: int
    width: int
    in_width: int
    inputs: int
    channels: int
    stride: int
    kernel: int
    reach: int
    outputs: int
    number_bytes: int


class Cut(NamedTuple):
    """A task's largest part of the block.

    Attributes:
        strip: columns of the output.
        chunk: channels.
        bands: how many there are from top to bottom.
    """

    strip: int
    chunk: int
    bands: int

    def strips(self, work: Work) -> int:
        """Returns how many there are side by side."""
        return ceil_div(work.width, self.strip)

    def chunks(self, work: Work) -> int:
        """Returns into how many the channels are cut."""
        return ceil_div(work.channels, self.chunk)

    def columns(self, work: Work) -> int:
        """Returns those of the expanded rows, with what lies beside the map."""
        return (self.strip - 1) * work.stride + work.reach

    def row(self, work: Work) -> int:
        """Returns the numbers of one of the expanded rows."""
        return self.columns(work) * self.chunk

    def ring(self, work: Work) -> int:
        """Returns those of the expanded rows that a depthwise convolution needs at once."""
        return work.reach * self.row(work)


def cut(work: Work, threads: int) -> Cut:
    """Chooses the cut with the least time in the worst case.

    More tasks are shared out better, and do more of the work twice, where they meet. With the next task given to whoever is
    free, all are done no later than `work / threads + (1 - 1 / threads) * task` (R. L. Graham, 1969). Tasks whose rows don't
    stay in the cache are taken only where there are no others.
    """
    def cost(one: Cut) -> tuple[bool, float]:
        task = _cost_of_task(work, one)
        tasks = one.strips(work) * one.chunks(work) * one.bands
        return one.ring(work) * work.number_bytes > CACHE_BYTES, tasks * task / threads + (1 - 1 / threads) * task

    return min(_cuts(work), key=cost)


def _cuts(work: Work) -> Iterator[Cut]:
    """Yields what can be: a projection sums all channels up, so that a block with one is cut into strips alone."""
    vectors = work.channels // LANES
    for bands in range(1, max(2, work.height // 4 + 1)):
        if work.outputs:
            for strips in range(1, max(2, work.width // _NARROWEST + 1)):
                yield Cut(min(ceil_div(ceil_div(work.width, strips), 8) * 8, work.width), work.channels, bands)
        else:
            for chunks in range(1, max(2, vectors // 2 + 1)):
                yield Cut(work.width, ceil_div(vectors, chunks) * LANES, bands)


def _cost_of_task(work: Work, one: Cut) -> float:
    rows = work.height / one.bands
    columns = min((one.strip - 1) * work.stride + work.reach, work.in_width)
    expanded = ceil_div(columns, _PIXELS) * _PIXELS * (rows * work.stride + work.reach - work.stride) * work.inputs
    convolved = one.strip * rows * work.kernel**2 * _DEPTHWISE_COST
    projected = ceil_div(one.strip, _PIXELS) * _PIXELS * rows * work.outputs
    return (expanded + convolved + projected) * one.chunk + expanded * _READ_COST + _TASK_COST
