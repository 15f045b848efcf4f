"""The description of the machine, including cgroup limits."""

from pathlib import Path

import pytest

from seg import machine
from seg.errors import SegError


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch):
    """Sets the content of the cgroup files (or of the root's only) and the number of processors."""

    def set_quota(text: str | dict[str, str], processors: int) -> int:
        texts = text if isinstance(text, dict) else {"/sys/fs/cgroup/cpu.max": text}

        def read_text(path: Path) -> str:
            if str(path) in texts:
                return texts[str(path)]
            raise FileNotFoundError

        monkeypatch.setattr(Path, "read_text", read_text)
        monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(processors)))
        machine.usable_cores.cache_clear()
        return machine.usable_cores()

    yield set_quota
    machine.usable_cores.cache_clear()


@pytest.mark.parametrize(("text", "processors", "cores"),
                         [("max 100000", 8, 8), ("200000 100000", 8, 2), ("150000 100000", 8, 2), ("50000 100000", 8, 1),
                          ("1600000 100000", 4, 4), ("nonsense", 3, 3)])
def test_cores_are_cut_by_the_cgroup(quota, text: str, processors: int, cores: int) -> None:
    assert quota(text, processors) == cores


def test_the_tightest_cgroup_around_the_process_counts(quota) -> None:
    root = "/sys/fs/cgroup"
    assert quota({"/proc/self/cgroup": "0::/user.slice/run.scope\n", f"{root}/user.slice/cpu.max": "200000 100000",
                  f"{root}/user.slice/run.scope/cpu.max": "max 100000", f"{root}/other.slice/cpu.max": "100000 100000"}, 8) == 2
    assert quota({"/proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a/b\n", f"{root}/cpu/a/b/cpu.cfs_quota_us": "300000",
                  f"{root}/cpu/a/b/cpu.cfs_period_us": "100000", f"{root}/cpu/a/cpu.cfs_quota_us": "-1",
                  f"{root}/cpu/a/cpu.cfs_period_us": "100000"}, 8) == 3


def test_memory_is_cut_by_the_cgroup(quota) -> None:
    root = "/sys/fs/cgroup/job"
    quota({"/proc/self/cgroup": "0::/job\n", "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4096 kB\n",
           f"{root}/memory.max": "1000000", f"{root}/memory.current": "700000", f"{root}/memory.stat": "inactive_file 5000\n"}, 2)
    assert machine.available_memory_bytes() == 305_000


def test_threads_outside_the_machine_are_refused(quota) -> None:
    quota("max 100000", 2)
    assert machine.check_threads(None) == 2
    assert machine.check_threads(1) == 1
    for threads in (0, 3, -1):
        with pytest.raises(SegError, match="1 to 2"):
            machine.check_threads(threads)


def test_the_description_is_whole() -> None:
    described = machine.describe()
    assert described.cpu
    assert described.cores >= 1
    assert described.memory_gib > 0
    assert "numpy" in described.versions
    assert str(described.cores) in str(described)
