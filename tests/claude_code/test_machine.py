from __future__ import annotations

import os

import psutil
import pytest

from claude_nb_gateway.claude_code.machine import cores, memory_bytes
from claude_nb_gateway.claude_code.manager import CLIManager, processes_for

GIB = 2**30
ALL = psutil.virtual_memory().total
V1_NONE = "9223372036854771712"


@pytest.fixture
def proc(tmp_path):
    """Make what /proc/self says of control groups, and their files."""

    def proc(groups, mounts, files):
        lines = []
        for mount, root, kind, options in mounts:
            at = tmp_path / mount
            at.mkdir(parents=True, exist_ok=True)
            lines.append(f"30 25 0:26 {root} {at} rw - {kind} {kind} {options}")
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        (tmp_path / "cgroup").write_text("\n".join(groups))
        (tmp_path / "mountinfo").write_text("\n".join(lines))
        return tmp_path

    return proc


V2 = [("fs", "/", "cgroup2", "rw")]
V1 = [
    ("fs/memory", "/", "cgroup", "rw,memory"),
    ("fs/cpu", "/", "cgroup", "rw,cpu,cpuacct"),
]


@pytest.mark.parametrize(
    ("groups", "mounts", "files"),
    [
        (["0::/"], V2, {"fs/memory.max": GIB}),
        (["0::/pod/box"], V2, {"fs/pod/box/memory.max": GIB}),
        (
            ["0::/pod/box/inner"],
            V2,
            {"fs/pod/memory.max": GIB, "fs/pod/box/memory.max": "max"},
        ),
        (
            ["4:memory:/docker/1"],
            V1,
            {"fs/memory/docker/1/memory.limit_in_bytes": GIB},
        ),
        # as a container of version 1 sees it: its own group is the mount
        (
            ["4:memory:/docker/1"],
            [("fs/memory", "/docker/1", "cgroup", "rw,memory")],
            {"fs/memory/memory.limit_in_bytes": GIB},
        ),
        # the path of the host, below a mount that does not know it
        (["4:memory:/docker/1"], V1, {"fs/memory/memory.limit_in_bytes": GIB}),
        (
            ["4:memory:/a", "0::/b"],
            [*V1, ("fs/unified", "/", "cgroup2", "rw")],
            {
                "fs/memory/a/memory.limit_in_bytes": GIB,
                "fs/memory/memory.limit_in_bytes": V1_NONE,
            },
        ),
    ],
)
def test_memory_is_what_a_control_group_allows(proc, groups, mounts, files):
    assert memory_bytes({}, proc(groups, mounts, files)) == GIB


def test_memory_is_the_machines_where_nothing_says_less(proc, tmp_path):
    assert memory_bytes({}, tmp_path / "nothing") == ALL
    assert memory_bytes({}, proc(["0::/"], V2, {"fs/memory.max": "max"})) == ALL
    files = {"fs/memory/memory.limit_in_bytes": V1_NONE}
    assert memory_bytes({}, proc(["4:memory:/"], V1, files)) == ALL


@pytest.mark.parametrize(
    ("limit", "memory"),
    [
        (str(GIB), GIB),
        ("1e9", 10**9),
        ("", ALL),
        ("0", ALL),
        ("-1", ALL),
        ("inf", ALL),
        ("much", ALL),
        (str(ALL * 2), ALL),
    ],
)
def test_memory_is_what_a_hub_says(limit, memory, tmp_path):
    assert memory_bytes({"MEM_LIMIT": limit}, tmp_path / "nothing") == memory


def test_cores_are_what_is_allowed(proc, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(6), raising=False)
    none = tmp_path / "nothing"
    assert cores({}, none) == 6
    assert cores({"CPU_LIMIT": "1.5"}, none) == 2
    assert cores({"CPU_LIMIT": "0.1"}, none) == 1
    nested = {"fs/a/b/cpu.max": "max 100000", "fs/a/cpu.max": "200000 100000"}
    assert cores({}, proc(["0::/a/b"], V2, nested)) == 2
    old = {"fs/cpu/cpu.cfs_quota_us": 300000, "fs/cpu/cpu.cfs_period_us": 100000}
    assert cores({}, proc(["3:cpu,cpuacct:/"], V1, old)) == 3


@pytest.mark.parametrize(
    ("memory", "most"),
    [(GIB // 2, 1), (GIB, 2), (2 * GIB, 4), (8 * GIB, 10), (64 * GIB, 64)],
)
def test_processes_fit_into_memory(memory, most):
    assert processes_for(memory) == most


def test_a_hubs_limit_bounds_the_processes(monkeypatch):
    monkeypatch.setenv("MEM_LIMIT", str(GIB // 2))
    assert CLIManager().max_processes == 1
