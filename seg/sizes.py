"""At which size a network is most accurate: scores of a data set with frames scaled to each of several long sides."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.architecture import MIN_SIZE
from seg.errors import SegError
from seg.evaluate import evaluate, read_sample
from seg.result import Result
from seg.runtime import Predictor
from seg.runtime.preprocess import GRID

SIZE_STEPS = (0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5)  # relative to the frames' long side
SIZE_TOLERANCE = 0.003  # of mIoU over the truth's classes, by which the smaller and faster of two sizes may be worse


def long_sides_to_try(frame_hw: tuple[int, int]) -> list[int]:
    """Returns long sides [px] around the long side of frames of (H, W), in rising order."""
    sides = (round(max(frame_hw) * step / GRID) * GRID for step in SIZE_STEPS)
    return [side for side in sides if side >= MIN_SIZE]


def compare_sizes(predictor: Predictor, reader: Any, indices: Sequence[int], *, table: npt.NDArray[np.uint8] | None = None,
                  warm_up_runs: int | None = None,
                  track: Callable[[Sequence[int]], Iterable[int]] = iter) -> dict[int, Result]:
    """Scores samples of a reader with frames scaled to each of several long sides [px] around their own.

    Args:
        predictor: the predictor to evaluate.
        reader: reader of the data set.
        indices: indices of its samples; the first one's size determines the sizes to try.
        table: see `evaluate`.
        warm_up_runs: see `evaluate`.
        track: wraps the long sides, to show progress.

    Raises:
        SegError: see `evaluate`; or there is no truth.
    """
    first = read_sample(reader, indices[0])
    if first.train_ids is None:
        raise SegError(f"The split {reader.split!r} has no labels, so no size can be found.")
    sides = long_sides_to_try((first.frame_bgr.shape[0], first.frame_bgr.shape[1]))
    return {side: evaluate(predictor.at(side), (read_sample(reader, i) for i in indices), reader.label_set, table=table,
                           warm_up_runs=warm_up_runs) for side in track(sides)}


def best_long_side(results: dict[int, Result]) -> int:
    """Returns the smallest long side whose mIoU of the classes in the truth is at most 0.3 points below the highest.

    Raises:
        SegError: there is no score.
    """
    scores = {side: result.scores.present_miou for side, result in results.items()
              if result.scores is not None and not np.isnan(result.scores.present_miou)}
    if not scores:
        raise SegError("No pixel has truth at any size, so no size is the best.")
    return min(side for side, miou in scores.items() if miou >= max(scores.values()) - SIZE_TOLERANCE)
