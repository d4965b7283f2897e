"""Waits on a spot machine for the notice that it will be taken away, and has Ray drain its node by then.

    python3 notice_watch.py PLACE URL GCS_ADDRESS

PLACE is a file that defines `left_s(ask, url)`, see `rayfleet.contracts.Notices`. A program of its own: it comes to the
machine as text, and needs nothing there but Ray, which is imported only when there is a notice. RAY_CLOUD_INSTANCE_ID
tells which node is meant; the token and certificates are found in Ray's own variables. Both keep to what Python 3.9
knows: it is the machine's, with the Ray that is there.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Optional

EVERY_S = 2.0
ANSWER_S = 10.0
SOONER_S = 10.0
FINAL_S = 600.0
"""With so much time left or less it is a notice; with more a recommendation, after which a notice may come."""
NOT_FOUND = 404

LeftS = Callable[[Callable[..., str], str], Optional[float]]  # noqa: UP045 - evaluated, on Python 3.9 too


def ask(url: str, headers: Mapping[str, str], method: str = "GET") -> str:
    """Return what a metadata service answers; "" where it has nothing. It is never behind a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310 - http, by definition
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code == NOT_FOUND:
            return ""
        raise


def waited(left_s: LeftS, url: str, pause: Callable[[float], None], known: float = float("inf")) -> float:
    """Return how many seconds are left once there is a notice. What the service cannot answer is asked again.

    `known`: by when that is so already, seconds since the epoch; a notice of a moment that is not sooner is no news.
    """
    told = ""
    while True:
        try:
            left = left_s(ask, url)
        except Exception as error:  # noqa: BLE001 - nor may an answer of another shape than expected end the watch
            left = None
            if repr(error) != told:  # once, not every two seconds for as long as the machine lives
                told = repr(error)
                say(f"the metadata service at {url}: {error!r}")
        if left is not None and time.time() + left < known - SOONER_S:
            return left
        pause(EVERY_S)


def drain(gcs_address: str, machine_id: str, ends_at: float) -> None:
    """Have Ray drain this machine's node by `ends_at`, seconds since the epoch. Raises what Ray raises."""
    from ray._raylet import GcsClient
    from ray.core.generated import autoscaler_pb2, gcs_pb2

    client = GcsClient(address=gcs_address)
    alive = gcs_pb2.GcsNodeInfo.GcsNodeState.Value("ALIVE")
    nodes = client.get_all_node_info(timeout=ANSWER_S).values()
    mine = [each.node_id for each in nodes if each.instance_id == machine_id and each.state == alive]
    if not mine:
        raise LookupError(f"Ray knows no node of {machine_id}")
    why = f"its provider takes {machine_id} back in {ends_at - time.time():.0f} s"
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    for node_id in mine:
        accepted, words = client.drain_node(node_id.hex(), reason, why, int(ends_at * 1000))
        if not accepted:
            raise RuntimeError(words)


def say(text: str) -> None:
    """Write a line to the log."""
    print(time.strftime("%FT%TZ", time.gmtime()), text, flush=True)  # noqa: T201 - into its log


def main(argv: list[str]) -> int:
    """Wait, then drain until Ray has agreed or the time is over; where that is far away, wait for a sooner end."""
    place, url, gcs_address = argv[1:4]
    left_s = runpy.run_path(place)["left_s"]
    ends_at = float("inf")
    while True:
        left = waited(left_s, url, time.sleep, ends_at)
        ends_at = time.time() + left
        say(f"taken away in {left:.0f} s")
        if not drained(gcs_address, ends_at):
            return 1
        if left <= FINAL_S:
            return 0


def drained(gcs_address: str, ends_at: float) -> bool:
    """Have Ray drain the node, and say whether it has agreed before the time was over."""
    while True:
        try:
            drain(gcs_address, os.environ["RAY_CLOUD_INSTANCE_ID"], ends_at)
        except Exception as error:  # noqa: BLE001 - of whatever type Ray's are: there is nothing else to try
            say(f"not drained: {error!r}")
        else:
            say("drained")
            return True
        if time.time() > ends_at:
            return False
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
