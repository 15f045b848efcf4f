"""The loss of each pixel at full size, from scores at the network's own size, without a full-size copy of the scores.

Interpolation, softmax and logarithm are computed row by row in buffers that stay in the processor's cache, forwards and
backwards. torch would write and read some ten copies of all scores, which at 1/8 of the frame's side takes longer than a small
network. All loops are plain loops over plain arrays, so that Numba vectorises them.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from seg.label_sets import IGNORE
from seg.models.network import full_precision
from seg.runtime.upsample import positions
from seg.runtime.workers import share
from seg.training.layer_loops import Compiled, build, fast

_LOG2_E = np.float32(math.log2(math.e))
_LN2_HIGH, _LN2_LOW = np.float32(0.693145751953125), np.float32(1.42860682030941723212e-6)
_TAYLOR = tuple(np.float32(1 / math.factorial(n)) for n in range(2, 8))  # exact to float32 within half of ln 2 around 0
_LOWEST = np.float32(-88.0)  # its exponential, and that of all lower values, becomes 0 here


class Pixels(NamedTuple):
    """The values from which losses are computed.

    Attributes:
        loss: (N, H, W), minus the logarithm of the probability of a pixel's label; 0 where ignored.
        mass: (C,), the sum of each class's probability over the counted pixels, without pixels labelled with sets of classes.
        hits: (C,), the same, but over the pixels of that class only.
    """

    loss: Tensor
    mass: Tensor
    hits: Tensor


@fast
def _row_of(place: Any, low: Any) -> Any:
    """Returns the two rows of `low` between which a place lies, and the second row's weight."""
    near = int(place)
    return near, min(near + 1, low - 1), np.float32(place - near)


@fast
def _exponentials(values: Any, bits: Any, scales: Any) -> None:
    """Replaces values, which are at most slightly above 0, by their exponentials; `bits` and `scales` are the same buffer."""
    for x in range(len(values)):
        value = max(values[x], _LOWEST) if values[x] == values[x] else values[x]  # NaN stays
        whole = np.floor(value * _LOG2_E + np.float32(0.5))
        rest = value - whole * _LN2_HIGH - whole * _LN2_LOW
        a, b, c, d, e, f = _TAYLOR
        sum_ = ((((f * rest + e) * rest + d) * rest + c) * rest + b) * rest + a
        values[x] = sum_ * rest * rest + rest + np.float32(1)
        bits[x] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for x in range(len(values)):
        values[x] *= scales[x]


@fast
def _interpolate(scores: Any, near: Any, far: Any, weight: Any, out: Any) -> None:
    """Writes the scores (C, W) of one row of pixels."""
    for c in range(scores.shape[0]):
        for x in range(scores.shape[2]):
            out[c, x] = scores[c, near, x] + weight * (scores[c, far, x] - scores[c, near, x])


def _forward(scores: Any, places: Any, labels: Any, members: Any, loss: Any, log_sum: Any, mass: Any, hits: Any,
             with_mass: bool) -> None:
    """Fills loss and log_sum (H, W) from one picture's scores (C, h, W), and adds to mass and hits (C,) if asked.

    `places` (H,) are the positions of the pixel rows among the rows of scores.
    """
    classes, low, width = scores.shape
    row, exps = np.empty((classes, width), np.float32), np.empty((classes, width), np.float32)
    bits = np.empty(width, np.int32)
    scales = bits.view(np.float32)
    top, total = np.empty(width, np.float32), np.empty(width, np.float32)
    masses = np.zeros((classes, width), np.float32)  # by column, because sums within a row would not be vectorised
    for y in range(len(places)):
        near, far, weight = _row_of(places[y], low)
        _interpolate(scores, near, far, weight, row)
        for x in range(width):
            top[x] = row[0, x]
            total[x] = 0
        for c in range(1, classes):
            for x in range(width):
                top[x] = row[c, x] if row[c, x] > top[x] else top[x]
        for c in range(classes):
            for x in range(width):
                exps[c, x] = row[c, x] - top[x]
            _exponentials(exps[c], bits, scales)
            for x in range(width):
                total[x] += exps[c, x]
        for x in range(width):
            log_sum[y, x] = np.log(total[x]) + top[x]
        for x in range(width):
            label = labels[y, x]
            if label < classes:
                loss[y, x] = log_sum[y, x] - row[label, x]
            elif label == IGNORE:
                loss[y, x] = 0
            else:  # the set has its own maximum: all its members may be far below the other classes
                highest = np.float32(-np.inf)
                for c in range(classes):
                    if members[label - classes, c] and row[c, x] > highest:
                        highest = row[c, x]
                within = np.float32(0)
                for c in range(classes):
                    if members[label - classes, c]:
                        within += np.exp(row[c, x] - highest)
                loss[y, x] = log_sum[y, x] - highest - np.log(within)
        if with_mass:
            for x in range(width):
                label = labels[y, x]
                total[x] = np.float32(1) / total[x] if label < classes else np.float32(0)
                if label < classes:
                    hits[label] += exps[label, x] * total[x]
            for c in range(classes):
                for x in range(width):
                    masses[c, x] += exps[c, x] * total[x]
    for c in range(classes):
        for x in range(width):
            mass[c] += masses[c, x]


def _backward(scores: Any, places: Any, labels: Any, members: Any, log_sum: Any, loss: Any, by_loss: Any, by_mass: Any,
              by_hits: Any, with_mass: bool, out: Any) -> None:
    """Adds to out (C, h, W) the gradient of one picture's scores, from the gradients of what `_forward` computed."""
    classes, low, width = scores.shape
    row = np.empty((classes, width), np.float32)
    bits = np.empty(width, np.int32)
    scales = bits.view(np.float32)
    factor, mean = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(len(places)):
        near, far, weight = _row_of(places[y], low)
        _interpolate(scores, near, far, weight, row)
        for x in range(width):
            factor[x] = by_loss[y, x] if labels[y, x] != IGNORE else np.float32(0)
            mean[x] = 0
        for c in range(classes):
            for x in range(width):
                row[c, x] -= log_sum[y, x]
            _exponentials(row[c], bits, scales)
                # The gradient of p_c is g_c = by_mass[c], plus by_hits[c] if c is the label; that of its score is p_c (g_c - sum
                # of p g).
        if with_mass:
            for c in range(classes):
                for x in range(width):
                    mean[x] += by_mass[c] * row[c, x]
            for x in range(width):
                label = labels[y, x]
                if label < classes:
                    mean[x] += by_hits[label] * row[label, x]
        for x in range(width):
            label = labels[y, x]
            if label < classes:
                probability = row[label, x]
                for c in range(classes):
                    counted = by_mass[c] if with_mass else np.float32(0)
                    row[c, x] *= factor[x] + counted - mean[x]
                row[label, x] += (probability * by_hits[label] if with_mass else np.float32(0)) - factor[x]
            elif label == IGNORE:
                for c in range(classes):
                    row[c, x] = 0
            else:
                within = log_sum[y, x] - loss[y, x]  # logarithm of the sum over the set
                for c in range(classes):
                    share = np.float32(0)
                    if members[label - classes, c]:
                        score = scores[c, near, x] + weight * (scores[c, far, x] - scores[c, near, x])
                        share = np.exp(min(np.float32(0), score - within))
                    row[c, x] = factor[x] * (row[c, x] - share)
        for c in range(classes):
            for x in range(width):
                out[c, near, x] += (np.float32(1) - weight) * row[c, x]
            for x in range(width):
                out[c, far, x] += weight * row[c, x]


@cache
def _loops() -> tuple[Compiled, Compiled]:
    scores, map_, labels = np.zeros((2, 1, 1), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int64)
    members, places, sums, slopes = np.zeros((1, 2), np.bool_), np.zeros(1), np.zeros(2), np.zeros(2, np.float32)
    return (build(_forward, scores, places, labels, members, map_, map_, sums, sums, True),
            build(_backward, scores, places, labels, members, map_, map_, map_, slopes, slopes, True, scores))


def _places(scores: Tensor, labels: Tensor) -> npt.NDArray[np.float64]:
    """Returns the positions of the labels' pixel rows among the rows of the scores (N, C, h, W): (H,)."""
    return positions(scores.shape[2], labels.shape[1], 0.0, scores.shape[2])


class _PixelLosses(torch.autograd.Function):
    """Maps scores (N, C, h, W) float32, labels (N, H, W) and members (S, C) to `Pixels`."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor, members: Tensor, with_mass: bool) -> tuple[Tensor, Tensor, Tensor]:
        loss, log_sum = scores.new_empty(labels.shape), scores.new_empty(labels.shape)
        sums = torch.zeros(2, *scores.shape[:2], dtype=torch.float64)
        places = _places(scores, labels)
        compute, arrays = _loops()[0], [tensor.numpy() for tensor in (scores, labels, loss, log_sum, *sums)]

        def work(first: int, last: int) -> None:
            for n in range(first, last):
                compute(arrays[0][n], places, arrays[1][n], members.numpy(), *(array[n] for array in arrays[2:]), with_mass)

        share(len(labels), torch.get_num_threads(), work)
        ctx.save_for_backward(scores, labels, members, log_sum, loss)
        ctx.with_mass = with_mass
        mass, hits = sums.sum(1).float()
        return loss, mass, hits

    @staticmethod
    def backward(ctx: Any, by_loss: Tensor, by_mass: Tensor, by_hits: Tensor) -> tuple[Tensor | None, ...]:
        scores, labels, members, log_sum, loss = ctx.saved_tensors
        out = torch.zeros_like(scores)
        compute, places = _loops()[1], _places(scores, labels)
        arrays = [tensor.numpy() for tensor in (scores, labels, log_sum, loss, by_loss.contiguous(), out)]
        slopes = by_mass.contiguous().numpy(), by_hits.contiguous().numpy()

        def work(first: int, last: int) -> None:
            for n in range(first, last):
                compute(arrays[0][n], places, arrays[1][n], members.numpy(), *(array[n] for array in arrays[2:5]), *slopes,
                       ctx.with_mass, arrays[5][n])

        share(len(labels), torch.get_num_threads(), work)
        return out, None, None, None


def pixel_losses(logits: Tensor, labels: Tensor, members: Tensor | None = None, with_mass: bool = True) -> Pixels:
    """Returns the losses of all pixels, and the sums of probabilities that Dice needs; only on the processor.

    Args:
        logits: (N, C, h, w) at the decoder's own size; they count as resized to the labels' size.
        labels: (N, H, W) int64: a class, C + the index of a set of classes, or 255.
        members: (S, C) bool, the classes of each set.
        with_mass: whether mass and hits are computed; otherwise they are zeros.
    """
    with full_precision(logits):
        wide = F.interpolate(logits.float(), size=(logits.shape[2], labels.shape[2]), mode="bilinear", align_corners=False)
        members = torch.zeros(0, logits.shape[1], dtype=torch.bool) if members is None else members
        return Pixels(*_PixelLosses.apply(wide.contiguous(), labels.contiguous(), members.contiguous(), with_mass))
