"""The soak benchmark: a loop of a few seconds, and what counts as a fault."""

import json
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from networks import make_frame
from videos import write_video

from benchmarks.soak import main
from benchmarks.soak_course import Course, Look, document_of
from seg.cli.common import run
from seg.document import Origin, to_html


def test_a_short_loop(tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "v.mp4", [make_frame(48, 64, seed) for seed in range(5)])
    arguments = ["--minutes", "0.06", "--video", str(tmp_path / "v.mp4"), "--weights", str(tiny_weights), "--engine", "openvino"]
    assert main([*arguments, "--threads", "1", "--output", str(tmp_path / "out")]) in (0, 1)  # the test doesn't judge its speed
    said = capsys.readouterr().out
    assert "frames in 0.1 minutes" in said
    found = json.loads((tmp_path / "out/soak.json").read_text())
    assert (found["kind"], found["engine"], found["size_hw"]) == ("soak", "openvino", [48, 64])
    assert sum(row["frames"] for row in found["over_time"]) == found["frames"] > 5, "over the end of the video"
    kept = {check["what"]: check["kept"] for check in found["checks"]}
    assert kept["open files"] and kept["threads"]
    assert (tmp_path / "out/soak.png").exists() and "99th percentile" in (tmp_path / "out/soak.md").read_text()


def course(latency_ms: Callable[[int], float] = lambda second: 10.0, memory_mib: Callable[[int], float] = lambda second: 100.0,
           files: Callable[[int], int] = lambda second: 7, threads: Callable[[int], int] = lambda second: 3) -> Course:
    """Returns 1000 seconds of four frames each."""
    seconds = range(1, 1001)
    return Course(array("d", [second - 1 + part / 4 for second in seconds for part in (1, 2, 3, 4)]),
                  array("d", [latency_ms(second) for second in seconds for _ in range(4)]),
                  [Look(second, memory_mib(second), files(second), threads(second)) for second in seconds])


@pytest.mark.parametrize(("changed", "what"), [
    ({"memory_mib": lambda second: 100 + second / 100}, "resident memory"),
    ({"files": lambda second: 7 + second // 500}, "open files"),
    ({"threads": lambda second: 3 + second // 500}, "threads"),
    ({"latency_ms": lambda second: 10 + second / 200}, "99th percentile")])
def test_what_grows_is_a_fault(changed: dict[str, Callable[[int], float]], what: str) -> None:
    made = course(**changed)  # type: ignore[arg-type]
    assert [check.what.startswith(what) for check in made.checks() if not check.kept] == [True]
    document = document_of(made, "tiny", {}, Origin.here("python"))
    assert what in document.blocks[0].text and "does not stay level" in document.blocks[0].text


def test_what_stays_level_is_none() -> None:
    """Also if memory is taken at the start, and if there are more threads and files for a moment."""
    made = course(memory_mib=lambda second: min(100, second), files=lambda second: 7 + (second % 97 == 0),
                  threads=lambda second: 3 + (second in (50, 995)))
    assert all(check.kept for check in made.checks())
    rows = made.over_time()
    assert len(rows) == 120 and sum(row["frames"] for row in rows) == 4000 and rows[-1]["until_s"] == 1000
    page = to_html(document_of(made, "tiny", {}, Origin.here("python")))
    assert "It stays as fast, and nothing grows." in page and "<svg" in page


def test_bad_arguments_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, ["--minutes", "0", "--output", str(tmp_path)]) == 2
    assert "--minutes is 0" in capsys.readouterr().err
