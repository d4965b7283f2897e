"""Ends what is left of a cluster's node on a machine that goes on without it: a line of shell, for any Linux. Pure.

Whatever belongs to a node has RAYFLEET_NODE=CLUSTER/MACHINE in its environment from birth, so that nothing else is
touched: no other cluster's Ray and no Ray of the machine's owner, as Ray's own command for it would.
"""

from __future__ import annotations

import shlex
from typing import Final

NODE_VARIABLE: Final = "RAYFLEET_NODE"
"""Set for everything that a node consists of, and for nothing else."""

GRACE_S: Final = 10

OWN: Final = '"${RAYFLEET_MACHINE_ID//\\//_}"'
"""Shell (bash) for a machine's name in names of files: many hosts may share one home."""


def own_folder(cluster: str) -> str:
    """Return the folder of a node's own files, as shell."""
    return f'"$HOME"/.rayfleet/{shlex.quote(cluster)}'


def mark_node(cluster: str) -> str:
    """Return the command after which all that is started belongs to the node. RAYFLEET_MACHINE_ID must be set."""
    return f'export {NODE_VARIABLE}={shlex.quote(cluster)}/"$RAYFLEET_MACHINE_ID"'


def end_node(cluster: str) -> str:
    """Return the command: politely first, after some seconds at once. It succeeds when nothing is left.

    RAYFLEET_MACHINE_ID must be set. Run as the user whose processes they are, in the container if there is one.
    """
    tag = f'{NODE_VARIABLE}={shlex.quote(cluster)}/"$RAYFLEET_MACHINE_ID"'
    return "\n".join(
        (
            # What has ended and waits for its parent has no environment any more.
            f"rayfleet_left() {{ grep -lzxF {tag} /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }}",
            # What the machine knows of its past (`bootstrap`) is that it was set up, but not any more that it runs.
            f"sed -i '/^start=/d' {own_folder(cluster)}/node.{OWN} 2>/dev/null",
            "signal=TERM; waited=0",
            'while left=$(rayfleet_left); [ -n "$left" ]; do',
            f"  [ $waited -ge {GRACE_S} ] && signal=KILL",
            f"  [ $waited -ge {3 * GRACE_S} ] && echo these processes do not end: $left && exit 1",
            "  [ $waited -eq 0 -o $signal = KILL ] && kill -$signal $left 2>/dev/null",
            "  sleep 1; waited=$((waited + 1))",
            "done",
            "true",
        )
    )
