"""The losses against torch's own and against counting by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seg.errors import SegError
from seg.training.losses import CrossEntropy, LossConfig, SegmentationLoss, class_weights_from_counts, thin_out

CLASSES = 4


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
    LossConfig(), LossConfig(ohem_probability=0.7), LossConfig({"dice": 1}), LossConfig({"lovasz": 1}), LossConfig({"focal": 1}),
    LossConfig({"cross_entropy": 0.5, "dice": 2}, label_smoothing=0.1),
])
def test_every_loss_falls_and_bears_empty_batches(scores: torch.Tensor, labels: torch.Tensor, config: LossConfig) -> None:
    loss = SegmentationLoss(config, None)
    perfect = F.one_hot(labels.where(labels != 255, 0), CLASSES).permute(0, 3, 1, 2) * 50.0
    assert float(loss(perfect, labels)) < float(loss(scores, labels))
    learned = scores.clone().requires_grad_()
    loss(learned, labels).backward()
    assert learned.grad is not None
    assert learned.grad.abs().sum() > 0
    assert torch.isfinite(loss(scores, torch.full_like(labels, 255)))


def test_terms_are_weighted(scores: torch.Tensor, labels: torch.Tensor) -> None:
    one, other = (SegmentationLoss(LossConfig({name: 1.0}), None)(scores, labels) for name in ("cross_entropy", "lovasz"))
    both = SegmentationLoss(LossConfig({"cross_entropy": 0.25, "lovasz": 3.0}), None)(scores, labels)
    torch.testing.assert_close(both, 0.25 * one + 3 * other)


@pytest.mark.parametrize(("config", "words"), [
    (LossConfig({"dise": 1.0}), ("'dise'", "'dice'")),
    (LossConfig({}), ("weight above 0",)),
    (LossConfig(ohem_probability=1.5), ("ohem_probability", "1.5")),
    (LossConfig(ohem_min_kept=0.0), ("ohem_min_kept",)),
])
def test_wrong_settings_are_named(config: LossConfig, words: tuple[str, ...]) -> None:
    with pytest.raises(SegError) as caught:
        SegmentationLoss(config, None)
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
    loss = SegmentationLoss(LossConfig(), None, sets, CLASSES)
    total = []
    for n, y, x in np.ndindex(*numbered.shape):
        label = int(numbered[n, y, x])
        if label != 255:
            members = list(sets[label - CLASSES]) if label >= CLASSES else [label]
            total.append(-np.log(scores[n, :, y, x].double().softmax(0)[members].sum().item()))
    assert float(loss(scores, numbered)) == pytest.approx(np.mean(total), rel=1e-5)
    torch.testing.assert_close(loss(scores, labels), SegmentationLoss(LossConfig(), None)(scores, labels))
    whole = SegmentationLoss(LossConfig(), None, [range(CLASSES)], CLASSES)
    assert float(whole(scores, torch.full_like(labels, CLASSES))) == pytest.approx(0, abs=1e-6)
    sure = (scores * 1e4).requires_grad_()
    loss(sure, numbered).backward()
    assert sure.grad is not None and torch.isfinite(sure.grad).all(), "scores far apart give no NaN"
    assert torch.isfinite(loss(scores, torch.full_like(labels, 255)))


@pytest.mark.parametrize("config", [LossConfig({"cross_entropy": 1.0, "dice": 0.5}), LossConfig(ohem_probability=0.7),
                                    LossConfig({"cross_entropy": 0.1, "lovasz": 1.0})])
def test_other_terms_pass_sets_over(scores: torch.Tensor, labels: torch.Tensor, config: LossConfig) -> None:
    numbered = labels.clone()
    numbered[:, :3] = CLASSES
    learned = scores.clone().requires_grad_()
    SegmentationLoss(config, None, [(0, 1)], CLASSES)(learned, numbered).backward()
    assert learned.grad is not None and torch.isfinite(learned.grad).all()
    assert learned.grad[:, :2, :3].sum() < 0 < learned.grad[:, 2:, :3].sum(), "the set's members rise, the others fall"


def test_sets_count_in_cross_entropy_alone_and_by_its_weight(scores: torch.Tensor, labels: torch.Tensor) -> None:
    numbered = labels.clone()
    numbered[:, :3] = CLASSES

    def loss(terms: dict[str, float]) -> torch.Tensor:
        return SegmentationLoss(LossConfig(terms), None, [(0, 1)], CLASSES)(scores, numbered)

    dice = SegmentationLoss(LossConfig({"dice": 1.0}), None)(scores, numbered.masked_fill(numbered == CLASSES, 255))
    torch.testing.assert_close(loss({"cross_entropy": 0.5, "dice": 2.0}), 0.5 * loss({"cross_entropy": 1.0}) + 2 * dice)
    with pytest.raises(SegError, match="count in cross-entropy"):
        loss({"dice": 1.0})


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_thinned_scores_are_those_of_the_full_size_and_every_pixel_has_its_turn(stride: int) -> None:
    logits = torch.randn(2, CLASSES, 5, 4, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(2 * 37 * 32).view(2, 37, 32)  # each pixel its own number
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
