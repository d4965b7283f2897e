"""Who is who: the tags that processes carry, the names of machines, and the paths that derive from both.

A process belongs to a machine when its environment says so (children inherit it), and it is the very process that we
mean when pid *and* start time agree. A name or a command line never counts.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

CLUSTER_TAG: Final = "RAYFLEET_CLUSTER_TAG"
CLUSTER: Final = "RAYFLEET_CLUSTER"
MACHINE_ID: Final = "RAYFLEET_MACHINE_ID"
MACHINE_DIR: Final = "RAYFLEET_MACHINE_DIR"

STARTED_FILE: Final = "started"
"""A machine's command creates this file in its directory when its node has joined."""

MACHINES_FOLDER: Final = "machines"
"""Folder of the registry below the cluster's state folder."""
LOGS_FOLDER: Final = "logs"
"""Folder of the machines' logs below the cluster's state folder."""

DIRECTORY_CHARACTERS_MAX: Final = 10
"""Longest directory name of one machine: see `settings.ROOT_CHARACTERS_MAX`."""


def cluster_tag(cluster: str, state_dir: Path) -> str:
    """Return the tag of every process of the cluster: its name, and a hash of where its state is.

    Two clusters of one name (two users, two tests) have two state folders, so they never meet.
    """
    return f"{cluster}:{_digest(str(state_dir.resolve()), 12)}"


def cluster_root(root: Path | None, tag: str) -> Path:
    """Return the folder of all machines of the cluster. It is short and belongs to this user alone."""
    return (root or Path(f"/tmp/rayfleet-{os.geteuid()}")) / _digest(tag, 6)  # noqa: S108 (made with mode 0700 and checked for its owner before use)


def machine_directory(root: Path, machine_id: str) -> Path:
    """Return the machine's own directory below the cluster's: its id where that is short enough."""
    readable = len(machine_id) <= DIRECTORY_CHARACTERS_MAX and not set(machine_id) & {"/", "\0"}
    return root / (machine_id if readable else _digest(machine_id, DIRECTORY_CHARACTERS_MAX))


def host_name(claim: str, host: int, hosts: int) -> str:
    """Return the name that people see of host number `host` of a claim."""
    return claim if hosts == 1 else f"{claim}.{host}"


def file_name(machine_id: str) -> str:
    """Return a file name for the machine; ids come from us, but a slash in one must not lead elsewhere."""
    return machine_id.replace("%", "%25").replace("/", "%2F")


def _digest(text: str, characters: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:characters]
