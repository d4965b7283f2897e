"""What this computer has, and the pools that a cluster gets when nobody has written any."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayfleet.model import CPU, MEMORY, OBJECT_STORE, Pool, Resources

POOL_CPUS: Final = (1, 2, 4)
"""Sizes of the default pools. CPUs are logical, so even two cores may offer all of them."""

MACHINE_BYTES: Final = 512 * 2**20
"""What one machine of ours needs besides its object store: a raylet with agents and a few Python workers."""
OBJECT_STORE_BYTES: Final = 100 * 10**6
"""Object store per logical CPU; Ray's least is 80 MB for a whole machine."""
MEMORY_SHARE: Final = 0.5
"""Part of this computer's memory that machines may fill. The rest is its owner's."""
MACHINES_MAX: Final = 16
MACHINES_PER_CORE: Final = 6

_CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Computer:
    """What this process may use of its computer."""

    cores: int
    memory_bytes: int


def this_computer(cgroup: Path = _CGROUP) -> Computer:
    """Look at processors and memory, and at a container's limits on them (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    quota = _words(cgroup / "cpu.max")
    if len(quota) == len(("quota", "period")) and quota[0].isdigit():
        cores = max(1, min(cores, int(quota[0]) // int(quota[1])))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _words(cgroup / "memory.max")
    if limit and limit[0].isdigit():
        memory = min(memory, int(limit[0]))
    return Computer(cores, memory)


def default_max_workers(computer: Computer) -> int:
    """Return how many machines this computer carries at once."""
    by_memory = int(computer.memory_bytes * MEMORY_SHARE) // (MACHINE_BYTES + OBJECT_STORE_BYTES)
    return max(1, min(MACHINES_MAX, by_memory, computer.cores * MACHINES_PER_CORE))


def default_pools(computer: Computer) -> tuple[Pool, ...]:
    """Return pools cpu1, cpu2, cpu4. Memory is shared out so that the largest possible cluster fits."""
    most = default_max_workers(computer)
    per_cpu = _memory_per_cpu_bytes(computer)
    return tuple(
        Pool(
            name=f"cpu{cpus}",
            resources=Resources.of({CPU: cpus, MEMORY: cpus * per_cpu, OBJECT_STORE: cpus * OBJECT_STORE_BYTES}),
            max_workers=most,
        )
        for cpus in POOL_CPUS
    )


def default_head(computer: Computer) -> Pool:
    """Return the head's pool: no CPUs, so that work goes to machines that come and go."""
    resources = Resources.of({MEMORY: _memory_per_cpu_bytes(computer), OBJECT_STORE: OBJECT_STORE_BYTES})
    return Pool(name="head", resources=resources, max_workers=0)


def _memory_per_cpu_bytes(computer: Computer) -> int:
    """Return memory for tasks per logical CPU, in whole 64 MiB, when every machine is of the largest pool."""
    step = 64 * 2**20
    cpus = default_max_workers(computer) * max(POOL_CPUS)
    return max(step, int(computer.memory_bytes * MEMORY_SHARE) // cpus // step * step)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
