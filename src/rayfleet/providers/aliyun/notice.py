"""Whether Alibaba Cloud takes this spot machine back, and when: runs there, see `rayfleet.contracts.Notices`.

The notice comes five minutes before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime


def left_s(ask: Callable[..., str], url: str) -> float | None:
    """Return the seconds that are left, None without a notice."""
    base = (os.environ.get("ALIYUN_METADATA_SERVICE_ENDPOINT") or url).rstrip("/") + "/latest"
    token = ask(f"{base}/api/token", {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}, "PUT")
    text = ask(f"{base}/meta-data/instance/spot/termination-time", {"X-aliyun-ecs-metadata-token": token}).strip()
    if not text:
        return None
    ends = datetime.fromisoformat(text.replace("Z", "+00:00"))  # noqa: FURB162 - before 3.11
    return ends.timestamp() - time.time()
