"""Losses at full size: cross-entropy with class weights and OHEM, and SMP's Dice, Lovász and focal by name.

On a processor cross-entropy and Dice come from `seg.training.pixels`, without a full-size copy of the scores; everywhere else,
and for the other terms, the scores are resized first. Both give the same loss.

Labels from the number of classes up stand for sets of classes: such a pixel's loss is minus the logarithm of the sum of their
probabilities.

OHEM (online hard example mining): Shrivastava et al., arXiv 1604.03540, in the per-pixel form that BiSeNet made common.
Class weights "enet": Paszke et al., arXiv 1606.02147; "median_frequency": Eigen and Fergus, arXiv 1411.4734.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.errors import SegError, did_you_mean
from seg.label_sets import IGNORE
from seg.models.network import full_precision, resize
from seg.training.pixels import Pixels, pixel_losses


@dataclass
class LossConfig:
    """What is minimised.

    Attributes:
        terms: weight of each term of the sum: cross_entropy, dice, lovasz, focal.
        class_weights: of cross-entropy, one number per class, or how to compute them from the train split: enet
            is 1 / log(1.02 + frequency), median_frequency is median / frequency; both are scaled to a mean of 1.
        ohem_probability: OHEM counts only pixels whose true class has a probability below this; 1 counts all.
        ohem_min_kept: the share of pixels that OHEM counts at least, the hardest ones.
        label_smoothing: of cross-entropy, 0 to 1.
        pixel_stride: 2 or more counts one pixel of each such square, another one in each step: neighbours say almost the
            same, and at full size some terms take as long as the network.
    """

    terms: dict[str, float] = field(default_factory=lambda: {"cross_entropy": 1.0})
    class_weights: list[float] | Literal["none", "enet", "median_frequency"] = "none"
    ohem_probability: float = 1.0
    ohem_min_kept: float = 0.0625
    label_smoothing: float = 0.0
    pixel_stride: int = 1


def _dice() -> nn.Module:
    from segmentation_models_pytorch.losses import DiceLoss

    return DiceLoss("multiclass", ignore_index=IGNORE)


def _lovasz() -> nn.Module:
    from segmentation_models_pytorch.losses import LovaszLoss

    return LovaszLoss("multiclass", ignore_index=IGNORE)


def _focal() -> nn.Module:
    from segmentation_models_pytorch.losses import FocalLoss

    return FocalLoss("multiclass", ignore_index=IGNORE)


_SMP_TERMS: dict[str, Callable[[], nn.Module]] = {"dice": _dice, "lovasz": _lovasz, "focal": _focal}


class CrossEntropy(nn.Module):
    """Cross-entropy over the pixels that count, weighted by class, of all pixels or of the hard ones only."""

    def __init__(self, class_weights: Tensor | None = None, *, ohem_probability: float = 1.0,
                 ohem_min_kept: float = 0.0625, label_smoothing: float = 0.0) -> None:
        """Arguments as in `LossConfig`, `class_weights` (C,) or None."""
        super().__init__()
        self.class_weights: Tensor | None
        # Not persistent: they come from the data and must not turn up in checkpoints of other class counts.
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.hard_loss = -math.log(ohem_probability) if ohem_probability < 1 else None
        self.min_kept = ohem_min_kept
        self.label_smoothing = label_smoothing

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:  # (N, C, H, W) float, (N, H, W) int64 -> ()
        if self._plain:
            total = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum")
            return total / (labels != IGNORE).sum().clamp_min(1)
        loss = F.cross_entropy(scores, labels, self.class_weights, ignore_index=IGNORE, reduction="none",
                               label_smoothing=self.label_smoothing)  # (N, H, W)
        return self._mean(loss, self._weights(labels), labels != IGNORE)

    @property
    def _plain(self) -> bool:
        return self.hard_loss is None and not self.label_smoothing and self.class_weights is None

    def from_pixels(self, loss: Tensor, labels: Tensor) -> Tensor:  # (N, H, W) float, (N, H, W) int64 -> ()
        """The same from each pixel's loss without weights, 0 where it is ignored; there is no label smoothing then."""
        if self._plain:
            return loss.sum() / (labels != IGNORE).sum().clamp_min(1)
        weight = self._weights(labels)
        return self._mean(loss * weight, weight, labels != IGNORE)

    def _weights(self, labels: Tensor) -> Tensor:
        """Returns each pixel's weight (N, H, W), 0 where it is ignored."""
        if self.class_weights is None:
            return (labels != IGNORE).float()
        table = F.pad(self.class_weights, (0, IGNORE + 1 - len(self.class_weights)))
        return table.index_select(0, labels.flatten()).view_as(labels)

    def _mean(self, loss: Tensor, weight: Tensor, counted: Tensor) -> Tensor:
        """Returns the weighted mean of the pixels that count, of weighted losses."""
        if self.hard_loss is not None:
            # Hard is judged before weighting. The threshold is a tensor throughout: no wait for a GPU.
            difficulty = (loss.detach() / weight.clamp_min(1e-12)).where(counted, -1.0).flatten()
            kept = max(1, int(self.min_kept * difficulty.numel()))
            threshold = difficulty.topk(kept).values[-1].clamp(min=0.0, max=self.hard_loss)
            weight = weight * (difficulty >= threshold).view_as(weight)
            loss = loss * (difficulty >= threshold).view_as(loss)
        return loss.sum() / weight.sum().clamp_min(1e-6)


def thin_out(logits: Tensor, labels: Tensor, stride: int, step: int) -> tuple[Tensor, Tensor]:
    """Picks one pixel of each square and interpolates the scores there alone.

    Args:
        logits: (N, C, h, w) float, of the decoder's own size.
        labels: (N, H, W).
        stride: side of the squares [px].
        step: decides which pixel of the squares; all have their turn within stride² steps.

    Returns:
        Bilinear scores (N, C, H', W'), equal to those pixels of the resized logits, and their labels (N, H', W').
    """
    offsets = divmod(step % stride**2, stride)
    rows, columns = (_interpolation(low, full, logits)[offset::stride]
                     for low, full, offset in zip(logits.shape[2:], labels.shape[1:], offsets, strict=True))
    with full_precision(logits):  # a product, unlike a resize, would come in bfloat16 under autocast, and scores tie there
        scores = rows @ logits.float().contiguous() @ columns.T
    return scores, labels[:, offsets[0]::stride, offsets[1]::stride]


def _interpolation(low: int, full: int, like: Tensor) -> Tensor:
    """Returns the matrix (full, low) of bilinear resizing along one axis."""
    identity = torch.eye(low, device=like.device)[:, None]  # (low, 1, low): one signal each
    return F.interpolate(identity, size=full, mode="linear", align_corners=False)[:, 0].T


class SetLoss(nn.Module):
    """Minus the logarithm of the probability that a pixel is of one of its label's classes, where that is a set of them.

    Args:
        sets: train ids of each set's members; set number k is the label C + k.
        classes: C.
    """

    def __init__(self, sets: Sequence[Sequence[int]], classes: int) -> None:
        super().__init__()
        outside = torch.ones(len(sets), classes, dtype=torch.bool)
        for number, members in enumerate(sets):
            outside[number, list(members)] = False
        self.outside: Tensor
        self.register_buffer("outside", outside, persistent=False)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:  # (N, C, H, W) float, (N, H, W) int64 -> (): a sum
        chosen = (labels >= scores.shape[1]) & (labels != IGNORE)
        there = scores.permute(0, 2, 3, 1)[chosen]  # (M, C)
        within = there.masked_fill(self.outside[labels[chosen] - scores.shape[1]], -torch.inf)
        return (there.logsumexp(1) - within.logsumexp(1)).sum()


class SegmentationLoss(nn.Module):
    """The weighted sum of the terms of a `LossConfig`; pixels that are labelled by a set of classes join cross-entropy's."""

    _FROM_PIXELS = frozenset({"cross_entropy", "dice"})

    def __init__(self, config: LossConfig, class_weights: Tensor | None, class_sets: Sequence[Sequence[int]] = (),
                 classes: int = 0) -> None:
        """Builds the terms.

        Args:
            config: what to minimise.
            class_weights: (C,) for cross-entropy, or None.
            class_sets: see `SetLoss`; none where labels are classes.
            classes: C; needed for sets alone.

        Raises:
            SegError: a term is unknown, none has a weight, or a number lies outside its range.
        """
        super().__init__()
        known = ["cross_entropy", *_SMP_TERMS]
        for name in config.terms:
            if name not in known:
                raise SegError(f"There is no loss {name!r} (model.loss.terms). {did_you_mean(name, known)}")
        if not any(config.terms.values()):
            raise SegError(f"model.loss.terms gives no loss a weight above 0. Known are {', '.join(known)}.")
        for name, value, low in (("ohem_probability", config.ohem_probability, 0.0), ("ohem_min_kept", config.ohem_min_kept, 0.0),
                                 ("label_smoothing", config.label_smoothing, -1.0)):
            if not low < value <= 1:
                raise SegError(f"model.loss.{name} is {value}; it must lie between 0 and 1.")
        if config.pixel_stride < 1:
            raise SegError(f"model.loss.pixel_stride is {config.pixel_stride}; it must be at least 1.")
        cross_entropy = CrossEntropy(class_weights, ohem_probability=config.ohem_probability,
                                     ohem_min_kept=config.ohem_min_kept, label_smoothing=config.label_smoothing)
        self.weights = {name: weight for name, weight in config.terms.items() if weight}
        self.terms = nn.ModuleDict({name: cross_entropy if name == "cross_entropy" else _SMP_TERMS[name]()
                                    for name in self.weights})
        if class_sets and "cross_entropy" not in self.weights:
            raise SegError("Labels that are sets of classes count in cross-entropy; give model.loss.terms a cross_entropy.")
        self.sets = SetLoss(class_sets, classes) if class_sets else None
        self.pixel_stride = config.pixel_stride
        self.from_pixels = self.weights.keys() <= self._FROM_PIXELS and not config.label_smoothing

    def forward(self, logits: Tensor, labels: Tensor, step: int = 0) -> Tensor:
        """Returns the loss, ().

        Args:
            logits: (N, C, h, w) float, of the decoder's own size.
            labels: (N, H, W) int64: a class, C + the number of a set of classes, or 255.
            step: of the training; decides which pixels count where not all do.
        """
        if self.pixel_stride > 1:
            logits, labels = thin_out(logits, labels, self.pixel_stride, step)
        if self.from_pixels and logits.device.type == "cpu":
            return self._of_pixels(logits, labels)
        return self._of_scores(logits if logits.shape[2:] == labels.shape[1:] else resize(logits, labels.shape[1:]), labels)

    def _of_pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        classes = logits.shape[1]
        in_set = (labels >= classes) & (labels != IGNORE)
        pixels = pixel_losses(logits, labels, None if self.sets is None else ~self.sets.outside, "dice" in self.weights)
        losses = []
        for name, weight in self.weights.items():
            if name == "dice":
                losses.append(weight * _dice_of_pixels(pixels, labels))
                continue
            alone = labels.masked_fill(in_set, IGNORE)
            total = self.terms[name].from_pixels(pixels.loss.masked_fill(in_set, 0), alone)  # type: ignore[operator]
            if self.sets is not None:
                total = self._with_sets(total, (pixels.loss * in_set).sum(), in_set, labels)
            losses.append(weight * total)
        return torch.stack(losses).sum()

    @staticmethod
    def _with_sets(cross_entropy: Tensor, sets: Tensor, in_set: Tensor, labels: Tensor) -> Tensor:
        """Adds the summed loss of pixels under sets, each as one pixel."""
        all_counted = (labels != IGNORE).sum().clamp_min(1)
        return cross_entropy * (1 - in_set.sum() / all_counted) + sets / all_counted

    def _of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        scores = scores.float()
        in_set = (labels >= scores.shape[1]) & (labels != IGNORE)
        classes = labels if self.sets is None else labels.masked_fill(in_set, IGNORE)
        nothing = bool(self.weights.keys() & _SMP_TERMS.keys()) and bool((classes == IGNORE).all())
        losses = [scores.sum() * 0 if nothing and name in _SMP_TERMS else weight * self.terms[name](scores, classes)
                  for name, weight in self.weights.items()]  # some of SMP's would be NaN without a label
        if self.sets is not None:
            place, weight = list(self.weights).index("cross_entropy"), self.weights["cross_entropy"]
            losses[place] = weight * self._with_sets(losses[place] / weight, self.sets(scores, labels), in_set, labels)
        return torch.stack(losses).sum()


def _dice_of_pixels(pixels: Pixels, labels: Tensor) -> Tensor:
    """SMP's Dice loss from the sums over pixels; classes without a label count 0, as there."""
    truth = torch.bincount(labels.flatten(), minlength=IGNORE + 1)[:len(pixels.mass)]
    score = 2 * pixels.hits / (pixels.mass + truth).clamp_min(1e-7)
    return ((1 - score) * (truth > 0)).mean()


def class_weights_from_counts(counts: npt.ArrayLike, rule: Literal["enet", "median_frequency"]) -> Tensor:
    """Turns pixel counts per class (C,) into weights (C,) with a mean of 1; a class without pixels gets 0."""
    pixels = np.asarray(counts, np.float64)
    present = pixels > 0
    frequency = pixels / max(pixels.sum(), 1)
    if rule == "enet":
        weights = 1 / np.log(1.02 + frequency)
    else:
        weights = np.divide(np.median(frequency[present]) if present.any() else 0.0, frequency, where=present,
                            out=np.zeros_like(frequency))
    weights = np.where(present, weights, 0.0)
    return torch.tensor(weights / max(weights[present].mean() if present.any() else 1.0, 1e-12), dtype=torch.float32)
