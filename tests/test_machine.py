"""What the machine says of itself, cgroup limits included."""

from pathlib import Path

import pytest

from seg import machine
from seg.errors import SegError


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch):
    """Sets what the cgroup files say and how many processors there are."""

    def set_quota(text: str, processors: int) -> int:
        def read_text(path: Path) -> str:
            if str(path) == "/sys/fs/cgroup/cpu.max":
                return text
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
