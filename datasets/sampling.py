"""Which samples come in which order: a pure function of (seed, epoch), so that an interrupted epoch continues exactly.

Samplers give keys, which tell a worker everything that an augmentation depends on, however long it lives and whichever
worker it is.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from seg.errors import SegError

PADDING = -1  # the index of a sample that only fills up a process's share; all its labels are ignored


class Key(NamedTuple):
    """What a sample is made from, together with the seed; `size` is the share of full size that its crop and scale have."""

    epoch: int
    sample: int
    size: float = 1.0


_PARTS = 4


class Growth(NamedTuple):
    """How samples grow during a training. It has four equal parts; sizes are the same within a part, and full in the last one.

    Early steps on small pictures cost less: M. Tan, Q. V. Le, *EfficientNetV2*, arXiv 2104.00298, who also divide a training
    into four parts for this.

    Attributes:
        start: share of full size in the first part; the sizes of the others lie evenly between it and 1.
        epochs: length of the training; it may end within an epoch.
        batches: batches of an epoch.
    """

    start: float = 1.0
    epochs: float = 1.0
    batches: int = 1

    @property
    def parts(self) -> list[tuple[float, float]]:
        """The epoch at which each part begins, and the share of full size in it."""
        last = _PARTS - 1
        return [(self.epochs * part / _PARTS, 1 - (1 - self.start) * (last - part) / last) for part in range(_PARTS)]

    def size(self, epoch: int, step: int) -> float:
        """Returns the share of full size that the samples of a batch have; `step` is its number in its epoch."""
        place = epoch + step / self.batches
        return [size for begin, size in self.parts if begin <= place][-1]


class TrainBatches(Sampler[list[Key]]):
    """Shuffled batches. In each step all processes together take consecutive samples of the order, each its part.

    Samples that don't fill a last step are left out of the epoch; in each epoch these are different ones.

    Args:
        count: samples of the epoch.
        batch_size: samples a process takes each step.
        order: returns the samples of an epoch; None shuffles `count` of them.
        growth: how samples grow; by default all have full size.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1,
                 order: Callable[[int], Sequence[int]] | None = None, growth: Growth | None = None) -> None:
        self.growth = growth or Growth()
        self.count, self.batch_size, self.seed, self.rank = count, batch_size, seed, rank
        self.order = order or self._shuffled
        self.step_size = batch_size * world_size
        self.epoch = 0
        self.start = 0  # the step at which the next pass begins
        if count < self.step_size:
            raise SegError(f"The split has {count} samples, but a training step takes {self.step_size} "
                           f"({batch_size} on each of {world_size} processes). Train with fewer processes.")

    def __len__(self) -> int:
        return self.count // self.step_size

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; Lightning calls it before each one. A resumed epoch keeps its place."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[list[Key]]:
        start, self.start = self.start, 0
        order = self.order(self.epoch)
        for step in range(start, len(self)):
            first = step * self.step_size + self.rank * self.batch_size
            size = self.growth.size(self.epoch, step)
            yield [Key(self.epoch, index, size) for index in order[first : first + self.batch_size]]

    def _shuffled(self, epoch: int) -> Sequence[int]:
        shuffled: list[int] = np.random.default_rng((self.seed, epoch)).permutation(self.count).tolist()
        return shuffled


class EvalBatches(Sampler[list[Key]]):
    """Every sample once, in order, shared among the processes; all get the same number, filled up with `PADDING`.

    Equal counts matter: processes that wait for each other in every step would hang if one of them ran out of samples.
    And a sample that came twice would count twice in the metrics.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        rounds = -(-count // world_size)
        indices = [i if i < count else PADDING for i in range(rank, rounds * world_size, world_size)]
        self.batches = [[Key(0, i) for i in indices[first : first + batch_size]] for first in range(0, rounds, batch_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


class Loader:
    """Gives batches; a SegError in a worker arrives as a SegError, not as the text of a traceback.

    It wraps a DataLoader and isn't one, so that Lightning does not put its own sampler, which repeats samples, into it.
    """

    def __init__(self, dataset: Dataset[Any], batches: Sampler[list[Key]], workers: int, collate: Callable[[list[Any]], Any],
                 persistent: bool) -> None:
        self.dataset = dataset
        # The workers already run in parallel. This is set here and not in them: a forked process inherits OpenCV's thread
        # pool without its threads, and would wait for them for ever.
        cv2.setNumThreads(1)
        self._loader = DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=collate,
                                  persistent_workers=persistent and workers > 0,
                                  pin_memory=torch.cuda.is_available())

    def __len__(self) -> int:
        return len(self._loader)

    @property
    def _iterator(self) -> Any:
        """Lightning uses this attribute to end the workers of a DataLoader at the end of a run."""
        return self._loader._iterator

    @_iterator.setter
    def _iterator(self, iterator: Any) -> None:
        self._loader._iterator = iterator

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in self._loader:
            if isinstance(batch, SegError):
                raise batch
            yield batch


class ResumableLoader(Loader):
    """Gives training batches and knows the position in an epoch: Lightning keeps `state_dict` in every checkpoint.

    Args:
        processed: returns how many batches of this epoch the training loop has finished. A batch that was given out but
            whose step was interrupted counts as not done; without it every batch that was given out counts.
    """

    def __init__(self, dataset: Dataset[Any], batches: TrainBatches, workers: int, collate: Callable[[list[Any]], Any],
                 processed: Callable[[], int] | None = None) -> None:
        super().__init__(dataset, batches, workers, collate, persistent=True)
        self.sampler = batches  # under this name Lightning looks for `set_epoch`
        self._processed = processed
        self._place = (0, 0)  # epoch, and how many of its batches were given out, also before a resumption

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        # A generator: all this runs when the first batch is asked for, after Lightning has set the epoch.
        epoch, given = self._place = self.sampler.epoch, self.sampler.start
        for batch in super().__iter__():
            given += 1
            self._place = epoch, given
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Returns the place in the epoch, and what it depends on."""
        epoch, given = self._place
        if epoch != self.sampler.epoch:  # the epoch is set, but not begun
            epoch, given = self.sampler.epoch, 0
        return {"epoch": epoch, "step": min(given, self._processed()) if self._processed else given, **self._order()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues from `state`; after a complete epoch the next one begins.

        Raises:
            SegError: in mid-epoch, the seed, the split or the samples of a step differ, so that the order would differ, too.
        """
        epoch, step = state["epoch"], state["step"]
        for name, now in self._order().items():
            if step and step < len(self) and state.get(name, now) != now:
                raise SegError(f"The checkpoint was made in mid-epoch with {name} = {state[name]}, but now it is {now}; the "
                               "rest of the epoch would hold other samples. Set it back to go on from here.")
        if step >= len(self):
            epoch, step = epoch + 1, 0
        self.sampler.epoch, self.sampler.start = self._place = epoch, step

    def _order(self) -> dict[str, int]:
        first = zlib.crc32(np.asarray(self.sampler.order(0), np.int64).tobytes())  # also depends on how data sets are mixed
        return {"seed": self.sampler.seed, "samples": self.sampler.count, "samples_per_step": self.sampler.step_size,
                "order": first}
