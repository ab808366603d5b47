"""The memory and the cores that this server may use.

The limits are those of the machine, of the Linux control groups (both versions, at
every level), and of JupyterHub's spawners: ``MEM_LIMIT`` (bytes) and ``CPU_LIMIT``
(cores).
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import psutil

PROC = Path("/proc/self")


def memory_bytes(environment: Mapping[str, str] = os.environ, proc: Path = PROC) -> int:
    """The memory of the machine, or the lowest limit of it."""
    limits: list[float] = [psutil.virtual_memory().total]
    for directory in _control_groups("memory", proc):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += _numbers(directory / name)[:1]
    limits += _number(environment.get("MEM_LIMIT", ""))
    return int(min(limit for limit in limits if limit > 0))


def cores(environment: Mapping[str, str] = os.environ, proc: Path = PROC) -> int:
    """Number of programs that can run at a time, at least 1; rounded up."""
    limits: list[float] = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    for directory in _control_groups("cpu", proc):
        quota = _numbers(directory / "cpu.max") or [
            *_numbers(directory / "cpu.cfs_quota_us"),
            *_numbers(directory / "cpu.cfs_period_us"),
        ]
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            limits.append(quota[0] / quota[1])
    limits += _number(environment.get("CPU_LIMIT", ""))
    return max(1, math.ceil(min(limit for limit in limits if limit > 0)))


def _control_groups(controller: str, proc: Path) -> Iterator[Path]:
    """The directories of this process's groups, and of all groups above them."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        own = dict(_own_groups(proc))
        for mount, root, controllers in _mounts(proc):
            path = own.get("") if controllers is None else own.get(controller)
            if path is None or (
                controllers is not None and controller not in controllers
            ):
                continue
            # A container may see its own group as the root, under any name.
            group = PurePosixPath(path)
            within = group.relative_to(root) if group.is_relative_to(root) else group
            here = mount / str(within).lstrip("/")
            while here != mount:
                yield here
                here = here.parent
            yield mount


def _own_groups(proc: Path) -> Iterator[tuple[str, str]]:
    # "4:cpu,cpuacct:/docker/1f2e" in version 1, "0::/user.slice" in version 2
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(proc: Path) -> Iterator[tuple[Path, str, list[str] | None]]:
    """The mount point, the root and the controllers of each mount of control groups.

    The controllers are None for version 2, which has one mount for all of them.
    """
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            yield Path(mount), root, None
        elif kind == "cgroup":
            yield Path(mount), root, options.split(",")


def _numbers(path: Path) -> list[float]:
    with contextlib.suppress(OSError):
        return [found for word in path.read_text().split() for found in _number(word)]
    return []


def _number(text: str) -> list[float]:
    # "max" and -1 mean "no limit". So does any text that is not a number.
    with contextlib.suppress(ValueError):
        number = float(text)
        if math.isfinite(number):
            return [number]
    return []
