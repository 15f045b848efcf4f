"""The benchmarks' logic, on clocks and networks that are made up here; no test depends on how fast this machine is."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from networks import make_frame, make_network

from benchmarks.layers import KINDS, Layer, by_kind, profile, total
from benchmarks.measure import Measurement, Spread, measure
from benchmarks.output import Origin, Table, to_markdown, write
from benchmarks.peak import peak_gmacs
from benchmarks.plot import Panel, Point, draw, pareto_front
from benchmarks.reasons import Pair, explain, less
from seg.errors import SegError
from seg.models.macs import count


class Clock:
    """A clock that only its contestants move on, `slowdown` times as fast as they ask for."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slowdown = 1.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now_s

    def contestant(self, name: str, milliseconds: float) -> Callable[[], dict[str, float]]:
        def run() -> dict[str, float]:
            self.log.append(name)
            self.now_s += self.slowdown * milliseconds / 1000
            return {"network": self.slowdown * milliseconds / 2}

        return run


# ---- measuring


def test_the_slow_one_loses() -> None:
    clock = Clock()
    measured = measure({"fast": clock.contestant("fast", 10), "slow": clock.contestant("slow", 25)}, 5, clock=clock)
    assert measured.spread("fast").median == pytest.approx(10)
    assert measured.spread("slow").median == pytest.approx(25)
    assert measured.spread("slow", "network").median == pytest.approx(12.5)
    assert measured.ratio("slow", "fast").median == pytest.approx(2.5)
    assert measured.ratio("fast", "slow", "network").median == pytest.approx(0.4)


def test_rounds_are_interleaved_and_warm_up_is_not_counted() -> None:
    clock, told = Clock(), []
    names = ["a", "b", "c"]
    measured = measure({name: clock.contestant(name, 1) for name in names}, 20, warm_up_runs=2, clock=clock,
                       on_run=told.append)
    assert clock.log == told
    assert clock.log[:6] == ["a", "a", "b", "b", "c", "c"]
    rounds = [clock.log[i:i + 3] for i in range(6, len(clock.log), 3)]
    assert len(rounds) == 20 and all(sorted(turn) == names for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) > 2, "the order is always the same"
    assert all(len(values["total"]) == 20 for values in measured.latency_ms.values())


def test_ratio_is_taken_within_rounds() -> None:
    """A machine that is three times slower in some rounds changes no ratio, though it changes both medians' spread."""
    clock = Clock()
    slowdowns = random.Random(1)
    contestants = {"one": clock.contestant("one", 10), "two": clock.contestant("two", 8)}
    runs = 0

    def on_run(_: str) -> None:
        nonlocal runs
        runs += 1
        if runs % 2 == 0:  # between two rounds
            clock.slowdown = slowdowns.choice([1, 3])

    measured = measure(contestants, 30, warm_up_runs=0, clock=clock, on_run=on_run)
    assert measured.spread("one").iqr > 5
    ratio = measured.ratio("two", "one")
    assert (ratio.q25, ratio.median, ratio.q75) == pytest.approx((0.8, 0.8, 0.8))


def test_spread_is_that_of_numpy() -> None:
    values = np.random.default_rng(0).uniform(0, 10, 101)
    spread = Spread.of(list(values))
    assert spread.count == 101
    assert [spread.q25, spread.median, spread.q75, spread.p90, spread.p99] == pytest.approx(
        [np.quantile(values, q) for q in (0.25, 0.5, 0.75, 0.9, 0.99)])
    assert spread.iqr == pytest.approx(spread.q75 - spread.q25)


def test_measurement_as_data_holds_every_value() -> None:
    measured = Measurement()
    for total_ms in (1.0, 2.0, 6.0):
        measured.add("net", total_ms, {"network": total_ms / 2})
    data = json.loads(json.dumps(measured.to_dict()))
    assert data["net"]["total"]["values"] == [1, 2, 6]
    assert data["net"]["network"]["median"] == 1


@pytest.mark.parametrize(("contestants", "rounds", "says"), [({}, 3, "nothing to measure"), ({"a": lambda: None}, 0, "0 rounds")])
def test_nothing_to_measure_is_a_sentence(contestants: dict, rounds: int, says: str) -> None:
    with pytest.raises(SegError, match=says):
        measure(contestants, rounds)


def test_peak_is_positive_and_threads_are_set_back() -> None:
    before = torch.get_num_threads()
    assert peak_gmacs(1) > 0
    assert torch.get_num_threads() == before


# ---- Pareto front and plot


def point(label: str, latency_ms: float, accuracy: float) -> Point:
    return Point(label, f"network {label}", "V3", True, latency_ms, accuracy, (0.9 * latency_ms, 1.1 * latency_ms))


def test_pareto_front_is_what_nothing_beats() -> None:
    """Against the definition, on points that often share a latency or an accuracy."""
    for seed in range(50):
        drawn = random.Random(seed)
        points = [point(str(i), drawn.randint(1, 8), drawn.randint(1, 8)) for i in range(12)]
        front = pareto_front(points)

        def beaten(p: Point, points: list[Point] = points) -> bool:
            return any(q.latency_ms <= p.latency_ms and q.accuracy >= p.accuracy and q[4:6] != p[4:6] for q in points)

        assert {p[4:6] for p in front} == {p[4:6] for p in points if not beaten(p)}
        assert [p.latency_ms for p in front] == sorted(p.latency_ms for p in front)


def test_plot_is_a_picture_with_points(tmp_path: Path) -> None:
    points = [point("1", 100, 70), point("2", 101, 70), point("3", 400, 72)]
    png = draw([Panel("here", points), Panel("there", points[:1])], "title", "note", "mIoU", ("full", "hollow"))
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] > 500 and image.shape[1] > image.shape[0]
    blue = (image == (0xA4, 0x6F, 0x0B)).all(2)  # the first group's colour, BGR
    assert blue.sum() > 500


# ---- profile


@pytest.fixture(scope="module")
def layers(tiny_weights: Path) -> list[Layer]:
    return profile({"tiny": tiny_weights.with_suffix(".onnx")}, make_frame(64, 128), threads=1, runs=2)["tiny"]


def test_profile_counts_what_the_network_has(layers: list[Layer]) -> None:
    """The executed layers' multiply-adds are those that torch counts, by kind too; every layer is of a known kind."""
    assert {layer.kind for layer in layers} <= set(KINDS) - {"other"}
    counted = count(make_network(), (64, 128))
    assert total(layers).macs == counted.convolutions
    kinds = by_kind(layers)
    depthwise = sum(layer.convolutions for layer in counted.layers if layer.kind.startswith("depthwise"))
    stem = sum(layer.convolutions for layer in counted.layers if layer.name.startswith("encoder.stem"))
    head = sum(layer.convolutions for layer in counted.layers if layer.name.startswith("decoder"))
    squeeze = sum(layer.convolutions for layer in counted.layers if "squeeze_excite" in layer.name)
    assert kinds["stem"].macs == stem
    assert kinds["head"].macs == head
    assert kinds["squeeze-and-excite"].macs == squeeze
    fused = kinds["1x1 + depthwise"].macs if "1x1 + depthwise" in kinds else 0
    assert kinds["depthwise"].macs <= depthwise <= kinds["depthwise"].macs + fused


def test_profile_is_timed_and_sums_up(layers: list[Layer]) -> None:
    assert layers[0].kind == "input" and any(layer.kind == "upsampling" for layer in layers)
    assert total(layers).time_ms == pytest.approx(sum(share.time_ms for share in by_kind(layers).values()))
    assert total(layers).layers == len(layers) == sum(share.layers for share in by_kind(layers).values())
    assert total(layers).time_ms > 0
