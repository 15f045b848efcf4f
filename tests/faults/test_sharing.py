"""Threads, processes and event loops that share a predictor or have their own get the same labels as a single one."""

import asyncio
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from frames import make_frame

from seg.runtime import Predictor

FRAMES = [make_frame(48, 64 + 16 * (seed % 3), seed) for seed in range(12)]


def predictor_of(weights: Path, engine: str = "openvino") -> Predictor:
    return Predictor.load(weights, engine=engine, precision="fp32", threads=1)


def labels_of(weights: Path) -> list[np.ndarray]:
    """Loads a predictor in this process and labels all frames."""
    predictor = predictor_of(weights)
    return [predictor(frame).train_ids for frame in FRAMES]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


def test_eight_threads_share_one_and_two_predictors_share_a_process(tiny_weights: Path) -> None:
    expected, predictor, other = labels_of(tiny_weights), predictor_of(tiny_weights), predictor_of(tiny_weights, "fused")
    alone = [other(frame).train_ids for frame in FRAMES]
    with ThreadPoolExecutor(8) as pool:
        mixed = [(pool.submit(predictor, frame), pool.submit(other, frame)) for _ in range(4) for frame in FRAMES]
        for place, (first, second) in enumerate(mixed):
            assert (first.result().train_ids == expected[place % len(FRAMES)]).all()
            assert (second.result().train_ids == alone[place % len(FRAMES)]).all()


def test_an_event_loop_may_hand_frames_to_threads(tiny_weights: Path) -> None:
    predictor = predictor_of(tiny_weights)

    async def label() -> list[np.ndarray]:
        predictions = await asyncio.gather(*(asyncio.to_thread(predictor, frame) for frame in FRAMES))
        return [prediction.train_ids for prediction in predictions]

    assert_same(asyncio.run(label()), labels_of(tiny_weights))


def test_spawned_workers_have_their_own(tiny_weights: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(labels_of, tiny_weights).result(timeout=120)
    assert_same(found, labels_of(tiny_weights))


def test_forked_workers_have_their_own(tiny_weights: Path) -> None:
    """They fork before the parent runs a network, as workers do, because an engine's threads don't survive a fork."""
    code = ("import sys, multiprocessing\n"
            f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
            "from pathlib import Path\nfrom test_sharing import labels_of, assert_same\n"
            f"weights = Path({str(tiny_weights)!r})\n"
            "with multiprocessing.get_context('fork').Pool(1) as pool:\n    found = pool.apply(labels_of, (weights,))\n"
            "assert_same(found, labels_of(weights))\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
