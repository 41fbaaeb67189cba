"""The number of cores available to this process, which may be less than the machine's."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def cores() -> int:
    """Return the number of cores available to this process, at least 1.

    That is the smaller of its CPU affinity (``taskset``, a cluster's cpuset) and its control group's CPU quota
    (a container's), a part of a core counting as one.
    """
    return _within(_affinity(), cpu_quota())


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float:
    """Return the number of cores allowed by this process' control groups, infinity without a limit.

    Version 2 writes quota and period in microseconds into ``cpu.max``, version 1 into ``cpu.cfs_quota_us`` and
    ``cpu.cfs_period_us``. A group is bound by every group above it.

    Args:
        root: where control groups are mounted.
        membership: names the groups of this process, a line each: ``number:controllers:path``.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return math.inf
    limits = [math.inf]
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            limits += [_quota(folder, "cpu.max") for folder in _upwards(root, path)]
        elif "cpu" in controllers.split(","):
            # Mounted under one name or the other; inside a container the path may start at the mount itself.
            for mount in {root / controllers, root / "cpu", root / "cpu,cpuacct"}:
                limits += [_quota(folder, "cpu.cfs_quota_us") for folder in _upwards(mount, path)]
    return min(limits)


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _within(affinity: int, quota: float) -> int:
    return affinity if math.isinf(quota) else max(1, min(affinity, math.ceil(quota)))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and those of all above it, up to the mount."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _quota(folder: Path, name: str) -> float:
    """Return quota / period of one group; infinity without a quota."""
    try:
        words = (folder / name).read_text(encoding="ascii").split()
        if name == "cpu.cfs_quota_us":
            words += (folder / "cpu.cfs_period_us").read_text(encoding="ascii").split()
        quota, period = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):  # "max" is not a number
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
