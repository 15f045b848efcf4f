"""How a block is cut into tasks that stay in a core's cache and are shared evenly by the threads."""

from collections.abc import Iterator
from typing import NamedTuple

from seg.runtime.fused.packing import ceil_div
from seg.runtime.fused.processor import LANES, TILES
from seg.runtime.fused.products import PIXELS as _PIXELS

# For a task's rows: a part of the cache that each core has for itself, 256 KiB or more, and 2 MiB in processors with tiles.
CACHE_BYTES = (800 if TILES else 160) * 1024

# Estimates for a processor with AVX2, in multiply-adds of a product there. They only need to be roughly right:
_TILED_COST = 0.1  # of a multiply-add in a product on tiles
_VALUE_COST = 10.0  # of an expanded value, apart from its product, where that runs on tiles; otherwise the product hides it
_DEPTHWISE_COST = 1.3  # of a multiply-add in a depthwise convolution
_READ_COST = 8.0  # of an input that is read from beyond a core's own cache
_TASK_COST = 1e5  # of starting a task
_NARROWEST = 32  # columns of a strip


class Work(NamedTuple):
    """The work of a block.

    Attributes:
        height, width: size of the output.
        in_width: width of the input.
        inputs: number of inputs that are summed up for an expanded value.
        channels: number of expanded channels.
        stride, kernel, reach: of the depthwise convolution; reach is the number of rows and columns that it spans.
        outputs: output channels of the projection; 0 if it isn't a part of the block.
        number_bytes: bytes of an expanded value.
        tiled: whether products run on tiles.
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
    tiled: bool = False


class Cut(NamedTuple):
    """The size of the tasks into which a block is cut.

    Attributes:
        strip: largest number of output columns of a task.
        chunk: largest number of channels of a task.
        bands: number of bands from top to bottom.
    """

    strip: int
    chunk: int
    bands: int

    def strips(self, work: Work) -> int:
        """Returns the number of strips side by side."""
        return ceil_div(work.width, self.strip)

    def chunks(self, work: Work) -> int:
        """Returns the number of chunks into which the channels are cut."""
        return ceil_div(work.channels, self.chunk)

    def columns(self, work: Work) -> int:
        """Returns the number of columns of the expanded rows, including the padding at the sides."""
        return (self.strip - 1) * work.stride + work.reach

    def row(self, work: Work) -> int:
        """Returns the number of values in an expanded row."""
        return self.columns(work) * self.chunk

    def ring(self, work: Work) -> int:
        """Returns the number of values in the expanded rows that a depthwise convolution needs at once."""
        return work.reach * self.row(work)


def cut(work: Work, threads: int) -> Cut:
    """Chooses the cut with the shortest time in the worst case.

    More tasks are shared more evenly, but more work is done twice where they meet. If each free thread takes the next task,
    all tasks are done after at most `work / threads + (1 - 1 / threads) * task` (R. L. Graham, 1969). Tasks whose rows don't
    fit into the cache are used only if there are no others.
    """
    def cost(one: Cut) -> tuple[bool, float]:
        task = _cost_of_task(work, one)
        tasks = one.strips(work) * one.chunks(work) * one.bands
        return one.ring(work) * work.number_bytes > CACHE_BYTES, tasks * task / threads + (1 - 1 / threads) * task

    return min(_cuts(work), key=cost)


def _cuts(work: Work) -> Iterator[Cut]:
    """Yields the possible cuts. A projection sums up all channels, so a block with a projection is cut only into strips."""
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
    values = ceil_div(columns, _PIXELS) * _PIXELS * (rows * work.stride + work.reach - work.stride)
    read = values * work.inputs
    convolved = one.strip * rows * work.kernel**2 * _DEPTHWISE_COST
    multiplied = read + ceil_div(one.strip, _PIXELS) * _PIXELS * rows * work.outputs
    if work.tiled:
        multiplied = multiplied * _TILED_COST + values * _VALUE_COST
    return (multiplied + convolved) * one.chunk + read * _READ_COST + _TASK_COST
