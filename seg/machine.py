"""What this machine is: processor, usable cores (cgroup limits too), memory, versions. Reports state it with every figure."""

import math
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from seg.errors import SegError

_REPORTED = ("numpy", "opencv-python", "openvino", "onnxruntime", "numba", "torch")


@cache
def usable_cores() -> int:
    """Cores that this process may use: its affinity mask, limited by the cgroup's processor quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores()
    return max(1, min(cores, math.ceil(quota))) if quota else cores


def _cgroup_cores() -> float | None:
    """The smallest processor quota of this process's cgroup and its parents, in cores; None where there is none."""
    quotas = []
    for folder in _cgroup_folders("cpu"):
        try:  # version 2
            limit, period = (folder / "cpu.max").read_text().split()
            quotas += [] if limit == "max" else [int(limit) / int(period)]
        except (OSError, ValueError):
            pass
        try:  # version 1
            limit_us, period_us = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            quotas += [limit_us / period_us] if limit_us > 0 else []
        except (OSError, ValueError):
            pass
    return min(quotas, default=None)


def _cgroup_folders(controller: str) -> list[Path]:
    """The folders with limits of this process: its cgroup and all parents, of version 2 and of version 1."""
    root = Path("/sys/fs/cgroup")
    folders = {root: None, root / controller: None}  # in a container its own cgroup is mounted here
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers == "" or controller in controllers.split(","):
            top = root / controller if controllers else root
            own = top / path.strip("/")
            folders |= dict.fromkeys(folder for folder in (own, *own.parents) if folder.is_relative_to(top))
    return list(folders)


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Returns the processor's name and those of its features that decide which precisions are fast."""
    name, flags = "", set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass
    telling = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
    return name or platform.processor() or platform.machine(), tuple(flag for flag in telling if flag in flags)


def _memory_gib() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return 0.0


def available_memory_bytes() -> int | None:
    """Memory that this process can still take: the system's, limited by the cgroup's limit. None where unknown."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError, IndexError):
        pass
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # versions 2 and 1
    for folder, (limit, used) in product(_cgroup_folders("memory"), names):
        try:
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            reclaimable = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))  # file cache
            limits.append(int((folder / limit).read_text()) - int((folder / used).read_text()) + reclaimable)
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return max(0, min(limits)) if limits else None


class OtherLoad:
    """Measures how much other processes use the cores that this process may use, from the moment this object is made."""

    def __init__(self) -> None:
        self._before = _busy_s()

    def cores(self) -> float | None:
        """Returns how many cores others have used since then, on average; None if the system doesn't say or it is too early."""
        now = _busy_s()
        if now is None or self._before is None:
            return None
        elapsed, all_of_them, own = (after - before for after, before in zip(now, self._before, strict=True))
        return max(0.0, (all_of_them - own) / elapsed) if elapsed > 0.1 else None  # the system counts in hundredths of a second


def _busy_s() -> tuple[float, float, float] | None:
    """The time, the busy time of the usable cores, and the part of it for this process [s]; None where that isn't known."""
    import psutil  # here, so that plain inference needn't wait for it

    try:
        usable = psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else None
        cores = psutil.cpu_times(percpu=True)
        own = psutil.Process().cpu_times()
    except (psutil.Error, OSError, NotImplementedError):
        return None
    those = cores if usable is None else [cores[i] for i in usable if i < len(cores)]
    work = ("user", "nice", "system", "irq", "softirq", "steal")
    working = sum(getattr(core, what, 0.0) for core in those for what in work)
    return time.perf_counter(), working, own.user + own.system


def peak_memory_mib() -> float | None:
    """Returns the most memory that this process has had so far; None where the system doesn't say."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


@dataclass(frozen=True)
class Machine:
    """Describes where something ran; every figure in a report comes with one of these."""

    cpu: str
    cpu_features: tuple[str, ...]
    cores: int
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        features = f" ({', '.join(self.cpu_features)})" if self.cpu_features else ""
        cores = f"{self.cores} usable core{'' if self.cores == 1 else 's'}"
        return f"{self.cpu}{features}, {cores}, {self.memory_gib:g} GiB, {self.system}"


def describe() -> Machine:
    """Describes this machine; finds versions without heavy imports."""
    cpu, features = processor()
    return Machine(cpu, features, usable_cores(), _memory_gib(), f"{platform.system()} {platform.machine()}",
                   platform.python_version(), versions_of(_REPORTED))


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of those packages that are installed, without importing them."""
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def check_threads(threads: int | None) -> int:
    """Returns the number of threads to use: `threads`, or all usable cores for None.

    Raises:
        SegError: it is below 1 or beyond the cores that this process may use.
    """
    cores = usable_cores()
    if threads is None:
        return cores
    if not 1 <= threads <= cores:
        raise SegError(f"{threads} threads were asked for; this process may use 1 to {cores}.")
    return threads


def switch_off_telemetry() -> None:
    """Keeps the libraries that we use from sending or requesting anything over the network; call it before they are imported."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network for the newest version
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime's would keep an identity below the home folder, too
    # OpenVINO and NNCF have no switch of their own, but both do without this package where it can't be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def let_waiting_threads_sleep() -> None:
    """Lets torch's threads sleep soon after their work, so that our own loops get the cores; call it before torch is imported.

    Its OpenMP library on Linux (libgomp) otherwise lets them spin for milliseconds. Whoever has set how they wait is obeyed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # iterations, some tenths of a millisecond
