"""The soak benchmark: a loop of a few seconds, and what it calls a fault."""

from pathlib import Path

import pytest
from networks import make_frame
from videos import write_video

from benchmarks.soak import Course, main


def test_a_short_loop(tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "v.mp4", [make_frame(48, 64, seed) for seed in range(5)])
    arguments = ["--minutes", "0.08", "--video", str(tmp_path / "v.mp4"), "--weights", str(tiny_weights), "--engine", "openvino"]
    assert main([*arguments, "--threads", "1"]) in (0, 1)  # how fast it stays is no test's business here
    said = capsys.readouterr().out
    assert "frames in 0.1 min" in said
    assert not any(word in said for word in ("Open files rose", "Threads rose")), said


def test_what_grows_is_a_fault() -> None:
    steps = 1000

    def course(**changed: list[float]) -> Course:
        level = {"latency_ms": [10.0] * steps, "memory_mib": [100.0] * steps, "files": [7] * steps, "threads": [3] * steps}
        return Course(seconds=[float(step + 1) for step in range(steps)], **{**level, **changed})

    assert course().faults() == []
    assert "Memory grew" in course(memory_mib=[100 + step / 100 for step in range(steps)]).faults()[0]
    assert "Open files rose" in course(files=[7 + step // 500 for step in range(steps)]).faults()[0]
    assert "Threads rose" in course(threads=[3 + step // 500 for step in range(steps)]).faults()[0]
    assert "99th percentile rose" in course(latency_ms=[10 + step / 200 for step in range(steps)]).faults()[0]
