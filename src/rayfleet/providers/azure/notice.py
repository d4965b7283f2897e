"""Whether Azure evicts this spot machine, and when: runs on the machine itself, see `rayfleet.contracts.Notices`.

Scheduled events are those of all machines that share a placement, so each looks for its own name.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

ASKING = {"Metadata": "true"}
LEAST_S = 30.0
"""Azure promises no more, and names no moment once an eviction has begun."""


def left_s(ask: Callable[..., str], url: str) -> float | None:
    """Return the seconds that are left, None without a notice."""
    base = (os.environ.get("AZURE_METADATA_SERVICE_ENDPOINT") or url).rstrip("/") + "/metadata"
    text = ask(f"{base}/scheduledevents?api-version=2020-07-01", ASKING)
    events = [each for each in json.loads(text or "{}").get("Events", ()) if each.get("EventType") == "Preempt"]
    if not events:
        return None
    name = ask(f"{base}/instance/compute/name?api-version=2021-01-01&format=text", ASKING).strip()
    mine = [each.get("NotBefore") for each in events if name in each.get("Resources", ())]
    if not mine:
        return None
    return parsedate_to_datetime(mine[0]).timestamp() - time.time() if mine[0] else LEAST_S
