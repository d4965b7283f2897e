"""`metrics`: where a cluster's figures are, for Prometheus."""

from __future__ import annotations

import typer

from rayfleet.cli.arguments import AsJson, Cluster, add, on_head
from rayfleet.cli.terminal import print_json


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, metrics, cls=on_head(0))


def metrics(cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Say where a cluster's figures are, and how Prometheus finds them.

    Examples:
      rayfleet metrics
      rayfleet metrics second --json
      curl -s $(rayfleet metrics --json | jq -r .url)
    """
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.metrics import where

    found = where(choose(cluster))
    if as_json:
        print_json(found.as_json())
        return
    print(f"metrics of {found.cluster}: {found.url}")
    if found.scrape:
        print(f"  prometheus --config.file={found.scrape} --storage.tsdb.path=FOLDER    scrapes them, and Ray's own")
    else:
        print("  the scrape configuration is written when the head is up")
