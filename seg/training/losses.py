"""Losses at full size: cross-entropy with class weights and OHEM, SMP's Dice, Lovász and focal loss, and any others.

On a processor `seg.training.pixels` computes cross-entropy and Dice without a full-size copy of the scores. On other devices,
and for the other terms, the scores are resized first. Both ways give the same loss.

Labels from the number of classes up stand for sets of classes. The loss of such a pixel is minus the logarithm of the sum of
their probabilities.

OHEM (online hard example mining): Shrivastava et al., arXiv 1604.03540, in the per-pixel form that BiSeNet made common.
Class weights "enet": Paszke et al., arXiv 1606.02147; "median_frequency": Eigen and Fergus, arXiv 1411.4734.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.errors import SegError
from seg.label_sets import IGNORE
from seg.models.network import full_precision, resize
from seg.training.pixels import Pixels, pixel_losses

Counts: TypeAlias = npt.NDArray[np.int64]
ClassWeights: TypeAlias = list[float] | Literal["none", "enet", "median_frequency"]


class Loss(nn.Module):
    """A loss to minimise. Your own class that `model.loss` names must derive from it and implement `forward`."""

    def prepare(self, classes: int, class_sets: Sequence[Sequence[int]], count_pixels: Callable[[], Counts]) -> None:
        """Is called once, before training.

        Args:
            classes: C.
            class_sets: train ids in each set of classes; label C + i stands for set i. Empty if there are no sets.
            count_pixels: reads all training labels and returns the number of pixels of each class (C,).

        Raises:
            SegError: there are sets of classes, and the loss doesn't support them.
        """
        if class_sets:
            raise SegError(f"model.loss is {type(self).__name__}, which doesn't support labels that are sets of classes. Use "
                           "SegmentationLoss, or leave out the data sets whose classes are coarser.")

    def forward(self, logits: Tensor, labels: Tensor, step: int = 0) -> Tensor:
        """Returns the loss, ().

        Args:
            logits: (N, C, h, w) float, at the decoder's own size.
            labels: (N, H, W) int64: a class, C + the index of a set of classes, or 255.
            step: step of the training.
        """
        raise NotImplementedError


@dataclass
class OtherLoss:
    """A further term of the sum of losses.

    Attributes:
        loss: a module that maps scores (N, C, H, W) and labels (N, H, W), 255 ignored, to ().
        weight: weight in the sum.
    """

    loss: nn.Module
    weight: float = 1.0


def _smp_terms() -> dict[str, Callable[[], nn.Module]]:
    from segmentation_models_pytorch import losses

    return {name: partial(loss, "multiclass", ignore_index=IGNORE)
            for name, loss in (("dice", losses.DiceLoss), ("lovasz", losses.LovaszLoss), ("focal", losses.FocalLoss))}


class CrossEntropy(nn.Module):
    """Cross-entropy over the labelled pixels, weighted by class; over all of them or only the hard ones."""

    def __init__(self, class_weights: Tensor | None = None, *, ohem_probability: float = 1.0,
                 ohem_min_kept: float = 0.0625, label_smoothing: float = 0.0) -> None:
        """See `SegmentationLoss`; `class_weights` is (C,) or None."""
        super().__init__()
        self.class_weights: Tensor | None
        # Not persistent: the weights come from the data, and a checkpoint may be used with another number of classes.
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
        """Computes the same from the unweighted loss of each pixel, 0 where ignored; without label smoothing."""
        if self._plain:
            return loss.sum() / (labels != IGNORE).sum().clamp_min(1)
        weight = self._weights(labels)
        return self._mean(loss * weight, weight, labels != IGNORE)

    def _weights(self, labels: Tensor) -> Tensor:
        """Returns the weight of each pixel (N, H, W), 0 where ignored."""
        if self.class_weights is None:
            return (labels != IGNORE).float()
        table = F.pad(self.class_weights, (0, IGNORE + 1 - len(self.class_weights)))
        return table.index_select(0, labels.flatten()).view_as(labels)

    def _mean(self, loss: Tensor, weight: Tensor, counted: Tensor) -> Tensor:
        """Returns the weighted mean over the counted pixels, from weighted losses."""
        if self.hard_loss is not None:
                        # Which pixels are hard is decided before weighting. The threshold stays a tensor, so nothing waits for a
                        # GPU.
            difficulty = (loss.detach() / weight.clamp_min(1e-12)).where(counted, -1.0).flatten()
            kept = max(1, int(self.min_kept * difficulty.numel()))
            threshold = difficulty.topk(kept).values[-1].clamp(min=0.0, max=self.hard_loss)
            weight = weight * (difficulty >= threshold).view_as(weight)
            loss = loss * (difficulty >= threshold).view_as(loss)
        return loss.sum() / weight.sum().clamp_min(1e-6)


def thin_out(logits: Tensor, labels: Tensor, stride: int, step: int) -> tuple[Tensor, Tensor]:
    """Picks one pixel of each square and interpolates the scores only there.

    Args:
        logits: (N, C, h, w) float, at the decoder's own size.
        labels: (N, H, W).
        stride: side of the squares [px].
        step: determines which pixel is picked; within stride² steps each is picked once.

    Returns:
        Bilinear scores (N, C, H', W'), equal to those pixels of the resized logits, and their labels (N, H', W').
    """
    offsets = divmod(step % stride**2, stride)
    rows, columns = (_interpolation(low, full, logits)[offset::stride]
                     for low, full, offset in zip(logits.shape[2:], labels.shape[1:], offsets, strict=True))
    with full_precision(logits):  # under autocast a product would be computed in bfloat16, unlike a resize, and scores would tie
        scores = rows @ logits.float().contiguous() @ columns.T
    return scores, labels[:, offsets[0]::stride, offsets[1]::stride]


def _interpolation(low: int, full: int, like: Tensor) -> Tensor:
    """Returns the matrix (full, low) of bilinear resizing along one axis."""
    identity = torch.eye(low, device=like.device)[:, None]  # (low, 1, low): one unit signal each
    return F.interpolate(identity, size=full, mode="linear", align_corners=False)[:, 0].T


class SetLoss(nn.Module):
    """Minus the logarithm of the probability that a pixel belongs to one of the classes in its label's set.

    Args:
        sets: train ids in each set; set number k is the label C + k.
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


class SegmentationLoss(Loss):
    """A weighted sum of losses; pixels that are labelled with a set of classes count in cross-entropy."""

    _FROM_PIXELS = frozenset({"cross_entropy", "dice"})

    def __init__(self, cross_entropy: float = 1.0, dice: float = 0.0, lovasz: float = 0.0, focal: float = 0.0,
                 others: list[OtherLoss] | None = None, class_weights: ClassWeights = "none", ohem_probability: float = 1.0,
                 ohem_min_kept: float = 0.0625, label_smoothing: float = 0.0, pixel_stride: int = 1) -> None:
        """Checks the settings.

        Args:
            cross_entropy: weight of cross-entropy.
            dice: weight of SMP's Dice loss.
            lovasz: weight of SMP's Lovász loss.
            focal: weight of SMP's focal loss.
            others: further terms: your own classes, or those of segmentation_models_pytorch.losses.
            class_weights: for cross-entropy: one number per class, or how to compute them from the train split: enet
                is 1 / log(1.02 + frequency), median_frequency is median / frequency; both are scaled to a mean of 1.
            ohem_probability: OHEM counts only pixels whose true class has a probability below this; 1 counts all.
            ohem_min_kept: the smallest share of pixels that OHEM counts, the hardest ones.
            label_smoothing: for cross-entropy, 0 to 1.
            pixel_stride: with 2 or more, one pixel of each square of this side counts, another one in each step. Neighbours carry
                almost the same information, and at full size some terms take as long as the network.

        Raises:
            SegError: no term has a weight, or a number is out of range.
        """
        super().__init__()
        weights = {"cross_entropy": cross_entropy, "dice": dice, "lovasz": lovasz, "focal": focal}
        for name, value in weights.items() | {("others.weight", other.weight) for other in others or []}:
            if not (math.isfinite(value) and value >= 0):
                raise SegError(f"model.loss.{name} is {value}; a weight is a number of at least 0.")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.others = nn.ModuleList(other.loss for other in others or [])
        self.other_weights = [other.weight for other in others or []]
        if not self.weights and not any(self.other_weights):
            raise SegError(f"model.loss gives no loss a weight above 0. Known are {', '.join(weights)} and others.")
        for name, value, low in (("ohem_probability", ohem_probability, 0.0), ("ohem_min_kept", ohem_min_kept, 0.0),
                                 ("label_smoothing", label_smoothing, -1.0)):
            if not low < value <= 1:
                raise SegError(f"model.loss.{name} is {value}; it must lie between 0 and 1.")
        if pixel_stride < 1:
            raise SegError(f"model.loss.pixel_stride is {pixel_stride}; it must be at least 1.")
        self.class_weights = class_weights
        self.pixel_stride = pixel_stride
        self._cross_entropy = partial(CrossEntropy, ohem_probability=ohem_probability, ohem_min_kept=ohem_min_kept,
                                      label_smoothing=label_smoothing)
        self.terms = nn.ModuleDict()
        self.sets: SetLoss | None = None
        self.from_pixels = self.weights.keys() <= self._FROM_PIXELS and not label_smoothing and not self.others

    def prepare(self, classes: int, class_sets: Sequence[Sequence[int]], count_pixels: Callable[[], Counts]) -> None:
        """Builds the terms; see `Loss`.

        Raises:
            SegError: the number of class weights differs from that of the classes, or there are sets but no cross-entropy.
        """
        if class_sets and "cross_entropy" not in self.weights:
            raise SegError("Labels that are sets of classes count in cross-entropy; give model.loss.cross_entropy a weight.")
        smp = _smp_terms() if self.weights.keys() - {"cross_entropy"} else {}
        weights = self._class_weights(classes, count_pixels)
        self.terms = nn.ModuleDict({name: self._cross_entropy(weights) if name == "cross_entropy" else smp[name]()
                                    for name in self.weights})
        self.sets = SetLoss(class_sets, classes) if class_sets else None

    def _class_weights(self, classes: int, count_pixels: Callable[[], Counts]) -> Tensor | None:
        if self.class_weights == "none":
            return None
        if isinstance(self.class_weights, str):
            return class_weights_from_counts(count_pixels(), self.class_weights)
        if len(self.class_weights) != classes:
            raise SegError(f"model.loss.class_weights has {len(self.class_weights)} numbers; the data have {classes} classes.")
        return torch.tensor(self.class_weights, dtype=torch.float32)

    def forward(self, logits: Tensor, labels: Tensor, step: int = 0) -> Tensor:
        """Returns the loss, see `Loss`; with `pixel_stride` the step determines which pixels count."""
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
        """Adds the summed loss of pixels labelled with sets; each counts as one pixel."""
        all_counted = (labels != IGNORE).sum().clamp_min(1)
        return cross_entropy * (1 - in_set.sum() / all_counted) + sets / all_counted

    def _of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        scores = scores.float()
        in_set = (labels >= scores.shape[1]) & (labels != IGNORE)
        classes = labels if self.sets is None else labels.masked_fill(in_set, IGNORE)
        terms = [*((name, self.terms[name], weight) for name, weight in self.weights.items()),
                 *(("other", loss, weight) for loss, weight in zip(self.others, self.other_weights, strict=True))]
        nothing = len(terms) > len(self.weights.keys() & {"cross_entropy"}) and bool((classes == IGNORE).all())
        losses = [scores.sum() * 0 if nothing and name != "cross_entropy" else weight * loss(scores, classes)
                  for name, loss, weight in terms]  # some of SMP's losses would be NaN without a label
        if self.sets is not None:
            place, weight = list(self.weights).index("cross_entropy"), self.weights["cross_entropy"]
            losses[place] = weight * self._with_sets(losses[place] / weight, self.sets(scores, labels), in_set, labels)
        return torch.stack(losses).sum()


def _dice_of_pixels(pixels: Pixels, labels: Tensor) -> Tensor:
    """Computes SMP's Dice loss from sums over pixels; as in SMP, classes without a label count as 0."""
    truth = torch.bincount(labels.flatten(), minlength=IGNORE + 1)[:len(pixels.mass)]
    score = 2 * pixels.hits / (pixels.mass + truth).clamp_min(1e-7)
    return ((1 - score) * (truth > 0)).mean()


def class_weights_from_counts(counts: npt.ArrayLike, rule: Literal["enet", "median_frequency"]) -> Tensor:
    """Converts pixel counts per class (C,) into weights (C,) with a mean of 1; a class without pixels gets 0."""
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
