"""When a latency may be called stable, on made-up times; and the measured load of other processes."""

import itertools
import subprocess
import sys
import time

import pytest

from seg.latency import Latency, WarmUp, warm_up
from seg.machine import OtherLoad, peak_memory_mib

SIZE = (8, 8)
WARM = [WarmUp(SIZE, 6, True)]


def latency(totals_ms: list[float], share: float = 1.0, sizes: list[tuple[int, int]] | None = None) -> Latency:
    """Returns latencies in which the one stage takes a share of the whole."""
    made = Latency()
    for total, size in zip(totals_ms, sizes or itertools.repeat(SIZE), strict=False):
        made.add({"network": share * total, "total": total}, size)
    return made


def test_percentiles_are_of_the_total() -> None:
    assert Latency().summary() == {}
    made = latency([float(value) for value in range(1, 102)], 0.5)
    summary = made.summary()
    assert (summary["p50"], summary["p90"], summary["p99"], summary["mean"]) == (51, 91, 100, 51)
    assert summary["stages"] == {"network": {"p50": 25.5, "p90": 45.5, "p99": 50, "mean": 25.5}}


def test_even_times_on_a_quiet_machine_are_stable() -> None:
    found = latency([10.0, 10.2, 9.9] * 20).steadiness(WARM, 0.01)
    assert found.stable and found.doubts() == []
    assert (found.frames, found.outliers, found.warm_up_runs) == (60, 0, 6)


@pytest.mark.parametrize(("made", "warm_ups", "others", "doubt"), [
    (latency([10.0, 13.0] * 30), WARM, 0.0, "half of the frames spread over 26% of the median, and 10% is the limit"),
    (latency([10.0] * 20 + [10.4] * 20 + [11.0] * 20), WARM, 0.0, "the last third of the frames took 10% longer than the first"),
    (latency([11.0] * 20 + [10.4] * 20 + [10.0] * 20), WARM, 0.0, "the last third of the frames took 9% less than the first"),
    (latency([10.0] * 60), WARM, 0.9, "other work kept 0.9 of the cores busy"),
    (latency([10.0] * 60), [WarmUp(SIZE, 30, False)], 0.0, "it still became faster after 30 runs"),
    (latency([10.0] * 60), [], 0.0, "nothing warmed up"),
    (latency([10.0] * 60, share=0.97), WARM, 0.0, "3.0% of a frame's time is in no stage"),
    (latency([10.0] * 5), WARM, 0.0, "5 frames are too few"),
])
def test_each_reason_against_it_is_said(made: Latency, warm_ups: list[WarmUp], others: float, doubt: str) -> None:
    found = made.steadiness(warm_ups, others)
    assert not found.stable
    assert len(found.doubts()) == 1 and doubt in found.doubts()[0]


def test_frames_of_two_sizes_are_judged_each_by_its_own() -> None:
    sizes = [(8, 8), (80, 80)] * 30
    assert latency([10.0, 100.0] * 30, sizes=sizes).steadiness(WARM, None).stable
    assert latency([10.0, 100.0] * 30).steadiness(WARM, None).spread > 1


def test_an_outlier_is_counted_and_takes_nothing_from_the_rest() -> None:
    found = latency([10.0] * 59 + [50.0]).steadiness(WARM, 0.0)
    assert (found.stable, found.outliers) == (True, 1)


def test_warming_up_ends_when_it_becomes_no_faster() -> None:
    times = iter([300.0, 40.0, 30.0, 22.0, 18.0, 15.0, 12.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0])
    found = warm_up(lambda: next(times), SIZE)
    assert found.settled and found.runs == 12, "the median of three is 10 then, as it was before"
    falling = (1000 * 0.9**i for i in itertools.count())
    assert warm_up(lambda: next(falling), SIZE) == WarmUp(SIZE, 30, False)
    slow = iter([6000.0] * 9)
    assert warm_up(lambda: next(slow), SIZE).runs == 3, "minutes are not waited for"
    compiling = iter([60_000.0, *[20.0] * 6])
    assert warm_up(lambda: next(compiling), SIZE) == WarmUp(SIZE, 6, True), "the first run may compile as long as it likes"
    assert warm_up(lambda: 1.0, SIZE, 2) == WarmUp(SIZE, 2, True)


def test_other_processes_are_noticed_and_this_one_is_not() -> None:
    alone = OtherLoad()
    assert alone.cores() is None, "too early to say"
    busy = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    other = subprocess.Popen([sys.executable, "-c", busy])
    time.sleep(0.2)
    load = OtherLoad()
    time.sleep(1.0)
    found = load.cores()
    other.wait()
    assert found is not None and found > 0.4


def test_peak_memory_grows_with_what_is_taken() -> None:
    before = peak_memory_mib()
    assert before is not None
    taken = bytearray(int((before + 100) * 2**20))
    after = peak_memory_mib()
    assert after is not None and after > before and len(taken)
