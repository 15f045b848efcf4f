"""Windows and scales compared with the whole frame, and with sums that are written out."""

from pathlib import Path

import numpy as np
import pytest
from networks import LABEL_SET, make_frame, make_network

from seg.errors import SegError
from seg.export.onnx_export import export_onnx
from seg.models.storage import describe
from seg.runtime import Predictor
from seg.runtime.ways import WHOLE, Multiscale, Slide

C = 3


def network(image: np.ndarray) -> np.ndarray:
    """A network whose scores at 1/8 depend only on the pixels below them: means of the three channels."""
    height, width = image.shape[0] // 8, image.shape[1] // 8
    return image.reshape(height, 8, width, 8, C).mean((1, 3)).transpose(2, 0, 1).astype(np.float32) / 32


def test_windows_of_a_local_network_give_what_the_whole_gives() -> None:
    image = make_frame(128, 224)
    for way in (Slide((64, 96)), Slide((64, 64), 0.0), Slide((96, 224), 0.5), Slide((512, 512))):
        np.testing.assert_allclose(way(network, image), WHOLE(network, image), rtol=1e-6)


def test_windows_cover_every_cell_and_are_averaged() -> None:
    calls = list[tuple[int, int]]()

    def counting(image: np.ndarray) -> np.ndarray:
        calls.append(image.shape[:2])
        return np.full((C, image.shape[0] // 8, image.shape[1] // 8), len(calls), np.float32)

    scores = Slide((64, 64), 0.5)(counting, make_frame(64, 128))
    assert calls == [(64, 64)] * 3
    assert scores.shape == (C, 8, 16)
    assert scores[0, 0].tolist() == [1.0] * 4 + [1.5] * 4 + [2.5] * 4 + [3.0] * 4


def test_scales_are_averaged_as_probabilities_with_their_mirror_images() -> None:
    image = make_frame(64, 96)
    scores = network(image)
    expected = np.exp(scores) / np.exp(scores).sum(0)
    found = np.exp(Multiscale((1.0,))(network, image))
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # a local network sees the same in a mirrored frame
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-5)

    sizes = list[tuple[int, int]]()

    def flat(image: np.ndarray) -> np.ndarray:
        sizes.append(image.shape[:2])
        high = np.log(3.0) if image.shape[0] > 64 else 0.0  # at the larger scale, three times as likely as each other
        scores = np.zeros((C, image.shape[0] // 8, image.shape[1] // 8), np.float32)
        scores[0] = high
        return scores

    found = np.exp(Multiscale((1.0, 2.0))(flat, image))
    assert sizes == [(128, 192)] * 2 + [(64, 96)] * 2
    assert found.shape == (C, 16, 24), "the finest scores decide on the grid"
    np.testing.assert_allclose(found[:, 3, 5], [(3 / 5 + 1 / 3) / 2, (1 / 5 + 1 / 3) / 2, (1 / 5 + 1 / 3) / 2], rtol=1e-5)


def test_frames_of_odd_sizes_are_covered_wholly() -> None:
    image = make_frame(101, 175)
    for way in (Slide((64, 64)), Multiscale((0.5, 1.0))):
        scores = way(network, image)
        assert scores.shape == (C, 12, 20)
        assert np.isfinite(scores).all()


def test_the_largest_run_is_known_before() -> None:
    assert Slide((64, 96)).largest((128, 64)) == (64, 64)
    assert Multiscale((0.5, 1.5)).largest((128, 64)) == (192, 96)
    assert WHOLE.largest((33, 77)) == (33, 77)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Slide((16, 64)), "16x64 is too small"), (lambda: Slide((64, 64), 1.0), "share of 0 to below 1"),
    (lambda: Multiscale(()), "at least one"), (lambda: Multiscale((0.0,)), "above 0"), (lambda: Multiscale((9.0,)), "at most 8"),
])
def test_what_can_not_be_is_refused(make: object, words: str) -> None:
    with pytest.raises(SegError, match=words):
        make()


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, engine="openvino", precision="fp32")


def test_a_predictor_looks_through_windows_and_at_scales(predictor: Predictor) -> None:
    frame = make_frame(96, 160)
    whole = predictor(frame).train_ids
    one_window = predictor.at(way=Slide((96, 160)))(frame)
    np.testing.assert_array_equal(one_window.train_ids, whole)
    assert set(one_window.latency_ms) == {"preprocess", "network", "upsample", "total"}
    for way in (Slide((64, 64), 0.5), Multiscale((0.75, 1.0, 1.25))):
        labels = predictor.at(way=way)(frame).train_ids
        assert labels.shape == whole.shape
        assert 0.3 < (labels == whole).mean() < 1, "it sees the same frame, but not the same way"


def test_labels_in_a_mirror_are_mirrored(predictor: Predictor) -> None:
    """The average over both is symmetric, although the network alone isn't."""
    both = predictor.at(way=Multiscale((1.0,)))
    frame = make_frame(96, 160)
    mirrored = np.ascontiguousarray(frame[:, ::-1])
    assert (both(mirrored).train_ids[:, ::-1] == both(frame).train_ids).mean() > 0.999
    assert (predictor(mirrored).train_ids[:, ::-1] == predictor(frame).train_ids).mean() < 0.99


def test_confidence_is_that_of_the_mean_probabilities(tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights, engine="openvino", precision="fp32", confidence=True)
    confidence = predictor.at(way=Multiscale((1.0,)))(make_frame(96, 160)).confidence
    assert confidence is not None and 1 / 5 <= confidence.min() < confidence.max() <= 1


def test_a_network_of_one_size_has_no_windows(tmp_path: Path) -> None:
    model, path = make_network(), tmp_path / "fixed.onnx"
    export_onnx(model, path, describe(model, LABEL_SET, (64, 96)), (64, 96))
    predictor = Predictor.load(path, engine="openvino", precision="fp32")
    with pytest.raises(SegError, match="windows and scales need other sizes"):
        predictor.at(way=Slide((64, 64)))


def test_sizes_that_go_round_and_round_are_compiled_once(predictor: Predictor) -> None:
    way = predictor.at(way=Multiscale((0.5, 0.75, 1.0, 1.25, 1.5)))
    way(make_frame(96, 160))
    compiled = predictor.first_call_ms["compile"]
    way(make_frame(96, 160, seed=1))
    assert predictor.first_call_ms["compile"] == compiled


def test_more_sizes_than_scales_are_kept(predictor: Predictor) -> None:
    """Ten sizes that come again and again, as with --eval multiscale and --also."""
    for _ in range(2):
        compiled = predictor.first_call_ms["compile"]
        for side in range(64, 144, 8):
            predictor.at("own")(make_frame(side, 64))
    assert predictor.first_call_ms["compile"] == compiled
