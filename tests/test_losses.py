"""The losses compared with torch's own and with counting by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import TverskyLoss

from seg.errors import SegError
from seg.models.network import resize
from seg.training.losses import CrossEntropy, OtherLoss, SegmentationLoss, class_weights_from_counts, thin_out
from seg.training.pixels import pixel_losses

CLASSES = 4

def made(sets: Sequence[Sequence[int]] = (), counts: Sequence[int] = (), **settings: Any) -> SegmentationLoss:
    """Builds a loss that is ready for training."""
    loss = SegmentationLoss(**settings)
    loss.prepare(CLASSES, sets, lambda: np.array(counts))
    return loss


@pytest.fixture
def scores() -> torch.Tensor:
    """Random scores (2, C, 6, 7)."""
    return torch.randn(2, CLASSES, 6, 7, generator=torch.Generator().manual_seed(0)) * 2


@pytest.fixture
def labels() -> torch.Tensor:
    """Random labels (2, 6, 7) with a fifth ignored."""
    random = np.random.default_rng(0)
    values = random.integers(0, CLASSES, (2, 6, 7))
    return torch.from_numpy(np.where(random.random(values.shape) < 0.2, 255, values))


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.1]])
def test_cross_entropy_is_torchs(scores: torch.Tensor, labels: torch.Tensor, weights: list[float] | None) -> None:
    class_weights = None if weights is None else torch.tensor(weights)
    ours = CrossEntropy(class_weights)(scores, labels)
    torch.testing.assert_close(ours, F.cross_entropy(scores, labels, class_weights, ignore_index=255))


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.1]])
@pytest.mark.parametrize(("probability", "min_kept"), [(0.3, 0.05), (0.001, 0.25)])
def test_ohem_counts_the_hard_pixels_alone(scores: torch.Tensor, labels: torch.Tensor, weights: list[float] | None,
                                           probability: float, min_kept: float) -> None:
    class_weights = torch.ones(CLASSES) if weights is None else torch.tensor(weights)
    pixels = sorted(
        (float(scores[n, :, y, x].softmax(0)[labels[n, y, x]]), float(class_weights[labels[n, y, x]]))
        for n, y, x in np.ndindex(*labels.shape) if labels[n, y, x] != 255)
    at_least = int(min_kept * labels.numel())
    kept = [pixel for place, pixel in enumerate(pixels) if pixel[0] < probability or place < at_least]
    expected = sum(-np.log(p) * weight for p, weight in kept) / sum(weight for _, weight in kept)
    given = None if weights is None else class_weights
    ours = CrossEntropy(given, ohem_probability=probability, ohem_min_kept=min_kept)(scores, labels)
    assert float(ours) == pytest.approx(expected, rel=1e-5)
    assert len(kept) < len(pixels), "the test itself must leave something out"


@pytest.mark.parametrize("config", [
    {}, {"ohem_probability": 0.7}, *({"cross_entropy": 0.0, name: 1.0} for name in ("dice", "lovasz", "focal")),
    {"cross_entropy": 0.5, "dice": 2, "label_smoothing": 0.1},
])
def test_every_loss_falls_and_bears_empty_batches(scores: torch.Tensor, labels: torch.Tensor, config: dict[str, Any]) -> None:
    loss = made(**config)
    perfect = F.one_hot(labels.where(labels != 255, 0), CLASSES).permute(0, 3, 1, 2) * 50.0
    assert float(loss(perfect, labels)) < float(loss(scores, labels))
    learned = scores.clone().requires_grad_()
    loss(learned, labels).backward()
    assert learned.grad is not None
    assert learned.grad.abs().sum() > 0
    assert torch.isfinite(loss(scores, torch.full_like(labels, 255)))


def test_terms_are_weighted(scores: torch.Tensor, labels: torch.Tensor) -> None:
    one, other = (made((), (), **{"cross_entropy": 0.0, name: 1.0})(scores, labels) for name in ("cross_entropy", "lovasz"))
    both = made(cross_entropy=0.25, lovasz=3.0)(scores, labels)
    torch.testing.assert_close(both, 0.25 * one + 3 * other)


@pytest.mark.parametrize(("config", "words"), [
    ({"dice": -1.0}, ("model.loss.dice", "-1.0")),
    ({"cross_entropy": 0.0}, ("weight above 0",)),
    ({"ohem_probability": 1.5}, ("ohem_probability", "1.5")),
    ({"ohem_min_kept": 0.0}, ("ohem_min_kept",)),
])
def test_wrong_settings_are_named(config: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(SegError) as caught:
        SegmentationLoss(**config)
    assert all(word in str(caught.value) for word in words)


def test_class_weights_from_counts() -> None:
    counts = [100, 300, 0, 600]
    enet = class_weights_from_counts(counts, "enet")
    raw = 1 / np.log(1.02 + np.array([0.1, 0.3, 0.6]))
    np.testing.assert_allclose(enet.numpy(), np.insert(raw / raw.mean(), 2, 0), rtol=1e-6)
    median = class_weights_from_counts(counts, "median_frequency")
    raw = 0.3 / np.array([0.1, 0.3, 0.6])
    np.testing.assert_allclose(median.numpy(), np.insert(raw / raw.mean(), 2, 0), rtol=1e-6)


def test_a_set_of_classes_counts_the_sum_of_their_probabilities(scores: torch.Tensor, labels: torch.Tensor) -> None:
    sets = [(0, 2), (1, 2, 3)]
    numbered = labels.clone()
    numbered[0, :3] = CLASSES  # the first set
    numbered[1, 2:4] = CLASSES + 1
    loss = made(sets)
    total = []
    for n, y, x in np.ndindex(*numbered.shape):
        label = int(numbered[n, y, x])
        if label != 255:
            members = list(sets[label - CLASSES]) if label >= CLASSES else [label]
            total.append(-np.log(scores[n, :, y, x].double().softmax(0)[members].sum().item()))
    assert float(loss(scores, numbered)) == pytest.approx(np.mean(total), rel=1e-5)
    torch.testing.assert_close(loss(scores, labels), made()(scores, labels))
    whole = made([range(CLASSES)])
    assert float(whole(scores, torch.full_like(labels, CLASSES))) == pytest.approx(0, abs=1e-6)
    sure = (scores * 1e4).requires_grad_()
    loss(sure, numbered).backward()
    assert sure.grad is not None and torch.isfinite(sure.grad).all(), "scores far apart give no NaN"
    assert torch.isfinite(loss(scores, torch.full_like(labels, 255)))


@pytest.mark.parametrize("config", [{"cross_entropy": 1.0, "dice": 0.5}, {"ohem_probability": 0.7},
                                    {"cross_entropy": 0.1, "lovasz": 1.0}])
def test_other_terms_pass_sets_over(scores: torch.Tensor, labels: torch.Tensor, config: dict[str, Any]) -> None:
    numbered = labels.clone()
    numbered[:, :3] = CLASSES
    learned = scores.clone().requires_grad_()
    made([(0, 1)], **config)(learned, numbered).backward()
    assert learned.grad is not None and torch.isfinite(learned.grad).all()
    assert learned.grad[:, :2, :3].sum() < 0 < learned.grad[:, 2:, :3].sum(), "the set's members rise, the others fall"


def test_other_losses_join_by_their_weight_and_bear_empty_batches(scores: torch.Tensor, labels: torch.Tensor) -> None:
    tversky = TverskyLoss("multiclass", ignore_index=255)
    loss = made(cross_entropy=0.5, others=[OtherLoss(tversky, 0.25)])
    torch.testing.assert_close(loss(scores, labels), 0.5 * made()(scores, labels) + 0.25 * tversky(scores, labels))
    assert loss(scores, torch.full_like(labels, 255)) == 0
    with pytest.raises(SegError, match="6 classes"):
        SegmentationLoss(class_weights=[1.0]).prepare(6, (), lambda: np.zeros(6, np.int64))


def test_sets_count_in_cross_entropy_alone_and_by_its_weight(scores: torch.Tensor, labels: torch.Tensor) -> None:
    numbered = labels.clone()
    numbered[:, :3] = CLASSES

    def loss(**terms: float) -> torch.Tensor:
        return made([(0, 1)], (), **terms)(scores, numbered)

    dice = made(cross_entropy=0.0, dice=1.0)(scores, numbered.masked_fill(numbered == CLASSES, 255))
    torch.testing.assert_close(loss(cross_entropy=0.5, dice=2.0), 0.5 * loss() + 2 * dice)
    with pytest.raises(SegError, match="count in cross-entropy"):
        loss(cross_entropy=0.0, dice=1.0)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_thinned_scores_are_those_of_the_full_size_and_every_pixel_has_its_turn(stride: int) -> None:
    logits = torch.randn(2, CLASSES, 5, 4, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(2 * 37 * 32).view(2, 37, 32)  # each pixel has its own number
    full = F.interpolate(logits, size=(37, 32), mode="bilinear", align_corners=False).permute(0, 2, 3, 1).reshape(-1, CLASSES)
    seen = []
    for step in range(stride**2):
        scores, numbers = thin_out(logits, labels, stride, step)
        torch.testing.assert_close(scores.permute(0, 2, 3, 1), full[numbers])
        seen.append(numbers.flatten())
    assert torch.cat(seen).sort().values.tolist() == labels.flatten().tolist()


def test_thinned_scores_are_the_same_under_autocast() -> None:
    logits = torch.randn(1, CLASSES, 5, 4, generator=torch.Generator().manual_seed(2))
    labels = torch.zeros(1, 40, 32, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        scores, _ = thin_out(logits, labels, 2, 0)
    torch.testing.assert_close(scores, thin_out(logits, labels, 2, 0)[0], rtol=0, atol=0)


CONFIGS = [{}, {"cross_entropy": 0.0, "dice": 1.0}, {"cross_entropy": 0.5, "dice": 2.0, "class_weights": [0.5, 1.0, 2.0, 0.5]},
           {"ohem_probability": 0.3},
           {"cross_entropy": 1.0, "dice": 0.5, "ohem_probability": 0.01, "pixel_stride": 2}]


@pytest.mark.parametrize("sets", [[], [(0, 2), (1, 2, 3)]], ids=["classes", "sets"])
@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
@pytest.mark.parametrize("threads", [1, 2])
def test_the_loss_without_full_size_scores_is_the_one_with_them(config: dict[str, Any], sets: list[tuple[int, ...]],
                                                                threads: int) -> None:
    if sets and config.get("cross_entropy") == 0:
        pytest.skip("sets count in cross-entropy")
    random = np.random.default_rng(3)
    logits = torch.from_numpy(random.standard_normal((3, CLASSES, 5, 6)).astype(np.float32) * 3)
    labels = torch.from_numpy(random.choice([*range(CLASSES + len(sets)), 255], (3, 33, 50)))
    loss = made(sets, **config)
    assert loss.from_pixels
    found = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for from_pixels in (True, False):
            loss.from_pixels = from_pixels
            learned = logits.clone().to(memory_format=torch.channels_last).requires_grad_()
            value = loss(learned, labels, step=3)
            value.backward()
            found.append((value.detach(), learned.grad))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-7)


def test_the_gradient_of_pixel_losses_is_that_of_double_precision() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 40.0]).view(2, 1, 1, 1)
    labels = torch.randint(0, 3, (2, 9, 16), generator=torch.Generator().manual_seed(1))
    ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    pixel_losses(ours, labels, with_mass=False).loss.sum().backward()
    F.cross_entropy(resize(theirs, labels.shape[1:]), labels, reduction="sum").backward()
    torch.testing.assert_close(ours.grad, theirs.grad.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_in_scores_is_none_in_the_loss(bad: float) -> None:
    logits = torch.zeros(1, 3, 4, 4)
    logits[0, 1, 2, 2] = bad
    labels = torch.zeros(1, 32, 32, dtype=torch.int64)
    assert not torch.isfinite(made()(logits, labels))
    assert not torch.isfinite(made(cross_entropy=0.0, dice=1.0)(logits, labels))


def test_no_full_size_scores_are_kept_for_the_backward_pass() -> None:
    saved: list[int] = []
    logits = torch.randn(2, 19, 16, 24).requires_grad_()
    labels = torch.randint(0, 19, (2, 128, 192))
    loss = SegmentationLoss(ohem_probability=0.7, class_weights=[1.0] * 19)
    loss.prepare(19, (), lambda: np.zeros(0, np.int64))
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor):
        loss(logits, labels)
    assert max(saved) <= 3 * labels.numel(), "the scores at full size would be 19 times as many as pixels"
