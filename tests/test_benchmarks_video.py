"""The benchmark of videos: its ratios are those of the rounds, and the command writes its report."""

import json
from pathlib import Path

import numpy as np
import pytest
from networks import make_frame
from videos import write_video

from benchmarks.measure import Measurement
from benchmarks.video import PIPELINE, SERIAL, STAGES, main, ratios
from benchmarks.video_smooth import changes_per_second, flashes


def test_ratios_are_taken_within_rounds() -> None:
    """Relative to the stage that was the slowest in that round."""
    work = dict(zip(STAGES, ([10.0, 90.0], [40.0, 20.0], [20.0, 20.0]), strict=True))
    work |= {SERIAL: [80.0, 150.0], PIPELINE["latency"]: [50.0, 100.0], PIPELINE["throughput"]: [40.0, 80.0]}
    def measurement(*cpu: float) -> Measurement:
        return Measurement({name: {"work": values, "cpu": list(cpu), "total": values} for name, values in work.items()})

    found = ratios(measurement(50, 60), 4)
    assert {name: spread.median for name, spread in found.items()} == pytest.approx({
        "latency of slowest": (0.8 + 0.9) / 2, "latency to serial": (1.6 + 1.5) / 2, "throughput of slowest": (1 + 1.125) / 2,
        "throughput to serial": (2 + 1.875) / 2, "throughput to latency": 1.25,
        # three stages of 50 ms keep four cores busy for 37.5 ms, of 60 ms for 45: the slowest takes 40 and 90
        "cores to slowest": 1.0, "latency of cores": (0.8 + 0.9) / 2, "throughput of cores": (1 + 1.125) / 2})
    busy = ratios(measurement(60, 180), 2)
    assert busy["cores to slowest"].median == pytest.approx((40 / 90 + 90 / 270) / 2)
    assert busy["latency of cores"].median == pytest.approx((90 / 50 + 270 / 100) / 2)


def test_changes_are_counted_where_the_picture_stands_still() -> None:
    """The left half doesn't move, and a part of it changes its label in every second step; the right half moves and changes."""
    frames = [np.full((40, 80, 3), 100, np.uint8) for _ in range(3)]
    labels = [np.zeros((40, 80), np.uint8) for _ in range(3)]
    for i in range(3):
        frames[i][:, 50:] = 80 * i
        labels[i][:, 50:] = i
    labels[2][:20, :20] = 7
    changes, still = changes_per_second(frames, labels, 10)
    assert still == pytest.approx(46 / 80, abs=0.02), "the mean around a pixel beside what moves does change"
    assert changes == pytest.approx(10 * 400 / (2 * 46 * 40), rel=0.05)


def test_labels_that_hold_for_one_frame_flash() -> None:
    labels = [np.zeros((10, 20), np.uint8) for _ in range(4)]
    labels[1][:2, :5] = 1  # 10 of 200 pixels for one frame
    labels[2][5:, :2] = labels[3][5:, :2] = 2  # these stay
    assert flashes(labels, ["road", "bus", "car", "sky"]) == {
        "road": (pytest.approx(770 / 800), 0.0), "bus": (pytest.approx(10 / 800), pytest.approx(10 / 400)),
        "car": (pytest.approx(20 / 800), 0.0)}


def test_the_command(tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.mp4", [make_frame(48, 64, i) for i in range(8)])
    out = tmp_path / "out"
    assert main([str(clip), "--weights", str(tiny_weights), "--frames", "6", "--rounds", "1", "--rendered", "0", "--output",
                 str(out)]) == 0
    data = json.loads((tmp_path / "out/video.json").read_text())
    assert (data["frames"], data["size_hw"], data["rounds"]) == (6, [48, 64], 1)
    assert set(data["frames_per_second"]) == {*STAGES, SERIAL, *PIPELINE.values()}
    assert all(values["median"] > 0 for values in data["frames_per_second"].values())
    assert set(data["glass_to_glass_ms"]) == {"latency", "throughput"}
    assert set(data["drawing_ms"]) == {"file", "window"} and min(data["drawing_ms"].values()) > 0
    shares = [share for share, _ in data["smoothing"]["classes"].values()]
    assert sum(shares) == pytest.approx(1) and len(shares) > 1
    assert data["smoothing"]["miou"] is None and 0 < data["smoothing"]["share"] < 1
    assert "one after the other" in (tmp_path / "out/video.md").read_text() and "frames per second" in capsys.readouterr().out
