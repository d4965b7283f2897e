"""`archive`: the record and the logs of a cluster, kept where they outlive it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rayfleet.cli.arguments import AsJson, Cluster, add, in_kubernetes
from rayfleet.cli.terminal import fail, print_json

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home

_SHOWN: Final = 10

To = Annotated[str, typer.Option("--to", metavar="FOLDER|s3://BUCKET/PREFIX", help="Where it is kept.")]
NodeLogs = Annotated[
    int,
    typer.Option("--node-logs", metavar="MIB", min=0, help="Also the ends of the logs of Ray's nodes, in all at most."),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=1,
        help="Of a cluster elsewhere: how long the head may take, and the way back.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, archive)


def archive(
    to: To, cluster: Cluster = None, node_logs: NodeLogs = 0, timeout: Timeout = 1800, as_json: AsJson = False
) -> None:
    """Keep the record, the logs and the configuration (without secrets) of a cluster where they outlive it.

    The cluster may be up or down; nothing of it is changed. What is kept can be read with --record of `history`, `why`
    and `simulate`. A bucket may be of any place that speaks S3: AWS_ENDPOINT_URL_S3 names its address.

    With --node-logs what Ray's nodes have written is kept, too: of each file of a living node the last 10,000 lines,
    until so many MiB are full, the head's first.

    For a cluster elsewhere the head does it over SSH. It has 1800 seconds, unless --timeout says otherwise, and what it
    kept has as long for the way from there; a head that does not answer at all is given up after 15.

    Examples:
      rayfleet archive --to ~/kept
      rayfleet archive prod --to s3://our-bucket/rayfleet
      rayfleet archive prod --to ~/kept --node-logs 500 --timeout 7200
      rayfleet history --record ~/kept/prod/20261123T094100Z
    """
    if in_kubernetes(cluster):
        fail(
            "archive is for clusters that rayfleet starts",
            "logs of pods are collected: deploy/kubernetes/aliyun-log.yaml shows how",
        )
    from rayfleet.launcher import archive as archives

    home, now = _meant(cluster), time.time()
    if home.is_elsewhere:
        kept = archives.from_head(home, to, now, node_logs, timeout)
    else:
        kept = archives.archive(home, to, now, node_logs)
    told = kept.as_json()
    if as_json:
        print_json(told)
    else:
        print(f"{told['cluster']}: {len(told['files'])} files, {told['bytes'] / 2**20:.1f} MiB, are in {told['at']}")
        for each in kept.missing[:_SHOWN]:
            print(f"  not whole: {each.what}: {each.why}")
        if len(kept.missing) > _SHOWN:
            print(f"  and {len(kept.missing) - _SHOWN} more; the archive's manifest.json has them all")


def _meant(cluster: str | None) -> Home:
    from rayfleet.launcher import home as homes
    from rayfleet.launcher.errors import NoCluster
    from rayfleet.launcher.known import choose

    try:
        return choose(cluster)
    except NoCluster:  # one that is down has a record, too
        every = homes.known()
        if len(every) != 1:
            raise
        return every[0]
