"""Whether EC2 takes this spot instance back, and when: runs on the machine itself, see `rayfleet.contracts.Notices`.

The notice comes two minutes before. Rebalance recommendations are not read: they name no moment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import datetime


def left_s(ask: Callable[..., str], url: str) -> float | None:
    """Return the seconds that are left, None without a notice."""
    base = (os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or url).rstrip("/") + "/latest"
    token = ask(f"{base}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    text = ask(f"{base}/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token})
    if not text:
        return None
    at = json.loads(text)["time"].replace("Z", "+00:00")
    ends = datetime.fromisoformat(at)  # which takes no Z before Python 3.11
    return ends.timestamp() - time.time()
