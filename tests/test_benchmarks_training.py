"""The benchmark of training: a step of each way reports its stages, and ratios say how many times as fast ours is."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.measure import Measurement
from benchmarks.training import document_of, main, opponents, start
from benchmarks.training_loops import STAGES, Job, _plain, _torchvision, render
from seg.cli.common import run
from seg.document import Origin, Text, to_markdown


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny rendered frames."""
    folder = tmp_path_factory.mktemp("frames")
    render(folder, 2, (64, 96))
    return folder


def job(way: str, root: Path) -> Job:
    return Job(way, "mobilenet_v3_small_rf2", str(root), (64, 64), 2, 1)


def test_each_way_tells_its_stages(root: Path) -> None:
    for steps in (_plain(job("plain", root)), _torchvision(job("torchvision", root))):
        stages = next(steps)
        assert tuple(stages) == STAGES
        assert all(stages[stage] > 0 for stage in STAGES[:-1])
    with ExitStack() as stack:
        step = start(job("ours", root), stack)
        for _ in range(3):  # over an epoch's end
            found = step()
            assert tuple(found) == STAGES and all(value > 0 for value in found.values())


def test_ratios_are_times_as_fast_within_rounds() -> None:
    names = ["row 11, ours", "row 11, plain loop", "row 8, ours", "row 8, plain loop", "torchvision"]
    times = dict(zip(names, ([100.0, 200.0], [300.0, 400.0], [10.0, 10.0], [20.0, 30.0], [50.0, 50.0]), strict=True))
    stages = {name: {"total": values, **{stage: [1.0, 1.0] for stage in STAGES}} for name, values in times.items()}
    document = document_of(Measurement(stages), 8, Text("text"), Origin.here("python"))
    ratios = document.data["speed_ratios"]
    assert ratios["row 11, ours to row 11, plain loop"]["median"] == 2.5
    assert ratios["row 8, ours to torchvision"]["median"] == 5
    assert len(ratios) == len(opponents(names)) == 3
    assert "| row 11, ours | 53.3 |" in to_markdown(document).replace("  ", " ")


def test_bad_arguments_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in ((["--batch", "99"], "--frames"), (["--crop", "16", "64"], "at least 32")):
        assert run(main, arguments) == 2
        assert words in capsys.readouterr().err
