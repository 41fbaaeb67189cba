import math
import os

import pytest

from fedrobust.cores import cores, cpu_quota


@pytest.fixture
def groups(tmp_path):
    """Write control groups: a membership file and files below a root."""

    def make(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return cpu_quota(tmp_path / "root", tmp_path / "membership")

    return make


def test_affinity_is_what_counts():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/job\n", {"job/cpu.max": "150000 100000\n"}, 1.5),
        # The group above is narrower than the own one.
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("4:cpu,cpuacct:/job\n1:memory:/x\n", {
            "cpu,cpuacct/job/cpu.cfs_quota_us": "50000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, 0.5),
        # Without a limit, version 1 writes -1.
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        # Inside a container the path is the host's; the mount is the container's own.
        ("3:cpu:/docker/0f\n", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ("nonsense", {}, math.inf),
        ("0::/job\n", {"job/cpu.max": "nonsense"}, math.inf),
    ],
)  # fmt: skip
def test_quota_of_control_groups(groups, membership, files, expected):
    assert groups(membership, files) == expected


def test_a_part_of_a_core_counts_as_one(monkeypatch):
    monkeypatch.setattr("fedrobust.cores._affinity", lambda: 8)
    for quota, expected in ((math.inf, 8), (0.25, 1), (1.5, 2), (4.0, 4), (64.0, 8)):
        monkeypatch.setattr("fedrobust.cores.cpu_quota", lambda quota=quota: quota)
        assert cores() == expected


def test_nothing_of_this_project_counts_the_machine_s_cores():
    from pathlib import Path

    project = Path(__file__).parents[1]
    users = [
        path
        for package in ("fedrobust", "server", "clients")
        for path in (project / package).rglob("*.py")
        if "cpu_count" in path.read_text(encoding="utf-8") and path.name != "cores.py"
    ]
    assert users == []
