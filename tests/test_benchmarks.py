"""The benchmarks' logic, on made-up clocks and networks; no test depends on the speed of this machine."""

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
from benchmarks.output import write
from benchmarks.paper_rows import choose, first_alike
from benchmarks.paper_table import main
from benchmarks.peak import peak_gmacs
from benchmarks.reasons import Pair, explain, less
from seg.document import Chart, Document, Origin, Strong, Table, Text, to_markdown
from seg.document.charts import to_png
from seg.errors import SegError
from seg.models.macs import count
from seg.report.pareto import Panel, Point, draw, pareto_front


class Clock:
    """A clock that only its contestants advance, `slowdown` times as fast as they ask for."""

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


def test_what_is_short_runs_untimed_until_the_one_before_has_settled() -> None:
    clock = Clock()
    measured = measure({"short": clock.contestant("short", 30), "long": clock.contestant("long", 200)}, 5, warm_up_runs=1,
                       clock=clock, settle_s=0.1)
    assert (clock.log.count("short"), clock.log.count("long")) == (1 + 5 * (4 + 1), 1 + 5)
    assert [len(stages["total"]) for stages in measured.latency_ms.values()] == [5, 5]
    assert measured.spread("short").median == pytest.approx(30)


def test_rounds_are_interleaved_and_warm_up_is_not_counted() -> None:
    clock, told = Clock(), list[str]()
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
    """A machine that is three times slower in some rounds changes no ratio, but it changes the spread of both latencies."""
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
    """Compared with the definition, on points that often share a latency or an accuracy."""
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
    panels = [Panel("here", points), Panel("there", points[:1])]
    png = to_png(Chart("title", "note", lambda figure: draw(figure, panels, "mIoU", ("full", "hollow")), (12, 6)))
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] > 500 and image.shape[1] > image.shape[0]
    blue = (image == (0xA4, 0x6F, 0x0B)).all(2)  # the first group's colour, BGR
    assert blue.sum() > 500


# ---- profile


@pytest.fixture(scope="module")
def layers(tiny_weights: Path) -> list[Layer]:
    return profile({"tiny": tiny_weights.with_suffix(".onnx")}, make_frame(64, 128), threads=1, runs=2)["tiny"]


def test_profile_counts_what_the_network_has(layers: list[Layer]) -> None:
    """The multiply-adds of the executed layers are those that torch counts, also by kind; every layer has a known kind."""
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


def made_up(kind: str, time_ms: float, gmacs: float) -> Layer:
    return Layer(kind, kind, "kernel", (1, 8, 4, 4), time_ms, round(gmacs * 1e9))


def pair(measured: float, published: float | None = 0.65) -> Pair:
    """The fast one has half of the multiply-adds, and additional layers that the slow one doesn't have."""
    slow = [made_up("1x1", 800, 9), made_up("depthwise", 200, 1)]
    fast = [made_up("1x1", 400, 4.5), made_up("depthwise", 150, 0.5), made_up("squeeze-and-excite", 50, 0)]
    return Pair("row 1", "row 7", published, Spread.of([measured] * 3), slow, fast, 15.0)


def test_reasons_are_computed_from_the_profiles() -> None:
    text, table = explain(pair(measured=0.6))
    assert isinstance(text, Text) and isinstance(table, Table)
    for part in ("50.0 % fewer multiply-adds", "The phone takes 35.0 % less", "this machine 40.0 % less: more of the saved",
                 "0.77 times", "0.83 times",
                 "saves 400 ms: 1x1 saves 400 and depthwise saves 50.0; squeeze-and-excite costs 50.0",
                 "depthwise runs at 3.3 GMAC/s and 1x1 at 11.2, of 15.0", "10 % of the multiply-adds and 25 % of the time",
                 "(squeeze-and-excite) take 8 % of row 7's time and 0 % of row 1's"):
        assert part in "".join(text.parts), part
    assert table.total is not None
    assert [row[0] for row in (*table.rows, table.total)] == ["1x1", "depthwise", "squeeze-and-excite", "all"]
    assert table.total[1:] == ["1000", "100 %", "10.00", "10.0", "600", "100 %", "5.00", "8.3"]


@pytest.mark.parametrize(("measured", "says"), [(0.6, ": more of"), (0.7, ": less of"), (0.65, ": the same within the spread")])
def test_verdict_follows_the_measured_ratio(measured: float, says: str) -> None:
    text, _ = explain(pair(measured))
    assert isinstance(text, Text) and says in "".join(text.parts)
    without_phone, _ = explain(pair(measured, published=None))
    assert isinstance(without_phone, Text) and "phone" not in "".join(without_phone.parts)


def test_less_and_more() -> None:
    assert (less(2.55 / 3.90), less(1.05)) == ("34.6 % less", "5.0 % more")


def test_profile_is_timed_and_sums_up(layers: list[Layer]) -> None:
    assert layers[0].kind == "input" and any(layer.kind == "upsampling" for layer in layers)
    assert total(layers).time_ms == pytest.approx(sum(share.time_ms for share in by_kind(layers).values()))
    assert len(layers) == sum(share.layers for share in by_kind(layers).values()), "KINDS lists all"
    assert total(layers).time_ms > 0


# ---- what is written, and the command


def test_a_result_without_picture_leaves_no_older_one(tmp_path: Path) -> None:
    table = Table.of(("a", "b"), [("1", Strong("2"))])
    chart = Chart("points", "one", lambda figure: figure.subplots().plot([1, 2]))
    texts = ["n.md", "n.json", "n.html"]
    assert [path.name for path in write(tmp_path, "n", Document("Title", [table, chart], data={"x": 1}))] == [*texts, "n.png"]
    assert cv2.imread(str(tmp_path / "n.png")) is not None
    assert [path.name for path in write(tmp_path, "n", Document("Title", [table], data={"x": 2}))] == texts
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(texts)
    assert (tmp_path / "n.md").read_text() == "# Title\n\n| a | b |\n|:--|--:|\n| 1 | **2** |\n"
    assert json.loads((tmp_path / "n.json").read_text())["x"] == 2


def test_origin_quotes_the_command() -> None:
    origin = Origin.here("python", "-m", "benchmarks.any", "--output", "a folder")
    text = to_markdown(Document("t", [Text(*origin.sentence())]))
    assert "`python -m benchmarks.any --output 'a folder'`" in text
    assert f"{origin.created:%Y-%m-%d}" in text and origin.machine.cpu in text


def test_networks_of_two_tables_are_timed_once() -> None:
    entries = choose(["8", "t8-1", "t8-2"])
    alike = first_alike({entry.id: entry.network.build() for entry in entries})
    assert alike == {"8": "8", "t8-1": "8", "t8-2": "t8-2"}


def test_the_command_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "11", "7", "1", "--sizes", "64x128", "--threads", "1", "--rounds", "1", "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["paper_table.html", "paper_table.json", "paper_table.md",
                                                                   "paper_table.png"]
    data = json.loads((tmp_path / "paper_table.json").read_text())
    text = (tmp_path / "paper_table.md").read_text()
    assert [network["id"] for network in data["networks"]] == ["1", "7", "11"]
    assert data["command"].startswith("python -m benchmarks.paper_table --rows 11 7 1") and data["command"] in text
    timed = data["latency_ms"][0]["networks"]
    ratio = timed["7"]["network"]["median"] / timed["1"]["network"]["median"]
    assert data["ratios"][0]["network"]["median"] == pytest.approx(ratio)
    assert less(data["ratios"][0]["network"]["median"]) in text
    assert "| 1 | V2, R-ASPP 256 | 2.11 | 2.113 | 21.29 | 21.23 | 21.29 |" in text
    assert all(network["total"]["median"] >= network["network"]["median"] for network in timed.values())
    assert {profile["network"] for profile in data["profiles"]} == {"1", "7"}
    assert "paper_table.png" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "says"), [
    (("--rows", "12"), "no row '12'. Did you mean"),
    (("--sizes", "big"), "'big'"),
    (("--sizes", "8x8"), "too small"),
    (("--rounds", "0"), "--rounds is 0"),
    (("--threads", "4096"), "4096 threads"),
    (("--profile", "7", "--rounds", "0"), "--rounds can't be used with it"),
    (("--profile", "x"), "no row 'x'"),
    (("--row", "7"), "--rows"),
    (("--output", "FILE"), "Can't write into"),
])
def test_bad_input_is_a_sentence(arguments: tuple[str, ...], says: str, tmp_path: Path,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "FILE").touch()
    assert main([str(tmp_path / word) if word == "FILE" else word for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error and error.count("\n") == 1


def test_ctrl_c_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.paper_run.measure", interrupted)
    assert main(["--rows", "11", "--sizes", "64x128", "--threads", "1", "--output", str(tmp_path)]) == 130
    assert not list(tmp_path.iterdir())
    assert "Nothing was written" in capsys.readouterr().err
