"""A machine's user-data: what it runs at its first boot, and how it finds out at later ones what to start. Pure.

User-data runs once in a machine's life. One that was stopped may have to start something else when it is used again, so
it asks for its user-data at each boot, and runs it when it is another.
"""

from __future__ import annotations

import base64
import shlex
from typing import Final

from rayfleet.contracts import Denied, Login, StartScript
from rayfleet.wire.user_data import FOLDER, user_data

BYTES_MAX: Final = 32 * 1024
"""The cloud takes no more, before encoding."""
BOOTS: Final = "/var/lib/cloud/scripts/per-boot"
_HEADER: Final = "X-aliyun-ecs-metadata-token"


def encoded(script: StartScript, cluster: str, login: Login, metadata: str, *, waits: bool = False) -> str | None:
    """Return the user-data as the API takes it; None when there is nothing to run. `waits`: it will be started later.

    Raises:
        Denied: it is too long for this cloud.
    """
    inner = user_data(
        script,
        cluster=cluster,
        own_id=asking(metadata, "meta-data/instance-id"),
        user=login.user,
        authorized_key=login.public_key,
    )
    if not inner and not waits:
        return None
    text = f"#!/bin/bash\n{_renewal(metadata)}\n{inner}"
    raw = text.encode()
    if len(raw) > BYTES_MAX:
        raise Denied(f"the start script has {len(raw)} bytes; Alibaba Cloud takes {BYTES_MAX} as user-data at most")
    return base64.b64encode(raw).decode()


def asking(metadata: str, what: str) -> str:
    """Return shell code that prints one of the things that a machine can ask about itself."""
    place = shlex.quote(f"{metadata}/latest")
    token = f"$(curl -sf --retry 3 -X PUT -H '{_HEADER}-ttl-seconds: 60' {place}/api/token)"
    return f'curl -sf --retry 3 -H "{_HEADER}: {token}" {place}/{what}'


def _renewal(metadata: str) -> str:
    """Return lines that put the question into every boot, before the start of last time.

    The new start gets a name that this boot's list of scripts does not have: user-data has started it already.
    """
    return "\n".join(
        (
            f"mkdir -p -m 700 {FOLDER} && mkdir -p {BOOTS}",
            f'[ "$0" -ef {FOLDER}/user-data ] || cat "$0" > {FOLDER}/user-data',
            f"cat > {FOLDER}/renew.new <<'RAYFLEET_RENEW'",
            "#!/bin/bash",
            f"{asking(metadata, 'user-data')} > {FOLDER}/user-data.new",
            f"[ -s {FOLDER}/user-data.new ] || exit 0",
            f"cmp -s {FOLDER}/user-data.new {FOLDER}/user-data && exit 0",
            f"mv {FOLDER}/user-data.new {FOLDER}/user-data",
            f"rm -f {BOOTS}/rayfleet {BOOTS}/rayfleet-[0-9]*",
            f"bash {FOLDER}/user-data",
            f"[ ! -e {BOOTS}/rayfleet ] || mv {BOOTS}/rayfleet {BOOTS}/rayfleet-$(date +%s%N)",
            "RAYFLEET_RENEW",
            # Renamed, not written in place: a shell may be reading the old one, this very moment.
            f"chmod 700 {FOLDER}/renew.new && mv {FOLDER}/renew.new {BOOTS}/00-rayfleet-renew",
        )
    )
