"""The scrape configuration of a cluster: a file that Prometheus takes as it is. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

SCRAPE_INTERVAL_S = 15
DISCOVERY_FILE = "prom_metrics_service_discovery.json"
"""Ray's own list of what there is to scrape, in the temporary folder of its head."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """What is to be scraped: `discovery` is the path of Ray's own list, `cluster` and `namespace` name whose it is."""

    cluster: str
    namespace: str
    discovery: str


def scrape_config(of: Scraped) -> str:
    """Return prometheus.yml: every target that Ray's service discovery lists, the controller among them.

    Ray's own series do not say which cluster they are of; here they get the labels that the controller's have.
    """
    labels = {"Namespace": of.namespace, "RayClusterName": of.cluster}
    relabel = "".join(
        f"      - {{target_label: {name}, replacement: {json.dumps(value)}}}\n" for name, value in labels.items()
    )
    return (
        f"# Scrapes cluster {of.cluster}: its nodes, its head, and what keeps it.\n"
        "#   prometheus --config.file=THIS_FILE --storage.tsdb.path=SOME_FOLDER\n"
        "# The controller writes this file anew when its head starts anew.\n"
        "global:\n"
        f"  scrape_interval: {SCRAPE_INTERVAL_S}s\n"
        f"  evaluation_interval: {SCRAPE_INTERVAL_S}s\n"
        "scrape_configs:\n"
        "  - job_name: ray\n"
        "    honor_labels: true\n"
        "    file_sd_configs:\n"
        f"      - files: [{json.dumps(of.discovery)}]\n"
        "        refresh_interval: 15s\n"
        "    relabel_configs:\n"
        f"{relabel}"
    )
