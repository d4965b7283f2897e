"""Whether Google takes this spot machine back: runs on the machine itself, see `rayfleet.contracts.Notices`."""

from __future__ import annotations

import os
from collections.abc import Callable

GRACE_S = 30.0
"""So long a machine has from its notice on."""


def left_s(ask: Callable[..., str], url: str) -> float | None:
    """Return the seconds that are left, None without a notice. GCE_METADATA_HOST as Google's own libraries take it."""
    host = os.environ.get("GCE_METADATA_HOST")
    base = f"http://{host}" if host else url
    text = ask(f"{base}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return GRACE_S if text.strip() == "TRUE" else None
