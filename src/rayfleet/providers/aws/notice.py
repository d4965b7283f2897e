"""Whether EC2 takes this spot instance back, and when: runs on the machine itself, see `rayfleet.contracts.Notices`.

The notice comes two minutes before. A rebalance recommendation may come sooner, or never, or for a machine that then
lives on; it names no moment, and is read only where the file says `rebalance: drain`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import datetime

REBALANCE_S = 0.0
"""How long work may go on once EC2 recommends to leave; 0: that is not read. Another value is written below this."""


def left_s(ask: Callable[..., str], url: str) -> float | None:
    """Return the seconds that are left, None without a notice."""
    base = (os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or url).rstrip("/") + "/latest"
    token = ask(f"{base}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    shown = {"X-aws-ec2-metadata-token": token}
    text = ask(f"{base}/meta-data/spot/instance-action", shown)
    if not text:
        advised = ask(f"{base}/meta-data/events/recommendations/rebalance", shown) if REBALANCE_S else ""
        return REBALANCE_S if advised else None
    at = json.loads(text)["time"].replace("Z", "+00:00")
    ends = datetime.fromisoformat(at)  # which takes no Z before Python 3.11
    return ends.timestamp() - time.time()
